/* The driver's hardware layer: registers on the bus, an event in one store, a result in two loads. */
#include "egret_registers.h"
#include "soc.h"

enum { INDEX_BITS = 15, ROOM = 0xFFFF };
#define NO_INDEX 0x7FFFu
#define RESTORES 0x80000000u /* of an index, as the core's stream has it */
#define NULL_RESULT 0xFFFFu
#define RESULT_THERE 0x80000000u
#define RESULT_LAST 0x40000000u
#define RESULT_USER 0x20000000u
#define QUEUES_EMPTY 0x40000000u

static uint32_t room; /* for events, at least */

static enum egret_result read_register(void *context, uint32_t address, uint32_t *word)
{
    (void)context;
    *word = load(CORE + address);
    /* The core does not know what waits in the queues. */
    if (address == offsetof(egret_t, STATUS) && !(load(QUEUES + QUEUES_STATUS) & QUEUES_EMPTY))
        *word &= ~EGRET__STATUS__IDLE_bm;
    return EGRET_OK;
}

static enum egret_result write_register(void *context, uint32_t address, uint32_t word)
{
    (void)context;
    /* A reset of the core is to reach what waits in the queues, too: a beat behind it would begin a step. */
    if (address == offsetof(egret_t, CONTROL) && (word & EGRET__CONTROL__RESET_bm)) {
        store(QUEUES + QUEUES_CLEAR, 0);
        room = 0;
    }
    store(CORE + address, word);
    return EGRET_OK;
}

static enum egret_result send(void *context, const struct egret_beat *beat)
{
    (void)context;
    if (!room && !(room = load(QUEUES + QUEUES_STATUS) & ROOM))
        return EGRET_WAIT;
    room--;
    uint32_t index = beat->index, marks = 4 * beat->last + 8 * beat->user;
    if (index == EGRET_NULL_INDEX)
        index = NO_INDEX;
    else
        marks += index & RESTORES ? 16 : 0;
    store(QUEUES + QUEUES_EVENT + marks, (uint32_t)beat->value << INDEX_BITS | (index & NO_INDEX));
    return EGRET_OK;
}

static enum egret_result take(void *context, struct egret_beat *beat)
{
    (void)context;
    uint32_t head = load(QUEUES + QUEUES_RESULT);
    if (!(head & RESULT_THERE))
        return EGRET_WAIT;
    beat->value = (int32_t)load(QUEUES + QUEUES_VALUE);
    uint32_t index = head & NULL_RESULT;
    beat->index = index == NULL_RESULT ? EGRET_NULL_INDEX : index;
    beat->last = head & RESULT_LAST;
    beat->user = head & RESULT_USER;
    return EGRET_OK;
}

const struct egret_port soc_port = {.read = read_register, .write = write_register, .send = send, .take = take};

uint32_t soc_busy(void)
{
    return load(QUEUES + QUEUES_BUSY);
}

void soc_clear_busy(void)
{
    store(QUEUES + QUEUES_CLEAR, 0);
}

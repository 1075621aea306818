/* The driver's hardware layer: registers on the bus, an event in one store, a result in two loads. */
#include "egret_registers.h"
#include "soc.h"

#define RESTORES 0x80000000u /* of an index, as the core's stream has it */

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
    uint32_t left = room ? room : load(QUEUES + QUEUES_STATUS) & QUEUES_ROOM;
    if (!left)
        return EGRET_WAIT;
    room = left - 1;
    uint32_t index = beat->index, marks = QUEUES_LAST * beat->last + QUEUES_USER * beat->user;
    if (index == EGRET_NULL_INDEX)
        index = NO_SOURCE;
    else if (index & RESTORES)
        marks += QUEUES_RESTORE;
    store(QUEUES + QUEUES_EVENT + marks, event_word(index, beat->value));
    return EGRET_OK;
}

static enum egret_result take(void *context, struct egret_beat *beat)
{
    (void)context;
    uint32_t head = load(QUEUES + QUEUES_RESULT);
    if (!(head & RESULT_THERE))
        return EGRET_WAIT;
    uint32_t index = head & RESULT_INDEX;
    beat->value = (int32_t)load(QUEUES + QUEUES_VALUE);
    beat->index = index == RESULT_INDEX ? EGRET_NULL_INDEX : index;
    beat->last = head & RESULT_LAST;
    beat->user = head & RESULT_USER;
    return EGRET_OK;
}

const struct egret_port soc_port = {
    .read = read_register, .write = write_register, .send = send, .take = take};

/* The hardware layer that the driver is compiled with (EGRET_PORT_HEADER): registers on the bus, an event in one store, a
 * result in two loads. */
#ifndef EGRET_SOC_PORT_H
#define EGRET_SOC_PORT_H

#include "egret_registers.h"
#include "soc.h"

static inline bool egret_port_is_whole(const struct egret_port *port)
{
    (void)port;
    return true;
}

static inline enum egret_result egret_port_read(const struct egret_port *port, uint32_t address, uint32_t *word)
{
    (void)port;
    *word = load(CORE + address);
    /* The core does not know what waits in the queues. */
    if (address == offsetof(egret_t, STATUS) && !(load(QUEUES + QUEUES_STATUS) & QUEUES_EMPTY))
        *word &= ~EGRET__STATUS__IDLE_bm;
    return EGRET_OK;
}

static inline enum egret_result egret_port_write(const struct egret_port *port, uint32_t address, uint32_t word)
{
    (void)port;
    /* A reset of the core is to reach what waits in the queues, too: a beat behind it would begin a step. */
    if (address == offsetof(egret_t, CONTROL) && (word & EGRET__CONTROL__RESET_bm))
        store(QUEUES + QUEUES_CLEAR, 0);
    store(CORE + address, word);
    return EGRET_OK;
}

static inline enum egret_result egret_port_send(const struct egret_port *port, const struct egret_event *events,
                                                size_t count, enum egret_mark mark, size_t *sent)
{
    (void)port;
    const size_t room = load(QUEUES + QUEUES_STATUS) & QUEUES_ROOM;
    if (count > room || room == 0) {
        for (size_t k = 0; k < room; k++)
            store(QUEUES + QUEUES_EVENT, event_word(&events[k]));
        *sent = room;
        return EGRET_WAIT;
    }
    const uint32_t end = event_address(mark);
    if (count == 0) {
        store(end, NO_SOURCE);
        return EGRET_OK;
    }
    const struct egret_event *last = events + count - 1;
    for (; events != last; events++)
        store(QUEUES + QUEUES_EVENT, event_word(events));
    store(end + (last->index & RESTORES ? QUEUES_RESTORE : 0), event_word(last));
    return EGRET_OK;
}

static inline enum egret_result egret_port_take(const struct egret_port *port, struct egret_beat *beat)
{
    (void)port;
    const uint32_t head = load(QUEUES + QUEUES_RESULT);
    if (!(head & RESULT_THERE))
        return EGRET_WAIT;
    const uint32_t index = head & RESULT_INDEX;
    beat->value = (int32_t)load(QUEUES + QUEUES_VALUE);
    beat->index = index == RESULT_INDEX ? EGRET_NULL_INDEX : index;
    beat->last = head & RESULT_LAST;
    beat->user = head & RESULT_USER;
    return EGRET_OK;
}

#endif

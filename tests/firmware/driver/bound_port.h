/* The stand-in as a layer that is bound when the driver is compiled (EGRET_PORT_HEADER). */
#ifndef BOUND_PORT_H
#define BOUND_PORT_H

#include "stand_in.h"

static inline bool egret_port_is_whole(const struct egret_port *port)
{
    return port->context != NULL;
}

static inline enum egret_result egret_port_read(const struct egret_port *port, uint32_t address, uint32_t *word)
{
    return stand_in_read(port->context, address, word);
}

static inline enum egret_result egret_port_write(const struct egret_port *port, uint32_t address, uint32_t word)
{
    return stand_in_write(port->context, address, word);
}

static inline enum egret_result egret_port_send(const struct egret_port *port, const struct egret_event *events,
                                                size_t count, enum egret_mark mark, size_t *sent)
{
    return stand_in_send(port->context, events, count, mark, sent);
}

static inline enum egret_result egret_port_take(const struct egret_port *port, struct egret_beat *beat)
{
    return stand_in_take(port->context, beat);
}

#endif

/* The hardware layer as function pointers: what the driver calls unless EGRET_PORT_HEADER names another header. Such a
 * header has the same five functions. */
#ifndef EGRET_POINTERS_H
#define EGRET_POINTERS_H

#include "egret.h"

/* Whether egret_init() can go on with it. */
static inline bool egret_port_is_whole(const struct egret_port *port)
{
    return port->read && port->write && port->send && port->take;
}

static inline enum egret_result egret_port_read(const struct egret_port *port, uint32_t address, uint32_t *word)
{
    return port->read(port->context, address, word);
}

static inline enum egret_result egret_port_write(const struct egret_port *port, uint32_t address, uint32_t word)
{
    return port->write(port->context, address, word);
}

static inline enum egret_result egret_port_send(const struct egret_port *port, const struct egret_event *events,
                                                size_t count, enum egret_mark mark, size_t *sent)
{
    return port->send(port->context, events, count, mark, sent);
}

static inline enum egret_result egret_port_take(const struct egret_port *port, struct egret_beat *beat)
{
    return port->take(port->context, beat);
}

#endif

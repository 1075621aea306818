/* The hardware layer as the rest of the driver sees it: what it returns is what it may return. Polling. */
#include "egret_internal.h"

enum egret_result egret_get(const struct egret *egret, uint32_t address, uint32_t *word)
{
    *word = 0;
    return egret->port.read(egret->port.context, address, word) == EGRET_OK ? EGRET_OK : EGRET_BUS;
}

enum egret_result egret_put(const struct egret *egret, uint32_t address, uint32_t word)
{
    return egret->port.write(egret->port.context, address, word) == EGRET_OK ? EGRET_OK : EGRET_BUS;
}

static enum egret_result is_known(enum egret_result result)
{
    return result == EGRET_OK || result == EGRET_WAIT ? result : EGRET_BUS;
}

enum egret_result egret_put_beat(const struct egret *egret, const struct egret_beat *beat)
{
    return is_known(egret->port.send(egret->port.context, beat));
}

enum egret_result egret_get_beat(const struct egret *egret, struct egret_beat *beat)
{
    beat->index = EGRET_NULL_INDEX;
    beat->last = beat->user = false;
    return is_known(egret->port.take(egret->port.context, beat));
}

enum egret_result egret_control(const struct egret *egret, uint32_t clear, uint32_t set)
{
    uint32_t control;
    if (!egret)
        return EGRET_ARGUMENT;
    if (egret_get(egret, EGRET_ADDRESS(CONTROL), &control))
        return EGRET_BUS;
    return egret_put(egret, EGRET_ADDRESS(CONTROL), (control & ~clear) | set);
}

enum egret_result egret_poll(const struct egret *egret, uint32_t *polls)
{
    enum egret_result result = egret_check_fault(egret);
    if (result != EGRET_OK)
        return result;
    return *polls && --*polls ? EGRET_WAIT : EGRET_TIMEOUT;
}

enum egret_result egret_check_idle(const struct egret *egret)
{
    bool idle;
    if (egret_read_idle(egret, &idle))
        return EGRET_BUS;
    return idle && !egret->sending && !egret->steps ? EGRET_OK : EGRET_BUSY;
}

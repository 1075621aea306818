/* The hardware layer as the rest of the driver sees it: what it returns is what it may return. Polling. */
#include "egret_internal.h"

enum egret_result egret_get(const struct egret *egret, uint32_t address, uint32_t *word)
{
    *word = 0;
    return egret_port_read(&egret->port, address, word) == EGRET_OK ? EGRET_OK : EGRET_BUS;
}

enum egret_result egret_put_words(const struct egret *egret, uint32_t address, const uint32_t *words, size_t count)
{
    for (; count; count--)
        if (egret_port_write(&egret->port, address, *words++) != EGRET_OK)
            return EGRET_BUS;
    return EGRET_OK;
}

enum egret_result egret_put(const struct egret *egret, uint32_t address, uint32_t word)
{
    return egret_put_words(egret, address, &word, 1);
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

/* The core's registers, as the driver's header has them, on the SoC's bus. */
#ifndef EGRET_H
#define EGRET_H

#include <generated/mem.h>
#include <stddef.h>
#include <stdint.h>

#include "egret_registers.h"

enum egret_register {
    EGRET_MAGIC = offsetof(egret_t, MAGIC),
    EGRET_CONFIG_ID = offsetof(egret_t, CONFIG_ID),
    EGRET_CONTROL = offsetof(egret_t, CONTROL),
    EGRET_STATUS = offsetof(egret_t, STATUS),
    EGRET_ERROR = offsetof(egret_t, ERROR),
    EGRET_ERROR_DETAIL = offsetof(egret_t, ERROR_DETAIL),
    EGRET_LOAD_DATA = offsetof(egret_t, LOAD_DATA),
    EGRET_COUNTER_SELECT = offsetof(egret_t, COUNTER_SELECT),
    EGRET_COUNTER_LOW = offsetof(egret_t, COUNTER_LOW),
    EGRET_LIST_BASE = offsetof(egret_t, LIST_BASE),
    EGRET_LIST_SIZE = offsetof(egret_t, LIST_SIZE),
};

enum { EGRET_MAGIC_VALUE = EGRET__MAGIC__VALUE_reset };
enum { EGRET_RESET = EGRET__CONTROL__RESET_bm, EGRET_CLEAR_COUNTERS = EGRET__CONTROL__CLEAR_COUNTERS_bm };
enum {
    EGRET_LOADED = EGRET__STATUS__LOADED_bm,
    EGRET_IDLE = EGRET__STATUS__IDLE_bm,
    EGRET_FAULT = EGRET__STATUS__ERROR_bm
};

static inline uint32_t egret_read(enum egret_register at)
{
    return *(volatile uint32_t *)(EGRET_BASE + at);
}

static inline void egret_write(enum egret_register at, uint32_t value)
{
    *(volatile uint32_t *)(EGRET_BASE + at) = value;
}

static inline uint32_t egret_counter(uint32_t number)
{
    egret_write(EGRET_COUNTER_SELECT, number);
    return egret_read(EGRET_COUNTER_LOW);
}

#endif

/* The core's registers as docs/registers.md has them, on the SoC's bus. */
#ifndef EGRET_H
#define EGRET_H

#include <generated/mem.h>
#include <stdint.h>

enum egret_register {
    EGRET_MAGIC = 0x00,
    EGRET_CONFIG_ID = 0x08,
    EGRET_CONTROL = 0x20,
    EGRET_STATUS = 0x24,
    EGRET_ERROR = 0x28,
    EGRET_ERROR_DETAIL = 0x2C,
    EGRET_LOAD_DATA = 0x30,
    EGRET_COUNTER_SELECT = 0x3C,
    EGRET_COUNTER_LOW = 0x40,
    EGRET_LIST_BASE = 0x5C,
    EGRET_LIST_SIZE = 0x60,
};

enum { EGRET_MAGIC_VALUE = 0x54524745 };
enum { EGRET_RESET = 1, EGRET_CLEAR_COUNTERS = 4 };               /* of CONTROL */
enum { EGRET_LOADED = 1, EGRET_IDLE = 2, EGRET_FAULT = 4 }; /* of STATUS */

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

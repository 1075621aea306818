/* What the processor of hw/soc sees: docs/soc.md. */
#ifndef EGRET_SOC_H
#define EGRET_SOC_H

#include <stdbool.h>
#include <stdint.h>

#include "egret.h"

enum {
    CONSOLE_SEND = 0x00,     /* write: a byte; read: bit 0, one would be taken */
    CONSOLE_RECEIVED = 0x04, /* bits 7:0 a byte, bit 8: there is one; the read drops it */
    CONSOLE_LIGHTS = 0x08
};

enum { LIGHT_LOADED = 1, LIGHT_ERROR = 2 };

enum {
    QUEUES_EVENT = 0x00,  /* write; added to it: 4 ends the step, 8 the sequence, 16 restores a source */
    QUEUES_STATUS = 0x00, /* read: bits 15:0 room for events, bit 30: nothing waits, bit 31: an event was lost */
    QUEUES_RESULT = 0x04, /* bits 15:0 index, bit 31: there is a result, 30: it ends its step, 29: its sequence */
    QUEUES_VALUE = 0x08,  /* the read drops the result */
    QUEUES_BUSY = 0x0C,   /* cycles with a step under way */
    QUEUES_CLEAR = 0x20
};

#define CONSOLE 0x80000000u
#define CORE 0x90000000u
#define QUEUES 0xA0000000u

static inline uint32_t load(uint32_t address)
{
    return *(volatile uint32_t *)address;
}

static inline void store(uint32_t address, uint32_t word)
{
    *(volatile uint32_t *)address = word;
}

/* Cycles since the reset, modulo 2^32. */
static inline uint32_t cycles(void)
{
    uint32_t now;
    __asm__ volatile("csrr %0, cycle" : "=r"(now));
    return now;
}

/* The driver's hardware layer. */
extern const struct egret_port soc_port;

/* Cycles in which the core had a step under way, since the last clear; forget them. The core must be idle. */
uint32_t soc_busy(void);
void soc_clear_busy(void);

#endif

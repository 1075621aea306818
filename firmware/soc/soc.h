/* What the processor of hw/soc sees: docs/soc.md. */
#ifndef EGRET_SOC_H
#define EGRET_SOC_H

#include <stdbool.h>
#include <stdint.h>

#include "egret.h"

#define CONSOLE 0x80000000u
#define CORE 0x90000000u
#define QUEUES 0xA0000000u

enum {
    CONSOLE_SEND = 0x00,     /* write: a byte; read: bit 0, one would be taken */
    CONSOLE_RECEIVED = 0x04, /* bits 7:0 a byte, bit 8: there is one; the read drops it */
    CONSOLE_LIGHTS = 0x08
};

enum { LIGHT_LOADED = 1, LIGHT_ERROR = 2 };
enum { END_OF_RUN = 4 }; /* a character: whoever listens knows that no more comes */

enum {
    QUEUES_EVENT = 0x00, /* write: an event_word(); what is added to the address: */
    QUEUES_LAST = 0x04,  /* it ends the step, */
    QUEUES_USER = 0x08,  /* and the sequence; */
    QUEUES_RESTORE = 0x10, /* it restores a source */
    QUEUES_STATUS = 0x00, /* read: room and empty */
    QUEUES_RESULT = 0x04, /* read: the oldest result */
    QUEUES_VALUE = 0x08,  /* read: its value; the read drops it */
    QUEUES_BUSY = 0x0C,   /* read: cycles with a step under way */
    QUEUES_CLEAR = 0x20   /* write: empty the queues, forget steps under way and busy */
};

#define QUEUES_ROOM 0xFFFFu      /* of QUEUES_STATUS: for events */
#define QUEUES_EMPTY 0x40000000u /* nothing waits */
#define QUEUES_LOST 0x80000000u  /* an event was sent without room */
#define RESULT_INDEX 0xFFFFu     /* of QUEUES_RESULT; all ones: no result, but the end of a step */
#define RESULT_USER 0x20000000u
#define RESULT_LAST 0x40000000u
#define RESULT_THERE 0x80000000u
#define NO_SOURCE 0x7FFFu /* of an event word: it is none, but the end of a step */

static inline uint32_t load(uint32_t address)
{
    return *(volatile uint32_t *)address;
}

static inline void store(uint32_t address, uint32_t word)
{
    *(volatile uint32_t *)address = word;
}

#define RESTORES 0x80000000u /* of an event's index: it restores a source */

/* Where the last event of a step is stored, or one that is not the last. */
static inline uint32_t event_address(enum egret_mark mark)
{
    return QUEUES + QUEUES_EVENT + (mark != EGRET_GOES_ON) * QUEUES_LAST + (mark == EGRET_ENDS_SEQUENCE) * QUEUES_USER;
}

/* Index in the lower 15 bits, value in the rest. */
static inline uint32_t event_word(const struct egret_event *event)
{
    return (uint32_t)event->value << 15 | (event->index & NO_SOURCE);
}

/* Cycles since the reset, modulo 2^32. */
static inline uint32_t cycles(void)
{
    uint32_t now;
    __asm__ volatile("csrr %0, cycle" : "=r"(now));
    return now;
}

#endif

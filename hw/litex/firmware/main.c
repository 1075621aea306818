/* Initialise DRAM, then run each network from it, and compare all that comes out with what it must be. */
#include <generated/csr.h>
#include <generated/mem.h>
#include <libbase/memtest.h>
#include <liblitedram/sdram.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "egret.h"

enum {
    LISTS_AT = 0x100000, /* from the start of DRAM, behind what is tested of it */
    BEAT_WORDS = 4,
    PATIENCE = 200000, /* polls */
    END_OF_RUN = 4,     /* a character; a simulation stops at it */
};

/* Of an event in `cases`: it ends its step. (2: and its sequence.) */
enum { LAST = 1 };

/* In `cases`, a result that does not come: a unit that is silent in a network without a readout. */
#define NO_RESULT 0x80000000u

extern const uint32_t cases[];

static const uint32_t *at = cases;

static uint32_t next(void)
{
    return *at++;
}

/* Wait until the core says all of `status` and no error; if it does not, tell why. */
static bool wait_for(uint32_t status)
{
    uint32_t seen = 0;
    for (int poll = 0; poll < PATIENCE && (seen & (status | EGRET_FAULT)) != status; poll++)
        seen = egret_read(EGRET_STATUS);
    if ((seen & (status | EGRET_FAULT)) == status)
        return true;
    printf("status 0x%lx, error %lu, detail 0x%lx\n", (unsigned long)seen, (unsigned long)egret_read(EGRET_ERROR),
           (unsigned long)egret_read(EGRET_ERROR_DETAIL));
    return false;
}

/* Lists go to DRAM, where the core reads them; the image goes through a register. */
static bool load_network(void)
{
    uint32_t beats = next(), words = next();
    volatile uint32_t *lists = (volatile uint32_t *)(MAIN_RAM_BASE + LISTS_AT);
    for (uint32_t word = 0; word < beats * BEAT_WORDS; word++)
        lists[word] = next();
    /* What was written last has reached DRAM when it can be read back: no cache is in between that keeps writes. */
    flush_cpu_dcache();
    if (beats && lists[beats * BEAT_WORDS - 1] != at[-1])
        return false;
    egret_write(EGRET_LIST_BASE, MAIN_RAM_BASE + LISTS_AT);
    egret_write(EGRET_LIST_SIZE, beats);
    egret_write(EGRET_CONTROL, EGRET_RESET);
    while (words--)
        egret_write(EGRET_LOAD_DATA, next());
    return wait_for(EGRET_LOADED | EGRET_IDLE);
}

static void send(uint32_t index, uint32_t value, uint32_t marks)
{
    egret_queues_event_index_write(index);
    egret_queues_event_value_write(value);
    while (!egret_queues_event_ready_read()) {
    }
    egret_queues_event_send_write(marks);
}

/* A step's results come in any order, each index once: returns how many are wrong. `wanted` has the value of each. */
static uint32_t compare_step(const uint32_t *wanted, uint32_t count)
{
    uint32_t wrong = 0, seen = 0;
    for (;;) {
        uint32_t state = 0;
        for (int poll = 0; poll < PATIENCE && !(state & 1); poll++)
            state = egret_queues_result_state_read();
        if (!(state & 1))
            return wrong + 1;
        uint32_t index = egret_queues_result_index_read(), value = egret_queues_result_value_read();
        egret_queues_result_take_write(1);
        if (index != UINT32_MAX) {
            seen++;
            wrong += index >= count || wanted[index] != value || value == NO_RESULT;
        }
        if (state & 2)
            break;
    }
    uint32_t due = 0;
    for (uint32_t index = 0; index < count; index++)
        due += wanted[index] != NO_RESULT;
    return wrong + (seen != due);
}

static uint32_t run_steps(uint32_t steps, uint32_t outputs)
{
    uint32_t wrong = 0;
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t marks;
        /* As many events as there is room for go at once, so that the CPU, which is slow, keeps nobody waiting. */
        egret_queues_event_hold_write(1);
        do {
            uint32_t index = next(), value = next();
            marks = next();
            send(index, value, marks);
            if (!egret_queues_event_ready_read())
                egret_queues_event_hold_write(0);
        } while (!(marks & LAST));
        egret_queues_event_hold_write(0);
        wrong += compare_step(at, outputs);
        at += outputs;
    }
    return wrong;
}

static uint32_t check_counts(uint32_t groups, uint32_t first)
{
    uint32_t wrong = 0;
    for (uint32_t count = 0; count < groups; count++) {
        uint32_t counted = egret_counter(first + count), wanted = next();
        printf(" %lu", (unsigned long)counted);
        wrong += counted != wanted;
    }
    return wrong;
}

/* Returns the number of differences; what the memory port did is printed for whoever wants to know its rate. */
static uint32_t run_case(void)
{
    const char *name = (const char *)at;
    at += 4;
    uint32_t steps = next(), outputs = next(), groups = next(), events_first = next(), macs_first = next();
    const uint32_t *list_beats = at;
    if (!load_network()) {
        printf("%s: not loaded\n", name);
        return 1;
    }
    egret_write(EGRET_CONTROL, EGRET_CLEAR_COUNTERS);
    egret_traffic_clear_write(1);
    uint32_t wrong = run_steps(steps, outputs);
    if (!wait_for(EGRET_IDLE))
        wrong++;
    uint32_t beats = egret_traffic_beats_read(), busy = egret_traffic_busy_read();
    uint32_t running = egret_traffic_running_read();
    printf("%s: %lu beats of lists in DRAM, %lu steps, %lu results each, %lu wrong\n", name, (unsigned long)*list_beats,
           (unsigned long)steps, (unsigned long)outputs, (unsigned long)wrong);
    printf("%s: events", name);
    uint32_t differ = check_counts(groups, events_first);
    printf(", macs");
    differ += check_counts(groups, macs_first);
    printf(", %lu counts differ from theory\n", (unsigned long)differ);
    printf("%s: traffic beats %lu bursts %lu busy %lu running %lu held %lu\n", name, (unsigned long)beats,
           (unsigned long)egret_traffic_bursts_read(), (unsigned long)busy, (unsigned long)running,
           (unsigned long)egret_traffic_held_read());
    return wrong + differ;
}

int main(void)
{
    printf("Egret on LiteX, configuration 0x%08lx\n", (unsigned long)egret_read(EGRET_CONFIG_ID));
    uint32_t failures = egret_read(EGRET_MAGIC) != EGRET_MAGIC_VALUE;
    if (sdram_init()) {
        for (uint32_t left = next(); left && !failures; left--)
            failures += run_case();
    } else {
        failures++;
    }
    printf("%s\n", failures ? "FAIL" : "PASS");
    putchar(END_OF_RUN);
    for (;;) {
    }
}

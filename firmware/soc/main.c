/* Load a network, run images through it as fast as the core takes them, and tell results and counts on the serial line. */
#include <stdio.h>

#include "steps.h"

/* Words of 16 bits: how many images, steps of each, inputs of a step; then the inputs, signed. */
extern const int16_t images[];
extern const uint32_t network[], network_end[];

static struct egret egret;
static struct events events;
static int32_t outputs[OUTPUTS_MAX];

static bool failed(const char *what, enum egret_result result, size_t where)
{
    struct egret_fault fault;
    store(CONSOLE + CONSOLE_LIGHTS, LIGHT_ERROR);
    printf("error: %s: %s", what, egret_result_text(result));
    if (where)
        printf(", word %lu", (unsigned long)where);
    if (result == EGRET_FAULT && egret_read_fault(&egret, &fault) == EGRET_OK)
        printf(": %s, detail 0x%lx", egret_error_text(fault.error), (unsigned long)fault.detail);
    printf("\n");
    return false;
}

static bool load_network(void)
{
    static const struct egret_port port; /* nothing in it is used: port.h */
    size_t where = 0;
    uint32_t words = (uint32_t)(network_end - network), start = cycles();
    enum egret_result result = egret_init(&egret, &port, POLLS);
    if (result != EGRET_OK)
        return failed("core", result, 0);
    printf("core 0x%08lx, %u lanes\n", (unsigned long)egret.core.config_id, egret.core.lanes);
    result = egret_load(&egret, network, words, &where);
    if (result == EGRET_OK)
        result = egret_set_best_only(&egret, true);
    if (result != EGRET_OK)
        return failed("network", result, where);
    store(CONSOLE + CONSOLE_LIGHTS, LIGHT_LOADED);
    printf("network %lu words, %lu cycles\n", (unsigned long)words, (unsigned long)(cycles() - start));
    return true;
}

/* Run all images in one of the two ways. It is a function of its own for its place in the instruction cache (layout.ld). */
__attribute__((noinline)) static bool run_images(const char *way, bool by_driver)
{
    struct time time = {0, 0};
    uint32_t count = (uint16_t)images[0], steps = (uint16_t)images[1], inputs = (uint16_t)images[2];
    store(QUEUES + QUEUES_CLEAR, 0);
    for (uint32_t image = 0; image < count; image++) {
        struct egret_event best;
        find_events(&events, images + 3 + image * steps * inputs, steps, inputs);
        enum egret_result result = by_driver ? run_by_driver(&egret, &events, outputs, &time)
                                             : run_by_queues(&egret, &events, &time);
        if (result == EGRET_OK)
            result = egret_read_best(&egret, &best);
        if (result != EGRET_OK)
            return failed(way, result, 0);
        /* What the driver received is what the core says was the largest. */
        if (by_driver && (best.index == EGRET_NULL_INDEX || outputs[best.index] != best.value))
            return failed(way, EGRET_RESULT, 0);
        printf("%s %lu %lu %ld\n", way, (unsigned long)image, (unsigned long)best.index, (long)best.value);
    }
    printf("%s elapsed %lu waited %lu core %lu\n", way, (unsigned long)time.elapsed, (unsigned long)time.waited,
           (unsigned long)load(QUEUES + QUEUES_BUSY));
    return true;
}

static bool print_counter(const char *name, enum egret_counter counter, uint32_t how_many)
{
    for (uint32_t which = 0; which < how_many; which++) {
        uint32_t number;
        uint64_t value;
        enum egret_result result = egret_counter_number(&egret, counter, which, &number);
        if (result == EGRET_OK)
            result = egret_read_counter(&egret, number, &value);
        if (result != EGRET_OK)
            return failed(name, result, 0);
        printf("count %s %lu %lu\n", name, (unsigned long)which, (unsigned long)value);
    }
    return true;
}

static bool print_counters(void)
{
    uint32_t groups = egret.network.layers + !egret.network.readout;
    return print_counter("cycles", EGRET_CYCLES, 1) && print_counter("steps", EGRET_STEPS, 1) &&
           print_counter("events", EGRET_EVENTS, groups) && print_counter("macs", EGRET_MACS, groups) &&
           print_counter("lane_busy", EGRET_LANE_BUSY, egret.core.lanes);
}

static bool clear_counters(void)
{
    enum egret_result result = egret_clear_counters(&egret);
    return result == EGRET_OK || failed("counters", result, 0);
}

int main(void)
{
    for (;;) {
        bool done = load_network() && clear_counters() && run_images("driver", true) && run_images("queues", false) &&
                    print_counters();
        printf("%s\n", done ? "DONE" : "FAIL");
        putchar(END_OF_RUN);
        /* Any character from the line begins anew. */
        while (!(load(CONSOLE + CONSOLE_RECEIVED) & 0x100)) {
        }
    }
}

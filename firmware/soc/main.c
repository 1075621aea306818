/* Load a network, run images through it as fast as the core takes them, and tell results and counts on the serial line. */
#include <stdio.h>

#include "soc.h"

enum {
    POLLS = 100000,
    AHEAD = 2,          /* steps that the core has been given and whose results have not come */
    EVENTS_MAX = 64,    /* of a step */
    STEPS_MAX = 16,     /* of an image */
    OUTPUTS_MAX = 64,
    END_OF_RUN = 4      /* a character; whoever listens knows that no more comes */
};

/* Words of 16 bits: how many images, steps of each, inputs of a step; then the inputs, signed. */
extern const int16_t images[];
extern const uint32_t network[], network_end[];

/* What an image's steps took, in cycles: from the first event to the last result; of these, with nothing to do but to ask
 * for results; with a step under way in the core. */
struct time {
    uint32_t elapsed, waited, core;
};

struct events {
    size_t count[STEPS_MAX];
    struct egret_event event[STEPS_MAX][EVENTS_MAX];
};

static int say(struct egret *egret, const char *what, enum egret_result result, size_t where)
{
    struct egret_fault fault = {EGRET_ERROR_NONE, 0};
    store(CONSOLE + CONSOLE_LIGHTS, LIGHT_ERROR);
    printf("error: %s: %s", what, egret_result_text(result));
    if (where)
        printf(", word %lu", (unsigned long)where);
    if (result == EGRET_FAULT && egret_read_fault(egret, &fault) == EGRET_OK)
        printf(": %s, detail 0x%lx", egret_error_text(fault.error), (unsigned long)fault.detail);
    printf("\n");
    return 1;
}

/* Inputs that are not 0 are events. */
static void find_events(struct events *found, const int16_t *inputs, uint32_t steps, uint32_t count)
{
    for (uint32_t step = 0; step < steps; step++, inputs += count) {
        size_t events = 0;
        for (uint32_t index = 0; index < count; index++)
            if (inputs[index])
                found->event[step][events++] = (struct egret_event){index, inputs[index]};
        found->count[step] = events;
    }
}

/* The outputs of the last step stay. While the core works on a step, the next one is sent. */
static enum egret_result run_image(struct egret *egret, const struct events *events, uint32_t steps, int32_t *outputs,
                                   struct time *time)
{
    uint32_t sent = 0, received = 0, polls = 0, waited = 0, start = cycles();
    size_t within = 0; /* events of the step that are sent */
    while (received < steps) {
        enum egret_result result;
        if (sent < steps && sent - received < AHEAD) {
            enum egret_mark mark = sent == steps - 1 ? EGRET_ENDS_SEQUENCE : EGRET_ENDS_STEP;
            result = egret_send_events(egret, events->event[sent], events->count[sent], mark, &within);
            if (result == EGRET_OK) {
                sent++;
                within = 0;
                continue;
            }
            if (result != EGRET_WAIT)
                return result;
        }
        uint32_t asked = cycles();
        result = egret_receive(egret, outputs, OUTPUTS_MAX, NULL);
        if (result == EGRET_OK) {
            received++;
            polls = 0;
        } else if (result != EGRET_WAIT) {
            return result;
        } else if (++polls == POLLS) {
            return EGRET_TIMEOUT;
        } else {
            waited += cycles() - asked;
        }
    }
    time->elapsed += cycles() - start;
    time->waited += waited;
    return EGRET_OK;
}

static enum egret_result print_counter(struct egret *egret, const char *name, enum egret_counter counter, uint32_t which)
{
    uint32_t number;
    uint64_t value;
    enum egret_result result = egret_counter_number(egret, counter, which, &number);
    if (result == EGRET_OK)
        result = egret_read_counter(egret, number, &value);
    if (result == EGRET_OK)
        printf("count %s %lu %lu\n", name, (unsigned long)which, (unsigned long)value);
    return result;
}

static enum egret_result print_counters(struct egret *egret)
{
    static const struct {
        const char *name;
        enum egret_counter counter;
        bool of_lanes, of_groups;
    } counters[] = {
        {"cycles", EGRET_CYCLES, false, false},
        {"steps", EGRET_STEPS, false, false},
        {"silent_fires", EGRET_SILENT_FIRES, false, false},
        {"events", EGRET_EVENTS, false, true},
        {"macs", EGRET_MACS, false, true},
        {"lane_busy", EGRET_LANE_BUSY, true, false},
    };
    uint32_t groups = egret->network.layers + !egret->network.readout;
    for (size_t at = 0; at < sizeof counters / sizeof *counters; at++) {
        uint32_t many = counters[at].of_groups ? groups : counters[at].of_lanes ? egret->core.lanes : 1;
        for (uint32_t which = 0; which < many; which++) {
            enum egret_result result = print_counter(egret, counters[at].name, counters[at].counter, which);
            if (result != EGRET_OK)
                return result;
        }
    }
    return EGRET_OK;
}

static int run(struct egret *egret)
{
    static struct events events;
    static int32_t outputs[OUTPUTS_MAX];
    struct time time = {0, 0, 0};
    size_t where = 0;
    uint32_t count = (uint16_t)images[0], steps = (uint16_t)images[1], inputs = (uint16_t)images[2];

    enum egret_result result = egret_init(egret, &soc_port, POLLS);
    if (result != EGRET_OK)
        return say(egret, "core", result, 0);
    printf("core 0x%08lx, %u lanes\n", (unsigned long)egret->core.config_id, egret->core.lanes);
    uint32_t start = cycles();
    result = egret_load(egret, network, (size_t)(network_end - network), &where);
    if (result != EGRET_OK)
        return say(egret, "network", result, where);
    store(CONSOLE + CONSOLE_LIGHTS, LIGHT_LOADED);
    printf("network %lu words, %lu cycles\n", (unsigned long)(network_end - network), (unsigned long)(cycles() - start));
    if (steps > STEPS_MAX || inputs > EVENTS_MAX)
        return say(egret, "images", EGRET_ROOM, 0);
    result = egret_set_best_only(egret, true);
    if (result == EGRET_OK)
        result = egret_clear_counters(egret);
    soc_clear_busy();
    for (uint32_t image = 0; image < count && result == EGRET_OK; image++) {
        find_events(&events, images + 3 + image * steps * inputs, steps, inputs);
        result = run_image(egret, &events, steps, outputs, &time);
        struct egret_event best;
        if (result == EGRET_OK)
            result = egret_read_best(egret, &best);
        if (result == EGRET_OK)
            printf("image %lu %lu %ld\n", (unsigned long)image, (unsigned long)best.index, (long)best.value);
    }
    if (result != EGRET_OK)
        return say(egret, "images", result, 0);
    printf("time elapsed %lu waited %lu core %lu\n", (unsigned long)time.elapsed, (unsigned long)time.waited,
           (unsigned long)soc_busy());
    result = print_counters(egret);
    return result == EGRET_OK ? 0 : say(egret, "counters", result, 0);
}

int main(void)
{
    static struct egret egret;
    for (;;) {
        printf("%s\n", run(&egret) ? "FAIL" : "DONE");
        putchar(END_OF_RUN);
        /* Any character from the line begins anew. */
        while (!(load(CONSOLE + CONSOLE_RECEIVED) & 0x100)) {
        }
    }
}

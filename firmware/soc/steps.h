/* An image's steps through the core, in two ways. */
#ifndef EGRET_STEPS_H
#define EGRET_STEPS_H

#include "soc.h"

enum {
    STEPS_MAX = 16, /* of an image */
    INPUTS_MAX = 64,
    OUTPUTS_MAX = 64,
    AHEAD = 2,     /* steps that are sent and whose results have not come */
    POLLS = 100000 /* for a result, before it is given up */
};

/* Events of an image, step after step: those of step t are event[first[t]] to event[first[t + 1] - 1]. */
struct events {
    uint32_t steps, first[STEPS_MAX + 1];
    struct egret_event event[STEPS_MAX * INPUTS_MAX];
};

/* Cycles, of all images so far: from an image's first event to its last result; of these, with nothing to do but to ask. */
struct time {
    uint32_t elapsed, waited;
};

/* Make events of inputs that are not 0. */
void find_events(struct events *events, const int16_t *inputs, uint32_t steps, uint32_t count);

/* Run an image's steps with calls of the driver. Only the largest output of each step is to come (egret_set_best_only).
 * outputs: OUTPUTS_MAX of them; those of the last step in the end. */
enum egret_result run_by_driver(struct egret *egret, const struct events *events, int32_t *outputs, struct time *time);

/* The same, with loads and stores of the queues in place of egret_send_events() and egret_receive(). */
enum egret_result run_by_queues(struct egret *egret, const struct events *events, struct time *time);

#endif

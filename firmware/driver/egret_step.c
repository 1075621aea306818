/* Steps: events in, results out. */
#include "egret_internal.h"

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static bool is_mark(enum egret_mark mark)
{
    return (unsigned)mark <= EGRET_ENDS_SEQUENCE;
}

static enum egret_result check_event(const struct egret *egret, uint32_t index, int32_t value)
{
    int32_t most = INT32_MAX >> (32 - egret->core.value_bits);
    if (index >= egret->network.inputs)
        return EGRET_INDEX;
    return value >= -most - 1 && value <= most ? EGRET_OK : EGRET_VALUE;
}

enum egret_result egret_send_events(struct egret *egret, const struct egret_event *events, size_t count,
                                    enum egret_mark mark, size_t *sent)
{
    if (!egret || !is_mark(mark) || !sent || *sent > count || (count && !events))
        return EGRET_ARGUMENT;
    if (!egret->loaded)
        return EGRET_NETWORK;
    for (size_t k = *sent; k < count; k++) {
        enum egret_result result = check_event(egret, events[k].index, events[k].value);
        if (result != EGRET_OK)
            return result;
    }
    /* Without an event a beat that carries none ends the step. */
    static const struct egret_event none = {EGRET_NULL_INDEX, 0};
    size_t k = *sent, end = count ? count : mark != EGRET_GOES_ON;
    for (; k < end; k++) {
        const struct egret_event *event = count ? &events[k] : &none;
        struct egret_beat beat = {.index = event->index, .value = event->value};
        if (k + 1 == end) {
            beat.last = mark != EGRET_GOES_ON;
            beat.user = mark == EGRET_ENDS_SEQUENCE;
        }
        enum egret_result result = egret_put_beat(egret, &beat);
        if (result != EGRET_OK)
            return result;
        egret->sending = !beat.last;
        egret->steps += beat.last;
        *sent += count > 0;
    }
    return EGRET_OK;
}

enum egret_result egret_send(struct egret *egret, uint32_t index, int32_t value, enum egret_mark mark)
{
    const struct egret_event event = {index, value};
    size_t sent = 0;
    return egret_send_events(egret, &event, 1, mark, &sent);
}

enum egret_result egret_end_step(struct egret *egret, enum egret_mark mark)
{
    size_t sent = 0;
    return mark == EGRET_GOES_ON ? EGRET_ARGUMENT : egret_send_events(egret, NULL, 0, mark, &sent);
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

enum egret_result egret_receive(struct egret *egret, int32_t *outputs, size_t size, struct egret_step *step)
{
    if (!egret || !outputs)
        return EGRET_ARGUMENT;
    if (!egret->loaded)
        return EGRET_NETWORK;
    uint32_t count = egret->network.outputs;
    if (size < count)
        return EGRET_ROOM;
    for (;;) {
        struct egret_beat beat;
        enum egret_result result = egret_get_beat(egret, &beat);
        if (result != EGRET_OK)
            return result;
        if (egret->received == 0)
            for (uint32_t k = 0; k < count; k++)
                outputs[k] = 0;
        if (beat.index < count && egret->received < count) {
            outputs[beat.index] = beat.value;
            egret->received++;
        } else if (beat.index != EGRET_NULL_INDEX || !beat.last) {
            return EGRET_RESULT;
        }
        if (beat.last) {
            if (step) {
                step->count = egret->received;
                step->ends_sequence = beat.user;
            }
            egret->received = 0;
            egret->steps -= egret->steps > 0;
            return EGRET_OK;
        }
    }
}

enum egret_result egret_run_step(struct egret *egret, const struct egret_event *events, size_t count,
                                 enum egret_mark mark, int32_t *outputs, size_t size, struct egret_step *step)
{
    if (!egret || !is_mark(mark) || mark == EGRET_GOES_ON)
        return EGRET_ARGUMENT;
    if (egret->steps || egret->received)
        return EGRET_BUSY;
    enum egret_result sending = EGRET_WAIT;
    size_t sent = 0;
    for (uint32_t polls = egret->polls;;) {
        /* The core may take no more events before its results are taken. These come first: while there are none yet, it
         * is found out whether there is a place for them. */
        uint32_t received_before = egret->received;
        size_t sent_before = sent;
        enum egret_result result = egret_receive(egret, outputs, size, step);
        if (result == EGRET_OK)
            return sending == EGRET_OK ? egret_check_fault(egret) : EGRET_RESULT;
        if (result != EGRET_WAIT)
            return result;
        bool progress = egret->received != received_before;
        if (sending == EGRET_WAIT) {
            sending = egret_send_events(egret, events, count, mark, &sent);
            if (sending != EGRET_OK && sending != EGRET_WAIT)
                return sending;
            progress |= sending == EGRET_OK || sent != sent_before;
        }
        if (progress) {
            polls = egret->polls;
            continue;
        }
        result = egret_poll(egret, &polls);
        if (result != EGRET_WAIT)
            return result;
    }
}

enum egret_result egret_read_best(const struct egret *egret, struct egret_event *best)
{
    uint32_t index, value;
    if (!egret || !best)
        return EGRET_ARGUMENT;
    if (!egret->loaded)
        return EGRET_NETWORK;
    if (egret_get(egret, EGRET_ADDRESS(BEST_INDEX), &index) || egret_get(egret, EGRET_ADDRESS(BEST_VALUE), &value))
        return EGRET_BUS;
    bool is_valid = EGRET_FIELD(index, BEST_INDEX, VALID);
    best->index = is_valid ? EGRET_FIELD(index, BEST_INDEX, INDEX) : EGRET_NULL_INDEX;
    best->value = is_valid ? (int32_t)value : 0;
    return !is_valid || best->index < egret->network.outputs ? EGRET_OK : EGRET_RESULT;
}

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
    bool is_null = count == 0 && mark != EGRET_GOES_ON;
    for (size_t k = *sent; k < count + is_null; k++) {
        bool last = k + 1 >= count && mark != EGRET_GOES_ON;
        const struct egret_beat beat = {
            .index = is_null ? EGRET_NULL_INDEX : events[k].index,
            .value = is_null ? 0 : events[k].value,
            .last = last,
            .user = last && mark == EGRET_ENDS_SEQUENCE,
        };
        enum egret_result result = egret_put_beat(egret, &beat);
        if (result != EGRET_OK)
            return result;
        *sent = is_null ? 0 : k + 1;
        egret->sending = !last;
        egret->steps += last;
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
    if (!egret || !outputs || !is_mark(mark) || mark == EGRET_GOES_ON)
        return EGRET_ARGUMENT;
    if (!egret->loaded)
        return EGRET_NETWORK;
    if (size < egret->network.outputs)
        return EGRET_ROOM;
    if (egret->steps || egret->received)
        return EGRET_BUSY;
    enum egret_result sending = EGRET_WAIT, receiving = EGRET_WAIT;
    size_t sent = 0;
    for (uint32_t polls = egret->polls; receiving != EGRET_OK;) {
        /* The core may take no more events before its results are taken. */
        size_t sent_before = sent;
        uint32_t received_before = egret->received;
        if (sending == EGRET_WAIT) {
            sending = egret_send_events(egret, events, count, mark, &sent);
            if (sending != EGRET_OK && sending != EGRET_WAIT)
                return sending;
        }
        receiving = egret_receive(egret, outputs, size, step);
        if (receiving != EGRET_OK && receiving != EGRET_WAIT)
            return receiving;
        if (sent != sent_before || egret->received != received_before || receiving == EGRET_OK) {
            polls = egret->polls;
            continue;
        }
        enum egret_result result = egret_poll(egret, &polls);
        if (result != EGRET_WAIT)
            return result;
    }
    return sending == EGRET_OK ? egret_check_fault(egret) : EGRET_RESULT;
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

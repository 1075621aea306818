/* Steps: events in, results out. */
#include "egret_internal.h"

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static bool is_mark(enum egret_mark mark)
{
    return (unsigned)mark <= EGRET_ENDS_SEQUENCE;
}

/* All events of a call go to the layer at once, and what is kept of a step is kept once a call: a function call and a
 * place in memory for each event take longer on a small CPU than a core takes for it. */
enum egret_result egret_put_events(struct egret *egret, const struct egret_event *events, size_t count,
                                   enum egret_mark mark, size_t *sent)
{
    const size_t before = *sent, left = count - before;
    /* Without an event a beat that carries none ends the step; not so when all events are sent already. */
    if (left == 0 && (count || mark == EGRET_GOES_ON))
        return EGRET_OK;
    size_t now = 0;
    if (before)
        events += before;
    enum egret_result result = egret_known(egret_port_send(&egret->port, events, left, mark, &now));
    if (result == EGRET_OK) {
        now = left;
        egret->steps += mark != EGRET_GOES_ON;
        egret->sending = mark == EGRET_GOES_ON;
    } else if (now) {
        egret->sending = true;
        if (now >= left) { /* not with this result */
            now = left;
            result = EGRET_BUS;
        }
    }
    *sent = before + now;
    return result;
}

static enum egret_result check_events(const struct egret *egret, const struct egret_event *events, size_t from,
                                      size_t count)
{
    const uint32_t inputs = egret->network.inputs, half = 1u << (egret->core.value_bits - 1), outside = 0u - 2 * half;
    for (; from < count; from++) {
        const struct egret_event event = events[from];
        if (event.index >= inputs)
            return EGRET_INDEX;
        if (((uint32_t)event.value + half) & outside)
            return EGRET_VALUE;
    }
    return EGRET_OK;
}

enum egret_result egret_send_events(struct egret *egret, const struct egret_event *events, size_t count,
                                    enum egret_mark mark, size_t *sent)
{
    if (!egret || !is_mark(mark) || !sent || *sent > count || (count && !events))
        return EGRET_ARGUMENT;
    if (!egret->loaded)
        return EGRET_NETWORK;
    enum egret_result result = check_events(egret, events, *sent, count);
    return result == EGRET_OK ? egret_put_events(egret, events, count, mark, sent) : result;
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

/* Four at a time: with few results, such as the largest output alone, this is a good part of what a step takes. */
static void clear(int32_t *outputs, uint32_t count)
{
    for (; count >= 4; count -= 4, outputs += 4)
        outputs[0] = outputs[1] = outputs[2] = outputs[3] = 0;
    while (count--)
        *outputs++ = 0;
}

enum egret_result egret_receive(struct egret *egret, int32_t *outputs, size_t size, struct egret_step *step)
{
    if (!egret || !outputs)
        return EGRET_ARGUMENT;
    if (!egret->loaded)
        return EGRET_NETWORK;
    uint32_t count = egret->network.outputs;
    if (size < count)
        return EGRET_ROOM;
    uint32_t received = egret->received;
    enum egret_result result;
    struct egret_beat beat;
    do {
        result = egret_get_beat(egret, &beat);
        if (result != EGRET_OK)
            break;
        if (received == 0)
            clear(outputs, count);
        if (beat.index < count && received < count) {
            outputs[beat.index] = beat.value;
            received++;
        } else if (beat.index != EGRET_NULL_INDEX || !beat.last) {
            result = EGRET_RESULT;
        }
    } while (result == EGRET_OK && !beat.last);
    if (result == EGRET_OK) {
        if (step) {
            step->count = received;
            step->ends_sequence = beat.user;
        }
        egret->steps -= egret->steps > 0;
        received = 0;
    }
    egret->received = received;
    return result;
}

enum egret_result egret_run_step(struct egret *egret, const struct egret_event *events, size_t count,
                                 enum egret_mark mark, int32_t *outputs, size_t size, struct egret_step *step)
{
    if (!egret || !is_mark(mark) || mark == EGRET_GOES_ON)
        return EGRET_ARGUMENT;
    if (egret->steps || egret->received)
        return EGRET_BUSY;
    enum egret_result sending = EGRET_WAIT;
    size_t sent = 0, done = 0; /* done: grows with all progress */
    for (uint32_t polls = egret->polls;;) {
        /* The core may take no more events before its results are taken. These come first: while there are none yet, it
         * is found out whether there is a place for them. */
        enum egret_result result = egret_receive(egret, outputs, size, step);
        if (result == EGRET_OK)
            return sending == EGRET_OK ? egret_check_fault(egret) : EGRET_RESULT;
        if (result != EGRET_WAIT)
            return result;
        if (sending == EGRET_WAIT)
            sending = egret_send_events(egret, events, count, mark, &sent);
        if (sending != EGRET_OK && sending != EGRET_WAIT)
            return sending;
        const size_t now = egret->received + sent + (sending == EGRET_OK);
        if (now != done) {
            done = now;
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
    *best = (struct egret_event){EGRET_NULL_INDEX, 0};
    if (!EGRET_FIELD(index, BEST_INDEX, VALID))
        return EGRET_OK;
    *best = (struct egret_event){EGRET_FIELD(index, BEST_INDEX, INDEX), (int32_t)value};
    return best->index < egret->network.outputs ? EGRET_OK : EGRET_RESULT;
}

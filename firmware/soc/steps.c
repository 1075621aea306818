/* An image's steps through the core. While it works on a step, the next one is sent. */
#include "steps.h"

void find_events(struct events *events, const int16_t *inputs, uint32_t steps, uint32_t count)
{
    uint32_t found = 0;
    events->steps = steps;
    for (uint32_t step = 0; step < steps; step++, inputs += count) {
        events->first[step] = found;
        for (uint32_t index = 0; index < count; index++)
            if (inputs[index])
                events->event[found++] = (struct egret_event){index, inputs[index]};
    }
    events->first[steps] = found;
}

static enum egret_mark mark_of(const struct events *events, uint32_t step)
{
    return step + 1 == events->steps ? EGRET_ENDS_SEQUENCE : EGRET_ENDS_STEP;
}

enum egret_result run_by_driver(struct egret *egret, const struct events *events, int32_t *outputs, struct time *time)
{
    uint32_t sent = 0, received = 0, polls = 0, asked = 0, waited = 0, start = cycles();
    size_t within = 0; /* events of the step that are sent */
    while (received < events->steps) {
        if (sent < events->steps && sent - received < AHEAD) {
            uint32_t first = events->first[sent], count = events->first[sent + 1] - first;
            enum egret_result sending =
                egret_send_events(egret, events->event + first, count, mark_of(events, sent), &within);
            if (sending == EGRET_OK) {
                sent++;
                within = 0;
                continue;
            }
            if (sending != EGRET_WAIT)
                return sending;
        }
        enum egret_result receiving = egret_receive(egret, outputs, OUTPUTS_MAX, NULL);
        if (receiving == EGRET_OK) {
            received++;
            if (polls)
                waited += cycles() - asked;
            polls = 0;
        } else if (receiving != EGRET_WAIT) {
            return receiving;
        } else if (polls++ == 0) {
            asked = cycles();
        } else if (polls == POLLS) {
            return EGRET_TIMEOUT;
        }
    }
    time->elapsed += cycles() - start;
    time->waited += waited;
    return EGRET_OK;
}

/* Send a step if there is room for all of it. */
static inline bool send_step(const struct egret_event *event, uint32_t count, enum egret_mark mark)
{
    if ((load(QUEUES + QUEUES_STATUS) & QUEUES_ROOM) <= count)
        return false;
    uint32_t end = event_address(mark);
    if (!count) {
        store(end, NO_SOURCE);
        return true;
    }
    for (const struct egret_event *last = event + count - 1; event != last; event++)
        store(QUEUES + QUEUES_EVENT, event_word(event));
    store(end, event_word(event));
    return true;
}

enum egret_result run_by_queues(struct egret *egret, const struct events *events, struct time *time)
{
    uint32_t steps = events->steps, sent = 0, received = 0, waited = 0, start = cycles();
    const uint32_t *first = events->first;
    while (received < steps) {
        if (sent < steps && sent - received < AHEAD &&
            send_step(events->event + first[sent], first[sent + 1] - first[sent], mark_of(events, sent))) {
            sent++;
            continue;
        }
        uint32_t head = load(QUEUES + QUEUES_RESULT);
        if (!(head & RESULT_THERE)) {
            uint32_t asked = cycles(), polls = POLLS;
            while (!(head & RESULT_THERE) && polls--)
                head = load(QUEUES + QUEUES_RESULT);
            waited += cycles() - asked;
            if (!(head & RESULT_THERE))
                return EGRET_TIMEOUT;
        }
        (void)load(QUEUES + QUEUES_VALUE);
        received += (head & RESULT_LAST) != 0;
    }
    time->elapsed += cycles() - start;
    time->waited += waited;
    struct egret_fault fault;
    enum egret_result result = egret_read_fault(egret, &fault);
    return result == EGRET_OK && fault.error != EGRET_ERROR_NONE ? EGRET_FAULT : result;
}

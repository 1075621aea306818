/* Counters by name and number (docs/interfaces.md). */
#include "egret_internal.h"

enum { COUNTERS_SINGLE = 6, COUNTERS_A_GROUP = 4, COUNTERS_A_LANE = 3 };

enum egret_result egret_counter_number(const struct egret *egret, enum egret_counter counter, uint32_t which,
                                       uint32_t *number)
{
    if (!egret || !number)
        return EGRET_ARGUMENT;
    if (!egret->core.counters)
        return EGRET_ABSENT;
    uint32_t kind = (uint32_t)counter, groups = egret->core.layers + 1u, at = kind, count = 1;
    if (kind >= COUNTERS_SINGLE + COUNTERS_A_GROUP) {
        count = egret->core.lanes;
        at = kind + (COUNTERS_A_GROUP * groups - COUNTERS_A_GROUP) + COUNTERS_A_LANE * which;
    } else if (kind >= COUNTERS_SINGLE) {
        count = groups;
        at = COUNTERS_SINGLE + (kind - COUNTERS_SINGLE) * groups + which;
    }
    if (kind > EGRET_LANE_DRAIN || which >= count || at >= egret->core.counters)
        return EGRET_ARGUMENT;
    *number = at;
    return EGRET_OK;
}

enum egret_result egret_read_counter(const struct egret *egret, uint32_t number, uint64_t *value)
{
    uint32_t low, high;
    if (!egret || !value)
        return EGRET_ARGUMENT;
    if (!egret->core.counters)
        return EGRET_ABSENT;
    if (number >= egret->core.counters)
        return EGRET_ARGUMENT;
    if (egret_put(egret, EGRET_ADDRESS(COUNTER_SELECT), number) || egret_get(egret, EGRET_ADDRESS(COUNTER_LOW), &low) ||
        egret_get(egret, EGRET_ADDRESS(COUNTER_HIGH), &high))
        return EGRET_BUS;
    *value = (uint64_t)EGRET_FIELD(high, COUNTER_HIGH, HIGH) << 32 | low;
    return EGRET_OK;
}

enum egret_result egret_clear_counters(const struct egret *egret)
{
    return egret_control(egret, 0, EGRET_MASK(CONTROL, CLEAR_COUNTERS));
}

/* Errors, interrupts and what results come. */
#include "egret_internal.h"

#define INTERRUPTS (EGRET_MASK(INTERRUPT_PENDING, STEP) | EGRET_MASK(INTERRUPT_PENDING, ERROR))
_Static_assert(EGRET_INTERRUPT_STEP == EGRET__INTERRUPT_PENDING__STEP_bm &&
                   EGRET_INTERRUPT_ERROR == EGRET__INTERRUPT_PENDING__ERROR_bm &&
                   EGRET__INTERRUPT_ENABLE__STEP_bm == EGRET__INTERRUPT_PENDING__STEP_bm &&
                   EGRET__INTERRUPT_ENABLE__ERROR_bm == EGRET__INTERRUPT_PENDING__ERROR_bm,
               "causes are bits of both registers");

enum egret_result egret_read_idle(const struct egret *egret, bool *idle)
{
    uint32_t status;
    if (!egret || !idle)
        return EGRET_ARGUMENT;
    if (egret_get(egret, EGRET_ADDRESS(STATUS), &status))
        return EGRET_BUS;
    *idle = status & EGRET_MASK(STATUS, IDLE);
    return EGRET_OK;
}

enum egret_result egret_check_fault(const struct egret *egret)
{
    uint32_t status;
    if (egret_get(egret, EGRET_ADDRESS(STATUS), &status))
        return EGRET_BUS;
    return (status & EGRET_MASK(STATUS, ERROR)) ? EGRET_FAULT : EGRET_OK;
}

enum egret_result egret_control(const struct egret *egret, uint32_t clear, uint32_t set)
{
    uint32_t control;
    if (!egret)
        return EGRET_ARGUMENT;
    if (egret_get(egret, EGRET_ADDRESS(CONTROL), &control))
        return EGRET_BUS;
    return egret_put(egret, EGRET_ADDRESS(CONTROL), (control & ~clear) | set);
}

enum egret_result egret_set_best_only(const struct egret *egret, bool best_only)
{
    const uint32_t bit = EGRET_MASK(CONTROL, ARGMAX_ONLY);
    enum egret_result result = egret ? egret_check_idle(egret) : EGRET_ARGUMENT;
    return result == EGRET_OK ? egret_control(egret, bit, best_only ? bit : 0) : result;
}

enum egret_result egret_read_fault(const struct egret *egret, struct egret_fault *fault)
{
    uint32_t error, detail;
    if (!egret || !fault)
        return EGRET_ARGUMENT;
    if (egret_get(egret, EGRET_ADDRESS(ERROR), &error) || egret_get(egret, EGRET_ADDRESS(ERROR_DETAIL), &detail))
        return EGRET_BUS;
    fault->error = (enum egret_error)EGRET_FIELD(error, ERROR, CODE);
    fault->detail = detail;
    return EGRET_OK;
}

enum egret_result egret_clear_fault(const struct egret *egret)
{
    return egret_control(egret, 0, EGRET_MASK(CONTROL, CLEAR_ERROR));
}

enum egret_result egret_enable_interrupts(const struct egret *egret, uint32_t causes)
{
    if (!egret || causes & ~INTERRUPTS)
        return EGRET_ARGUMENT;
    return egret_put(egret, EGRET_ADDRESS(INTERRUPT_ENABLE), causes);
}

enum egret_result egret_read_interrupts(const struct egret *egret, uint32_t *causes)
{
    if (!egret || !causes)
        return EGRET_ARGUMENT;
    enum egret_result result = egret_get(egret, EGRET_ADDRESS(INTERRUPT_PENDING), causes);
    *causes &= INTERRUPTS;
    return result;
}

enum egret_result egret_acknowledge_interrupts(const struct egret *egret, uint32_t causes)
{
    if (!egret || causes & ~INTERRUPTS)
        return EGRET_ARGUMENT;
    return egret_put(egret, EGRET_ADDRESS(INTERRUPT_PENDING), causes);
}

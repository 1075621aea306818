/* What the driver's files share. */
#ifndef EGRET_INTERNAL_H
#define EGRET_INTERNAL_H

#include "egret.h"
#include "egret_registers.h"

/* Byte address and mask of a register and its field, as hw/registers.rdl has them. */
#define EGRET_ADDRESS(name) ((uint32_t)offsetof(egret_t, name))
#define EGRET_MASK(name, field) ((uint32_t)EGRET__##name##__##field##_bm)
#define EGRET_FIELD(word, name, field) (((word) & EGRET_MASK(name, field)) >> EGRET__##name##__##field##_bp)

/* Kinds of records of a memory image; biases of z, r and gh follow that of gx. */
enum {
    EGRET_RECORD_BEGIN = 1,
    EGRET_RECORD_NETWORK,
    EGRET_RECORD_LAYER,
    EGRET_RECORD_DIRECTORY,
    EGRET_RECORD_ENTRY,
    EGRET_RECORD_UNIT,
    EGRET_RECORD_BIAS = 8,
    EGRET_RECORD_STATE = 12,
    EGRET_RECORD_END = 15
};

enum {
    EGRET_HEADER_WORDS = 2,     /* of a record: kind, select and count; address */
    EGRET_RECORD_WORDS = 65534, /* data words at most */
    EGRET_END_WORDS = 3,
    EGRET_GATES = 4 /* sums of a unit, each with a bias: gx, z, r, gh */
};

/* Of a UNIT record's word. */
enum { EGRET_UNIT_THRESHOLD = 0x7FFF, EGRET_UNIT_PRESENT = 0x8000, EGRET_UNIT_ID_SHIFT = 16 };

/* The hardware layer, bound when the driver is compiled, or the caller's pointers (egret.h). */
#ifndef EGRET_PORT_HEADER
#define EGRET_PORT_HEADER "egret_pointers.h"
#endif
#include EGRET_PORT_HEADER

/* Access to the core; what the layer returns is never passed on as it is. */
enum egret_result egret_get(const struct egret *egret, uint32_t address, uint32_t *word);
enum egret_result egret_put(const struct egret *egret, uint32_t address, uint32_t word);
/* Write words to one register. */
enum egret_result egret_put_words(const struct egret *egret, uint32_t address, const uint32_t *words, size_t count);

/* Send events from events[*sent] on and count *sent up, whatever they are; egret_send_events() without its checks. */
enum egret_result egret_put_events(struct egret *egret, const struct egret_event *events, size_t count,
                                   enum egret_mark mark, size_t *sent);

static inline enum egret_result egret_known(enum egret_result result)
{
    return result == EGRET_OK || result == EGRET_WAIT ? result : EGRET_BUS;
}

static inline enum egret_result egret_get_beat(const struct egret *egret, struct egret_beat *beat)
{
    *beat = (struct egret_beat){.index = EGRET_NULL_INDEX};
    return egret_known(egret_port_take(&egret->port, beat));
}

/* EGRET_BUSY if a step is under way, or a result not taken. */
enum egret_result egret_check_idle(const struct egret *egret);

/* Clear and set bits of CONTROL, of which those that act once read as 0. EGRET_ARGUMENT: `egret` is null. */
enum egret_result egret_control(const struct egret *egret, uint32_t clear, uint32_t set);

/* Of a poll that found nothing: EGRET_WAIT while there is patience, which is counted down; EGRET_FAULT if the core met
 * an error. */
enum egret_result egret_poll(const struct egret *egret, uint32_t *polls);

/* EGRET_FAULT if the core has met an error. */
enum egret_result egret_check_fault(const struct egret *egret);

#endif

/* A core that models the protocol of its registers and streams, and computes nothing: each step's results are its events,
 * at index modulo outputs. What must never reach a core is counted. */
#ifndef STAND_IN_H
#define STAND_IN_H

#include "egret.h"

enum { STAND_IN_STATES = 1 << 12, STAND_IN_BEATS = 256, STAND_IN_DESCRIPTION = 7 };

struct stand_in {
    /* CONFIG_ID, LANES, ROWS, ENTRIES, WIDTHS, LISTS, COUNTER_SELECT as a core tells them. */
    uint32_t description[STAND_IN_DESCRIPTION];

    /* What goes wrong. */
    uint32_t magic, version;  /* what the core claims to be */
    uint32_t fails_at;        /* number of the access to a register that fails; 0: none */
    uint32_t room;            /* results of whole steps that may wait before no event is taken */
    uint32_t late;            /* takes that find nothing before a result comes */
    bool silent, refuses;     /* never answers a step; refuses every image */
    uint32_t wrong_index;     /* added to the index of each result */
    bool endless;             /* results go on and on */
    uint32_t takes_events;    /* that there is room for in a call; 0: for all */
    bool lies;                /* sends all events, and says that there is no room for the rest */

    /* What was done. */
    uint32_t accesses, writes, loads, takes; /* to registers; of them writes; of those to LOAD_DATA; to results */
    uint32_t sends;                          /* calls with events */
    uint32_t resets;
    uint32_t escaped;                        /* accesses and beats that no driver may send */
    struct egret_beat sent[STAND_IN_BEATS];  /* the last beats that came in */
    uint32_t sent_count;

    /* The core. */
    uint32_t control, error, detail, pending, enable, state_select, counter_select, list_base, list_size;
    uint32_t states[STAND_IN_STATES];
    bool loaded;
    uint32_t inputs, outputs, units;
    struct egret_beat results[STAND_IN_BEATS];
    uint32_t first, count, ready, waits; /* of results; of whole steps; takes since there is one */
    uint32_t begun;               /* events of the step under way */
    uint32_t best_index, best_value;

    /* The loader. */
    uint32_t header, address, left, place, crc, network[3];
};

void stand_in_init(struct stand_in *core, const uint32_t description[STAND_IN_DESCRIPTION]);

/* The layer, and its functions; `core` is a struct stand_in. If the driver is bound to them the layer has no pointers. */
struct egret_port stand_in_port(struct stand_in *core);
enum egret_result stand_in_read(void *core, uint32_t address, uint32_t *word);
enum egret_result stand_in_write(void *core, uint32_t address, uint32_t word);
enum egret_result stand_in_send(void *core, const struct egret_event *events, size_t count, enum egret_mark mark,
                                size_t *sent);
enum egret_result stand_in_take(void *core, struct egret_beat *beat);

/* Whether a driver may send these events while this network is loaded. */
bool stand_in_allows(const struct stand_in *core, const struct egret_event *events, size_t count, enum egret_mark mark);

#endif

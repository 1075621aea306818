/* Driver of an Egret core: load a network, run steps, read results, states and counters.
 *
 * C11, freestanding, int of 32 bits: no allocation, no global state, no library. A core may be behind AXI4-Lite,
 * Wishbone or a serial line; four functions of the caller reach it (struct egret_port). Guide: docs/driver.md;
 * registers: docs/registers.md.
 *
 * Rules:
 *  1. Every function returns an enum egret_result, and does nothing that it can refuse beforehand.
 *  2. EGRET_WAIT is no failure: nothing was changed but what is told, and the same call goes on later. Functions said
 *     to wait never return it. They ask egret.polls times in vain, without any progress in between, and give up with
 *     EGRET_TIMEOUT.
 *  3. Images, events and what the hardware layer returns are not trusted. Pointers and sizes of the caller's arrays
 *     are.
 *  4. A struct egret is used by one thread. An interrupt handler may call the functions that say so. */
#ifndef EGRET_H
#define EGRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    EGRET_LAYERS_MAX = 15,   /* layers, the readout included */
    EGRET_PAGE_BYTES = 4096, /* of the window of external memory */
    EGRET_BEAT_BYTES = 16    /* of lists in external memory */
};

/* Index of a beat that carries no event. */
#define EGRET_NULL_INDEX UINT32_MAX

/* What a function returns. egret_result_text() has each in words. */
enum egret_result {
    EGRET_OK = 0,
    EGRET_WAIT,      /* not yet: no room for an event, or no result; call again */
    EGRET_ARGUMENT,  /* a null pointer, or a number that is nothing; the function's comment says which */
    EGRET_ROOM,      /* the caller's array is too short */
    EGRET_INDEX,     /* an event's index is not below the network's inputs */
    EGRET_VALUE,     /* an event's value does not fit the core's value_bits */
    EGRET_NETWORK,   /* no network is loaded */
    EGRET_BUSY,      /* a step is under way; finish it, or reset */
    EGRET_ABSENT,    /* the core was built without it: counters, lists in external memory */
    EGRET_WINDOW,    /* the window of external memory is too small for the lists, or not where one may be */
    EGRET_BUS,       /* the hardware layer failed */
    EGRET_TIMEOUT,   /* the core did not answer in egret.polls polls */
    EGRET_FAULT,     /* the core has met an error: egret_read_fault() */
    EGRET_RESULT,    /* the core sent a result that the network does not have */
    EGRET_CORE,      /* no Egret core, or capacities that no core has */
    EGRET_VERSION,   /* a core with another register map */
    EGRET_IMAGE_BEGIN,     /* no memory image, or of another version */
    EGRET_IMAGE_END,       /* the image is cut short, or goes on behind its end */
    EGRET_IMAGE_CHECKSUM,  /* the image is damaged */
    EGRET_IMAGE_CONFIG,    /* the image was compiled for another core */
    EGRET_IMAGE_RECORD,    /* a record of another kind, select, address or length than belongs there */
    EGRET_IMAGE_RANGE,     /* a word points outside the network, or the network is larger than the core */
    EGRET_IMAGE_OTHER,     /* another image than the one that is loaded */
    EGRET_RESULT_COUNT
};

/* What a core's register ERROR says; docs/interfaces.md has the remedies. egret_error_text() has each in words. */
enum egret_error {
    EGRET_ERROR_NONE = 0,
    EGRET_ERROR_INDEX,
    EGRET_ERROR_VALUE,
    EGRET_ERROR_NOT_LOADED,
    EGRET_ERROR_BUSY,
    EGRET_ERROR_LOAD_ORDER,
    EGRET_ERROR_LOAD_CONFIG,
    EGRET_ERROR_LOAD_CAPACITY,
    EGRET_ERROR_LOAD_KIND,
    EGRET_ERROR_LOAD_RANGE,
    EGRET_ERROR_LOAD_CHECKSUM,
    EGRET_ERROR_REGISTER,
    EGRET_ERROR_LIST_RANGE,
    EGRET_ERROR_LIST_READ,
    EGRET_ERROR_LIST_TIMEOUT,
    EGRET_ERROR_LIST_TARGET,
    EGRET_ERROR_COUNT
};

/* ---- Events ------------------------------------------------------------------------------------------------------ */

struct egret_event {
    uint32_t index;
    int32_t value;
};

/* What an event, or a call, does to the step and the sequence that it belongs to. Behind the end of a sequence all
 * states are 0. */
enum egret_mark { EGRET_GOES_ON = 0, EGRET_ENDS_STEP, EGRET_ENDS_SEQUENCE };

/* ---- Hardware layer ---------------------------------------------------------------------------------------------- */

/* A beat of the results. */
struct egret_beat {
    uint32_t index; /* EGRET_NULL_INDEX: no event */
    int32_t value;
    bool last;      /* TLAST: the step ends with this beat */
    bool user;      /* TUSER, with last: the sequence does, too */
};

/* The four functions that reach a core. Each returns EGRET_OK if it did what it is for; anything not named here is
 * taken for EGRET_BUS. None may wait without end. A layer that holds beats of its own on the way to the core holds one
 * at most, or forgets them when RESET is written to CONTROL: a reset of the core does not reach them (the driver resets
 * twice for the one). */
struct egret_port {
    void *context; /* handed to each function */

    /* Read the register at a byte address. EGRET_BUS: the bus refused it or failed. */
    enum egret_result (*read)(void *context, uint32_t address, uint32_t *word);

    /* Write the register at a byte address. When a read begins, the writes before it have reached the core. */
    enum egret_result (*write)(void *context, uint32_t address, uint32_t word);

    /* Send events, a beat each, in order. With a mark other than EGRET_GOES_ON the last beat has TLAST, with
     * EGRET_ENDS_SEQUENCE TUSER, too; no other beat has either. With count 0, which comes with such a mark only, that
     * is a beat of EGRET_NULL_INDEX and value 0. An index with bit 31, which is sent as it is, comes alone, with
     * EGRET_GOES_ON.
     *
     * EGRET_OK: all are sent. EGRET_WAIT: there is no room now for the rest. Then, and with EGRET_BUS, the layer sets
     * *sent, which is 0 before, to the number of events that were sent. */
    enum egret_result (*send)(void *context, const struct egret_event *events, size_t count, enum egret_mark mark,
                              size_t *sent);

    /* Take a beat of the results. EGRET_WAIT: there is none now. */
    enum egret_result (*take)(void *context, struct egret_beat *beat);
};

/* A program with one kind of layer may bind it when the driver is compiled: with EGRET_PORT_HEADER defined as the name
 * of a header, "layer.h" with its quotation marks, the driver calls the five functions that are there, as
 * egret_pointers.h has them, in place of the pointers, and a compiler can make them part of it. All else stays. */

/* ---- Core and network -------------------------------------------------------------------------------------------- */

/* What a core tells of itself (docs/registers.md). */
struct egret_core {
    uint32_t config_id;      /* images must be compiled for it */
    uint32_t entries;        /* weights that a lane holds */
    uint32_t rows, sources;  /* units that a lane holds; inputs and units together */
    uint32_t lists;          /* in external memory: those that the directory knows; 0: lists are on chip */
    uint16_t counters;       /* how many; 0 in a core without */
    uint8_t lanes, cell_units, layers;
    uint8_t value_bits, y_bits, acc_bits;
    uint8_t lanes_per_cell;  /* lanes that a cell unit serves */
    uint8_t lane_bits;       /* of a unit's address in its cell unit: its lane there */
};

struct egret_layer {
    uint16_t base, rows;    /* in every lane */
    uint16_t source, units; /* first source, or of a readout what would follow the last; how many units or outputs */
};

/* The network of an image, as egret_check_image() found it. */
struct egret_network {
    uint32_t inputs;     /* input channels; events have indices below it */
    uint32_t units;      /* of all event-based layers: the states that there are */
    uint32_t outputs;    /* results have indices below it: outputs of the readout, else units of the last layer */
    uint32_t rows;       /* used in every lane */
    uint32_t list_beats; /* of 16 bytes that the lists take in external memory; 0: they are in the image */
    uint32_t checksum;   /* of the image */
    size_t units_at;     /* word of the image at which it goes on with units and biases */
    uint8_t layers;      /* the readout included */
    bool readout;
    struct egret_layer layer[EGRET_LAYERS_MAX];
};

/* A core. The caller provides the memory; fields are read, not written, except for polls. */
struct egret {
    struct egret_port port;
    struct egret_core core;
    struct egret_network network; /* meaningful while loaded */
    uint32_t polls;               /* asked in vain before a function that waits gives up; at least 1 */
    uint32_t window_beats;        /* size of the window of external memory */
    uint32_t steps;               /* ended by the caller, whose results have not all been taken */
    uint32_t received;            /* results of the step that egret_receive() is in */
    bool loaded;
    bool sending;                 /* a step has begun and not ended */
};

/* Learn to know a core: check MAGIC and the version of its registers, read what it can hold. It stops nothing and loads
 * nothing: a network that is loaded is not known to the driver; load one.
 *
 * EGRET_ARGUMENT: a null pointer, a null function, or 0 polls. EGRET_CORE, EGRET_VERSION, EGRET_BUS. */
enum egret_result egret_init(struct egret *egret, const struct egret_port *port, uint32_t polls);

/* Forget the step under way, all states, counters and the core's error; a loaded network stays. Takes and drops
 * results that are still there. Waits until the core is idle. */
enum egret_result egret_reset(struct egret *egret);

/* ---- Networks ---------------------------------------------------------------------------------------------------- */

/* Check a memory image (docs/memory-image.md) for a core without touching the core: it is one whole image of a version
 * known here, its checksum is right, it was compiled for the core; its records are those that the network needs, all
 * of them and no more, in order; every list, row, source and output that it names is the network's own.
 *
 * words, count: the image, 32-bit words in the machine's order (image.bin has them lowest byte first).
 * network: filled if the result is EGRET_OK, else in no particular state.
 * where: how many words had been read when a fault was found; may be null.
 *
 * EGRET_IMAGE_...; EGRET_ARGUMENT: a null pointer. */
enum egret_result egret_check_image(const struct egret_core *core, const uint32_t *words, size_t count,
                                    struct egret_network *network, size_t *where);

/* Load a network: egret_check_image(), then, and only if it found nothing, reset the core, write the image, and wait
 * until the core has accepted it. All states are 0 then. The words must not change meanwhile; if another master
 * changes them, the core's own checks refuse them.
 *
 * EGRET_WINDOW: the network's lists are in external memory and larger than the window; see egret_set_window().
 * EGRET_FAULT: the core refused the image. After EGRET_FAULT, EGRET_BUS or EGRET_TIMEOUT no network is loaded; after
 * others what was before is. */
enum egret_result egret_load(struct egret *egret, const uint32_t *words, size_t count, size_t *where);

/* Set the window of external memory from which the core may read lists. The caller puts lists.bin there, makes sure
 * that it has left all caches, and loads the network that the lists belong to: none counts as loaded any more.
 *
 * base: byte address, a multiple of EGRET_PAGE_BYTES. beats: of EGRET_BEAT_BYTES each, 1 to 2^25 - 1.
 * EGRET_ABSENT: the core's lists are on chip. EGRET_WINDOW: not such an address or size, or it goes beyond 4 GiB.
 * EGRET_BUSY: a step is under way. */
enum egret_result egret_set_window(struct egret *egret, uint32_t base, uint32_t beats);

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* What egret_receive() found. */
struct egret_step {
    uint32_t count;     /* results that came; 0 of a silent step */
    bool ends_sequence; /* the step was the last of its sequence */
};

/* Send an event of the step under way, or the first one of a new step.
 *
 * EGRET_WAIT: no room; take results, then send it again. EGRET_INDEX, EGRET_VALUE: it was not sent. EGRET_NETWORK. */
enum egret_result egret_send(struct egret *egret, uint32_t index, int32_t value, enum egret_mark mark);

/* End the step under way, or send a step without events. mark: EGRET_ENDS_STEP or EGRET_ENDS_SEQUENCE. EGRET_WAIT. */
enum egret_result egret_end_step(struct egret *egret, enum egret_mark mark);

/* Send the events of a step from events[*sent] on, and count *sent up. With a mark other than EGRET_GOES_ON the last
 * event ends the step; without any event there is one beat that does. All events are checked before the first one is
 * sent.
 *
 * EGRET_WAIT: no room for the rest; take results, then call again with the same arguments. EGRET_ARGUMENT: also *sent
 * > count. */
enum egret_result egret_send_events(struct egret *egret, const struct egret_event *events, size_t count,
                                    enum egret_mark mark, size_t *sent);

/* Take the results of a step: outputs[k] becomes output k, 0 if none came.
 *
 * outputs: of a network with a readout its logits, else y of each unit of the last layer; must be the same array until
 *   the step is whole. size: at least network.outputs, else EGRET_ROOM.
 * step: may be null; filled with EGRET_OK.
 *
 * EGRET_WAIT: the step is not whole yet. EGRET_RESULT: an index that no output has, which was written nowhere; reset.
 */
enum egret_result egret_receive(struct egret *egret, int32_t *outputs, size_t size, struct egret_step *step);

/* Run a step: send its events, wait for its results. No step may be under way (EGRET_BUSY), but one that events, or a
 * restored state, began may be. mark: EGRET_ENDS_STEP or EGRET_ENDS_SEQUENCE.
 *
 * Otherwise as egret_send_events() and egret_receive(). EGRET_FAULT: the core met an error; outputs are not to be
 * used. */
enum egret_result egret_run_step(struct egret *egret, const struct egret_event *events, size_t count,
                                 enum egret_mark mark, int32_t *outputs, size_t size, struct egret_step *step);

/* Read the largest output of the last whole step, the lowest index of several; EGRET_NULL_INDEX after a silent step. */
enum egret_result egret_read_best(const struct egret *egret, struct egret_event *best);

/* Let only the largest value of each step come as a result, or all of them again. EGRET_BUSY: the core is not idle. */
enum egret_result egret_set_best_only(const struct egret *egret, bool best_only);

/* ---- States ------------------------------------------------------------------------------------------------------ */

/* What a unit carries from step to step. */
struct egret_state {
    int16_t h;  /* Q0.15 */
    bool fires; /* it fired in its last step */
};

/* Read the state of every unit: states[k] is that of source network.inputs + k, layer after layer.
 *
 * words, count: the image that is loaded, which knows where units are (EGRET_IMAGE_OTHER). size: at least
 *   network.units, else
 * EGRET_ROOM. EGRET_BUSY: the core is not idle. */
enum egret_result egret_read_states(struct egret *egret, const uint32_t *words, size_t count,
                                    struct egret_state *states, size_t size);

/* Reset the core, write the state of every unit back, and send what units fired last to the units that it goes to. The
 * next event or end of a step belongs to the step that follows the one behind which the states were read.
 *
 * Arguments and results as of egret_read_states(), but that it may be called in the middle of a step. EGRET_VALUE: a
 * state that no unit can have; nothing was done. Waits. After EGRET_FAULT, EGRET_BUS or EGRET_TIMEOUT states are
 * undefined: reset. */
enum egret_result egret_restore_states(struct egret *egret, const uint32_t *words, size_t count,
                                       const struct egret_state *states, size_t size);

/* ---- Counters ---------------------------------------------------------------------------------------------------- */

/* docs/interfaces.md says what each counts. */
enum egret_counter {
    EGRET_CYCLES = 0,
    EGRET_STEPS,
    EGRET_SILENT_FIRES,
    EGRET_BROADCAST_STALLS,
    EGRET_CELL_STALLS,
    EGRET_OUTPUT_STALLS,
    EGRET_EVENTS,      /* from here on: one of each for every group, group 0 the inputs, group 1 + l layer l, */
    EGRET_MACS,
    EGRET_STEP_EVENTS, /* of the last whole step */
    EGRET_STEP_MACS,
    EGRET_LANE_BUSY,   /* and from here on for every lane */
    EGRET_LANE_HAZARD,
    EGRET_LANE_DRAIN
};

/* Number of a counter as egret_read_counter() takes it. which: its group or lane; 0 of the first six, of which there
 * is one.
 * EGRET_ARGUMENT: no such counter. EGRET_ABSENT: a core without counters. */
enum egret_result egret_counter_number(const struct egret *egret, enum egret_counter counter, uint32_t which,
                                       uint32_t *number);

/* Read a counter, 48 bits. EGRET_ARGUMENT: the number is not below core.counters. EGRET_ABSENT: a core without
 * counters. */
enum egret_result egret_read_counter(const struct egret *egret, uint32_t number, uint64_t *value);

/* Set all counters to 0. */
enum egret_result egret_clear_counters(const struct egret *egret);

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* The first error that a core has met since the last clear or reset; detail as in docs/interfaces.md. */
struct egret_fault {
    enum egret_error error;
    uint32_t detail; /* means nothing with EGRET_ERROR_NONE */
};

/* Read the core's error. An interrupt handler may call it. */
enum egret_result egret_read_fault(const struct egret *egret, struct egret_fault *fault);

/* Forget the core's error, so that the next one is kept. After a LOAD_ or LIST_ error only a reset helps. */
enum egret_result egret_clear_fault(const struct egret *egret);

/* What a result or an error means, in a few words; of what is none of them, too. Never null. */
const char *egret_result_text(enum egret_result result);
const char *egret_error_text(enum egret_error error);

/* ---- Status and interrupts --------------------------------------------------------------------------------------- */

/* Whether the core is idle: no step under way, all results taken. An interrupt handler may call it. */
enum egret_result egret_read_idle(const struct egret *egret, bool *idle);

/* Causes of interrupts, to be or-ed. */
enum { EGRET_INTERRUPT_STEP = 1, EGRET_INTERRUPT_ERROR = 2 };

/* Let these causes interrupt, and no others. An interrupt handler may call it. EGRET_ARGUMENT: no such cause. */
enum egret_result egret_enable_interrupts(const struct egret *egret, uint32_t causes);

/* Read which causes are pending, enabled or not. An interrupt handler may call it. */
enum egret_result egret_read_interrupts(const struct egret *egret, uint32_t *causes);

/* Acknowledge these causes. An error that is still there interrupts again: egret_clear_fault() first, or disable it
 * and leave it to the main program. An interrupt handler may call it. EGRET_ARGUMENT: no such cause. */
enum egret_result egret_acknowledge_interrupts(const struct egret *egret, uint32_t causes);

#ifdef __cplusplus
}
#endif

#endif

/* States: what units carry from step to step, read and restored (docs/interfaces.md). */
#include "egret_reader.h"

enum { STATE_BITS = 16, STATE_WORDS = 3 }; /* of h; of a STATE record */

#define RESTORES 0x80000000u /* of a beat's index: it restores what the source sent last */
#define STATE_HEADER ((uint32_t)EGRET_RECORD_STATE << 24 | 1u)

/* Where a unit is, and what belongs to it. */
struct unit {
    uint32_t cell, address; /* cell unit, and address there */
    uint32_t number;        /* from 0, of all layers */
    int32_t threshold;      /* Q0.15 */
};

static enum egret_result read_state(const struct egret *egret, const struct unit *unit, struct egret_state *state)
{
    uint32_t select = unit->cell << EGRET__STATE_SELECT__CELL_bp | unit->address << EGRET__STATE_SELECT__UNIT_bp, word;
    if (egret_put(egret, EGRET_ADDRESS(STATE_SELECT), select) || egret_get(egret, EGRET_ADDRESS(STATE_DATA), &word))
        return EGRET_BUS;
    state->h = (int16_t)EGRET_FIELD(word, STATE_DATA, H);
    state->fires = EGRET_FIELD(word, STATE_DATA, FIRES);
    return EGRET_OK;
}

/* A unit that has fired had c = h + threshold above its threshold and not above 1. */
static enum egret_result check_state(const struct unit *unit, const struct egret_state *state)
{
    bool could_fire = state->h > 0 && state->h + unit->threshold <= INT16_MAX;
    return !state->fires || could_fire ? EGRET_OK : EGRET_VALUE;
}

static enum egret_result write_state(const struct egret *egret, const struct unit *unit,
                                     const struct egret_state *state)
{
    const uint32_t record[STATE_WORDS] = {
        STATE_HEADER | unit->cell << 16, unit->address,
        (uint16_t)state->h | (uint32_t)state->fires << EGRET__STATE_DATA__FIRES_bp};
    return egret_put_words(egret, EGRET_ADDRESS(LOAD_DATA), record, STATE_WORDS);
}

/* Send what the unit sent last: y, c in y_bits bits, rounded half up, unless that is 0. */
static enum egret_result send_last(struct egret *egret, const struct unit *unit, const struct egret_state *state)
{
    /* c in 16 fraction bits, of which y has the first ones. */
    int32_t c = (state->h + unit->threshold) * 2, most = (1 << egret->core.y_bits) - 1;
    int drop = STATE_BITS - egret->core.y_bits;
    int32_t y = (c + ((1 << drop) >> 1)) >> drop;
    if (y == 0)
        return EGRET_OK;
    const uint32_t source = egret->network.inputs + unit->number;
    const struct egret_event event = {RESTORES | source, y < most ? y : most};
    size_t sent = 0;
    for (uint32_t polls = egret->polls;;) {
        enum egret_result result = egret_put_events(egret, &event, 1, EGRET_GOES_ON, &sent);
        if (result != EGRET_WAIT)
            return result;
        result = egret_poll(egret, &polls);
        if (result != EGRET_WAIT)
            return result;
    }
}

enum pass { READ, CHECK, WRITE, SEND };

static enum egret_result restore_state(struct egret *egret, const struct unit *unit, const struct egret_state *state,
                                       enum pass pass)
{
    if (pass == CHECK)
        return check_state(unit, state);
    if (pass == WRITE)
        return write_state(egret, unit, state);
    return state->fires ? send_last(egret, unit, state) : EGRET_OK;
}

/* Do one thing with the state of every unit; READ fills `read`. */
static enum egret_result walk(struct egret *egret, const uint32_t *words, size_t count,
                              const struct egret_state *states, enum pass pass, struct egret_state *read)
{
    const struct egret_core *core = &egret->core;
    const struct egret_network *network = &egret->network;
    struct egret_reader reader = {.core = core, .network = &egret->network, .words = words,
                                  .count = count - EGRET_END_WORDS, .at = network->units_at};
    uint32_t rows = network->readout ? network->layer[network->layers - 1].base : network->rows;
    for (struct unit unit = {0}; unit.cell < core->cell_units; unit.cell++) {
        egret_begin_run(&reader, EGRET_RECORD_UNIT, unit.cell);
        uint32_t addresses = network->rows << core->lane_bits;
        for (unit.address = 0; unit.address < addresses && reader.result == EGRET_OK; unit.address++) {
            uint32_t word = egret_read_word(&reader);
            if (!(word & EGRET_UNIT_PRESENT) || unit.address >> core->lane_bits >= rows)
                continue;
            unit.number = (word >> EGRET_UNIT_ID_SHIFT) - network->inputs;
            unit.threshold = word & EGRET_UNIT_THRESHOLD;
            if (unit.number >= network->units)
                return EGRET_IMAGE_OTHER;
            enum egret_result result = pass == READ ? read_state(egret, &unit, &read[unit.number])
                                                    : restore_state(egret, &unit, &states[unit.number], pass);
            if (result != EGRET_OK)
                return result;
        }
        egret_skip_biases(&reader, unit.cell);
    }
    return reader.result == EGRET_OK ? EGRET_OK : EGRET_IMAGE_OTHER;
}

/* Do passes from one to another. */
static enum egret_result do_passes(struct egret *egret, const uint32_t *words, size_t count,
                                   const struct egret_state *states, size_t size, struct egret_state *read,
                                   enum pass first, enum pass last)
{
    if (!egret || !words || !states)
        return EGRET_ARGUMENT;
    if (!egret->loaded)
        return EGRET_NETWORK;
    if (size < egret->network.units)
        return EGRET_ROOM;
    /* That it is this image is a guess by its length and checksum; every word is checked again. */
    if (count < EGRET_END_WORDS + egret->network.units_at || words[count - 1] != egret->network.checksum)
        return EGRET_IMAGE_OTHER;
    enum egret_result result = first == READ ? egret_check_idle(egret) : EGRET_OK;
    for (enum pass pass = first; pass <= last && result == EGRET_OK; pass++) {
        if (pass == WRITE)
            result = egret_reset(egret);
        if (result == EGRET_OK)
            result = walk(egret, words, count, states, pass, read);
    }
    return result == EGRET_OK && last == SEND ? egret_check_fault(egret) : result;
}

enum egret_result egret_read_states(struct egret *egret, const uint32_t *words, size_t count,
                                    struct egret_state *states, size_t size)
{
    return do_passes(egret, words, count, states, size, states, READ, READ);
}

enum egret_result egret_restore_states(struct egret *egret, const uint32_t *words, size_t count,
                                       const struct egret_state *states, size_t size)
{
    return do_passes(egret, words, count, states, size, NULL, CHECK, SEND);
}

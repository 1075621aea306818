/* The memory image as untrusted input (docs/memory-image.md).
 *
 * An image is a sequence of runs: what one kind and select has, in one record or several that follow one another.
 * Which runs there are, and how long each is, follows from those before it, so there is one way through an image, word
 * by word. */
#include "egret_reader.h"

enum {
    BEGIN_WORDS = 4,
    NETWORK_WORDS = 6,          /* where lists are in lanes */
    NETWORK_WORDS_STREAMED = 8, /* where they are in external memory */
    LAYER_WORDS = 3,
    ENTRY_ROW_SHIFT = 10,
    LIST_BEATS_MAX = 4095, /* of one list in external memory */
    SUMS = 4               /* outputs that a row of the readout has, where lists are there */
};

#define MAGIC EGRET__MAGIC__VALUE_reset
#define VERSION 1u
#define ALL_BEATS_MAX 0xFFFFFFu /* of all lists in external memory */
#define END_HEADER ((uint32_t)EGRET_RECORD_END << 24 | 1u)

/* ---- Network ----------------------------------------------------------------------------------------------------- */

static bool is_between(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most;
}

static void check_begin(struct egret_reader *reader)
{
    uint32_t begin[BEGIN_WORDS];
    egret_read_run(reader, EGRET_RECORD_BEGIN, 0, begin, BEGIN_WORDS);
    egret_require(reader, begin[1] == VERSION, EGRET_IMAGE_BEGIN); /* the magic number was there */
    egret_require(reader, begin[2] == reader->core->config_id, EGRET_IMAGE_CONFIG);
    egret_within(reader, begin[3] <= reader->core->acc_bits);
}

/* Layers lie one after the other, in rows and in sources. */
static void check_layers(struct egret_reader *reader, uint32_t last_source)
{
    struct egret_network *network = reader->network;
    uint32_t rows = 0, sources = network->inputs, last = 0;
    for (uint32_t l = 0; l < network->layers && reader->result == EGRET_OK; l++) {
        struct egret_layer *layer = &network->layer[l];
        uint32_t place[LAYER_WORDS]; /* the middle one has shifts, any of which a core can do */
        egret_read_run(reader, EGRET_RECORD_LAYER, l, place, LAYER_WORDS);
        layer->base = (uint16_t)place[0];
        layer->rows = (uint16_t)(place[0] >> 16);
        layer->source = (uint16_t)place[2];
        layer->units = (uint16_t)(place[2] >> 16);
        bool is_next = layer->base == rows && layer->source == sources && layer->rows && layer->units;
        rows += layer->rows;
        if (l + network->readout < network->layers) {
            last = sources;
            sources += layer->units;
        }
        egret_within(reader, is_next && sources <= reader->core->sources);
        network->outputs = layer->units;
    }
    egret_within(reader, rows == network->rows && last == last_source);
    network->units = sources - network->inputs;
}

/* Returns the beats that each dense list of an input has in external memory. */
static uint32_t check_network(struct egret_reader *reader)
{
    const struct egret_core *core = reader->core;
    struct egret_network *network = reader->network;
    uint32_t data[NETWORK_WORDS_STREAMED] = {0};
    egret_read_run(reader, EGRET_RECORD_NETWORK, 0, data, core->lists ? NETWORK_WORDS_STREAMED : NETWORK_WORDS);
    uint32_t inputs = data[0], layers = data[1], readout = data[2], rows = data[3], input_beats = data[6];
    egret_within(reader, is_between(inputs, 1, core->sources) && is_between(layers, readout + 1, core->layers) &&
                              is_between(rows, 1, core->rows) && readout <= 1 && input_beats <= LIST_BEATS_MAX &&
                              data[7] <= 1);
    if (reader->result != EGRET_OK)
        return 0;
    network->inputs = inputs;
    network->layers = (uint8_t)layers;
    network->readout = readout;
    network->rows = rows;
    check_layers(reader, data[4]);
    egret_within(reader, data[5] == network->outputs);
    return input_beats;
}

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

/* Entries, which most of an image is, go to rows of the network. What a record has behind its first one is passed over
 * at once, up to one that is wrong. */
static void check_entries(struct egret_reader *reader, uint32_t left)
{
    const uint32_t end = reader->network->rows << ENTRY_ROW_SHIFT;
    while (left && reader->result == EGRET_OK) {
        egret_within(reader, egret_read_word(reader) < end);
        left--;
        const uint32_t *words = &reader->words[reader->at];
        uint32_t most = left < reader->left ? left : reader->left, right = 0;
        while (reader->result == EGRET_OK && right < most && words[right] < end)
            right++;
        reader->at += right;
        reader->done += right;
        reader->left -= right;
        left -= right;
    }
}

/* Lists of a lane lie one after the other. */
static void check_lane(struct egret_reader *reader, uint32_t lane)
{
    const struct egret_network *network = reader->network;
    uint32_t entries = 0, rows = network->rows;
    egret_begin_run(reader, EGRET_RECORD_DIRECTORY, lane);
    for (uint32_t left = network->inputs + network->units; left && reader->result == EGRET_OK; left--) {
        uint32_t start = egret_read_word(reader), counts = egret_read_word(reader);
        uint32_t forward = counts & 0xFFFF, count = counts >> 16;
        bool is_next = start == entries && forward <= count && count <= EGRET_GATES * rows;
        entries += count;
        egret_within(reader, is_next && entries <= reader->core->entries);
    }
    egret_begin_run(reader, EGRET_RECORD_ENTRY, lane);
    check_entries(reader, entries);
}

/* Lists in external memory lie one after the other from its start on, those of dense inputs, which are not listed,
 * first. */
static void check_directory(struct egret_reader *reader, uint32_t input_beats)
{
    struct egret_network *network = reader->network;
    uint32_t beats = network->inputs * input_beats, lists = network->units + (input_beats ? 0 : network->inputs);
    egret_within(reader, lists <= reader->core->lists);
    egret_begin_run(reader, EGRET_RECORD_DIRECTORY, 0);
    for (; lists && reader->result == EGRET_OK; lists--) {
        uint32_t first = egret_read_word(reader), count = egret_read_word(reader);
        egret_within(reader, first == beats && count <= LIST_BEATS_MAX);
        beats += count;
    }
    egret_within(reader, beats <= ALL_BEATS_MAX);
    network->list_beats = beats;
}

/* ---- Units ------------------------------------------------------------------------------------------------------- */

/* Units are in lanes that there are, each one of its layer; `found`, of each layer, counts them. */
static void check_cell(struct egret_reader *reader, uint32_t cell, uint32_t *found)
{
    const struct egret_core *core = reader->core;
    const struct egret_network *network = reader->network;
    const struct egret_layer *layer = network->layer;
    uint32_t lanes = 1u << core->lane_bits, end = layer->rows;
    egret_begin_run(reader, EGRET_RECORD_UNIT, cell);
    for (uint32_t row = 0; row < network->rows; row++) {
        if (row == end) {
            layer++;
            found++;
            end += layer->rows;
        }
        bool is_output = network->readout && end == network->rows;
        for (uint32_t lane = 0; lane < lanes && reader->result == EGRET_OK; lane++) {
            uint32_t word = egret_read_word(reader);
            if (!(word & EGRET_UNIT_PRESENT))
                continue;
            uint32_t number = (word >> EGRET_UNIT_ID_SHIFT) - (is_output ? 0u : layer->source);
            uint32_t count = is_output && core->lists ? word & EGRET_UNIT_THRESHOLD : 1;
            egret_within(reader, lane < core->lanes_per_cell && is_between(count, 1, SUMS) && number < layer->units &&
                                     count <= layer->units - number);
            *found += count;
        }
    }
    egret_skip_biases(reader, cell);
}

/* ---- Image ------------------------------------------------------------------------------------------------------- */

static void check_runs(struct egret_reader *reader)
{
    const struct egret_core *core = reader->core;
    uint32_t found[EGRET_LAYERS_MAX] = {0};
    check_begin(reader);
    uint32_t input_beats = check_network(reader);
    reader->network->list_beats = 0;
    if (core->lists)
        check_directory(reader, input_beats);
    else
        for (uint32_t lane = 0; lane < core->lanes && reader->result == EGRET_OK; lane++)
            check_lane(reader, lane);
    reader->network->units_at = reader->at;
    for (uint32_t cell = 0; cell < core->cell_units && reader->result == EGRET_OK; cell++)
        check_cell(reader, cell, found);
    for (uint32_t l = 0; reader->result == EGRET_OK && l < reader->network->layers; l++)
        egret_within(reader, found[l] == reader->network->layer[l].units);
    egret_require(reader, reader->left == 0 && reader->at == reader->count, EGRET_IMAGE_RECORD);
}

enum egret_result egret_check_image(const struct egret_core *core, const uint32_t *words, size_t count,
                                    struct egret_network *network, size_t *where)
{
    if (!core || !words || !network)
        return EGRET_ARGUMENT;
    struct egret_reader reader = {.core = core, .network = network, .words = words};
    /* What is no image at all, or not a whole one, is told as such. */
    if (count < EGRET_END_WORDS || words[0] >> 24 != EGRET_RECORD_BEGIN || words[EGRET_HEADER_WORDS] != MAGIC) {
        reader.result = EGRET_IMAGE_BEGIN;
    } else {
        reader.count = count - EGRET_END_WORDS;
        const uint32_t *end = &words[reader.count];
        network->checksum = end[2];
        egret_require(&reader, end[0] == END_HEADER && end[1] == 0, EGRET_IMAGE_END);
        egret_require(&reader, end[2] == egret_checksum(words, reader.count), EGRET_IMAGE_CHECKSUM);
        if (reader.result == EGRET_OK)
            check_runs(&reader);
        else
            reader.at = reader.count;
    }
    if (where)
        *where = reader.at;
    return reader.result;
}

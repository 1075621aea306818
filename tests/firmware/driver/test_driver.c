/* The driver in front of a stand-in. Arguments: files with a core's description (7 words) and an image for it; one with lists
 * on chip, one with lists in external memory. Prints how many checks passed, or the first that failed. */
#include "stand_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLLS = 50, RECORDS_MAX = 512 };

static uint64_t checks;

#define CHECK(holds)                                                         \
    do {                                                                     \
        if (!(holds)) {                                                      \
            printf("%s, line %d: %s\n", __FILE__, __LINE__, #holds);         \
            exit(1);                                                         \
        }                                                                    \
        checks++;                                                            \
    } while (0)

/* ---- Cases ------------------------------------------------------------------------------------------------------- */

struct file {
    uint32_t description[STAND_IN_DESCRIPTION];
    uint32_t *words;
    size_t count;
};

static struct file read_file(const char *path)
{
    struct file file;
    FILE *stream = fopen(path, "rb");
    CHECK(stream);
    CHECK(fread(file.description, sizeof(uint32_t), STAND_IN_DESCRIPTION, stream) == STAND_IN_DESCRIPTION);
    file.words = malloc(1 << 20);
    file.count = fread(file.words, sizeof(uint32_t), (1 << 20) / sizeof(uint32_t), stream);
    file.words = realloc(file.words, file.count * sizeof(uint32_t)); /* so that a word more is caught */
    CHECK(file.words);
    fclose(stream);
    return file;
}

struct bench {
    struct stand_in core;
    struct egret egret;
};

static void open_bench(struct bench *bench, const struct file *file)
{
    stand_in_init(&bench->core, file->description);
    struct egret_port port = stand_in_port(&bench->core);
    CHECK(egret_init(&bench->egret, &port, POLLS) == EGRET_OK);
}

static void load_bench(struct bench *bench, const struct file *file)
{
    open_bench(bench, file);
    if (bench->egret.core.lists)
        CHECK(egret_set_window(&bench->egret, 0x10000, 1 << 20) == EGRET_OK);
    CHECK(egret_load(&bench->egret, file->words, file->count, NULL) == EGRET_OK);
    CHECK(bench->core.loaded && bench->core.loads == file->count && bench->egret.loaded);
    CHECK(bench->core.inputs == bench->egret.network.inputs && bench->core.outputs == bench->egret.network.outputs);
}

static uint32_t crc32(const uint32_t *words, size_t count)
{
    uint32_t crc = UINT32_MAX;
    for (size_t k = 0; k < 32 * count; k++)
        crc = crc >> 1 ^ (((crc ^ words[k / 32] >> k % 32) & 1) ? 0xEDB88320u : 0);
    return ~crc;
}

/* ---- Identity ---------------------------------------------------------------------------------------------------- */

static void test_init(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    open_bench(&bench, file);
    CHECK(egret->core.config_id == file->description[0] && egret->core.lanes == (file->description[1] & 0xFF));
    CHECK(egret->core.lanes_per_cell * egret->core.cell_units == egret->core.lanes);
    CHECK(egret->core.lanes_per_cell <= 1 << egret->core.lane_bits);
    CHECK(bench.core.writes == 0 && bench.core.escaped == 0);

    const struct egret_port good = stand_in_port(&bench.core);
    struct egret_port port = good;
    CHECK(egret_init(NULL, &good, POLLS) == EGRET_ARGUMENT);
    CHECK(egret_init(egret, NULL, POLLS) == EGRET_ARGUMENT);
    CHECK(egret_init(egret, &good, 0) == EGRET_ARGUMENT);
#ifdef EGRET_PORT_HEADER
    port.context = NULL;
    CHECK(egret_init(egret, &port, POLLS) == EGRET_ARGUMENT);
#else
    port.read = NULL;
    CHECK(egret_init(egret, &port, POLLS) == EGRET_ARGUMENT);
    port = good, port.write = NULL;
    CHECK(egret_init(egret, &port, POLLS) == EGRET_ARGUMENT);
    port = good, port.send = NULL;
    CHECK(egret_init(egret, &port, POLLS) == EGRET_ARGUMENT);
    port = good, port.take = NULL;
    CHECK(egret_init(egret, &port, POLLS) == EGRET_ARGUMENT);
#endif

    uint32_t last = bench.core.accesses;
    for (uint32_t access = 1; access <= last; access++) {
        bench.core.accesses = 0, bench.core.fails_at = access;
        CHECK(egret_init(egret, &good, POLLS) == EGRET_BUS);
    }
    bench.core.fails_at = 0;
    bench.core.magic ^= 1;
    CHECK(egret_init(egret, &good, POLLS) == EGRET_CORE);
    bench.core.magic ^= 1, bench.core.version++;
    CHECK(egret_init(egret, &good, POLLS) == EGRET_VERSION);
    bench.core.version--;

    static const uint32_t none[][2] = {
        /* LANES: no lanes, no cell units, cell units that do not share them, no layers, too many */
        {1, 0x10010200}, {1, 0x10010002}, {1, 0x10010305}, {1, 0x10000202}, {1, 0x10100202},
        /* ROWS: so many that a unit has no address */
        {2, 0x0040FFFF},
        /* WIDTHS: values of no bits, of too many; y of none, of too many, as wide as values */
        {4, 0x18000808}, {4, 0x18210808}, {4, 0x18090008}, {4, 0x181F1108}, {4, 0x18080808},
    };
    for (size_t k = 0; k < sizeof none / sizeof *none; k++) {
        bench.core.description[none[k][0]] = none[k][1];
        if (none[k][1] == 0x0040FFFF)
            bench.core.description[1] = 0x10010140; /* 64 lanes, one cell unit */
        CHECK(egret_init(egret, &good, POLLS) == EGRET_CORE);
        memcpy(bench.core.description, file->description, sizeof file->description);
    }
    CHECK(egret_init(egret, &good, POLLS) == EGRET_OK);
    CHECK(bench.core.escaped == 0);
}

/* ---- Images ------------------------------------------------------------------------------------------------------ */

static enum egret_result check(const struct bench *bench, const uint32_t *words, size_t count)
{
    struct egret_network network;
    size_t where = SIZE_MAX;
    enum egret_result result = egret_check_image(&bench->egret.core, words, count, &network, &where);
    CHECK(where <= count);
    return result;
}

/* The image with its checksum made right again. */
static enum egret_result check_with_crc(const struct bench *bench, uint32_t *words, size_t count)
{
    words[count - 1] = crc32(words, count - 3);
    return check(bench, words, count);
}

static uint32_t *copy_of(const struct file *file)
{
    uint32_t *words = malloc(file->count * sizeof *words);
    CHECK(words);
    memcpy(words, file->words, file->count * sizeof *words);
    return words;
}

/* The words at which the records of an image begin. */
static size_t find_records(const struct file *file, size_t *records)
{
    size_t count = 0;
    for (size_t at = 0; at < file->count; at += 2 + (file->words[at] & 0xFFFF)) {
        CHECK(count < RECORDS_MAX);
        records[count++] = at;
    }
    return count;
}

static void test_damage(const struct file *file)
{
    struct bench bench;
    struct egret_network network;
    open_bench(&bench, file);
    const struct egret_core *core = &bench.egret.core;
    CHECK(check(&bench, file->words, file->count) == EGRET_OK);
    CHECK(egret_check_image(core, file->words, file->count, &network, NULL) == EGRET_OK);
    CHECK(egret_check_image(NULL, file->words, file->count, &network, NULL) == EGRET_ARGUMENT);
    CHECK(egret_check_image(core, NULL, file->count, &network, NULL) == EGRET_ARGUMENT);
    CHECK(egret_check_image(core, file->words, file->count, NULL, NULL) == EGRET_ARGUMENT);

    /* Every shorter image, each in memory of its own, so that a word read behind its end is caught. */
    for (size_t count = 0; count < file->count; count++) {
        uint32_t *words = malloc(count * sizeof *words + 1);
        CHECK(words);
        memcpy(words, file->words, count * sizeof *words);
        enum egret_result result = check(&bench, words, count);
        CHECK(result == (count < 3 ? EGRET_IMAGE_BEGIN : EGRET_IMAGE_END));
        free(words);
    }
    /* Every bit that is wrong. */
    uint32_t *words = copy_of(file);
    for (size_t at = 0; at < file->count; at++)
        for (uint32_t bit = 0; bit < 32; bit++) {
            words[at] ^= 1u << bit;
            CHECK(check(&bench, words, file->count) != EGRET_OK);
            words[at] ^= 1u << bit;
        }
    free(words);
}

/* Records that are not what belongs there, with the right checksum. */
static void test_records(const struct file *file)
{
    struct bench bench;
    size_t records[RECORDS_MAX], count = find_records(file, records);
    open_bench(&bench, file);
    uint32_t *words = copy_of(file);
    for (size_t record = 0; record + 1 < count; record++) {
        uint32_t *header = &words[records[record]], before[2] = {header[0], header[1]};
        const uint32_t wrong[][2] = {
            {before[0] ^ 1u << 24, before[1]}, {before[0] ^ 1u << 28, before[1]}, /* kind */
            {before[0] ^ 1u << 16, before[1]}, {before[0] | 0xFF0000, before[1]}, /* select */
            {before[0] & ~0xFFFFu, before[1]}, {before[0] | 0xFFFF, before[1]},   /* length */
            {before[0] + 1, before[1]}, {before[0] - 1, before[1]},
            {before[0], before[1] + 1}, {before[0], before[1] ^ 0x80000000u},     /* address */
        };
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            memcpy(header, wrong[k], sizeof before);
            enum egret_result result = check_with_crc(&bench, words, file->count);
            CHECK(result == EGRET_IMAGE_RECORD || result == EGRET_IMAGE_RANGE || (record == 0 && result == EGRET_IMAGE_BEGIN));
        }
        memcpy(header, before, sizeof before);
    }
    /* A record twice; one left out; behind the end. */
    uint32_t *longer = malloc(2 * file->count * sizeof *longer);
    CHECK(longer);
    for (size_t record = 0; record + 1 < count; record++) {
        size_t at = records[record], next = records[record + 1], size = next - at;
        memcpy(longer, words, next * sizeof *words);
        memcpy(longer + next, words + at, (file->count - at) * sizeof *words);
        CHECK(check_with_crc(&bench, longer, file->count + size) == EGRET_IMAGE_RECORD);
        memcpy(longer + at, words + next, (file->count - next) * sizeof *words);
        CHECK(check_with_crc(&bench, longer, file->count - size) != EGRET_OK);
    }
    memcpy(longer, words, file->count * sizeof *words);
    longer[file->count] = 0;
    CHECK(check(&bench, longer, file->count + 1) == EGRET_IMAGE_END);
    free(longer);
    free(words);
}

static void expect(const struct bench *bench, uint32_t *words, size_t count, size_t at, uint32_t word,
                   enum egret_result result)
{
    uint32_t before = words[at];
    CHECK(before != word);
    words[at] = word;
    CHECK(check_with_crc(bench, words, count) == result);
    words[at] = before;
}

/* Words that point outside the network, with the right checksum. */
static void test_ranges(const struct file *file)
{
    struct bench bench;
    size_t records[RECORDS_MAX], count = find_records(file, records);
    open_bench(&bench, file);
    const struct egret_core *core = &bench.egret.core;
    struct egret_network network;
    CHECK(egret_check_image(core, file->words, file->count, &network, NULL) == EGRET_OK);
    uint32_t *words = copy_of(file);
    size_t n = file->count, directory = 0, entry = 0, unit = 0, layer = 0;
    for (size_t k = count; k--;) {
        uint32_t kind = words[records[k]] >> 24;
        size_t data = records[k] + 2;
        directory = kind == 4 ? data : directory, entry = kind == 5 ? data : entry, unit = kind == 6 ? data : unit;
        layer = kind == 3 ? data : layer;
    }
    const size_t begin = 2, net = records[1] + 2;
    expect(&bench, words, n, begin, 0x54524746, EGRET_IMAGE_BEGIN);
    expect(&bench, words, n, begin + 1, 2, EGRET_IMAGE_BEGIN);
    expect(&bench, words, n, begin + 2, words[begin + 2] + 1, EGRET_IMAGE_CONFIG);
    expect(&bench, words, n, begin + 3, core->acc_bits + 1u, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net, 0, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net, core->sources + 1, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net, words[net] + 1, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 1, 0, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 1, core->layers + 1u, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 1, 0x80000001u, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 2, 2, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 2, 0xFFFFFFFFu, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 3, core->rows + 1, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 4, words[net + 4] + 1, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, net + 5, words[net + 5] + 1, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, layer, words[layer] + 1, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, layer, words[layer] & 0xFFFF, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, layer, words[layer] | 0xFFFF0000, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, layer + 2, words[layer + 2] + 1, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, layer + 2, words[layer + 2] & 0xFFFF, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, layer + 2, words[layer + 2] | 0xFFFF0000, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, directory, words[directory] + 1, EGRET_IMAGE_RANGE);
    if (core->lists) {
        expect(&bench, words, n, net + 6, 4096, EGRET_IMAGE_RANGE);
        expect(&bench, words, n, net + 7, 2, EGRET_IMAGE_RANGE);
        expect(&bench, words, n, directory + 1, 4096, EGRET_IMAGE_RANGE);
        CHECK(network.list_beats > 0);
    } else {
        expect(&bench, words, n, directory + 1, 0xFFFF0000, EGRET_IMAGE_RANGE);
        expect(&bench, words, n, directory + 1, (words[directory + 1] & 0xFFFF0000u) | 0xFFFF, EGRET_IMAGE_RANGE);
        expect(&bench, words, n, entry, words[entry] | network.rows << 10, EGRET_IMAGE_RANGE);
        /* Each entry of the record, and where it is told to be. */
        for (size_t at = entry; at < entry + (words[entry - 2] & 0xFFFF); at++) {
            size_t where;
            expect(&bench, words, n, at, network.rows << 10, EGRET_IMAGE_RANGE);
            expect(&bench, words, n, at, words[at] | 0x80000000u, EGRET_IMAGE_RANGE);
            words[at] ^= 0x80000000u;
            words[n - 1] = crc32(words, n - 3);
            CHECK(egret_check_image(core, words, n, &network, &where) == EGRET_IMAGE_RANGE && where == at + 1);
            words[at] ^= 0x80000000u;
        }
        CHECK(network.list_beats == 0);
    }
    uint32_t present = words[unit] | 0x8000u; /* the first one, whether there or not */
    expect(&bench, words, n, unit, present ^ 0xFFFF0000u, EGRET_IMAGE_RANGE);
    expect(&bench, words, n, unit, words[unit] ^ 0x8000u, EGRET_IMAGE_RANGE);
    free(words);
}

/* Runs in other records than usual: split anywhere, but no list in two, is right; several runs in one record is not. */
static void test_splits(const struct file *file)
{
    struct bench bench;
    size_t records[RECORDS_MAX], count = find_records(file, records);
    open_bench(&bench, file);
    uint32_t *words = malloc((file->count + 2) * sizeof *words);
    CHECK(words);
    for (size_t record = 0; record + 1 < count; record++) {
        const size_t at = records[record], next = records[record + 1];
        const uint32_t header = file->words[at], length = header & 0xFFFF, is_directory = header >> 24 == 4;
        for (uint32_t first = 1; first < length && first < 5; first++) {
            memcpy(words, file->words, file->count * sizeof *words);
            words[at] = header - length + first;
            words[at + 2 + first] = header - first;
            words[at + 3 + first] = file->words[at + 1] + (first >> is_directory);
            memcpy(words + at + 4 + first, file->words + at + 2 + first, (file->count - at - 2 - first) * sizeof *words);
            enum egret_result wanted = is_directory && first & 1 ? EGRET_IMAGE_RECORD : EGRET_OK;
            CHECK(check_with_crc(&bench, words, file->count + 2) == wanted);
        }
        if (record + 2 < count) {
            const uint32_t more = file->words[next] & 0xFFFF;
            memcpy(words, file->words, next * sizeof *words);
            words[at] += more;
            memcpy(words + next, file->words + next + 2, (file->count - next - 2) * sizeof *words);
            CHECK(check_with_crc(&bench, words, file->count - 2) == EGRET_IMAGE_RECORD);
        }
    }
    free(words);
}

/* A core that is as large as the network, and one that is smaller by one. */
static void test_capacities(const struct file *file)
{
    struct bench bench;
    struct egret_network network;
    size_t records[RECORDS_MAX], count = find_records(file, records);
    uint32_t entries = 0;
    for (size_t k = 0; k < count; k++) {
        uint32_t length = file->words[records[k]] & 0xFFFF;
        entries = file->words[records[k]] >> 24 == 5 && length > entries ? length : entries;
    }
    open_bench(&bench, file);
    struct egret_core *core = &bench.egret.core;
    CHECK(egret_check_image(core, file->words, file->count, &network, NULL) == EGRET_OK);
    const struct egret_core whole = *core;
    const uint32_t sources = network.inputs + network.units;
    const uint32_t lists = sources - (core->lists && file->words[records[1] + 2 + 6] ? network.inputs : 0);
    for (uint32_t less = 0; less < 2; less++) {
        const enum egret_result wanted = less ? EGRET_IMAGE_RANGE : EGRET_OK;
        *core = whole, core->rows = network.rows - less;
        CHECK(check(&bench, file->words, file->count) == wanted);
        *core = whole, core->sources = sources - less;
        CHECK(check(&bench, file->words, file->count) == wanted);
        *core = whole, core->layers = (uint8_t)(network.layers - less);
        CHECK(check(&bench, file->words, file->count) == wanted);
        *core = whole;
        if (core->lists)
            core->lists = lists - less;
        else
            core->entries = entries - less;
        CHECK(check(&bench, file->words, file->count) == wanted);
    }
}

/* Units where there is no lane, or that are no unit of their layer; layers that begin elsewhere. */
static void test_places(const struct file *file)
{
    struct bench bench;
    struct egret_network network;
    size_t records[RECORDS_MAX], count = find_records(file, records);
    open_bench(&bench, file);
    const struct egret_core *core = &bench.egret.core;
    CHECK(egret_check_image(core, file->words, file->count, &network, NULL) == EGRET_OK);
    uint32_t *words = copy_of(file);
    const struct egret_layer *layer = network.layer;
    const uint32_t lanes = 1u << core->lane_bits;
    for (size_t k = 0; k < count; k++) {
        uint32_t *data = &words[records[k] + 2];
        if (words[records[k]] >> 24 == 4 && core->lists) {
            uint32_t *last = data + (words[records[k]] & 0xFFFF) - 1;
            CHECK(check_with_crc(&bench, words, file->count) == EGRET_OK);
            expect(&bench, words, file->count, (size_t)(last - words), 4096, EGRET_IMAGE_RANGE);
            expect(&bench, words, file->count, (size_t)(last - words), *last == 4095 ? 4094 : 4095, EGRET_OK);
        }
        if (words[records[k]] >> 24 != 6)
            continue;
        for (uint32_t lane = core->lanes_per_cell; lane < lanes; lane++) {
            uint32_t before[2] = {data[0], data[lane]}; /* of the first row, which is one of units */
            CHECK(before[0] & 0x8000 && !(before[1] & 0x8000));
            data[0] = before[1], data[lane] = before[0];
            CHECK(check_with_crc(&bench, words, file->count) == EGRET_IMAGE_RANGE);
            data[0] = before[0], data[lane] = before[1];
        }
        const size_t first = records[k] + 2;
        const uint32_t end = (uint32_t)layer->source + layer->units;
        expect(&bench, words, file->count, first, (words[first] & 0xFFFF) | end << 16, EGRET_IMAGE_RANGE);
        expect(&bench, words, file->count, first, (words[first] & 0xFFFF) | (layer->source - 1u) << 16, EGRET_IMAGE_RANGE);
    }
    /* All of the first layer one source further, its units, too. */
    if (network.layers > 1 + network.readout) {
        for (size_t k = 0; k < count; k++) {
            uint32_t kind = words[records[k]] >> 24, *data = &words[records[k] + 2];
            if (kind == 3 && (words[records[k]] >> 16 & 0xFF) == 0)
                data[2]++;
            for (uint32_t address = 0; kind == 6 && address < layer->rows * lanes; address++)
                data[address] += data[address] & 0x8000 ? 1u << 16 : 0;
        }
        CHECK(check_with_crc(&bench, words, file->count) == EGRET_IMAGE_RANGE);
    }
    free(words);
}

static uint32_t *put_record(uint32_t *at, uint32_t kind, uint32_t select, const uint32_t *data, uint32_t count)
{
    *at++ = kind << 24 | select << 16 | count;
    *at++ = 0;
    for (uint32_t k = 0; k < count; k++)
        *at++ = data ? data[k] : 0;
    return at;
}

/* A network of one input and one output, with one unit in between, or with none, which is nothing that a core can run. */
static void test_readout_alone(const struct file *file)
{
    struct bench bench;
    uint32_t words[512], units[64];
    open_bench(&bench, file);
    const struct egret_core *core = &bench.egret.core;
    const uint32_t lanes = 1u << core->lane_bits;
    for (uint32_t egru = 0; !core->lists && egru < 2; egru++) {
        const uint32_t begin[] = {0x54524745, 1, core->config_id, 8}, sources = 1 + egru, rows = 1 + egru;
        const uint32_t network[] = {1, rows, 1, rows, egru, 1};
        uint32_t *at = put_record(words, 1, 0, begin, 4);
        at = put_record(at, 2, 0, network, 6);
        for (uint32_t l = 0; l < rows; l++) {
            const uint32_t layer[] = {l | 1u << 16, 0, (1 + l) | 1u << 16};
            at = put_record(at, 3, l, layer, 3);
        }
        for (uint32_t lane = 0; lane < core->lanes; lane++)
            at = put_record(at, 4, lane, NULL, 2 * sources);
        for (uint32_t cell = 0; cell < core->cell_units; cell++) {
            memset(units, 0, sizeof units);
            for (uint32_t row = 0; cell == 0 && row < rows; row++)
                units[row * lanes] = 0x8000u | (uint32_t)(row < egru) << 16; /* its source, or output 0 */
            at = put_record(at, 6, cell, units, rows * lanes);
            for (uint32_t gate = 0; gate < 4; gate++)
                at = put_record(at, 8 + gate, cell, NULL, rows * lanes);
        }
        at = put_record(at, 15, 0, NULL, 1);
        CHECK(check_with_crc(&bench, words, (size_t)(at - words)) == (egru ? EGRET_OK : EGRET_IMAGE_RANGE));
    }
}

/* ---- Loading ----------------------------------------------------------------------------------------------------- */

static void test_load(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    load_bench(&bench, file);
    uint32_t *words = copy_of(file);
    words[5] ^= 1;

    /* What is refused beforehand touches nothing, and the network that was there is still there. */
    uint32_t accesses = bench.core.accesses;
    size_t where;
    CHECK(egret_load(egret, words, file->count, &where) == EGRET_IMAGE_CHECKSUM);
    CHECK(egret_load(egret, NULL, file->count, NULL) == EGRET_ARGUMENT);
    CHECK(egret_load(NULL, words, file->count, NULL) == EGRET_ARGUMENT);
    CHECK(bench.core.accesses == accesses && egret->loaded);

    /* A bus that fails, at each access of a load. */
    load_bench(&bench, file);
    bench.core.accesses = 0;
    CHECK(egret_load(egret, file->words, file->count, NULL) == EGRET_OK);
    uint32_t last = bench.core.accesses;
    for (uint32_t access = 1; access <= last; access++) {
        bench.core.accesses = 0, bench.core.fails_at = access;
        CHECK(egret_load(egret, file->words, file->count, NULL) == EGRET_BUS && !egret->loaded);
        CHECK(egret_send(egret, 0, 1, EGRET_GOES_ON) == EGRET_NETWORK);
        CHECK(egret_end_step(egret, EGRET_ENDS_STEP) == EGRET_NETWORK);
    }
    bench.core.fails_at = 0;
    CHECK(egret_load(egret, file->words, file->count, NULL) == EGRET_OK && egret->loaded);

    /* A core that refuses, and one that does not answer. */
    struct egret_fault fault;
    bench.core.refuses = true;
    CHECK(egret_load(egret, file->words, file->count, NULL) == EGRET_FAULT && !egret->loaded);
    CHECK(egret_read_fault(egret, &fault) == EGRET_OK && fault.error == EGRET_ERROR_LOAD_CONFIG);
    CHECK(fault.detail == file->description[0]);
    bench.core.refuses = false;
    bench.core.silent = true;
    bench.core.accesses = 0;
    CHECK(egret_load(egret, file->words, file->count, NULL) == EGRET_TIMEOUT && !egret->loaded);
    CHECK(bench.core.accesses < 4 * POLLS);
    bench.core.silent = false;
    bench.core.endless = true;
    bench.core.takes = 0;
    CHECK(egret_load(egret, file->words, file->count, NULL) == EGRET_TIMEOUT);
    CHECK(bench.core.takes < 100000 && bench.core.escaped == 0);
    free(words);
}

static void test_window(const struct file *chip, const struct file *streamed)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    open_bench(&bench, chip);
    CHECK(egret_set_window(egret, 0, 1) == EGRET_ABSENT);
    CHECK(egret_set_window(NULL, 0, 1) == EGRET_ARGUMENT);

    open_bench(&bench, streamed);
    CHECK(egret_load(egret, streamed->words, streamed->count, NULL) == EGRET_WINDOW);
    CHECK(bench.core.writes == 0);
    static const uint32_t bad[][2] = {
        {0x1001, 1}, {0x800, 1}, {0, 0}, {0, 1 << 25}, {0xFFFFF000, 257}, {0xF0000000, 0x1000001}};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        CHECK(egret_set_window(egret, bad[k][0], bad[k][1]) == EGRET_WINDOW);
    CHECK(bench.core.writes == 0);
    CHECK(egret_set_window(egret, 0xFFFFF000, 256) == EGRET_OK);
    CHECK(bench.core.list_base == 0xFFFFF000 && bench.core.list_size == 256);
    CHECK(egret_set_window(egret, 0xF0000000, 0x1000000) == EGRET_OK);

    struct egret_network network;
    CHECK(egret_check_image(&egret->core, streamed->words, streamed->count, &network, NULL) == EGRET_OK);
    CHECK(egret_set_window(egret, 0x2000, network.list_beats - 1) == EGRET_OK);
    CHECK(egret_load(egret, streamed->words, streamed->count, NULL) == EGRET_WINDOW);
    CHECK(egret_set_window(egret, 0x2000, network.list_beats) == EGRET_OK);
    CHECK(egret_load(egret, streamed->words, streamed->count, NULL) == EGRET_OK);
    CHECK(egret_send(egret, 0, 1, EGRET_GOES_ON) == EGRET_OK);
    CHECK(egret_set_window(egret, 0x2000, network.list_beats) == EGRET_BUSY);
    CHECK(egret_reset(egret) == EGRET_OK);
    CHECK(egret_set_window(egret, 0x2000, network.list_beats) == EGRET_OK && !egret->loaded);
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

static void test_events(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    open_bench(&bench, file);
    CHECK(egret_send(egret, 0, 1, EGRET_ENDS_STEP) == EGRET_NETWORK);
    load_bench(&bench, file);
    const uint32_t inputs = egret->network.inputs;
    const int32_t most = INT32_MAX >> (32 - egret->core.value_bits);
    CHECK(egret_send(NULL, 0, 1, EGRET_ENDS_STEP) == EGRET_ARGUMENT);
    CHECK(egret_send(egret, 0, 1, (enum egret_mark)3) == EGRET_ARGUMENT);
    static const uint32_t bad[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0x80000001, EGRET_NULL_INDEX};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        if (bad[k] >= inputs)
            CHECK(egret_send(egret, bad[k], 1, EGRET_ENDS_STEP) == EGRET_INDEX);
    CHECK(egret_send(egret, inputs, 1, EGRET_ENDS_STEP) == EGRET_INDEX);
    CHECK(egret_send(egret, 0, most + 1, EGRET_ENDS_STEP) == EGRET_VALUE);
    CHECK(egret_send(egret, 0, -most - 2, EGRET_ENDS_STEP) == EGRET_VALUE);
    CHECK(egret_send(egret, 0, INT32_MIN, EGRET_ENDS_STEP) == EGRET_VALUE);
    CHECK(egret_send(egret, 0, INT32_MAX, EGRET_ENDS_STEP) == EGRET_VALUE);
    CHECK(egret_end_step(egret, EGRET_GOES_ON) == EGRET_ARGUMENT);
    CHECK(bench.core.sent_count == 0 && !egret->sending && egret->steps == 0);
    CHECK(egret_send(egret, 0, most, EGRET_GOES_ON) == EGRET_OK && egret->sending && egret->steps == 0);
    CHECK(egret_send(egret, inputs - 1, -most - 1, EGRET_ENDS_STEP) == EGRET_OK && !egret->sending && egret->steps == 1);
    CHECK(egret_end_step(egret, EGRET_ENDS_SEQUENCE) == EGRET_OK && egret->steps == 2);
    const struct egret_beat *sent = bench.core.sent;
    CHECK(sent[0].index == 0 && sent[0].value == most && !sent[0].last && !sent[0].user);
    CHECK(sent[1].index == inputs - 1 && sent[1].value == -most - 1 && sent[1].last && !sent[1].user);
    CHECK(sent[2].index == EGRET_NULL_INDEX && sent[2].last && sent[2].user);

    /* Several, of which one is wrong: none is sent. Room that ends. */
    struct egret_event events[] = {{0, 1}, {0, 2}, {inputs, 3}};
    size_t done = 0;
    bench.core.sent_count = 0;
    CHECK(egret_send_events(egret, events, 3, EGRET_ENDS_STEP, &done) == EGRET_INDEX);
    CHECK(done == 0 && bench.core.sent_count == 0);
    events[2].index = 0;
    CHECK(egret_send_events(egret, events, 3, EGRET_ENDS_STEP, NULL) == EGRET_ARGUMENT);
    CHECK(egret_send_events(egret, NULL, 3, EGRET_ENDS_STEP, &done) == EGRET_ARGUMENT);
    done = 4;
    CHECK(egret_send_events(egret, events, 3, EGRET_ENDS_STEP, &done) == EGRET_ARGUMENT);
    done = 0;
    bench.core.room = 1;
    CHECK(egret_send_events(egret, events, 3, EGRET_ENDS_STEP, &done) == EGRET_WAIT && done == 0);
    bench.core.room = STAND_IN_BEATS;
    CHECK(egret_send_events(egret, events, 3, EGRET_GOES_ON, &done) == EGRET_OK && done == 3 && egret->sending);
    for (enum egret_mark mark = EGRET_GOES_ON; mark <= EGRET_ENDS_SEQUENCE; mark++) /* what is all sent is sent once */
        CHECK(egret_send_events(egret, events, 3, mark, &done) == EGRET_OK && bench.core.sent_count == 3);
    done = 0;
    CHECK(egret_send_events(egret, NULL, 0, EGRET_GOES_ON, &done) == EGRET_OK && bench.core.sent_count == 3);
    CHECK(egret_send_events(egret, NULL, 0, EGRET_ENDS_STEP, &done) == EGRET_OK && bench.core.sent_count == 4);
    CHECK(bench.core.escaped == 0);

    /* A core as wide as a value is takes all of them. */
    bench.core.description[4] = (file->description[4] & ~0xFF0000u) | 32u << 16, egret->core.value_bits = 32;
    CHECK(egret_send(egret, 0, INT32_MIN, EGRET_GOES_ON) == EGRET_OK);
    CHECK(egret_send(egret, 0, INT32_MAX, EGRET_GOES_ON) == EGRET_OK && bench.core.escaped == 0);
}

/* A step is one call of the layer, and goes on where there was no more room. */
static void test_pieces(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    load_bench(&bench, file);
    const struct egret_event events[] = {{0, 1}, {1, 2}, {0, 3}, {1, 4}, {0, 5}};
    const struct egret_beat *sent = bench.core.sent;
    for (uint32_t room = 0; room <= 5; room++)
        for (enum egret_mark mark = EGRET_GOES_ON; mark <= EGRET_ENDS_SEQUENCE; mark++) {
            size_t done = 0;
            uint32_t calls = 0;
            CHECK(egret_reset(egret) == EGRET_OK);
            bench.core.takes_events = room, bench.core.sends = bench.core.sent_count = 0;
            for (;; calls++) {
                enum egret_result result = egret_send_events(egret, events, 5, mark, &done);
                CHECK(bench.core.sends == calls + 1 && bench.core.sent_count == done);
                if (result == EGRET_OK)
                    break;
                CHECK(result == EGRET_WAIT && done == (calls + 1) * room && egret->sending && egret->steps == 0);
            }
            CHECK(done == 5 && calls == (room ? 4 / room : 0));
            CHECK(egret->sending == (mark == EGRET_GOES_ON) && egret->steps == (mark != EGRET_GOES_ON));
            for (int k = 0; k < 5; k++)
                CHECK(sent[k].index == events[k].index && sent[k].value == events[k].value &&
                      sent[k].last == (k == 4 && mark != EGRET_GOES_ON) &&
                      sent[k].user == (k == 4 && mark == EGRET_ENDS_SEQUENCE));
        }

    /* No room for a beat without an event; a layer that says what cannot be. */
    size_t done = 0;
    CHECK(egret_reset(egret) == EGRET_OK);
    bench.core.takes_events = bench.core.room = 0;
    CHECK(egret_end_step(egret, EGRET_ENDS_STEP) == EGRET_WAIT && !egret->sending && egret->steps == 0);
    bench.core.room = STAND_IN_BEATS;
    CHECK(egret_end_step(egret, EGRET_ENDS_STEP) == EGRET_OK && egret->steps == 1);
    CHECK(egret_reset(egret) == EGRET_OK);
    bench.core.lies = true;
    CHECK(egret_send_events(egret, events, 5, EGRET_GOES_ON, &done) == EGRET_BUS && done == 5 && egret->sending);
    CHECK(egret_reset(egret) == EGRET_OK && bench.core.escaped == 0);
}

static void test_results(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    load_bench(&bench, file);
    const uint32_t count = egret->network.outputs;
    int32_t *outputs = malloc(count * sizeof *outputs); /* so that an output more is caught */
    CHECK(outputs);
    struct egret_step step;
    for (uint32_t k = 0; k < count; k++)
        outputs[k] = 77;
    CHECK(egret_receive(egret, outputs, count, &step) == EGRET_WAIT && outputs[0] == 77);
    CHECK(egret_receive(NULL, outputs, count, &step) == EGRET_ARGUMENT);
    CHECK(egret_receive(egret, NULL, count, &step) == EGRET_ARGUMENT);
    CHECK(egret_receive(egret, outputs, count - 1, &step) == EGRET_ROOM);

    CHECK(egret_send(egret, 1, 5, EGRET_ENDS_SEQUENCE) == EGRET_OK);
    CHECK(egret_receive(egret, outputs, count, &step) == EGRET_OK);
    CHECK(step.count == 1 && step.ends_sequence && egret->steps == 0);
    for (uint32_t k = 0; k < count; k++)
        CHECK(outputs[k] == (k == 1 % count ? 5 : 0));
    CHECK(egret_end_step(egret, EGRET_ENDS_STEP) == EGRET_OK);
    CHECK(egret_receive(egret, outputs, count, &step) == EGRET_OK && step.count == 0 && !step.ends_sequence);
    CHECK(outputs[1 % count] == 0);

    /* A core that sends what the network does not have. */
    for (uint32_t k = 0; k < count; k++)
        outputs[k] = 77;
    const uint32_t wrong[] = {count, 0x7FFFFFFF, 0x80000000, EGRET_NULL_INDEX};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        CHECK(egret_send(egret, 0, 5, EGRET_GOES_ON) == EGRET_OK);
        bench.core.wrong_index = wrong[k];
        CHECK(egret_send(egret, 0, 5, EGRET_ENDS_STEP) == EGRET_OK);
        bench.core.results[bench.core.first].index += wrong[k]; /* a null beat that ends nothing, too */
        CHECK(egret_receive(egret, outputs, count, &step) == EGRET_RESULT);
        bench.core.wrong_index = 0;
        CHECK(egret_reset(egret) == EGRET_OK && egret->steps == 0 && egret->received == 0);
    }
    bench.core.endless = true;
    bench.core.takes = 0;
    CHECK(egret_receive(egret, outputs, count, &step) == EGRET_RESULT && bench.core.takes == count + 1);
    bench.core.endless = false;
    CHECK(bench.core.escaped == 0);
    free(outputs);
}

static void test_steps(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    load_bench(&bench, file);
    const uint32_t count = egret->network.outputs;
    int32_t *outputs = malloc(count * sizeof *outputs);
    CHECK(outputs);
    const struct egret_event events[] = {{0, 3}, {1, 4}, {0, 6}};
    struct egret_step step;
    bench.core.late = POLLS / 2;
    for (enum egret_mark mark = EGRET_ENDS_STEP; mark <= EGRET_ENDS_SEQUENCE; mark++) {
        CHECK(egret_run_step(egret, events, 2, mark, outputs, count, &step) == EGRET_OK);
        CHECK(step.count == 2 && step.ends_sequence == (mark == EGRET_ENDS_SEQUENCE) && outputs[1] == 4);
    }
    CHECK(egret_run_step(egret, NULL, 0, EGRET_ENDS_STEP, outputs, count, NULL) == EGRET_OK && outputs[0] == 0);
    CHECK(egret_run_step(egret, events, 2, EGRET_GOES_ON, outputs, count, NULL) == EGRET_ARGUMENT);
    CHECK(egret_run_step(egret, NULL, 2, EGRET_ENDS_STEP, outputs, count, NULL) == EGRET_ARGUMENT);
    CHECK(egret_run_step(egret, events, 2, EGRET_ENDS_STEP, NULL, count, NULL) == EGRET_ARGUMENT);
    CHECK(egret_run_step(NULL, events, 2, EGRET_ENDS_STEP, outputs, count, NULL) == EGRET_ARGUMENT);
    CHECK(egret_run_step(egret, events, 2, EGRET_ENDS_STEP, outputs, count - 1, NULL) == EGRET_ROOM);
    CHECK(egret->steps == 0 && !egret->sending);

    /* Behind events that were sent; not behind a step. */
    CHECK(egret_send(egret, 1, 9, EGRET_GOES_ON) == EGRET_OK);
    CHECK(egret_run_step(egret, events, 1, EGRET_ENDS_STEP, outputs, count, &step) == EGRET_OK);
    CHECK(step.count == 2 && outputs[0] == 3 && outputs[1] == 9);
    CHECK(egret_end_step(egret, EGRET_ENDS_STEP) == EGRET_OK);
    CHECK(egret_run_step(egret, events, 1, EGRET_ENDS_STEP, outputs, count, &step) == EGRET_BUSY);
    CHECK(egret_receive(egret, outputs, count, NULL) == EGRET_WAIT);

    /* A core that does not answer, has no room, or meets an error: an end, soon. */
    CHECK(egret_reset(egret) == EGRET_OK);
    bench.core.late = 2 * POLLS, bench.core.takes = 0;
    CHECK(egret_run_step(egret, events, 1, EGRET_ENDS_STEP, outputs, count, &step) == EGRET_TIMEOUT);
    CHECK(bench.core.takes == POLLS + 1); /* the first time an event was sent */
    CHECK(egret_reset(egret) == EGRET_OK);
    bench.core.takes = 0;
    CHECK(egret_run_step(egret, NULL, 0, EGRET_ENDS_STEP, outputs, count, &step) == EGRET_TIMEOUT);
    CHECK(bench.core.takes == POLLS + 1); /* or the end of the step */
    bench.core.late = 0;
    CHECK(egret_reset(egret) == EGRET_OK);
    bench.core.room = 0;
    CHECK(egret_run_step(egret, events, 1, EGRET_ENDS_STEP, outputs, count, &step) == EGRET_TIMEOUT);
    bench.core.room = STAND_IN_BEATS;
    bench.core.error = EGRET_ERROR_LIST_READ;
    CHECK(egret_run_step(egret, events, 1, EGRET_ENDS_STEP, outputs, count, &step) == EGRET_FAULT);
    CHECK(egret_clear_fault(egret) == EGRET_OK && bench.core.error == 0);
    CHECK(egret_run_step(egret, events, 1, EGRET_ENDS_STEP, outputs, count, &step) == EGRET_OK);
    CHECK(bench.core.escaped == 0);
    free(outputs);
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

static void test_states(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    open_bench(&bench, file);
    struct egret_state none;
    CHECK(egret_read_states(egret, file->words, file->count, &none, 1) == EGRET_NETWORK);
    load_bench(&bench, file);
    const uint32_t count = egret->network.units;
    struct egret_state *states = malloc(count * sizeof *states), *read = malloc(count * sizeof *read);
    CHECK(states && read);
    for (uint32_t k = 0; k < count; k++)
        states[k] = (struct egret_state){(int16_t)(k % 3 ? -(int)k : (int)k + 1), false};
    CHECK(egret_restore_states(egret, file->words, file->count, states, count) == EGRET_OK && !egret->sending);
    CHECK(egret_read_states(egret, file->words, file->count, read, count) == EGRET_OK);
    for (uint32_t k = 0; k < count; k++)
        CHECK(read[k].h == states[k].h && read[k].fires == states[k].fires);

    CHECK(egret_read_states(NULL, file->words, file->count, read, count) == EGRET_ARGUMENT);
    CHECK(egret_read_states(egret, NULL, file->count, read, count) == EGRET_ARGUMENT);
    CHECK(egret_read_states(egret, file->words, file->count, NULL, count) == EGRET_ARGUMENT);
    CHECK(egret_read_states(egret, file->words, file->count, read, count - 1) == EGRET_ROOM);
    CHECK(egret_restore_states(egret, file->words, file->count, states, count - 1) == EGRET_ROOM);

    /* A state that no unit can have; nothing is done. */
    uint32_t accesses = bench.core.accesses;
    states[0] = (struct egret_state){0, true};
    CHECK(egret_restore_states(egret, file->words, file->count, states, count) == EGRET_VALUE);
    states[0] = (struct egret_state){-5, true};
    CHECK(egret_restore_states(egret, file->words, file->count, states, count) == EGRET_VALUE);
    CHECK(bench.core.accesses == accesses);

    /* What units sent last follows, beat by beat, and no step may be read or begun as if there were none. */
    for (uint32_t k = 0; k < count; k++)
        states[k] = (struct egret_state){1, k == 0};
    bench.core.sent_count = 0;
    enum egret_result result = egret_restore_states(egret, file->words, file->count, states, count);
    CHECK(result == EGRET_OK && bench.core.sent_count <= 1 && egret->sending == (bench.core.sent_count == 1));
    if (egret->sending) {
        CHECK(bench.core.sent[0].index == (0x80000000u | egret->network.inputs));
        CHECK(egret_read_states(egret, file->words, file->count, read, count) == EGRET_BUSY);
    }
    CHECK(egret_reset(egret) == EGRET_OK);

    /* Another image: of another length, with another checksum, with other words behind the check. */
    uint32_t *words = copy_of(file);
    CHECK(egret_read_states(egret, words, file->count - 1, read, count) == EGRET_IMAGE_OTHER);
    CHECK(egret_read_states(egret, words, 0, read, count) == EGRET_IMAGE_OTHER);
    words[file->count - 1] ^= 1;
    CHECK(egret_read_states(egret, words, file->count, read, count) == EGRET_IMAGE_OTHER);
    words[file->count - 1] ^= 1;
    for (size_t at = egret->network.units_at; at < file->count; at++) {
        uint32_t before = words[at];
        words[at] = ~before;
        CHECK(egret_reset(egret) == EGRET_OK);
        result = egret_read_states(egret, words, file->count, read, count);
        CHECK(result == EGRET_OK || result == EGRET_IMAGE_OTHER);
        result = egret_restore_states(egret, words, file->count, states, count);
        CHECK(result == EGRET_OK || result == EGRET_IMAGE_OTHER || result == EGRET_VALUE);
        words[at] = before;
    }
    CHECK(bench.core.escaped == 0);
    free(words);
    free(states);
    free(read);
}

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

static void test_readings(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    load_bench(&bench, file);
    uint32_t number, causes;
    uint64_t value;
    const uint32_t groups = egret->core.layers + 1u, lanes = egret->core.lanes;
    uint32_t expected = 0;
    for (enum egret_counter kind = EGRET_CYCLES; kind < EGRET_LANE_BUSY; kind++) {
        uint32_t most = kind < EGRET_EVENTS ? 1 : groups;
        for (uint32_t which = 0; which < most; which++, expected++)
            CHECK(egret_counter_number(egret, kind, which, &number) == EGRET_OK && number == expected);
        CHECK(egret_counter_number(egret, kind, most, &number) == EGRET_ARGUMENT);
    }
    for (uint32_t lane = 0; lane < lanes; lane++)
        for (enum egret_counter kind = EGRET_LANE_BUSY; kind <= EGRET_LANE_DRAIN; kind++, expected++)
            CHECK(egret_counter_number(egret, kind, lane, &number) == EGRET_OK && number == expected);
    CHECK(expected == egret->core.counters);
    CHECK(egret_counter_number(egret, EGRET_LANE_BUSY, lanes, &number) == EGRET_ARGUMENT);
    CHECK(egret_counter_number(egret, (enum egret_counter)(EGRET_LANE_DRAIN + 1), 0, &number) == EGRET_ARGUMENT);
    CHECK(egret_counter_number(egret, EGRET_CYCLES, 0, NULL) == EGRET_ARGUMENT);
    CHECK(egret_read_counter(egret, 3, &value) == EGRET_OK && value == ((uint64_t)3 << 32) + 1003);
    CHECK(egret_read_counter(egret, egret->core.counters, &value) == EGRET_ARGUMENT);
    CHECK(egret_read_counter(egret, UINT32_MAX, &value) == EGRET_ARGUMENT);
    CHECK(egret_read_counter(egret, 0, NULL) == EGRET_ARGUMENT);
    CHECK(egret_clear_counters(egret) == EGRET_OK && egret_clear_counters(NULL) == EGRET_ARGUMENT);
    egret->core.counters = 0;
    CHECK(egret_read_counter(egret, 0, &value) == EGRET_ABSENT);
    CHECK(egret_counter_number(egret, EGRET_CYCLES, 0, &number) == EGRET_ABSENT);

    struct egret_event best;
    CHECK(egret_read_best(egret, &best) == EGRET_OK && best.index == EGRET_NULL_INDEX && best.value == 0);
    bench.core.best_index = 0x80000000u | (egret->network.outputs - 1), bench.core.best_value = (uint32_t)-7;
    CHECK(egret_read_best(egret, &best) == EGRET_OK && best.index == egret->network.outputs - 1 && best.value == -7);
    bench.core.best_index++;
    CHECK(egret_read_best(egret, &best) == EGRET_RESULT);
    CHECK(egret_read_best(NULL, &best) == EGRET_ARGUMENT && egret_read_best(egret, NULL) == EGRET_ARGUMENT);

    /* Only the largest value: between steps; other bits of the register stay as they are. */
    CHECK(egret_set_best_only(egret, true) == EGRET_OK && bench.core.control == 0x100);
    CHECK(egret_clear_fault(egret) == EGRET_OK && bench.core.control == 0x100);
    CHECK(egret_send(egret, 0, 1, EGRET_GOES_ON) == EGRET_OK && egret_set_best_only(egret, false) == EGRET_BUSY);
    CHECK(egret_reset(egret) == EGRET_OK && bench.core.control == 0x100);
    CHECK(egret_set_best_only(egret, false) == EGRET_OK && bench.core.control == 0);
    CHECK(egret_set_best_only(NULL, true) == EGRET_ARGUMENT);

    bool idle;
    CHECK(egret_read_idle(egret, &idle) == EGRET_OK && idle);
    CHECK(egret_end_step(egret, EGRET_ENDS_STEP) == EGRET_OK && egret_read_idle(egret, &idle) == EGRET_OK && !idle);
    CHECK(egret_read_interrupts(egret, &causes) == EGRET_OK && causes == EGRET_INTERRUPT_STEP);
    CHECK(egret_acknowledge_interrupts(egret, EGRET_INTERRUPT_STEP) == EGRET_OK);
    CHECK(egret_read_interrupts(egret, &causes) == EGRET_OK && causes == 0);
    CHECK(egret_enable_interrupts(egret, EGRET_INTERRUPT_STEP | EGRET_INTERRUPT_ERROR) == EGRET_OK);
    CHECK(bench.core.enable == 3);
    CHECK(egret_enable_interrupts(egret, 4) == EGRET_ARGUMENT && egret_acknowledge_interrupts(egret, 8) == EGRET_ARGUMENT);
    bench.core.error = EGRET_ERROR_INDEX, bench.core.detail = 99;
    struct egret_fault fault;
    CHECK(egret_read_fault(egret, &fault) == EGRET_OK && fault.error == EGRET_ERROR_INDEX && fault.detail == 99);
    CHECK(egret_clear_fault(egret) == EGRET_OK && egret_read_fault(egret, &fault) == EGRET_OK);
    CHECK(fault.error == EGRET_ERROR_NONE);
    CHECK(bench.core.escaped == 0);
}

/* Every function, on a bus that fails at every access. */
static void test_bus(const struct file *file)
{
    struct bench bench;
    struct egret *egret = &bench.egret;
    int32_t *outputs = malloc(65536 * sizeof *outputs);
    struct egret_state *states = calloc(65536, sizeof *states);
    CHECK(outputs && states);
    for (int call = 0; call < 12; call++)
        for (uint32_t access = 1; access < 4000; access++) {
            load_bench(&bench, file);
            bench.core.accesses = 0, bench.core.fails_at = access;
            const struct egret_event event = {0, 1};
            struct egret_event best;
            struct egret_fault fault;
            uint64_t value;
            uint32_t causes;
            bool idle;
            enum egret_result result =
                call == 0    ? egret_reset(egret)
                : call == 1  ? egret_run_step(egret, &event, 1, EGRET_ENDS_STEP, outputs, 65536, NULL)
                : call == 2  ? egret_read_states(egret, file->words, file->count, states, 65536)
                : call == 3  ? egret_restore_states(egret, file->words, file->count, states, 65536)
                : call == 4  ? egret_read_best(egret, &best)
                : call == 5  ? egret_read_counter(egret, 0, &value)
                : call == 6  ? egret_read_fault(egret, &fault)
                : call == 7  ? egret_clear_fault(egret)
                : call == 8  ? egret_read_idle(egret, &idle)
                : call == 9  ? egret_read_interrupts(egret, &causes)
                : call == 10 ? egret_enable_interrupts(egret, 1)
                             : egret_set_best_only(egret, true);
            if (bench.core.accesses < access) { /* it was over before */
                CHECK(result == EGRET_OK && access > 1);
                break;
            }
            CHECK(result == EGRET_BUS);
        }
    free(outputs);
    free(states);
}

static void test_texts(void)
{
    for (int k = -1; k <= EGRET_RESULT_COUNT; k++) {
        const char *text = egret_result_text((enum egret_result)k);
        CHECK(text && strlen(text) > 3);
        for (int other = 0; other < k; other++)
            CHECK(k == EGRET_RESULT_COUNT || strcmp(text, egret_result_text((enum egret_result)other)));
    }
    for (int k = -1; k <= EGRET_ERROR_COUNT; k++)
        CHECK(strlen(egret_error_text((enum egret_error)k)) > 3);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    struct file files[2] = {read_file(argv[1]), read_file(argv[2])};
    test_texts();
    test_window(&files[0], &files[1]);
    for (int k = 0; k < 2; k++) {
        test_init(&files[k]);
        test_damage(&files[k]);
        test_records(&files[k]);
        test_ranges(&files[k]);
        test_splits(&files[k]);
        test_capacities(&files[k]);
        test_places(&files[k]);
        test_readout_alone(&files[k]);
        test_load(&files[k]);
        test_events(&files[k]);
        test_pieces(&files[k]);
        test_results(&files[k]);
        test_steps(&files[k]);
        test_states(&files[k]);
        test_readings(&files[k]);
        test_bus(&files[k]);
        free(files[k].words);
    }
    printf("%llu checks\n", (unsigned long long)checks);
    return 0;
}

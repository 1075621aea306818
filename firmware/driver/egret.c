/* Identity, reset and loading of a core. */
#include "egret_internal.h"

enum { RESULTS_MAX = 65536 }; /* that may be under way when a core is reset; more come from none */

/* ---- Identity ---------------------------------------------------------------------------------------------------- */

/* Registers that tell what a core can hold. */
enum { CONFIG_ID, LANES, ROWS, ENTRIES, WIDTHS, LISTS, COUNTER_SELECT, CAPACITIES };
static const uint8_t capacities[CAPACITIES] = {
    [CONFIG_ID] = EGRET_ADDRESS(CONFIG_ID),
    [LANES] = EGRET_ADDRESS(LANES),
    [ROWS] = EGRET_ADDRESS(ROWS),
    [ENTRIES] = EGRET_ADDRESS(ENTRIES),
    [WIDTHS] = EGRET_ADDRESS(WIDTHS),
    [LISTS] = EGRET_ADDRESS(LISTS),
    [COUNTER_SELECT] = EGRET_ADDRESS(COUNTER_SELECT),
};

/* Read what the core can hold; what no core can hold would lead astray whoever computes with it. */
static enum egret_result read_core(struct egret *egret)
{
    struct egret_core *core = &egret->core;
    uint32_t word[CAPACITIES];
    for (int k = 0; k < CAPACITIES; k++)
        if (egret_get(egret, capacities[k], &word[k]))
            return EGRET_BUS;
    uint32_t lanes = word[LANES], rows = word[ROWS], widths = word[WIDTHS];
    core->config_id = word[CONFIG_ID];
    core->entries = word[ENTRIES];
    core->lanes = (uint8_t)EGRET_FIELD(lanes, LANES, LANES);
    core->cell_units = (uint8_t)EGRET_FIELD(lanes, LANES, CELL_UNITS);
    core->layers = (uint8_t)EGRET_FIELD(lanes, LANES, LAYERS);
    core->rows = EGRET_FIELD(rows, ROWS, ROWS);
    core->sources = EGRET_FIELD(rows, ROWS, SOURCES);
    core->value_bits = (uint8_t)EGRET_FIELD(widths, WIDTHS, VALUE_BITS);
    core->y_bits = (uint8_t)EGRET_FIELD(widths, WIDTHS, Y_BITS);
    core->acc_bits = (uint8_t)EGRET_FIELD(widths, WIDTHS, ACC_BITS);
    core->lists = EGRET_FIELD(word[LISTS], LISTS, LISTS);
    core->counters = (uint16_t)EGRET_FIELD(word[COUNTER_SELECT], COUNTER_SELECT, COUNT);
    if (core->cell_units == 0 || core->lanes == 0 || core->layers == 0 || core->layers > EGRET_LAYERS_MAX)
        return EGRET_CORE;
    uint32_t shared = 0, lanes_per_cell = 0;
    for (; shared < core->lanes; lanes_per_cell++) /* RV32I does not divide */
        shared += core->cell_units;
    core->lanes_per_cell = (uint8_t)lanes_per_cell;
    core->lane_bits = 0;
    while (1u << core->lane_bits < lanes_per_cell)
        core->lane_bits++;
    bool has_addresses = core->rows << core->lane_bits <= EGRET_MASK(STATE_SELECT, UNIT) + 1;
    bool has_widths = core->value_bits <= 32 && core->y_bits >= 1 && core->y_bits <= 16 &&
                      core->y_bits < core->value_bits;
    return shared == core->lanes && has_addresses && has_widths ? EGRET_OK : EGRET_CORE;
}

enum egret_result egret_init(struct egret *egret, const struct egret_port *port, uint32_t polls)
{
    if (!egret || !port || !egret_port_is_whole(port) || polls == 0)
        return EGRET_ARGUMENT;
    egret->port = *port;
    egret->polls = polls;
    egret->window_beats = egret->steps = egret->received = 0;
    egret->loaded = egret->sending = false;
    uint32_t magic, version;
    if (egret_get(egret, EGRET_ADDRESS(MAGIC), &magic) || egret_get(egret, EGRET_ADDRESS(VERSION), &version))
        return EGRET_BUS;
    if (magic != EGRET__MAGIC__VALUE_reset)
        return EGRET_CORE;
    if (EGRET_FIELD(version, VERSION, REGISTERS) != EGRET__VERSION__REGISTERS_reset)
        return EGRET_VERSION;
    return read_core(egret);
}

/* ---- Reset ------------------------------------------------------------------------------------------------------- */

enum egret_result egret_reset(struct egret *egret)
{
    if (!egret)
        return EGRET_ARGUMENT;
    /* Twice: a beat that the layer held enters behind the first. */
    for (int time = 0; time < 2; time++)
        if (egret_control(egret, 0, EGRET_MASK(CONTROL, RESET)))
            return EGRET_BUS;
    egret->steps = egret->received = 0;
    egret->sending = false;
    /* Results that are still there are to be taken before the core is idle. */
    for (uint32_t polls = egret->polls, left = RESULTS_MAX; polls && left;) {
        bool idle;
        struct egret_beat beat;
        if (egret_read_idle(egret, &idle))
            return EGRET_BUS;
        enum egret_result result = egret_get_beat(egret, &beat);
        if (result == EGRET_OK)
            left--;
        else if (result == EGRET_BUS || idle)
            return result == EGRET_BUS ? EGRET_BUS : EGRET_OK;
        else
            polls--;
    }
    return EGRET_TIMEOUT;
}

/* ---- Networks ---------------------------------------------------------------------------------------------------- */

enum egret_result egret_set_window(struct egret *egret, uint32_t base, uint32_t beats)
{
    if (!egret)
        return EGRET_ARGUMENT;
    if (!egret->core.lists)
        return EGRET_ABSENT;
    uint32_t last = base + (beats * EGRET_BEAT_BYTES - 1); /* byte of the window; wraps beyond 4 GiB */
    if (base % EGRET_PAGE_BYTES || beats == 0 || beats > EGRET_MASK(LIST_SIZE, SIZE) || last < base)
        return EGRET_WINDOW;
    enum egret_result result = egret_check_idle(egret);
    if (result != EGRET_OK)
        return result;
    egret->window_beats = 0;
    egret->loaded = false; /* its lists were in the window before */
    if (egret_put(egret, EGRET_ADDRESS(LIST_BASE), base) || egret_put(egret, EGRET_ADDRESS(LIST_SIZE), beats))
        return EGRET_BUS;
    egret->window_beats = beats;
    return EGRET_OK;
}

enum egret_result egret_load(struct egret *egret, const uint32_t *words, size_t count, size_t *where)
{
    if (!egret)
        return EGRET_ARGUMENT;
    struct egret_network network; /* apart: the network that is loaded stays if this one is refused */
    enum egret_result result = egret_check_image(&egret->core, words, count, &network, where);
    if (result != EGRET_OK)
        return result;
    if (network.list_beats > egret->window_beats)
        return EGRET_WINDOW;
    egret->loaded = false;
    result = egret_reset(egret);
    if (result != EGRET_OK)
        return result;
    if (egret_put_words(egret, EGRET_ADDRESS(LOAD_DATA), words, count))
        return EGRET_BUS;
    const uint32_t wanted = EGRET_MASK(STATUS, LOADED) | EGRET_MASK(STATUS, IDLE);
    for (uint32_t polls = egret->polls; polls; polls--) {
        uint32_t status;
        if (egret_get(egret, EGRET_ADDRESS(STATUS), &status))
            return EGRET_BUS;
        if (status & EGRET_MASK(STATUS, ERROR))
            return EGRET_FAULT;
        if ((status & wanted) == wanted) {
            egret->network = network;
            egret->loaded = true;
            return EGRET_OK;
        }
    }
    return EGRET_TIMEOUT;
}

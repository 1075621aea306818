#include "stand_in.h"

#include "egret_registers.h"

#include <string.h>

#define AT(name) offsetof(egret_t, name)

enum { BEGIN = 1, NETWORK, LAYER, STATE = 12, END = 15, MARKS_RESTORED = 31 };
enum { LOAD_CONFIG = 6, LOAD_CHECKSUM = 10 };

static void core_reset(struct stand_in *core)
{
    core->resets++;
    core->error = core->detail = core->count = core->ready = core->begun = core->left = core->header = 0;
    core->waits = 0;
    memset(core->states, 0, sizeof core->states);
}

void stand_in_init(struct stand_in *core, const uint32_t description[STAND_IN_DESCRIPTION])
{
    memset(core, 0, sizeof *core);
    memcpy(core->description, description, sizeof core->description);
    core->magic = EGRET__MAGIC__VALUE_reset;
    core->version = 2u << 16 | EGRET__VERSION__REGISTERS_reset;
    core->room = STAND_IN_BEATS;
    core->best_index = 0;
}

/* ---- Loader ------------------------------------------------------------------------------------------------------ */

static uint32_t crc_of(uint32_t crc, uint32_t word)
{
    for (int byte = 0; byte < 4; byte++) {
        crc ^= word >> 8 * byte & 0xFF;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return crc;
}

static void load_data(struct stand_in *core, uint32_t kind, uint32_t word)
{
    if (kind == BEGIN && core->place == 0) {
        core->loaded = false;
        core->inputs = core->outputs = core->units = 0;
    }
    if (kind == BEGIN && core->place == 2 && (word != core->description[0] || core->refuses))
        core->error = LOAD_CONFIG, core->detail = word;
    if (kind == NETWORK && core->place == 0)
        core->inputs = word;
    if (kind == NETWORK && core->place == 5)
        core->outputs = word;
    if (kind == LAYER && core->place == 2)
        core->units += word >> 16;
    if (kind == STATE)
        core->states[(core->address + ((core->header >> 16 & 0xFF) << 8)) % STAND_IN_STATES] = word;
    if (kind == END) {
        core->loaded = word == ~core->crc;
        if (!core->loaded)
            core->error = LOAD_CHECKSUM, core->detail = ~core->crc;
    }
}

static void load(struct stand_in *core, uint32_t word)
{
    core->loads++;
    if (core->error)
        return;
    uint32_t kind = (core->left || core->header ? core->header : word) >> 24;
    if (!core->header) {
        if (kind == BEGIN)
            core->crc = UINT32_MAX;
        core->header = word;
        core->place = UINT32_MAX;
        core->left = word & 0xFFFF;
    } else if (core->place == UINT32_MAX) {
        core->address = word;
        core->place = 0;
    } else {
        load_data(core, kind, word);
        core->place++;
        if (--core->left == 0)
            core->header = 0;
    }
    if (kind != END && kind != STATE)
        core->crc = crc_of(core->crc, word);
}

/* ---- Registers --------------------------------------------------------------------------------------------------- */

static bool access_fails(struct stand_in *core)
{
    return ++core->accesses == core->fails_at;
}

enum egret_result stand_in_read(void *context, uint32_t address, uint32_t *word)
{
    struct stand_in *core = context;
    if (access_fails(core))
        return EGRET_BUS;
    switch (address) {
    case AT(MAGIC): *word = core->magic; break;
    case AT(VERSION): *word = core->version; break;
    case AT(CONFIG_ID): *word = core->description[0]; break;
    case AT(LANES): *word = core->description[1]; break;
    case AT(ROWS): *word = core->description[2]; break;
    case AT(ENTRIES): *word = core->description[3]; break;
    case AT(WIDTHS): *word = core->description[4]; break;
    case AT(LISTS): *word = core->description[5]; break;
    case AT(COUNTER_SELECT): *word = (core->description[6] & 0xFFFF0000u) | core->counter_select; break;
    case AT(CONTROL): *word = core->control; break;
    case AT(STATUS):
        *word = (uint32_t)core->loaded | (uint32_t)(core->count == 0 && !core->begun && !core->silent) << 1 |
                (uint32_t)(core->error != 0) << 2;
        break;
    case AT(ERROR): *word = core->error; break;
    case AT(ERROR_DETAIL): *word = core->detail; break;
    case AT(STATE_DATA):
        *word = core->states[((core->state_select & 0x3FFFF) + (core->state_select >> 24 << 8)) % STAND_IN_STATES];
        break;
    case AT(COUNTER_LOW): *word = 1000 + core->counter_select; break;
    case AT(COUNTER_HIGH): *word = core->counter_select; break;
    case AT(BEST_INDEX): *word = core->best_index; break;
    case AT(BEST_VALUE): *word = core->best_value; break;
    case AT(INTERRUPT_PENDING):
        *word = core->pending | (uint32_t)(core->error != 0) << 1;
        break;
    case AT(INTERRUPT_ENABLE): *word = core->enable; break;
    case AT(LIST_BASE): *word = core->list_base; break;
    case AT(LIST_SIZE): *word = core->list_size; break;
    default: core->escaped++; return EGRET_BUS;
    }
    return EGRET_OK;
}

enum egret_result stand_in_write(void *context, uint32_t address, uint32_t word)
{
    struct stand_in *core = context;
    if (access_fails(core))
        return EGRET_BUS;
    core->writes++;
    switch (address) {
    case AT(CONTROL):
        if (word & EGRET__CONTROL__RESET_bm)
            core_reset(core);
        if (word & EGRET__CONTROL__CLEAR_ERROR_bm)
            core->error = 0;
        core->control = word & EGRET__CONTROL__ARGMAX_ONLY_bm;
        break;
    case AT(LOAD_DATA): load(core, word); break;
    case AT(STATE_SELECT): core->state_select = word; break;
    case AT(COUNTER_SELECT): core->counter_select = word & 0xFFFF; break;
    case AT(INTERRUPT_PENDING): core->pending &= ~word; break;
    case AT(INTERRUPT_ENABLE): core->enable = word; break;
    case AT(LIST_BASE): core->list_base = word; break;
    case AT(LIST_SIZE): core->list_size = word; break;
    default: core->escaped++; return EGRET_BUS;
    }
    return EGRET_OK;
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

bool stand_in_allows(const struct stand_in *core, const struct egret_event *events, size_t count, enum egret_mark mark)
{
    const int32_t most = INT32_MAX >> (32 - (core->description[4] >> 16 & 0xFF));
    if ((unsigned)mark > EGRET_ENDS_SEQUENCE || (count == 0 && mark == EGRET_GOES_ON))
        return false;
    for (const struct egret_event *event = events, *end = count ? events + count : events; event != end; event++) {
        const uint32_t source = event->index & 0x7FFFFFFF;
        const bool restores = event->index >> MARKS_RESTORED, fits = event->value >= -most - 1 && event->value <= most;
        if (!fits || (!restores && event->index >= core->inputs))
            return false;
        if (restores && (source < core->inputs || source >= core->inputs + core->units || event->value <= 0 ||
                         count > 1 || mark != EGRET_GOES_ON))
            return false;
    }
    return true;
}

static void answer(struct stand_in *core, struct egret_beat beat)
{
    if (core->count < STAND_IN_BEATS)
        core->results[(core->first + core->count++) % STAND_IN_BEATS] = beat;
}

static void accept(struct stand_in *core, struct egret_beat beat)
{
    core->sent[core->sent_count++ % STAND_IN_BEATS] = beat;
    if (beat.index < core->inputs && core->outputs) {
        answer(core, (struct egret_beat){beat.index % core->outputs + core->wrong_index, beat.value, false, false});
        core->begun++;
    }
    if (beat.last && !core->silent) {
        if (core->begun == 0)
            answer(core, (struct egret_beat){EGRET_NULL_INDEX, 0, true, beat.user});
        struct egret_beat *last = &core->results[(core->first + core->count - 1) % STAND_IN_BEATS];
        last->last = true;
        last->user = beat.user;
        core->begun = 0;
        core->ready = core->count;
        core->pending |= 1;
    }
}

enum egret_result stand_in_send(void *context, const struct egret_event *events, size_t count, enum egret_mark mark,
                                size_t *sent)
{
    static const struct egret_event none = {EGRET_NULL_INDEX, 0};
    struct stand_in *core = context;
    core->sends++;
    core->escaped += !core->loaded || !stand_in_allows(core, events, count, mark) || *sent != 0;
    const struct egret_event *event = count ? events : &none;
    for (size_t left = count ? count : 1; left; left--, event++) {
        if (core->ready >= core->room || (core->takes_events && *sent == core->takes_events))
            return EGRET_WAIT;
        const bool is_last = left == 1;
        accept(core, (struct egret_beat){event->index, event->value, is_last && mark != EGRET_GOES_ON,
                                         is_last && mark == EGRET_ENDS_SEQUENCE});
        *sent += count > 0;
    }
    return core->lies ? EGRET_WAIT : EGRET_OK;
}

enum egret_result stand_in_take(void *context, struct egret_beat *beat)
{
    struct stand_in *core = context;
    core->takes++;
    if (core->endless) {
        *beat = (struct egret_beat){0, 1, false, false};
        return EGRET_OK;
    }
    if (core->ready == 0 || core->silent || core->waits++ < core->late)
        return EGRET_WAIT;
    core->waits = 0;
    *beat = core->results[core->first];
    core->first = (core->first + 1) % STAND_IN_BEATS;
    core->count--;
    core->ready--;
    return EGRET_OK;
}

struct egret_port stand_in_port(struct stand_in *core)
{
#ifdef EGRET_PORT_HEADER
    return (struct egret_port){.context = core};
#else
    return (struct egret_port){core, stand_in_read, stand_in_write, stand_in_send, stand_in_take};
#endif
}

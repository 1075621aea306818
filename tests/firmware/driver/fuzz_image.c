/* Fuzz target: a core's description and a memory image for it, both out of the input.
 *
 * Input: a byte of choices; 7 words of description; the words of the image. Choices: 1 makes the end of the image and its
 * checksum right, 2 the image's identity the core's; without them hardly an input would come past the first checks. */
#include "fuzz.h"
#include "stand_in.h"

#include <string.h>

enum { POLLS = 8, FIX_END = 1, FIX_CONFIG = 2, CONFIG_AT = 4, OUTPUTS_MAX = 65535 };

static uint32_t crc32(const uint32_t *words, size_t count)
{
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t k = 0; k < 256; k++) {
            uint32_t crc = k;
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
            table[k] = crc;
        }
    uint32_t crc = UINT32_MAX;
    for (size_t k = 0; k < count; k++)
        for (int byte = 0; byte < 4; byte++)
            crc = crc >> 8 ^ table[(crc ^ words[k] >> 8 * byte) & 0xFF];
    return ~crc;
}

/* What everyone may rely on once a network is accepted. */
static void check_network(const struct egret_core *core, const struct egret_network *network, size_t count)
{
    uint32_t rows = 0, units = 0;
    REQUIRE(network->layers >= 1 && network->layers <= core->layers && network->layers <= EGRET_LAYERS_MAX);
    for (uint32_t l = 0; l < network->layers; l++) {
        const struct egret_layer *layer = &network->layer[l];
        REQUIRE(layer->base == rows && layer->rows > 0 && layer->units > 0);
        rows += layer->rows;
        if (l + network->readout < network->layers) {
            REQUIRE(layer->source == network->inputs + units);
            units += layer->units;
        }
    }
    REQUIRE(rows == network->rows && rows <= core->rows);
    REQUIRE(units == network->units && network->inputs + units <= core->sources && network->inputs > 0);
    REQUIRE(network->outputs == network->layer[network->layers - 1].units);
    REQUIRE(network->list_beats < 1u << 24 && (core->lists || network->list_beats == 0));
    REQUIRE(network->units_at < count);
}

/* An accepted image is one that a core accepts; what is done with it stays within its network. */
static void use(struct egret *egret, struct stand_in *core, const uint32_t *words, size_t count)
{
    const struct egret_event event = {egret->network.inputs - 1, 1};
    int32_t *outputs = malloc(egret->network.outputs * sizeof *outputs);
    struct egret_state *states = malloc(egret->network.units * sizeof *states);
    REQUIRE(outputs && states);
    REQUIRE(core->loaded && core->loads == count);
    REQUIRE(egret_run_step(egret, &event, 1, EGRET_ENDS_STEP, outputs, egret->network.outputs, NULL) == EGRET_OK);
    REQUIRE(egret_read_states(egret, words, count, states, egret->network.units) == EGRET_OK);
    REQUIRE(core->escaped == 0);
    free(outputs);
    free(states);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stand_in core; /* large */
    uint32_t description[STAND_IN_DESCRIPTION];
    if (size < 1 + sizeof description)
        return 0;
    const uint8_t choices = data[0];
    memcpy(description, data + 1, sizeof description);
    const size_t count = (size - 1 - sizeof description) / sizeof(uint32_t);
    uint32_t *words = malloc(count * sizeof *words + 1); /* of its own, so that a word read behind its end is caught */
    REQUIRE(words);
    memcpy(words, data + 1 + sizeof description, count * sizeof *words);
    if (choices & FIX_CONFIG && count > CONFIG_AT)
        description[0] = words[CONFIG_AT];
    if (choices & FIX_END && count >= 3) {
        words[count - 3] = 15u << 24 | 1;
        words[count - 2] = 0;
        words[count - 1] = crc32(words, count - 3);
    }

    struct egret egret;
    struct egret_network network;
    size_t where;
    stand_in_init(&core, description);
    const struct egret_port port = stand_in_port(&core);
    if (egret_init(&egret, &port, POLLS) == EGRET_OK) {
        enum egret_result result = egret_check_image(&egret.core, words, count, &network, &where);
        REQUIRE(where <= count && core.writes == 0);
        REQUIRE(result == EGRET_OK || (result >= EGRET_IMAGE_BEGIN && result < EGRET_IMAGE_OTHER));
        if (result == EGRET_OK) {
            check_network(&egret.core, &network, count);
            if (egret.core.lists)
                REQUIRE(egret_set_window(&egret, 0, 1 << 24) == EGRET_OK);
            REQUIRE(egret_load(&egret, words, count, NULL) == EGRET_OK);
            use(&egret, &core, words, count);
        } else {
            REQUIRE(egret_load(&egret, words, count, NULL) == result && core.writes == 0);
        }
    }
    free(words);
    return 0;
}

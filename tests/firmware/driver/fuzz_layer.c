/* Fuzz target: a program that calls the driver with any arguments, in front of a core that answers anything.
 *
 * The network is that of the file that EGRET_FUZZ_NETWORK names: 7 words of a core's description, and an image. The input
 * chooses the calls, and is what the hardware layer answers. */
#include "fuzz.h"
#include "stand_in.h"

#include <string.h>

enum { POLLS = 8, EVENTS_MAX = 8, ACCESSES_MAX = 1 << 18 };

static uint32_t description[STAND_IN_DESCRIPTION];
static uint32_t *image;
static size_t image_words;

struct input {
    const uint8_t *data;
    size_t left;
    uint32_t accesses; /* of the call under way */
    struct stand_in *core;
};

/* The input's next bytes; 0 behind its end. */
static uint32_t next(struct input *input, size_t bytes)
{
    uint32_t value = 0;
    for (size_t k = 0; k < bytes && input->left; k++, input->left--)
        value |= (uint32_t)*input->data++ << 8 * k;
    return value;
}

/* A number near what matters, or any. */
static uint32_t next_index(struct input *input, uint32_t limit)
{
    uint32_t choice = next(input, 1);
    return choice < 192 ? choice % (limit + 2) : choice < 224 ? 0u - choice : next(input, 4);
}

static enum egret_result answer(struct input *input)
{
    REQUIRE(++input->accesses < ACCESSES_MAX); /* no call goes on without end */
    uint32_t choice = input->left ? next(input, 1) : 255;
    return choice < 192 ? EGRET_OK : choice < 240 ? EGRET_WAIT : (enum egret_result)choice;
}

static enum egret_result any_read(void *context, uint32_t address, uint32_t *word)
{
    (void)address;
    *word = next(context, 4);
    return answer(context);
}

static enum egret_result any_write(void *context, uint32_t address, uint32_t word)
{
    (void)address, (void)word;
    return answer(context);
}

/* Also a layer that claims to have sent more than there was. */
static enum egret_result any_send(void *context, const struct egret_event *events, size_t count, enum egret_mark mark,
                                  size_t *sent)
{
    struct input *input = context;
    REQUIRE(stand_in_allows(input->core, events, count, mark) && *sent == 0);
    enum egret_result result = answer(input);
    *sent = next_index(input, (uint32_t)count);
    return result;
}

static enum egret_result any_take(void *context, struct egret_beat *beat)
{
    struct input *input = context;
    uint32_t marks = next(input, 1);
    *beat = (struct egret_beat){next_index(input, input->core->outputs), (int32_t)marks, marks & 1, marks & 2};
    return answer(input);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    const char *path = getenv("EGRET_FUZZ_NETWORK");
    REQUIRE(path);
    FILE *file = fopen(path, "rb");
    REQUIRE(file);
    REQUIRE(fread(description, sizeof(uint32_t), STAND_IN_DESCRIPTION, file) == STAND_IN_DESCRIPTION);
    image = malloc(1 << 20);
    REQUIRE(image);
    image_words = fread(image, sizeof(uint32_t), (1 << 20) / sizeof(uint32_t), file);
    fclose(file);
    return 0;
}

static void call(struct egret *egret, struct input *input, int32_t *outputs, struct egret_state *states)
{
    const uint32_t outputs_count = egret->network.outputs, units = egret->network.units;
    struct egret_event events[EVENTS_MAX], best;
    struct egret_fault fault;
    uint32_t number;
    uint64_t value;
    bool idle;
    size_t sent = next(input, 1) % 4 ? 0 : next(input, 1), count = next(input, 1) % (EVENTS_MAX + 1);
    for (size_t k = 0; k < EVENTS_MAX; k++)
        events[k] = (struct egret_event){next_index(input, egret->network.inputs), (int32_t)next_index(input, 255)};
    enum egret_mark mark = (enum egret_mark)(next(input, 1) % 4);
    /* Sizes of arrays are the caller's word, so those that are told are never larger than they are. */
    size_t size = next(input, 1) % 4 ? outputs_count : next(input, 1) % (outputs_count + 1);
    size_t states_size = next(input, 1) % 4 ? units : next(input, 1) % (units + 1);
    size_t words = next(input, 1) % 4 ? image_words : next(input, 2) % (image_words + 1);
    enum egret_result result = EGRET_OK;
    switch (next(input, 1) % 20) {
    case 0: result = egret_send(egret, events[0].index, events[0].value, mark); break;
    case 1: result = egret_end_step(egret, mark); break;
    case 2:
        result = egret_send_events(egret, events, count, mark, &sent);
        REQUIRE(sent <= count || result == EGRET_ARGUMENT);
        break;
    case 3: result = egret_receive(egret, outputs, size, NULL); break;
    case 4: result = egret_run_step(egret, events, count, mark, outputs, size, NULL); break;
    case 5: result = egret_read_best(egret, &best); break;
    case 6: result = egret_set_best_only(egret, mark & 1); break;
    case 7: result = egret_read_states(egret, image, words, states, states_size); break;
    case 8: result = egret_restore_states(egret, image, words, states, states_size); break;
    case 9: result = egret_counter_number(egret, (enum egret_counter)(events[0].index % 16), events[1].index, &number); break;
    case 10: result = egret_read_counter(egret, events[0].index, &value); break;
    case 11: result = egret_clear_counters(egret); break;
    case 12: result = egret_read_fault(egret, &fault); break;
    case 13: result = egret_clear_fault(egret); break;
    case 14: result = egret_read_idle(egret, &idle); break;
    case 15: result = egret_enable_interrupts(egret, events[0].index); break;
    case 16: result = egret_read_interrupts(egret, &number); break;
    case 17: result = egret_acknowledge_interrupts(egret, events[0].index); break;
    case 18: result = egret_reset(egret); break;
    default: result = egret_set_window(egret, events[0].index << 12, events[1].index); break;
    }
    REQUIRE(result >= EGRET_OK && result < EGRET_RESULT_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stand_in core; /* large */
    struct input input = {data, size, 0, &core};
    struct egret egret;
    stand_in_init(&core, description);
    struct egret_port port = stand_in_port(&core);
    REQUIRE(egret_init(&egret, &port, POLLS) == EGRET_OK);
    if (egret.core.lists)
        REQUIRE(egret_set_window(&egret, 0, 1 << 24) == EGRET_OK);
    REQUIRE(egret_load(&egret, image, image_words, NULL) == EGRET_OK);
    const struct egret_core known = egret.core;
    const struct egret_network network = egret.network;
    /* Of their own, and no longer than the network needs, so that an access outside is caught. */
    int32_t *outputs = malloc(network.outputs * sizeof *outputs);
    struct egret_state *states = calloc(network.units, sizeof *states);
    REQUIRE(outputs && states);
    egret.port = (struct egret_port){&input, any_read, any_write, any_send, any_take};
    while (input.left) {
        input.accesses = 0;
        call(&egret, &input, outputs, states);
        REQUIRE(memcmp(&egret.core, &known, sizeof known) == 0);
        REQUIRE(memcmp(&egret.network, &network, sizeof network) == 0);
    }
    free(outputs);
    free(states);
    return 0;
}

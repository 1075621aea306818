/* Runs a fuzz target where there is no libFuzzer, with the few of its options that are used here:
 *
 *     fuzz -runs=COUNT -seed=NUMBER -max_len=BYTES FILE...
 *
 * Each input is one of the files, mutated. A run is the same for the same seed and files. */
#include "fuzz.h"

#include <string.h>

enum { FILES_MAX = 64, REPORT = 1 << 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static uint64_t state;

static uint32_t draw(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 32) * limit >> 32);
}

/* Change up to a few words, at word boundaries behind the first byte more often than elsewhere. Returns the new size. */
static size_t mutate(uint8_t *data, size_t size, size_t most)
{
    static const uint32_t likely[] = {0, 1, 2, 3, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (uint32_t left = 1 + draw(4); left; left--) {
        size_t words = size / 4, at = size < 9 ? 0 : draw(4) ? 1 + 4 * (size_t)draw((uint32_t)words - 1) : draw((uint32_t)size - 4);
        uint32_t word = 0;
        if (size >= 9)
            memcpy(&word, data + at, 4);
        switch (draw(8)) {
        case 0: word ^= 1u << draw(32); break;
        case 1: word += draw(9) - 4u; break;
        case 2: word = likely[draw(sizeof likely / sizeof *likely)]; break;
        case 3: word = draw(UINT32_MAX); break;
        case 4: word = (word & 0xFFFF0000u) | (likely[draw(sizeof likely / sizeof *likely)] & 0xFFFF); break;
        case 5:
            if (size + 4 <= most && size >= 9) { /* a word twice */
                memmove(data + at + 4, data + at, size - at);
                size += 4;
            }
            break;
        case 6:
            if (size >= 13) { /* a word less */
                memmove(data + at, data + at + 4, size - at - 4);
                size -= 4;
            }
            continue;
        default:
            if (draw(8) == 0)
                size = draw((uint32_t)size + 1);
            else if (size)
                data[0] = (uint8_t)draw(256);
            continue;
        }
        if (size >= 9)
            memcpy(data + at, &word, 4);
    }
    return size;
}

int main(int argc, char **argv)
{
    uint64_t runs = 1;
    size_t most = 4096, count = 0, sizes[FILES_MAX];
    uint8_t *files[FILES_MAX];
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int k = 1; k < argc; k++) {
        if (strncmp(argv[k], "-runs=", 6) == 0)
            runs = strtoull(argv[k] + 6, NULL, 10);
        else if (strncmp(argv[k], "-seed=", 6) == 0)
            state = strtoull(argv[k] + 6, NULL, 10);
        else if (strncmp(argv[k], "-max_len=", 9) == 0)
            most = strtoull(argv[k] + 9, NULL, 10);
        else {
            FILE *file = fopen(argv[k], "rb");
            REQUIRE(file && count < FILES_MAX);
            files[count] = malloc(most);
            REQUIRE(files[count]);
            sizes[count] = fread(files[count], 1, most, file);
            count++;
            fclose(file);
        }
    }
    REQUIRE(count > 0);
    uint8_t *input = malloc(most);
    REQUIRE(input);
    for (uint64_t run = 1; run <= runs; run++) {
        uint32_t chosen = draw((uint32_t)count);
        memcpy(input, files[chosen], sizes[chosen]);
        size_t size = mutate(input, sizes[chosen], most);
        uint8_t *exact = malloc(size + 1);
        REQUIRE(exact);
        memcpy(exact, input, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
        if (run % REPORT == 0 || run == runs)
            fprintf(stderr, "#%llu\n", (unsigned long long)run);
    }
    while (count)
        free(files[--count]);
    free(input);
    return 0;
}

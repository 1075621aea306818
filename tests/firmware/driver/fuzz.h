/* What the fuzz targets share: a target is a function that takes one input, as libFuzzer calls it. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* End a run, with a core's dump of the input, unless something holds. */
#define REQUIRE(holds)                                                   \
    do {                                                                 \
        if (!(holds)) {                                                  \
            fprintf(stderr, "%s, line %d: %s\n", __FILE__, __LINE__, #holds); \
            abort();                                                     \
        }                                                                \
    } while (0)

#endif

/* A memory image read run by run. */
#ifndef EGRET_READER_H
#define EGRET_READER_H

#include "egret_internal.h"

/* It goes on after a fault, whose code stays, with words of 0 until that is noticed. */
struct egret_reader {
    const struct egret_core *core;
    struct egret_network *network;
    const uint32_t *words;
    size_t count, at;    /* words before the END record; the one that is read next */
    uint32_t kind;       /* of the run, as the upper half of its headers: kind and select */
    uint32_t done, left; /* data words of the run that were read; of its record that are left */
    enum egret_result result;
};

/* Keep `otherwise` as the result unless something holds, or there is a fault already. */
void egret_require(struct egret_reader *reader, bool holds, enum egret_result otherwise);

/* The same with EGRET_IMAGE_RANGE. */
void egret_within(struct egret_reader *reader, bool holds);

/* Begin a run: what one kind and select has. When its first word is read the record before must be over. */
void egret_begin_run(struct egret_reader *reader, uint32_t kind, uint32_t select);

/* Return the next data word of the run; 0 if there is none. */
uint32_t egret_read_word(struct egret_reader *reader);

/* Read a run of a few words. */
void egret_read_run(struct egret_reader *reader, uint32_t kind, uint32_t select, uint32_t *data, uint32_t count);

/* Read the biases of a cell unit, each of which may be anything. */
void egret_skip_biases(struct egret_reader *reader, uint32_t cell);

/* CRC-32 of words as bytes, the lowest first. */
uint32_t egret_checksum(const uint32_t *words, size_t count);

#endif

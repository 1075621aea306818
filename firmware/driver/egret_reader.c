/* A memory image read run by run: nothing is read beyond its end, whatever its headers say. */
#include "egret_reader.h"

void egret_require(struct egret_reader *reader, bool holds, enum egret_result otherwise)
{
    if (!holds && reader->result == EGRET_OK)
        reader->result = otherwise;
}

void egret_within(struct egret_reader *reader, bool holds)
{
    egret_require(reader, holds, EGRET_IMAGE_RANGE);
}

void egret_begin_run(struct egret_reader *reader, uint32_t kind, uint32_t select)
{
    egret_require(reader, reader->left == 0, EGRET_IMAGE_RECORD);
    reader->kind = kind << 8 | select;
    reader->done = 0;
}

/* Begin the record that goes on with the run; leaves nothing to read if there is none. */
static void begin_record(struct egret_reader *reader)
{
    const uint32_t *record = &reader->words[reader->at];
    size_t rest = reader->count - reader->at;
    if (rest <= EGRET_HEADER_WORDS)
        return;
    /* A list has two words of a directory and one address. */
    uint32_t length = record[0] & 0xFFFF, address = reader->done;
    if (reader->kind >> 8 == EGRET_RECORD_DIRECTORY)
        address = address & 1 ? UINT32_MAX : address >> 1;
    if (record[0] >> 16 == reader->kind && record[1] == address && length <= EGRET_RECORD_WORDS &&
        length <= rest - EGRET_HEADER_WORDS) {
        reader->left = length;
        reader->at += EGRET_HEADER_WORDS;
    }
}

uint32_t egret_read_word(struct egret_reader *reader)
{
    if (reader->left == 0)
        begin_record(reader);
    egret_require(reader, reader->left != 0, EGRET_IMAGE_RECORD);
    if (reader->result != EGRET_OK)
        return 0;
    reader->left--;
    reader->done++;
    return reader->words[reader->at++];
}

void egret_read_run(struct egret_reader *reader, uint32_t kind, uint32_t select, uint32_t *data, uint32_t count)
{
    egret_begin_run(reader, kind, select);
    while (count--)
        *data++ = egret_read_word(reader);
}

void egret_skip_biases(struct egret_reader *reader, uint32_t cell)
{
    for (uint32_t kind = EGRET_RECORD_BIAS; kind < EGRET_RECORD_BIAS + EGRET_GATES; kind++) {
        egret_begin_run(reader, kind, cell);
        for (uint32_t left = reader->network->rows << reader->core->lane_bits; left && !reader->result; left--)
            egret_read_word(reader);
    }
}

/* Four bits at a time, so that its table is small. */
uint32_t egret_checksum(const uint32_t *words, size_t count)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t k = 0; k < count; k++) {
        crc ^= words[k];
        for (int step = 0; step < 8; step++)
            crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

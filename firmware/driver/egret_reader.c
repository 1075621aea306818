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
    reader->kind = kind << 8 | select;
    reader->done = 0;
}

/* Begin the record that the run begins or goes on with; leaves nothing to read if there is none, or if the record
 * before is not over. */
static void begin_record(struct egret_reader *reader)
{
    const uint32_t *record = &reader->words[reader->at];
    size_t rest = reader->count - reader->at;
    bool is_over = reader->left == 0;
    reader->left = 0;
    if (!is_over || rest <= EGRET_HEADER_WORDS)
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
    if (reader->left == 0 || reader->done == 0)
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

/* A byte at a time, by a small table for each half of it: what a byte does to the rest is the sum of what its halves
 * do. */
uint32_t egret_checksum(const uint32_t *words, size_t count)
{
    static const uint32_t table[2][16] = {
        {
            0x00000000, 0x77073096, 0xEE0E612C, 0x990951BA, 0x076DC419, 0x706AF48F, 0xE963A535, 0x9E6495A3,
            0x0EDB8832, 0x79DCB8A4, 0xE0D5E91E, 0x97D2D988, 0x09B64C2B, 0x7EB17CBD, 0xE7B82D07, 0x90BF1D91,
        },
        {
            0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
            0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
        },
    };
    uint32_t crc = UINT32_MAX;
    for (size_t k = 0; k < count; k++) {
        crc ^= words[k];
        for (int byte = 0; byte < 4; byte++)
            crc = crc >> 8 ^ table[0][crc & 15] ^ table[1][crc >> 4 & 15];
    }
    return ~crc;
}

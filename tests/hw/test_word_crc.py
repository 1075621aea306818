"""WordCrc: the checksum of the words that count, and of no other, as zlib computes it."""

import random
import struct
import zlib

import cocotb

from hw.word_crc import WordCrc
from tests.hw.bench import start
from tests.hw.pins import Pins


@cocotb.test()
async def equals_zlib(dut):
    """Many texts, one after the other, some of whose words do not count."""
    pins = Pins(dut, WordCrc())
    await start(dut)
    for _ in range(40):
        words = [random.choice((0, 1 << 31, 0xFFFFFFFF, random.getrandbits(32))) for _ in range(random.randint(1, 20))]
        counts = [True, *(random.random() < 0.7 for _ in words[1:])]
        # Each is judged in the cycle after it came.
        for at, (coming, judged) in enumerate(zip((*words, 0), (False, *counts), strict=True)):
            await pins.cycle(word=coming, takes=judged, restart=at == 1)
        await pins.cycle(takes=0, restart=0)
        await pins.cycle()
        expected = zlib.crc32(b"".join(struct.pack("<I", w) for w, c in zip(words, counts, strict=True) if c))
        assert pins.get("crc") == expected


def test_word_crc(simulate):
    simulate(WordCrc())

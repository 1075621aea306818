"""The loader of a compact core: a smaller checksum, and directories as lanes have them."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import crc, wiring
from amaranth.lib.wiring import In, Out

from hw.compact.lane import Place, directory_base
from hw.config import COMPACT_WORD_BITS
from hw.loader import Loader

HALF_BITS = 16


class HalvedChecksum(wiring.Component):
    """Compute the CRC-32 of words, half a word a cycle: ports of :class:`amaranth.lib.crc.Processor`, and ``ready``.

    Members
    -------
    start : In(1), valid : In(1), data : In(32), ready : Out(1)
        ``valid`` only while ``ready``; ``start`` with a word begins anew.
    crc : Out(32)
        Of all words taken, while ``ready``.
    upper : Out(16)
        While not ``ready``: the upper half of the word.
    """

    def __init__(self):
        super().__init__({
            "start": In(1), "valid": In(1), "data": In(2 * HALF_BITS), "ready": Out(1), "crc": Out(32),
            "upper": Out(HALF_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.halves = halves = crc.catalog.CRC32_ISO_HDLC(data_width=HALF_BITS).create()
        second = Signal()
        m.d.sync += second.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += self.upper.eq(self.data >> HALF_BITS)
        m.d.comb += [
            self.ready.eq(~second),
            self.crc.eq(halves.crc),
            halves.start.eq(self.start),
            halves.valid.eq(self.valid | second),
            halves.data.eq(Mux(second, self.upper, self.data)),
        ]
        return m


class CompactLoader(Loader):
    """Write a directory as three rows a source: where its list begins, where its recurrent part does, where it ends.

    Takes a word every other cycle, so that there is one for the third row.
    """

    def elaborate(self, platform):
        self._counts = Signal()  # both counts of a list came in the cycle before
        self._start = Signal(COMPACT_WORD_BITS)  # of the list
        self._end = Signal(COMPACT_WORD_BITS)  # of the forward part, then of the list
        m = super().elaborate(platform)
        count = Mux(self._counts, self._checksum.upper, self.i.payload[:HALF_BITS])
        m.d.comb += self._end.eq(self._start + count)
        with m.If(self._counts):
            m.d.sync += [self.write.valid.eq(1), self.write.address[:2].eq(Place.STOP), self.write.data.eq(self._end)]
        return m

    def _add_checksum(self, m, word):
        m.submodules.crc = self._checksum = HalvedChecksum()
        m.d.comb += [self._checksum.data.eq(word), self.i.ready.eq(self._checksum.ready)]
        m.d.sync += self._counts.eq(0)
        return self._checksum

    def _take_directory_word(self, m, address, low, word, second, fits, write_if):
        with m.If(~second):
            m.d.sync += self._start.eq(word)
        place = Mux(second, Place.MIDDLE, Place.START)
        m.d.sync += [
            self.write.address.eq(directory_base(self._config) | Cat(place, address)),
            self.write.data.eq(Mux(second, self._end, word)),
            self._counts.eq(second & fits),
        ]
        write_if(fits)

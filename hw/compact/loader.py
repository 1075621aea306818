"""The loader of a compact core: that of :mod:`hw.loader` with one comparator, half a checksum, and no registers behind.

Format: docs/memory-image.md.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import crc, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.image import MAGIC, VERSION
from hw.compact.lane import Place, directory_base
from hw.config import COMPACT_WORD_BITS, CoreConfig
from hw.errors import Error
from hw.load_bus import LoadKind, LoadWrite, NetworkDescription

HALF_BITS = 16
BIASES = (LoadKind.BIAS, LoadKind.BIAS_Z, LoadKind.BIAS_R, LoadKind.BIAS_GH)
MEMORY_KINDS = (LoadKind.DIRECTORY, LoadKind.ENTRY, LoadKind.UNIT, *BIASES, LoadKind.STATE)
#: A record that begins in a memory, none of which has more rows than this many bits number, ends within one bit more.
COUNTED_BITS = COMPACT_WORD_BITS + 1


class HalvedChecksum(wiring.Component):
    """Compute the CRC-32 of words, half a word a cycle.

    Members
    -------
    word : In(32), valid : In(1), start : In(1)
        A word, not two cycles running; ``start`` with it begins anew.
    second : Out(1), upper : Out(16)
        A word came in the cycle before, and its upper half.
    crc : Out(32)
        Of all words, but not while ``second``.
    """

    def __init__(self):
        super().__init__({
            "word": In(2 * HALF_BITS), "valid": In(1), "start": In(1), "second": Out(1), "upper": Out(HALF_BITS),
            "crc": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.halves = halves = crc.catalog.CRC32_ISO_HDLC(data_width=HALF_BITS).create()
        m.d.sync += [self.second.eq(self.valid), self.upper.eq(self.word >> HALF_BITS)]
        m.d.comb += [
            halves.start.eq(self.start),
            halves.valid.eq(self.valid | self.second),
            halves.data.eq(Mux(self.second, self.upper, self.word)),
            self.crc.eq(halves.crc),
        ]
        return m


class CompactLoader(wiring.Component):
    """Parse a memory image, check it, and write it.

    A word every other cycle, never stalls. After an error nothing more is written until ``restart``. Of two words that
    are not written as they come, the second write follows in the cycle after: the lists' directory has three rows a
    source (:class:`hw.compact.lane.Place`), and the shifts of a layer have two.

    Members
    -------
    As of :class:`hw.loader.Loader`.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        #: Numbers of the NETWORK record, in their order, and the most that each may be.
        self._bounded = (
            ("inputs", config.sources), ("layer_count", config.layers), ("readout", 1), ("rows", config.rows),
            ("output_base", config.sources), ("outputs", 65535),
        )  # fmt: skip
        super().__init__({
            "i": In(stream.Signature(32)), "restart": In(1), "idle": In(1),
            "write": Out(LoadWrite(config)), "network": Out(NetworkDescription(config)), "loaded": Out(1),
            "state_written": Out(1), "error": Out(Error), "detail": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = checksum = HalvedChecksum()
        word, valid = self.i.payload, self.i.valid & ~checksum.second
        kind, select, remaining, address = Signal(LoadKind), Signal(8), Signal(16), Signal(32)
        started = Signal()  # BEGIN came
        m.d.comb += [
            self.i.ready.eq(~checksum.second),
            checksum.word.eq(word),
            self.state_written.eq(self.write.valid & (kind == LoadKind.STATE)),
            self.detail.eq(word),
        ]
        takes = Signal()  # a word of data
        fits = self._write(m, kind, select, address, valid, takes, checksum)
        exceeds = self._compare(m, kind, address)

        def fail(error, detail=word):
            m.d.comb += [self.error.eq(error), self.detail.eq(detail)]
            m.next = "FAILED"

        def restart():
            with m.If(self.restart):
                m.d.sync += started.eq(0)
                m.next = "HEADER"

        with m.FSM():
            with m.State("HEADER"):
                new_kind = LoadKind(word[24:28])
                with m.If(valid):
                    m.d.sync += [kind.eq(new_kind), select.eq(word[16:24]), remaining.eq(word[:16])]
                    m.d.comb += checksum.valid.eq(new_kind != LoadKind.END)
                    m.next = "ADDRESS"
                    with m.If(word[28:] | (word[:16] == 0)):
                        fail(Error.LOAD_KIND)
                    with m.Elif(new_kind == LoadKind.BEGIN):
                        m.d.comb += checksum.start.eq(1)
                        m.d.sync += [started.eq(1), self.loaded.eq(0)]
                    with m.Elif(new_kind == LoadKind.STATE), m.If(~self.idle):
                        fail(Error.BUSY)
                    with m.Elif(~started):
                        fail(Error.LOAD_ORDER)
                restart()

            with m.State("ADDRESS"):
                with m.If(valid):
                    m.d.comb += checksum.valid.eq(kind != LoadKind.END)
                    m.d.sync += address.eq(word)
                    m.next = "DATA"
                restart()

            with m.State("DATA"):
                with m.If(valid):
                    m.d.comb += [takes.eq(1), checksum.valid.eq(kind != LoadKind.END)]
                    m.d.sync += remaining.eq(remaining - 1)
                    with m.If(remaining == 1):
                        m.next = "HEADER"
                    self._take_word(m, kind, select, address, checksum, started, fits, exceeds, fail)
                restart()

            with m.State("FAILED"):
                restart()
        return m

    def _write(self, m, kind, select, address, valid, takes, checksum):
        """Write what goes to memories; return whether it is inside of them, if it is for one."""
        config, word = self._config, self.i.payload
        is_directory, is_entry = kind == LoadKind.DIRECTORY, kind == LoadKind.ENTRY
        is_shifts = (kind == LoadKind.LAYER) & (address == 1) & (select < config.layers)
        is_unit = Cat(kind == each for each in (LoadKind.UNIT, *BIASES, LoadKind.STATE)).any()
        # Whether the address is inside follows from registers of the cycle before; words do not come in every cycle.
        end, is_address, is_inside = Signal(COUNTED_BITS), Signal(reset_less=True), Signal()
        with m.If(is_directory):
            m.d.comb += end.eq(config.sources)
        with m.Elif(is_entry):
            m.d.comb += end.eq(config.entries)
        with m.Else():
            m.d.comb += end.eq(config.rows << config.lane_bits)
        m.d.sync += is_address.eq((address < end) & (select < Mux(is_unit, config.cell_units, config.lanes)))
        m.d.comb += is_inside.eq(is_address & (~is_entry | (word[10:26] < config.rows)))

        # The second word of a source, and a second write in the cycle after.
        second, again = Signal(), Signal()
        start, sum_with_start = Signal(COMPACT_WORD_BITS), Signal(COMPACT_WORD_BITS)
        m.d.sync += again.eq(takes & ((is_directory & second & is_inside) | is_shifts))
        with m.If(valid):
            m.d.sync += second.eq(takes & is_directory & ~second)
        with m.If(valid & ~second):
            m.d.sync += start.eq(Mux(takes & is_directory, word, 0))
        with m.If(Mux(is_directory, again, takes)):
            low = address[:COUNTED_BITS]
            m.d.sync += low.eq(low + 1)

        write = self.write
        m.d.comb += [
            sum_with_start.eq(start + Mux(again, checksum.upper, word)),
            write.valid.eq((takes & (((is_directory | is_entry | is_unit) & is_inside) | is_shifts)) | again),
            write.kind.eq(kind),
            write.select.eq(select),
            write.address.eq(address),
            write.data.eq(Cat(Mux(again | second, sum_with_start, word[:COMPACT_WORD_BITS]), word[COMPACT_WORD_BITS:])),
        ]
        with m.If(is_directory):
            place = Mux(again, Place.STOP, Mux(second, Place.MIDDLE, Place.START))
            m.d.comb += write.address.eq(directory_base(config) | Cat(place, address))
        with m.Elif(is_shifts | again):
            m.d.comb += write.address.eq(Cat(again, select))
        return is_inside | (is_directory & ~second)  # the first word of a source is judged with the second

    def _compare(self, m, kind, address):
        """Return whether the word is more than the number that it stands for may be.

        That follows from the record alone and is told a cycle before the word.
        """
        most = Signal(HALF_BITS, reset_less=True)
        m.d.sync += most.eq(self._config.acc_bits)
        with m.If(kind == LoadKind.NETWORK):
            for index, (_, limit) in enumerate(self._bounded):
                with m.If(address == index):
                    m.d.sync += most.eq(limit)
        word = self.i.payload
        return (word[HALF_BITS:] != 0) | (word[:HALF_BITS] > most)

    def _take_word(self, m, kind, select, address, checksum, started, fits, exceeds, fail):
        """Check one data word of a record, and take what the network's description needs."""
        config, network, word = self._config, self.network, self.i.payload
        layer = network.layers[select[: config.layer_bits]]
        is_readout = network.readout & (select == network.layer_count - 1)

        with m.Switch(kind):
            with m.Case(LoadKind.BEGIN), m.Switch(address):
                with m.Case(0), m.If(word != MAGIC):
                    fail(Error.LOAD_ORDER)
                with m.Case(1), m.If(word != VERSION):
                    fail(Error.LOAD_ORDER)
                with m.Case(2), m.If(word != config.config_id):
                    fail(Error.LOAD_CONFIG)
                with m.Case(3), m.If(exceeds):
                    fail(Error.LOAD_CAPACITY)

            with m.Case(LoadKind.NETWORK):
                for index, (name, _) in enumerate(self._bounded):
                    with m.If(address == index):
                        m.d.sync += network[name].eq(word)
                        with m.If(exceeds | ((word == 0) if name != "readout" else 0)):
                            fail(Error.LOAD_CAPACITY)

            with m.Case(LoadKind.LAYER):
                rows_end = word[:16] + word[16:]
                with m.If(select >= config.layers):
                    fail(Error.LOAD_RANGE, select)
                with m.Elif(address == 0):
                    m.d.sync += [layer.base.eq(word[:16]), layer.rows.eq(word[16:])]
                    with m.If((word[16:] == 0) | (rows_end > config.rows)):
                        fail(Error.LOAD_CAPACITY)
                with m.Elif(address == 2):
                    m.d.sync += layer.source.eq(word[:16])
                    with m.If(~is_readout):
                        m.d.sync += network.units_end.eq(rows_end)

            with m.Case(*MEMORY_KINDS), m.If(~fits):
                fail(Error.LOAD_RANGE, address)

            with m.Case(LoadKind.END):
                m.d.sync += started.eq(0)
                with m.If(word == checksum.crc):
                    m.d.sync += self.loaded.eq(1)
                with m.Else():
                    fail(Error.LOAD_CHECKSUM, checksum.crc)

            with m.Default():
                fail(Error.LOAD_KIND, Cat(word[:24], kind))

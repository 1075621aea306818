"""The loader: memory image in, writes to every memory and the network's description out.

Format: docs/memory-image.md.
"""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from hw.config import LIST_ADDRESS_BITS, LIST_COUNT_BITS, CoreConfig
from hw.delay import delay
from hw.errors import Error
from hw.load_bus import LoadKind, LoadWrite, NetworkDescription
from hw.word_check import DESCRIPTION_BITS, Owner, RecordKind, WordCheck, memory_depths, network_fields
from hw.word_crc import WordCrc


class Detail(enum.Enum, shape=3):
    """What is told with an error: the word, the kind with the rest of the word, the record's number, the address, the
    checksum as it is.
    """

    WORD = 0
    KIND = 1
    SELECT = 2
    ADDRESS = 3
    CHECKSUM = 4


class Record(data.Struct):
    """The record under way: its kind and number, what there is of both, the data words that are left, and where the
    next one goes.

    ``inside``: the address is, of the memory or the description of this kind; ``offset``: words of a directory entry
    that came, the first of which is ``low``.
    """

    code: LoadKind
    select: 8
    kind: RecordKind
    owner: Owner
    remaining: 16
    address: 32
    inside: 1
    offset: 1
    low: 32


class Loader(wiring.Component):
    """Parse a memory image, check it, and write it.

    One word a cycle, never stalls; a write leaves 3 cycles after its word, and the network's description is there after
    4. After an error nothing more is written until ``restart``.

    Members
    -------
    i : In(stream.Signature(32))
    restart : In(1)
        Forget words and a record under way and any failure; a network that is loaded stays.
    idle : In(1)
        No step is under way; a state may be written.
    write : Out(LoadWrite)
    network : Out(NetworkDescription)
    loaded : Out(1)
        A whole image with the right checksum has been received.
    state_written : Out(1)
    error : Out(Error), detail : Out(32)
        For one cycle each; :data:`Error.NONE` otherwise.
    """

    #: Cycles from the last word of an image to ``loaded``.
    LATENCY = 3

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(32)), "restart": In(1), "idle": In(1),
            "write": Out(LoadWrite(config)), "network": Out(NetworkDescription(config)), "loaded": Out(1),
            "state_written": Out(1), "error": Out(Error), "detail": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.check = check = WordCheck(self._config)
        m.submodules.checksum = checksum = WordCrc()

        # Words come from afar, and comparisons take carry chains: a register, all comparisons, and another register.
        m.d.comb += self.i.ready.eq(1)
        coming = delay(m, self.i.payload, 1, "coming")
        comes = delay(m, self.i.valid & ~self.restart, 1, "comes", init=0)
        word, found = delay(m, coming, 1, "word"), check.found
        valid = delay(m, comes & ~self.restart, 1, "valid", init=0)
        m.d.comb += [check.word.eq(self.i.payload), checksum.word.eq(coming), check.checksum.eq(checksum.crc)]

        started = Signal()  # BEGIN came
        failed = Signal()
        record = Signal(Record, reset_less=True)
        takes = Signal()
        m.d.comb += takes.eq(valid & ~failed)

        # Writes leave a cycle after they are decided, as the bus to all memories begins with a register...
        write = Signal(LoadWrite(self._config), reset_less=True)
        address = delay(m, record.address, 1, "address")
        writes, describes = Signal(), Signal()
        m.d.sync += [
            write.kind.eq(record.code),
            write.select.eq(record.select),
            write.data.eq(Mux(record.kind.directory, self._directory_word(record.low, word, found), word)),
        ]
        m.d.comb += [
            self.write.eq(write),
            self.write.address.eq(address),
            self.write.valid.eq(delay(m, writes, 1, "writes", init=0)),
            self.state_written.eq(self.write.valid & (write.kind == LoadKind.STATE)),
        ]
        with m.If(delay(m, describes, 1, "describes", init=0)):
            self._describe(m, write, address)

        # ... and errors are told with what the same registers hold. What could be wrong is found out whether or not
        # the word is taken.
        fails, in_header, in_data = Signal(), Signal(), Signal()
        header, in_order = self._header_fault(found, started), Signal()
        data_fails, data_error, data_told = self._data_fault(record, found)
        m.d.comb += in_order.eq(header == Error.NONE)
        m.d.comb += fails.eq(takes & ((in_header & ~in_order) | (in_data & data_fails)))
        with m.If(fails):
            m.d.sync += failed.eq(1)
        error = delay(m, Mux(in_header, header, data_error), 1, "error")
        word_told = delay(m, word, 1, "word_told")
        told = delay(m, Mux(in_header, Detail.WORD, data_told), 1, "told")
        m.d.comb += self.error.eq(Mux(delay(m, fails, 1, "fails", init=0), error, Error.NONE))
        with m.Switch(told):
            with m.Case(Detail.WORD):
                m.d.comb += self.detail.eq(word_told)
            with m.Case(Detail.KIND):
                m.d.comb += self.detail.eq(Cat(word_told[:24], write.kind))
            with m.Case(Detail.SELECT):
                m.d.comb += self.detail.eq(write.select)
            with m.Case(Detail.ADDRESS):
                m.d.comb += self.detail.eq(address)
            with m.Default():
                m.d.comb += self.detail.eq(checksum.crc)

        def restart():
            with m.If(self.restart):
                m.d.sync += [started.eq(0), failed.eq(0)]
                m.next = "HEADER"

        with m.FSM():
            with m.State("HEADER"):
                kind = found.kind
                # After a failure, too, where it changes nothing: one comparison less.
                m.d.comb += [in_header.eq(1), checksum.restart.eq(valid & kind.begin)]
                with m.If(takes):
                    m.d.sync += [
                        record.code.eq(word[24:28]),
                        record.select.eq(word[16:24]),
                        record.kind.eq(kind),
                        record.owner.eq(found.owner),
                        record.remaining.eq(word[:16]),
                    ]
                    m.next = "ADDRESS"
                    m.d.comb += checksum.takes.eq(~kind.end & ~kind.state)
                    with m.If(kind.begin & in_order):
                        m.d.sync += [started.eq(1), self.loaded.eq(0)]
                restart()

            with m.State("ADDRESS"):
                with m.If(takes):
                    kind, inside = record.kind, found.inside
                    m.d.comb += checksum.takes.eq(~kind.end)
                    m.d.sync += [
                        record.address.eq(word),
                        record.offset.eq(0),
                        record.inside.eq(
                            ((kind.begin | kind.network | kind.layer) & found.is_description)
                            | (kind.directory & inside.directory)
                            | (kind.entry & inside.entries)
                            | (kind.unit & inside.units)
                        ),
                    ]
                    m.next = "DATA"
                restart()

            with m.State("DATA"):
                m.d.comb += in_data.eq(1)
                with m.If(takes):
                    m.d.comb += checksum.takes.eq(~record.kind.end)
                    m.d.sync += [record.remaining.eq(record.remaining - 1), record.address.eq(record.address + 1)]
                    with m.If(record.remaining == 1):
                        m.next = "HEADER"
                    self._take_word(m, record, word, found, writes, describes, started)
                restart()
        return m

    def _directory_word(self, low, high, found):
        """Return what is kept of a list's two words."""
        config = self._config
        if config.streamed:
            return Cat(low[:LIST_ADDRESS_BITS], high[:LIST_COUNT_BITS])
        start, forward, count = low[: config.entry_bits], high[:16], high[16:]
        middle, stop = (start + forward)[: config.entry_bits], (start + count)[: config.offset_bits]
        return Cat(start, middle, stop, found.has_forward, found.has_recurrent)

    def _header_fault(self, found, started):
        """Return the error of a header, if it is one."""
        kind = found.kind
        out_of_order = ~started & ~kind.begin & ~kind.state
        return Mux(
            found.no_header,
            Error.LOAD_KIND,
            Mux(kind.state & ~self.idle, Error.BUSY, Mux(out_of_order, Error.LOAD_ORDER, Error.NONE)),
        )

    def _data_fault(self, record, found):
        """Return whether a data word is an error, which, and what is told with it."""
        kind, owner, place = record.kind, record.owner, record.address[:DESCRIPTION_BITS]
        beginning = (
            (found.is_magic, Error.LOAD_ORDER),
            (found.is_version, Error.LOAD_ORDER),
            (found.is_config, Error.LOAD_CONFIG),
            (found.has_wide_sums, Error.LOAD_CAPACITY),
        )
        is_there, writes_list = record.inside, record.offset
        faults = [  # of which a word has one at most
            *(
                (kind.begin & is_there & (place == index) & ~good, error, Detail.WORD)
                for index, (good, error) in enumerate(beginning)
            ),
            *(
                (kind.network & is_there & (place == index) & ~found.network[name], Error.LOAD_CAPACITY, Detail.WORD)
                for index, name in enumerate(network_fields(self._config))
            ),
            (kind.layer & ~owner.layer, Error.LOAD_RANGE, Detail.SELECT),
            (
                kind.layer & owner.layer & is_there & (place == 0) & ~found.has_rows,
                Error.LOAD_CAPACITY,
                Detail.WORD,
            ),
            (
                kind.directory & writes_list & ~(is_there & self._is_list(record, found)),
                Error.LOAD_RANGE,
                Detail.ADDRESS,
            ),
            (kind.entry & ~(is_there & owner.lane & found.has_row), Error.LOAD_RANGE, Detail.ADDRESS),
            (kind.unit & ~(is_there & owner.cell), Error.LOAD_RANGE, Detail.ADDRESS),
            (kind.end & ~found.is_checksum, Error.LOAD_CHECKSUM, Detail.CHECKSUM),
            (~kind.as_value().any(), Error.LOAD_KIND, Detail.KIND),
        ]
        fails = Cat(wrong for wrong, _, _ in faults).any()
        error, told = (reduce(or_, (Mux(fault[0], fault[k], 0) for fault in faults)) for k in (1, 2))
        return fails, error, told

    def _is_list(self, record, found):
        """Return whether there is a directory for a list's two words, and they fit into it."""
        if self._config.streamed:
            return record.owner.lane & ~record.low[LIST_ADDRESS_BITS:].any() & found.is_count
        return record.owner.lane

    def _take_word(self, m, record, word, found, writes, describes, started):
        """Tell what is to be done with a data word, and where the next one goes."""
        depths, kind, owner = memory_depths(self._config), record.kind, record.owner

        # A record that begins inside goes on to the last row: of the address it takes the bits that a row has.
        def leaves_after(last):
            with m.If(record.address[: max(1, last.bit_length())] == last):
                m.d.sync += record.inside.eq(0)

        m.d.comb += [
            describes.eq(record.inside & (kind.network | (kind.layer & owner.layer))),
            writes.eq(
                record.inside
                & (
                    (kind.directory & record.offset & self._is_list(record, found))
                    | (kind.entry & owner.lane & found.has_row)
                    | (kind.unit & owner.cell)
                )
            ),
        ]
        with m.If(kind.begin | kind.network | kind.layer):
            leaves_after((1 << DESCRIPTION_BITS) - 1)
        with m.If(kind.directory):
            m.d.sync += [
                record.low.eq(word),
                record.offset.eq(~record.offset),
                record.address.eq(record.address + record.offset),
            ]
            with m.If(record.offset):
                leaves_after(depths["directory"] - 1)
        with m.If(kind.entry):
            leaves_after(depths["entries"] - 1)
        with m.If(kind.unit):
            leaves_after(depths["units"] - 1)
        with m.If(kind.end):
            m.d.sync += started.eq(0)
            with m.If(found.is_checksum):
                m.d.sync += self.loaded.eq(1)

    def _describe(self, m, write, address):
        """Write a word of the network's, or a layer's, description."""
        network, word, address = self.network, write.data, address[:DESCRIPTION_BITS]
        layer = network.layers[write.select[: self._config.layer_bits]]
        with m.If(write.kind == LoadKind.NETWORK), m.Switch(address):
            for index, name in enumerate(network_fields(self._config)):
                with m.Case(index):
                    m.d.sync += network[name].eq(word)
        with m.Else(), m.Switch(address):
            with m.Case(0):
                m.d.sync += [layer.base.eq(word[:16]), layer.rows.eq(word[16:])]
            with m.Case(1):
                m.d.sync += [layer.shifts[gate].eq(word[8 * gate : 8 * gate + 5]) for gate in range(len(GATES))]
            with m.Case(2):
                m.d.sync += [layer.source.eq(word[:16]), layer.units.eq(word[16:])]

"""The loader: memory image in, writes to every memory and the network's description out.

Format: docs/memory-image.md.
"""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import crc, data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from golden.image import Kind
from hw.config import CoreConfig
from hw.delay import delay
from hw.errors import Error
from hw.word_check import NETWORK_FIELDS, Owner, WordCheck, memory_depths


class LoadKind(enum.Enum, shape=unsigned(4)):
    """Kinds of records: an image's, those of the four gates apart, and a state, which is no part of an image."""

    NONE = 0
    BEGIN = Kind.BEGIN
    NETWORK = Kind.NETWORK
    LAYER = Kind.LAYER
    DIRECTORY = Kind.DIRECTORY
    ENTRY = Kind.ENTRY
    UNIT = Kind.UNIT
    BIAS = Kind.BIAS
    BIAS_Z = Kind.BIAS + 1
    BIAS_R = Kind.BIAS + 2
    BIAS_GH = Kind.BIAS + 3
    STATE = 12
    END = Kind.END


class LoadWrite(data.StructLayout):
    """One write on the load bus: memory kind, which lane or cell unit, address, data."""

    def __init__(self, config: CoreConfig):
        list_bits = config.list_bits if config.compact else config.entry_bits
        super().__init__({
            "valid": 1, "kind": LoadKind, "select": 6,
            "address": max(config.source_bits, list_bits, config.unit_bits), "data": config.load_bits,
        })  # fmt: skip


class LaneWrite(data.StructLayout):
    """One write to a lane, if it is the lane's: a directory word or an entry, address, data."""

    def __init__(self, config: CoreConfig):
        super().__init__({
            "directory": 1, "entry": 1, "address": max(config.source_bits, config.entry_bits),
            "data": config.directory_bits,
        })  # fmt: skip


class LayerDescription(data.StructLayout):
    """One layer: its block of rows, the shifts of its four sums (4 added), its first source.

    In a compact core the cell unit has the shifts in a memory of its own.
    """

    def __init__(self, config: CoreConfig):
        others = {"shifts": data.ArrayLayout(5, len(GATES)), "units": config.source_bits + 1}
        super().__init__({
            "base": config.row_bits, "rows": config.row_bits + 1, "source": config.source_bits + 1,
            **({} if config.compact else others),
        })  # fmt: skip


class NetworkDescription(data.StructLayout):
    """The network that is loaded, as far as the sequencer and the broadcaster must know it.

    Of a compact core also the number of sources, ``units_end``, which follows from the layers elsewhere.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "inputs": config.source_bits + 1, "layer_count": config.layer_bits + 1, "readout": 1,
            "rows": config.row_bits + 1, "output_base": config.source_bits + 1, "outputs": 16,
            **({"units_end": config.source_bits + 1} if config.compact else {}),
            "layers": data.ArrayLayout(LayerDescription(config), config.layers),
        })  # fmt: skip


class Loader(wiring.Component):
    """Parse a memory image, check it, and write it.

    One word a cycle, latency 3, never stalls. After an error nothing more is written until ``restart``.

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

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(32)), "restart": In(1), "idle": In(1),
            "write": Out(LoadWrite(config)), "network": Out(NetworkDescription(config)), "loaded": Out(1),
            "state_written": Out(1), "error": Out(Error), "detail": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = checksum = crc.catalog.CRC32_ISO_HDLC(data_width=32).create()

        # Words come from afar, and comparisons take carry chains: a register, all comparisons, and another register.
        m.d.comb += self.i.ready.eq(1)
        coming = delay(m, self.i.payload, 1, "coming")
        comes = delay(m, self.i.valid & ~self.restart, 1, "comes", init=0)
        m.submodules.check = check = WordCheck(self._config)
        word, found = delay(m, coming, 1, "word"), check.found
        valid = delay(m, comes & ~self.restart, 1, "valid", init=0)
        m.d.comb += [checksum.data.eq(word), check.word.eq(coming), check.checksum.eq(checksum.crc)]

        kind, select = Signal(LoadKind), Signal(8)
        owner = Signal(Owner)  # what there is of the number ``select``
        remaining = Signal(16)
        address, offset = Signal(32), Signal(2)
        inside = Signal()  # the address is, of its kind of memory
        started = Signal()  # BEGIN came
        low = Signal(32)  # first word of a directory entry

        def fail(error):
            m.d.comb += self.error.eq(error)
            m.next = "FAILED"

        def restart():
            with m.If(self.restart):
                m.d.sync += started.eq(0)
                m.next = "HEADER"

        # Writes leave through a register: the bus begins here.
        m.d.sync += self.write.valid.eq(0)
        m.d.comb += self.state_written.eq(self.write.valid & (self.write.kind == LoadKind.STATE))
        m.d.comb += self.detail.eq(word)
        with m.FSM():
            with m.State("HEADER"):
                new_kind = LoadKind(word[24:28])
                with m.If(valid):
                    m.d.sync += [kind.eq(new_kind), select.eq(word[16:24]), remaining.eq(word[:16])]
                    m.d.sync += owner.eq(found.owner)
                    m.next = "ADDRESS"
                    with m.If(found.no_header):
                        fail(Error.LOAD_KIND)
                    with m.Elif(new_kind == LoadKind.BEGIN):
                        m.d.comb += [checksum.start.eq(1), checksum.valid.eq(1)]
                        m.d.sync += [started.eq(1), self.loaded.eq(0)]
                    with m.Elif(new_kind == LoadKind.STATE), m.If(~self.idle):
                        fail(Error.BUSY)
                    with m.Elif(~started):
                        fail(Error.LOAD_ORDER)
                    with m.Elif(new_kind != LoadKind.END):
                        m.d.comb += checksum.valid.eq(1)
                restart()

            with m.State("ADDRESS"):
                with m.If(valid):
                    m.d.comb += checksum.valid.eq(kind != LoadKind.END)
                    m.d.sync += [address.eq(word), offset.eq(0), inside.eq(found.inside.units)]
                    with m.If(kind == LoadKind.DIRECTORY):
                        m.d.sync += inside.eq(found.inside.directory)
                    with m.If(kind == LoadKind.ENTRY):
                        m.d.sync += inside.eq(found.inside.entries)
                    m.next = "DATA"
                restart()

            with m.State("DATA"):
                with m.If(valid):
                    m.d.comb += checksum.valid.eq(kind != LoadKind.END)
                    m.d.sync += [
                        remaining.eq(remaining - 1),
                        address.eq(address + 1),
                        self.write.kind.eq(kind),
                        self.write.select.eq(select),
                        self.write.address.eq(address),
                        self.write.data.eq(word),
                    ]
                    with m.If(remaining == 1):
                        m.next = "HEADER"
                    self._take_word(
                        m, kind, select, owner, address, inside, word, found, low, offset, checksum, started, fail
                    )
                restart()

            with m.State("FAILED"):
                restart()
        return m

    def _take_word(self, m, kind, select, owner, address, inside, word, found, low, offset, checksum, started, fail):
        """Check one data word of a record and write it."""
        config, network = self._config, self.network
        layer = network.layers[select[: config.layer_bits]]

        def write_if(good):
            m.d.comb += self.detail.eq(address)
            with m.If(good):
                m.d.sync += self.write.valid.eq(1)
            with m.Else():
                fail(Error.LOAD_RANGE)

        depths = memory_depths(config)

        def stay_inside(name):
            """A record that begins inside goes on to the last row."""
            with m.If(address == depths[name] - 1):
                m.d.sync += inside.eq(0)

        with m.Switch(kind):
            with m.Case(LoadKind.BEGIN), m.Switch(address):
                for index, (good, error) in enumerate((
                    (found.is_magic, Error.LOAD_ORDER), (found.is_version, Error.LOAD_ORDER),
                    (found.is_config, Error.LOAD_CONFIG), (found.has_wide_sums, Error.LOAD_CAPACITY),
                )):  # fmt: skip
                    with m.Case(index), m.If(~good):
                        fail(error)

            with m.Case(LoadKind.NETWORK):
                for index, name in enumerate(NETWORK_FIELDS):
                    with m.If(address == index):
                        m.d.sync += network[name].eq(word)
                        with m.If(~found.network[name]):
                            fail(Error.LOAD_CAPACITY)

            with m.Case(LoadKind.LAYER):
                with m.If(~owner.layer):
                    m.d.comb += self.detail.eq(select)
                    fail(Error.LOAD_RANGE)
                with m.Elif(address == 0):
                    m.d.sync += [layer.base.eq(word[:16]), layer.rows.eq(word[16:])]
                    with m.If(~found.has_rows):
                        fail(Error.LOAD_CAPACITY)
                with m.Elif(address == 1):
                    m.d.sync += [layer.shifts[gate].eq(word[8 * gate : 8 * gate + 5]) for gate in range(len(GATES))]
                with m.Elif(address == 2):
                    m.d.sync += [layer.source.eq(word[:16]), layer.units.eq(word[16:])]

            with m.Case(LoadKind.DIRECTORY):
                m.d.sync += [low.eq(word), offset.eq(~offset), address.eq(address + offset[0])]
                start, forward, count = low[: config.entry_bits], word[:16], word[16:]
                middle, stop = (start + forward)[: config.entry_bits], (start + count)[: config.offset_bits]
                m.d.sync += self.write.data.eq(Cat(start, middle, stop, found.has_forward, found.has_recurrent))
                with m.If(offset[0]):
                    write_if(owner.lane & inside)
                    stay_inside("directory")

            with m.Case(LoadKind.ENTRY):
                write_if(owner.lane & inside & found.has_row)
                stay_inside("entries")

            with m.Case(
                LoadKind.UNIT, LoadKind.BIAS, LoadKind.BIAS_Z, LoadKind.BIAS_R, LoadKind.BIAS_GH, LoadKind.STATE
            ):
                write_if(owner.cell & inside)
                stay_inside("units")

            with m.Case(LoadKind.END):
                m.d.sync += started.eq(0)
                m.d.comb += self.detail.eq(checksum.crc)
                with m.If(found.is_checksum):
                    m.d.sync += self.loaded.eq(1)
                with m.Else():
                    fail(Error.LOAD_CHECKSUM)

            with m.Default():
                m.d.comb += self.detail.eq(Cat(word[:24], kind))
                fail(Error.LOAD_KIND)

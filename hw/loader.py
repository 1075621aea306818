"""The loader: memory image in, writes to every memory and the network's description out.

Format: docs/memory-image.md.
"""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import crc, data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from golden.image import MAGIC, VERSION, Kind
from hw.config import CoreConfig
from hw.errors import Error


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

    One word a cycle, never stalls. After an error nothing more is written until ``restart``.

    Members
    -------
    i : In(stream.Signature(32))
    restart : In(1)
        Forget a record under way and any failure; a network that is loaded stays.
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
        word, valid = self.i.payload, self.i.valid
        m.d.comb += self.i.ready.eq(1)

        kind, select = Signal(LoadKind), Signal(8)
        remaining = Signal(16)
        address, offset = Signal(32), Signal(2)
        started = Signal()  # BEGIN came
        low = Signal(32)  # first word of a directory entry

        m.submodules.crc = checksum = crc.catalog.CRC32_ISO_HDLC(data_width=32).create()
        m.d.comb += checksum.data.eq(word)

        def fail(error, detail):
            m.d.comb += [self.error.eq(error), self.detail.eq(detail)]
            m.next = "FAILED"

        def restart():
            with m.If(self.restart):
                m.d.sync += started.eq(0)
                m.next = "HEADER"

        # Writes leave through a register: the bus begins here.
        m.d.sync += self.write.valid.eq(0)
        m.d.comb += self.state_written.eq(self.write.valid & (self.write.kind == LoadKind.STATE))
        with m.FSM():
            with m.State("HEADER"):
                new_kind = LoadKind(word[24:28])
                with m.If(valid):
                    m.d.sync += [kind.eq(new_kind), select.eq(word[16:24]), remaining.eq(word[:16])]
                    m.next = "ADDRESS"
                    with m.If(word[28:] | (word[:16] == 0)):
                        fail(Error.LOAD_KIND, word)
                    with m.Elif(new_kind == LoadKind.BEGIN):
                        m.d.comb += [checksum.start.eq(1), checksum.valid.eq(1)]
                        m.d.sync += [started.eq(1), self.loaded.eq(0)]
                    with m.Elif(new_kind == LoadKind.STATE), m.If(~self.idle):
                        fail(Error.BUSY, word)
                    with m.Elif(~started):
                        fail(Error.LOAD_ORDER, word)
                    with m.Elif(new_kind != LoadKind.END):
                        m.d.comb += checksum.valid.eq(1)
                restart()

            with m.State("ADDRESS"):
                with m.If(valid):
                    m.d.comb += checksum.valid.eq(kind != LoadKind.END)
                    m.d.sync += [address.eq(word), offset.eq(0)]
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
                    self._take_word(m, kind, select, address, word, low, offset, checksum, started, fail)
                restart()

            with m.State("FAILED"):
                restart()
        return m

    def _take_word(self, m, kind, select, address, word, low, offset, checksum, started, fail):
        """Check one data word of a record and write it."""
        config, network = self._config, self.network
        layer = network.layers[select[: config.layer_bits]]

        def write_if(good):
            with m.If(good):
                m.d.sync += self.write.valid.eq(1)
            with m.Else():
                fail(Error.LOAD_RANGE, address)

        with m.Switch(kind):
            with m.Case(LoadKind.BEGIN), m.Switch(address):
                with m.Case(0), m.If(word != MAGIC):
                    fail(Error.LOAD_ORDER, word)
                with m.Case(1), m.If(word != VERSION):
                    fail(Error.LOAD_ORDER, word)
                with m.Case(2), m.If(word != config.config_id):
                    fail(Error.LOAD_CONFIG, word)
                with m.Case(3), m.If(word > config.acc_bits):
                    fail(Error.LOAD_CAPACITY, word)

            with m.Case(LoadKind.NETWORK):
                for index, (name, most) in enumerate((
                    ("inputs", config.sources), ("layer_count", config.layers), ("readout", 1),
                    ("rows", config.rows), ("output_base", config.sources), ("outputs", 65535),
                )):  # fmt: skip
                    with m.If(address == index):
                        m.d.sync += network[name].eq(word)
                        none = (word == 0) if name != "readout" else 0
                        with m.If(none | (word > most)):
                            fail(Error.LOAD_CAPACITY, word)

            with m.Case(LoadKind.LAYER):
                rows_end = word[:16] + word[16:]
                with m.If(select >= config.layers):
                    fail(Error.LOAD_RANGE, select)
                with m.Elif(address == 0):
                    m.d.sync += [layer.base.eq(word[:16]), layer.rows.eq(word[16:])]
                    with m.If((word[16:] == 0) | (rows_end > config.rows)):
                        fail(Error.LOAD_CAPACITY, word)
                with m.Elif(address == 1):
                    m.d.sync += [layer.shifts[gate].eq(word[8 * gate : 8 * gate + 5]) for gate in range(len(GATES))]
                with m.Elif(address == 2):
                    m.d.sync += [layer.source.eq(word[:16]), layer.units.eq(word[16:])]

            with m.Case(LoadKind.DIRECTORY):
                m.d.sync += [low.eq(word), offset.eq(~offset), address.eq(address + offset[0])]
                start, forward, count = low[: config.entry_bits], word[:16], word[16:]
                middle, stop = (start + forward)[: config.entry_bits], (start + count)[: config.offset_bits]
                m.d.sync += self.write.data.eq(Cat(start, middle, stop, forward != 0, forward != count))
                with m.If(offset[0]):
                    write_if((select < config.lanes) & (address < config.sources))

            with m.Case(LoadKind.ENTRY):
                write_if((select < config.lanes) & (address < config.entries) & (word[10:26] < config.rows))

            with m.Case(
                LoadKind.UNIT, LoadKind.BIAS, LoadKind.BIAS_Z, LoadKind.BIAS_R, LoadKind.BIAS_GH, LoadKind.STATE
            ):
                write_if((select < config.cell_units) & (address < config.rows << config.lane_bits))

            with m.Case(LoadKind.END):
                m.d.sync += started.eq(0)
                with m.If(word == checksum.crc):
                    m.d.sync += self.loaded.eq(1)
                with m.Else():
                    fail(Error.LOAD_CHECKSUM, checksum.crc)

            with m.Default():
                fail(Error.LOAD_KIND, Cat(word[:24], kind))

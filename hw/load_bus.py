"""The load bus: kinds of records, writes to memories, and the description of a network.

Format of the image that they come from: docs/memory-image.md.
"""

from amaranth import unsigned
from amaranth.lib import data, enum

from golden.fixed import GATES
from golden.image import Kind
from hw.config import LIST_COUNT_BITS, CoreConfig
from hw.word_check import STATE_CODE


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
    STATE = STATE_CODE
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
    """One write to a lane, whose number it bears: a directory word or an entry, if either, address, data."""

    def __init__(self, config: CoreConfig):
        super().__init__({
            "directory": 1, "entry": 1, "select": 6, "address": max(config.source_bits, config.entry_bits),
            "data": config.directory_bits,
        })  # fmt: skip


class CellWrite(data.StructLayout):
    """One write to a cell unit, if it is the unit's: which memories it goes to, address, data."""

    def __init__(self, config: CoreConfig):
        super().__init__({
            "biases": len(GATES), "unit": 1, "state": 1, "address": config.unit_bits, "data": config.load_bits,
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

    Of a compact core also the number of sources, ``units_end``, which follows from the layers elsewhere. Of lists in
    external memory how many beats each of the inputs' has if they are dense, else 0, and whether the readout is dense.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "inputs": config.source_bits + 1, "layer_count": config.layer_bits + 1, "readout": 1,
            "rows": config.row_bits + 1, "output_base": config.source_bits + 1, "outputs": 16,
            **({"units_end": config.source_bits + 1} if config.compact else {}),
            **({"input_beats": LIST_COUNT_BITS, "dense_readout": 1} if config.streamed else {}),
            "layers": data.ArrayLayout(LayerDescription(config), config.layers),
        })  # fmt: skip

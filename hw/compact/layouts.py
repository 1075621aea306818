"""What travels between the rooms of a compact core, where it differs from :mod:`hw.event`."""

from amaranth import signed
from amaranth.lib import data

from hw.config import COMPACT_WORD_BITS, CoreConfig
from hw.event import GATE_BITS, EventKind, ListPart

WEIGHT_BITS = 8


class ListWrite(data.StructLayout):
    """One write to the list memory of a lane, if it is the lane's."""

    def __init__(self, config: CoreConfig):
        super().__init__({"valid": 1, "address": config.list_bits, "data": COMPACT_WORD_BITS})


class ListEntry(data.StructLayout):
    """A weight and its target in a word of list memory."""

    def __init__(self):
        super().__init__({
            "weight": signed(WEIGHT_BITS), "gate": GATE_BITS, "row": COMPACT_WORD_BITS - GATE_BITS - WEIGHT_BITS
        })  # fmt: skip


class LaneEvent(data.StructLayout):
    """An event, or a marker, as lanes take it from their queue."""

    def __init__(self, config: CoreConfig):
        super().__init__({
            "kind": EventKind, "part": ListPart, "source": config.source_bits, "value": signed(config.value_bits),
            "bank": 1,
        })  # fmt: skip


class SumAddress(data.StructLayout):
    """Where a sum is in a lane's memory."""

    def __init__(self, config: CoreConfig):
        super().__init__({"gate": GATE_BITS, "row": config.row_bits, "bank": 1})

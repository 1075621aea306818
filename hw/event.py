"""What travels between the rooms of the core: one layout for each, so that waveforms show names."""

from amaranth import signed, unsigned
from amaranth.lib import data, enum

from golden.fixed import GATES
from hw.config import CoreConfig

INDEX_BITS = 16
GATE_BITS = len(GATES).bit_length() - 1
NULL_INDEX = (1 << INDEX_BITS) - 1  #: an input or output beat that carries no event
RESTORE_FLAG = 1 << (INDEX_BITS - 1)  #: an input beat that restores the y of source ``index & ~RESTORE_FLAG``


class EventKind(enum.Enum, shape=unsigned(2)):
    """What a lane receives."""

    EVENT = 0
    INPUT_END = 1  #: no event of this step's input follows
    LAYER_END = 2  #: no event of this layer and step follows


class ListPart(enum.Enum, shape=unsigned(2)):
    """Which part of a fan-out list an event walks."""

    WHOLE = 0
    FORWARD = 1  #: at the last step of a sequence: nothing follows that the recurrent part could feed
    RECURRENT = 2  #: when a state is restored: the forward part was walked in the past


class InputBeat(data.StructLayout):
    """One beat of the input stream: an event, the end of a step (``last``) or sequence (``user``), or both."""

    def __init__(self, config: CoreConfig):
        super().__init__({"index": INDEX_BITS, "value": signed(config.value_bits), "last": 1, "user": 1})


class OutputBeat(data.StructLayout):
    """One beat of the output stream; same meaning as on the input, values are y or logits."""

    def __init__(self):
        super().__init__({"index": INDEX_BITS, "value": signed(32), "last": 1, "user": 1})


class Event(data.StructLayout):
    """What is broadcast to the lanes.

    ``bank`` is the accumulator bank of every target of the list, ``group`` the group of sources it is counted in.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "kind": EventKind, "part": ListPart, "source": config.source_bits, "value": signed(config.value_bits),
            "bank": 1, "group": config.group_bits,
        })  # fmt: skip


class FanoutList(data.StructLayout):
    """An event that found its list, in a lane's queue; of a marker only ``kind`` counts.

    ``start`` is the address of the first entry, ``stop`` the low bits of that behind the last.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "kind": EventKind, "start": config.entry_bits, "stop": config.offset_bits,
            "value": signed(config.value_bits), "bank": 1, "group": config.group_bits,
        })  # fmt: skip


class Entry(data.StructLayout):
    """One word of weight memory: a weight and its target."""

    def __init__(self, config: CoreConfig):
        super().__init__({"weight": signed(config.weight_bits), "gate": 2, "row": config.row_bits})


class Operation(data.StructLayout):
    """One entry under way to the multiplier and the accumulators, with what its event brought; or a marker."""

    def __init__(self, config: CoreConfig):
        super().__init__({
            "kind": EventKind, "entry": Entry(config), "value": signed(config.value_bits), "bank": 1,
            "group": config.group_bits,
        })  # fmt: skip


class Target(data.StructLayout):
    """One accumulator."""

    def __init__(self, config: CoreConfig):
        super().__init__({"bank": 1, "row": config.row_bits, "gate": 2})


class JobTag(data.StructLayout):
    """What the units of one layer and step have in common; it follows each of them through the cell unit.

    ``bank`` is the bank that their events add to; ``fresh`` says that the old state counts as 0; ``output`` that their
    events are the core's output; ``ending`` that the step ends a sequence; ``final`` marks the job's last unit of a
    group.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "readout": 1, "layer": config.layer_bits, "bank": 1, "fresh": 1, "output": 1, "ending": 1, "final": 1,
        })  # fmt: skip


class Result(data.StructLayout):
    """What a cell unit hands to the broadcaster, and its job.

    An event goes to the lanes, of the output layer to the output as well, a logit to the output. What goes nowhere is a
    silent unit or an empty row; it is sent only to carry ``final``.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "to_lanes": 1, "to_output": 1, "tag": JobTag(config), "id": INDEX_BITS, "value": signed(config.acc_bits),
        })  # fmt: skip


class Drain(data.StructLayout):
    """Command to read and clear the sums of one row of a lane; of a compact core, one of them."""

    def __init__(self, config: CoreConfig):
        super().__init__({
            "valid": 1, "bank": 1, "row": config.row_bits, **({"gate": GATE_BITS} if config.compact else {}),
        })  # fmt: skip


class Job(data.StructLayout):
    """The units of one layer at one step, as the cell units get to know them.

    A lane's units may be updated once it has passed ``need_layers`` layer markers and, for layer 0, ``need_inputs``
    input markers, both modulo their width. ``bank`` is the bank of the sums.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "base": config.row_bits, "rows": config.row_bits + 1, "bank": 1, "first_layer": 1, "need_inputs": 2,
            "need_layers": config.marker_bits, "tag": JobTag(config),
        })  # fmt: skip


class UnitUpdate(data.StructLayout):
    """Trace of one unit's update, for simulations: state carried on, whether it fired, value of its event."""

    def __init__(self, config: CoreConfig):
        super().__init__({"valid": 1, "source": INDEX_BITS, "h": signed(16), "fires": 1, "y": config.y_bits})

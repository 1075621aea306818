"""The configuration of a core: what is decided at synthesis, every width derived from it, and every check on it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

from golden.beats import BEAT_BITS, GAP_BITS, BeatFormat
from golden.fanout import Capacity, Compiled, compile, required
from golden.network import FixedNetwork
from golden.streamed import ALL_BEATS_MAX, LIST_BEATS_MAX, CompiledStream, compile_streamed, required_streamed

REVISION = 2  #: of the datapath and its memory layout; part of every configuration identity
COMPACT_WORD_BITS = 16  #: of a compact lane's list memory: an entry, or an address in it
DIRECTORY_ROWS = 4  #: of that memory for each source, the last one unused
SINGLE_PORT_ROWS = 1 << 14  #: of a block of single-port RAM
LIST_ADDRESS_BITS = ALL_BEATS_MAX.bit_length()  #: of a list in external memory, in beats
LIST_COUNT_BITS = LIST_BEATS_MAX.bit_length()  #: of a list's length there, in beats


def _bits(count: int) -> int:
    """Width of an index of ``count`` things, at least 1."""
    return max(1, (count - 1).bit_length())


@dataclass(frozen=True, kw_only=True)
class CoreConfig:
    """Configuration of one core.

    Parameters
    ----------
    lanes : int
        Lanes, 1 to 64: multiply-accumulates a cycle.
    cell_units : int
        Cell units; each serves ``lanes / cell_units`` lanes.
    queue_depth : int
        Events a lane can wait with; a power of two, 8 to 64.
    rows : int
        Units (of all layers and the readout together) a lane can hold.
    entries : int
        Fan-out entries (weights) a lane can hold.
    sources : int
        Inputs and units together.
    layers : int
        Layers, the readout included.
    weight_bits : int
        8 or 4.
    y_bits : int
        Width of the value of a unit's event, 8 to 16.
    value_bits : int
        Signed width of any event's value, ``y_bits + 1`` to 17.
    acc_bits : int
        Width of a sum, 16 to 32.
    split_banks : bool
        Whether each accumulator bank is a memory of its own. If so, a unit's sums are read while the lane goes on
        adding to the other bank; if not, the read costs the lane one cycle, and the accumulators half the memories.
    forwarding : bool
        Whether a sum still under way to its memory is passed on to the next operation on it, and an event past an
        empty queue; if not, the operation waits, and the event takes a cycle more. Pays where lists are short: many
        lanes, few weights.
    counters : bool
        Whether the operation counters are built.
    hops : int
        Registers in each bus between the lanes and the rest: 1, or 2 or 3 where a core fills a large device, which no
        signal crosses in a cycle. Each further one costs 5 cycles from a lane's last sum to the first event that
        follows from it, the second one about 10 more, as cell units and lookups have registers for distance then.
    distributed_cells : bool
        Whether a cell unit's biases, thresholds and states are in distributed RAM, of the families that have it, rather
        than in block RAM. Pays where lanes need all block RAM: five blocks a cell unit less, but some two thousand LUTs
        more, where it holds 128 units.
    compact : bool
        Whether the core is built small (:mod:`hw.compact`) rather than fast, for a device of a few thousand cells:
        lists with their directory in words of 16 bits of single-port memory, one memory of sums a lane, one queue for
        all lanes, one unit at a time in the only cell unit. Goes without ``split_banks``, ``forwarding``, ``counters``,
        ``distributed_cells`` and a second hop; ``queue_depth`` is then a part of the identity and nothing else.
    gap_bits : int
        Where lists are in external memory (``docs/beats.md``): width of a gap in them, 4 to 6; else 0. ``entries``
        then counts for nothing, ``queue_depth`` are the beats that a lane can wait with, and the readout has four
        outputs a row. Goes without ``forwarding`` and ``compact``.
    lists : int
        Where lists are in external memory: how many the directory knows, those of the units and, unless they are
        dense, of the inputs; else 0.
    port_bits : int
        Width of the port to external memory, 64 to 512. Beyond 128 several beats come at once, and a list has a
        multiple of as many.
    ranked : int
        How many of the largest outputs of a step registers tell, 1 to 16; with them the probability of an output, and
        generation (``docs/ranking.md``). 0: none of these. Goes without ``compact``.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what is allowed.
    """

    lanes: int = 8
    cell_units: int = 2
    queue_depth: int = 16
    rows: int = 32
    entries: int = 2048
    sources: int = 256
    layers: int = 4
    weight_bits: int = 8
    y_bits: int = 8
    value_bits: int = 9
    acc_bits: int = 24
    split_banks: bool = False
    forwarding: bool = False
    counters: bool = True
    hops: int = 1
    distributed_cells: bool = False
    compact: bool = False
    gap_bits: int = 0
    lists: int = 0
    port_bits: int = 128
    ranked: int = 0

    def __post_init__(self):
        for name, low, high in (
            ("lanes", 1, 64), ("cell_units", 1, 64), ("rows", 1, 4096), ("entries", 2, 1 << 18), ("sources", 2, 32768),
            ("layers", 1, 15), ("y_bits", 8, 16), ("value_bits", 9, 17), ("acc_bits", 16, 32),
            ("hops", 1, 3), ("ranked", 0, 16),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} is {value!r}; it must be an integer from {low} to {high}")
        if self.lanes % self.cell_units:
            raise ValueError(f"cell_units is {self.cell_units}; it must divide lanes, which is {self.lanes}")
        if self.queue_depth not in (8, 16, 32, 64):
            raise ValueError(f"queue_depth is {self.queue_depth}; it must be 8, 16, 32 or 64")
        if self.queue_depth == 8 and self.hops == 3:
            raise ValueError("queue_depth is 8; it must be 16 or more where hops is 3, as 9 events may be on their way")
        if self.weight_bits not in (4, 8):
            raise ValueError(f"weight_bits is {self.weight_bits}; it must be 4 or 8")
        if self.value_bits <= self.y_bits:
            raise ValueError(
                f"value_bits is {self.value_bits}; it must be more than y_bits, which is {self.y_bits}, "
                "as an event's value is signed"
            )
        if self.gap_bits:
            self._check_streamed()
        elif self.lists:
            raise ValueError(f"lists is {self.lists}; it must be 0 where gap_bits is 0, as lists are on chip then")
        if self.compact:
            self._check_compact()

    def _check_streamed(self) -> None:
        """Check what goes with lists in external memory."""
        if self.gap_bits not in GAP_BITS:
            raise ValueError(f"gap_bits is {self.gap_bits}; it must be 0, 4, 5 or 6")
        if self.port_bits not in (64, 128, 256, 512):
            raise ValueError(f"port_bits is {self.port_bits}; it must be 64, 128, 256 or 512")
        for name in ("compact", "forwarding"):
            if getattr(self, name):
                raise ValueError(f"{name} is True; it must be False where gap_bits is not 0")
        told = 1 << BeatFormat(self.lanes, self.weight_bits, self.gap_bits, False, False).row_bits
        for name, most in (("lists", 32768), ("rows", told)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise ValueError(f"{name} is {value}; it must be from 1 to {most} where gap_bits is not 0")

    def _check_compact(self) -> None:
        """Check what a compact core is restricted to."""
        for name, allowed in (
            ("split_banks", False), ("forwarding", False), ("counters", False), ("hops", 1),
            ("distributed_cells", False), ("ranked", 0),
        ):  # fmt: skip
            if getattr(self, name) != allowed:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {allowed} where compact is True")
        for name, most in (("cell_units", 1), ("lanes", 16), ("rows", 64), ("value_bits", 16)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at most {most} where compact is True")
        if self.list_bits > COMPACT_WORD_BITS:
            raise ValueError(
                f"entries is {self.entries} and sources is {self.sources}; where compact is True, entries and "
                f"{DIRECTORY_ROWS} times the sources together must be at most {1 << COMPACT_WORD_BITS}"
            )

    @classmethod
    def fitting(
        cls, network: FixedNetwork, lanes: int, *, activity=None, sum_bits=None, streamed: bool = False, **options
    ) -> CoreConfig:
        """Return a configuration that holds ``network``, rounded up to what memories come in anyway.

        Rows and sources become powers of two, entries a multiple of 1,024 (a block RAM of 18-bit entries; of a compact
        core all that the block of single-port RAM holds), the width of a sum a multiple of 4, so that similar networks
        load too. ``activity``, ``sum_bits``: as of :func:`golden.fanout.compile`. ``streamed``: lists are in external
        memory, with gaps of the width by which they take the fewest beats. ``options``: further parameters.
        """
        if streamed:
            needs = required_streamed(network, lanes, activity=activity, sum_bits=sum_bits)
            options |= {"gap_bits": needs["gap_bits"], "lists": 1 << _bits(needs["lists"])}
            needs["entries"] = 0
        else:
            needs = required(network, lanes, activity=activity, sum_bits=sum_bits)
        sources, entries = 1 << _bits(needs["sources"]), -(-max(1, needs["entries"]) // 1024) * 1024
        if options.get("compact"):
            directory = DIRECTORY_ROWS * sources
            entries = -(-(entries + directory) // SINGLE_PORT_ROWS) * SINGLE_PORT_ROWS - directory
        return cls(
            lanes=lanes, rows=max(2, 1 << _bits(needs["rows"])), entries=entries, sources=sources,
            layers=max(2, needs["layers"]), weight_bits=needs["weight_bits"],
            y_bits=needs["y_bits"], value_bits=needs["value_bits"], acc_bits=max(16, -(-needs["acc_bits"] // 4) * 4),
            **options,
        )  # fmt: skip

    @property
    def streamed(self) -> bool:
        """Whether lists are in external memory."""
        return self.gap_bits > 0

    @property
    def register_parameters(self) -> dict[str, bool]:
        """Parameters of ``hw/registers.rdl``: which registers there are."""
        return {"STREAMED": self.streamed, "RANKED": self.ranked > 0}

    @property
    def beats_at_once(self) -> int:
        """Beats of lists in external memory that may come in a cycle."""
        return max(1, self.port_bits // BEAT_BITS)

    @property
    def lanes_per_cell(self) -> int:
        return self.lanes // self.cell_units

    @property
    def lane_bits(self) -> int:
        """Width of a lane's number inside its group; 0 where a cell unit has one lane."""
        return (self.lanes_per_cell - 1).bit_length()

    @property
    def row_bits(self) -> int:
        return _bits(self.rows)

    @property
    def unit_bits(self) -> int:
        """Width of an address in a cell unit's memories: row, then lane inside the group."""
        return self.row_bits + self.lane_bits

    @property
    def entry_bits(self) -> int:
        """Width of an address in a lane's weight memory."""
        return _bits(self.entries)

    @property
    def count_bits(self) -> int:
        """Width of a list's length less one; a list never repeats a target."""
        return _bits(4 * self.rows)

    @property
    def offset_bits(self) -> int:
        """Width of the low part of an entry's address that tells where in a list it is."""
        return min(self.entry_bits, self.count_bits)

    @property
    def list_bits(self) -> int:
        """Width of an address in a compact lane's list memory: entries from 0 up, the directory at the upper end."""
        return _bits(self.entries + (DIRECTORY_ROWS << self.source_bits))

    @property
    def source_bits(self) -> int:
        return _bits(self.sources)

    @property
    def layer_bits(self) -> int:
        return _bits(self.layers)

    @property
    def groups(self) -> int:
        """Groups of sources that are counted apart: the inputs, then each layer."""
        return self.layers + 1

    @property
    def group_bits(self) -> int:
        return _bits(self.groups + 1)

    @property
    def restore_group(self) -> int:
        """Group of events that restore a state; they are not counted."""
        return self.groups

    @property
    def load_bits(self) -> int:
        """Width of the load bus's data: a word, or a whole directory word."""
        return 32 if self.compact else max(32, self.directory_bits)

    @property
    def directory_bits(self) -> int:
        """Width of a directory word: wider than an entry (:class:`hw.directory.DirectoryWord`), or a run of beats."""
        if self.streamed:
            return LIST_ADDRESS_BITS + LIST_COUNT_BITS
        return 2 * self.entry_bits + self.offset_bits + 2

    @property
    def marker_bits(self) -> int:
        """Width of a count of layer markers; two lanes are never further apart than the layers of one step."""
        return (2 * (self.layers + 1)).bit_length()

    @property
    def product_bits(self) -> int:
        return self.weight_bits + self.value_bits

    @cached_property
    def config_id(self) -> int:
        """32-bit identity; a memory image compiled for another one is refused."""
        options = asdict(self)
        later = {"distributed_cells": False, "compact": False, "gap_bits": 0, "lists": 0, "port_bits": 128, "ranked": 0}
        for name, before in later.items():
            if options[name] == before:  # as before there was the option
                del options[name]
        text = json.dumps({"revision": REVISION, **options}, sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def compile(self, network: FixedNetwork, *, activity=None, sum_bits=None) -> Compiled | CompiledStream:
        """Compile a network for this core; see :func:`golden.fanout.compile` and its twin for lists in memory."""
        how = compile_streamed if self.streamed else compile
        return how(network, self.capacity, activity=activity, sum_bits=sum_bits)

    @property
    def capacity(self) -> Capacity:
        """What the compiler has to know."""
        return Capacity(
            lanes=self.lanes, cell_units=self.cell_units, rows=self.rows, entries=self.entries, sources=self.sources,
            layers=self.layers, weight_bits=self.weight_bits, y_bits=self.y_bits, value_bits=self.value_bits,
            acc_bits=self.acc_bits, config_id=self.config_id, gap_bits=self.gap_bits, lists=self.lists,
            beats_at_once=self.beats_at_once,
        )  # fmt: skip

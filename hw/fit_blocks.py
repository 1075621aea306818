"""Count a core's block RAMs and multipliers from its configuration, exactly, by the rules that they are built by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from amaranth.hdl import Shape, signed, unsigned

from golden import fixed, ranking
from golden.fixed import GATES
from hw.bus.host_link import BUFFER_BYTES
from hw.cell_group import StateWord, UnitWord
from hw.compact.event_queue import EventQueue
from hw.compact.layouts import WEIGHT_BITS, LaneEvent
from hw.config import COMPACT_WORD_BITS, LIST_COUNT_BITS, CoreConfig
from hw.counters import counter_map
from hw.directory import DirectoryWord
from hw.event import Entry, FanoutList
from hw.list_fetch import ListRun
from hw.tally import HIGH_BITS, slots
from hw.vendor import rules

#: Components with memories, by :mod:`hw.area`'s names.
LANE, CELL_UNIT, COUNTERS = "lane without its queue", "cell unit", "counters"
BETWEEN, HOST_LINK, LIST_FETCH, RANKING = "between them", "host link", "list fetch", "ranking"
WORD_ROWS = 16  #: of one distributed RAM
FEW_BITS = 64  #: of a memory that Yosys makes of flip-flops where there is no distributed RAM
WIDEST_ROWS = 256  #: of an iCE40's block RAM with its widest words, of 16 bits


@dataclass(frozen=True)
class Memory:
    """``count`` memories of ``depth`` rows of ``parts`` parts of ``bits`` bits each, written one by one."""

    component: str
    count: int
    bits: int
    depth: int
    parts: int = 1
    has_content: bool = False
    single_port: bool = False
    distributed: bool = False


@dataclass
class Blocks:
    """What memories and products of a component take.

    Parameters
    ----------
    ram, spram, multiplier : int
        Blocks of the device.
    selected : int
        Inputs of the selectors behind stacked blocks, beyond one a bit.
    distributed : int
        Bits, by the 16 rows of a LUT, of memories in distributed RAM.
    """

    ram: int = 0
    spram: int = 0
    multiplier: int = 0
    selected: int = 0
    distributed: int = 0


@dataclass
class Inventory:
    """The blocks of each component and of all together."""

    components: dict[str, Blocks] = field(default_factory=dict)

    @classmethod
    def of(cls, memories: Iterable[Memory], family: str) -> Inventory:
        """Return what memories take on a device of a family."""
        found, of_family = cls(), rules(family)
        for memory in memories:
            blocks, each = found[memory.component], memory.count * memory.parts
            if memory.single_port:
                columns = of_family.SINGLE_PORT_RULES.columns(memory.bits, memory.depth)
                blocks.spram += each * sum(column.stack for column in columns)
                continue
            if memory.parts > 1 and of_family.RULES.stores_parts(memory.depth, distributed=memory.distributed):
                blocks.ram += memory.count * of_family.RULES.part_blocks(memory.bits, memory.parts)
                continue
            columns = of_family.RULES.columns(
                memory.bits, memory.depth, has_content=memory.has_content, distributed=memory.distributed
            )
            blocks.ram += each * sum(column.stack for column in columns)
            blocks.selected += each * sum((column.stop - column.start) * (column.stack - 1) for column in columns)
            if not columns:
                blocks.distributed += each * memory.bits * -(-memory.depth // WORD_ROWS)
        return found

    def __getitem__(self, component: str) -> Blocks:
        return self.components.setdefault(component, Blocks())

    @property
    def totals(self) -> dict[str, int]:
        """Blocks of each kind, those only that there are."""
        each = self.components.values()
        found = {
            "RAM": sum(blocks.ram for blocks in each), "SPRAM": sum(blocks.spram for blocks in each),
            "multiplier": sum(blocks.multiplier for blocks in each),
        }  # fmt: skip
        return {name: count for name, count in found.items() if count}


def memories(config: CoreConfig, *, host_link: bool) -> Iterator[Memory]:
    """Yield every memory that block RAM may be used for."""
    yield from compact_memories(config) if config.compact else core_memories(config)
    if host_link:
        yield Memory(HOST_LINK, 1, 8, 2 * BUFFER_BYTES)
        if config.ranked:
            yield Memory(RANKING, 2, ranking.ROW_BITS, ranking.POSITIONS)
            yield from (_table(RANKING, 1, table) for table in (ranking.EXP2, ranking.LOG2))


def _table(component: str, count: int, table: fixed.Table) -> Memory:
    return Memory(component, count, 16 + table.slope_bits, len(table.base), has_content=True)


def core_memories(config: CoreConfig) -> Iterator[Memory]:
    lanes, cells = config.lanes, config.cell_units
    if config.streamed:
        yield Memory(LIST_FETCH, 1, ListRun().size, config.lists)
    else:
        yield Memory(LANE, lanes, DirectoryWord(config).size, config.sources)
        yield Memory(LANE, lanes, Entry(config).size, config.entries)
    if config.split_banks:
        yield Memory(LANE, 2 * lanes, config.acc_bits, 1 << config.row_bits, parts=len(GATES))
    else:
        yield Memory(LANE, lanes, config.acc_bits, 2 << config.row_bits, parts=len(GATES))

    units, distributed = config.rows << config.lane_bits, config.distributed_cells
    yield Memory(CELL_UNIT, cells, UnitWord().size, units, distributed=distributed)
    yield Memory(CELL_UNIT, cells, StateWord().size, units, distributed=distributed)
    yield Memory(CELL_UNIT, cells, config.acc_bits, units, parts=len(GATES), distributed=distributed)
    yield from (_table(CELL_UNIT, cells, table) for table in (fixed.SIGMOID, fixed.SIGMOID, fixed.TANH))
    if config.counters:
        running = [name for name in counter_map(config) if not name.startswith("step_")]
        yield Memory(COUNTERS, 1, HIGH_BITS, slots(len(running)))


def compact_memories(config: CoreConfig) -> Iterator[Memory]:
    """As :func:`core_memories`; but for the lists, Yosys chooses the blocks, or flip-flops for a few bits."""
    lanes, units = config.lanes, config.rows << config.lane_bits
    yield Memory(LANE, lanes, COMPACT_WORD_BITS, 1 << config.list_bits, single_port=True)
    left_to_yosys = (
        Memory(LANE, lanes, config.acc_bits, len(GATES) << config.row_bits + 1),
        Memory(BETWEEN, 1, LaneEvent(config).size, EventQueue.DEPTH),
        Memory(CELL_UNIT, 1, config.acc_bits, units * len(GATES)),
        Memory(CELL_UNIT, 1, 16, 2 << config.layer_bits),  # shifts
        Memory(CELL_UNIT, 2, 16, units),  # thresholds and states
        # Numbers of units, and whether they fired: bit by bit, so in blocks of the widest words only.
        Memory(CELL_UNIT, -(-units // WIDEST_ROWS), 1, min(units, WIDEST_ROWS), parts=16),
        Memory(CELL_UNIT, 1, 16, len(fixed.SIGMOID.base) + len(fixed.TANH.base), has_content=True),
    )
    yield from (memory for memory in left_to_yosys if memory.parts * memory.bits * memory.depth > FEW_BITS)


def products(config: CoreConfig, *, host_link: bool) -> Iterator[tuple[str, int, Shape, Shape]]:
    """Yield the component, the number and the operands of every multiplier."""
    if host_link and config.ranked:
        half, multiplier = ranking.VALUE_BITS // 2, unsigned(ranking.MULTIPLIER_BITS)
        yield RANKING, 1, unsigned(half), multiplier
        yield RANKING, 1, signed(half), multiplier
    if config.compact:
        yield LANE, config.lanes, signed(WEIGHT_BITS), signed(config.value_bits)
        yield CELL_UNIT, 1, unsigned(16), signed(16)
        return
    one = fixed.STATE_FRACTION
    if config.streamed:
        yield LIST_FETCH, 1, signed(config.source_bits + 1), signed(LIST_COUNT_BITS + 1)
    yield LANE, config.lanes, signed(config.weight_bits), signed(config.value_bits)
    yield CELL_UNIT, config.cell_units, unsigned(one), signed(fixed.ADDEND_BITS)
    yield CELL_UNIT, config.cell_units, unsigned(one), signed(16)
    yield CELL_UNIT, config.cell_units, unsigned(one + 1), signed(16)


def inventory(config: CoreConfig, family: str, *, host_link: bool) -> Inventory:
    """Return what the memories and multipliers of a core take on a device of a family."""
    found = Inventory.of(memories(config, host_link=host_link), family)
    for component, count, a, b in products(config, host_link=host_link):
        found[component].multiplier += count * rules(family).is_block_product(a, b)
    return found


def inferred_blocks(config: CoreConfig, family: str) -> int:
    """Return the block RAMs that Yosys makes by itself: of lanes' queues that every item passes, where there is no
    distributed RAM.
    """
    if rules(family).RULES.distributed_rows or config.compact or config.forwarding:
        return 0
    columns = rules(family).RULES.columns(FanoutList(config).size, config.queue_depth)
    return config.lanes * sum(column.stack for column in columns)

"""What the families share: a memory cut into blocks, a product added up in logic."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from amaranth import Array, Cat, Const, Instance, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.utils import ceil_log2


@dataclass(frozen=True)
class Block:
    """One block of a memory: what it holds and what it is connected to, all as plain bits.

    ``write_units`` tells which of its equal parts are written, the lowest first; None stands for all.
    """

    width: int
    init: tuple[int, ...]
    read_en: Value
    read_addr: Value
    read_data: Signal
    write_en: Value
    write_addr: Value
    write_data: Value
    write_units: Value | None = None


@dataclass(frozen=True)
class Column:
    """Bits ``start`` to ``stop`` of every row, in ``stack`` blocks of ``width`` bits, one above the other."""

    start: int
    stop: int
    width: int
    stack: int


@dataclass(frozen=True)
class Rules:
    """What a family makes its memories of; what the memories are built by and what an estimate counts by.

    Parameters
    ----------
    geometries : mapping
        Rows of a block RAM for each width it can have.
    distributed_rows : int
        A memory of at most this many rows is built from distributed RAM, unless it has initial content; 0 where there
        is none.
    unit : int
        Bits of a block of the greatest width that are written together.
    """

    geometries: Mapping[int, int]
    distributed_rows: int
    unit: int

    @property
    def width(self) -> int:
        """The greatest width of a block."""
        return max(self.geometries)

    def is_distributed(self, depth: int, *, wanted: bool = False) -> bool:
        """Return whether a memory without initial content is distributed RAM: a shallow one, or one that is to be."""
        return depth <= self.distributed_rows or (wanted and self.distributed_rows > 0)

    def stores_parts(self, depth: int, *, distributed: bool = False) -> bool:
        """Return whether parts that are written one by one lie side by side in blocks; if not each is a memory."""
        return not self.is_distributed(depth, wanted=distributed) and depth <= self.geometries[self.width]

    def columns(
        self, width: int, depth: int, *, has_content: bool = False, distributed: bool = False
    ) -> tuple[Column, ...]:
        """Return the columns of blocks of a memory; none where it is distributed RAM."""
        if not has_content and self.is_distributed(depth, wanted=distributed):
            return ()
        return columns(width, depth, self.geometries)

    def units(self, part_bits: int) -> int:
        """Return how many units a part takes."""
        return -(-part_bits // self.unit)

    def part_blocks(self, part_bits: int, parts: int) -> int:
        """Return how many blocks hold parts that lie side by side."""
        return -(-self.units(part_bits) * parts // (self.width // self.unit))


def columns(width: int, depth: int, geometries: Mapping[int, int]) -> tuple[Column, ...]:
    """Cut a memory into columns of blocks: few blocks, and little to select from behind them.

    A selector lengthens the path out of the memory, so none is used where that takes at most an eighth more blocks.

    Parameters
    ----------
    geometries : mapping
        Rows of a block for each width it can have.
    """
    fewest = _fewest_blocks(width, depth, geometries)
    deep = {block_width: rows for block_width, rows in geometries.items() if rows >= depth}
    if not deep:
        return fewest
    unselected = _fewest_blocks(width, depth, deep)
    return unselected if 8 * len(unselected) <= 9 * sum(column.stack for column in fewest) else fewest


def _fewest_blocks(width: int, depth: int, geometries: Mapping[int, int]) -> tuple[Column, ...]:
    """Cut a memory into the fewest blocks, and among equals with the least to select from."""

    @functools.cache
    def cut(start: int) -> tuple[tuple[int, int, int], tuple[Column, ...]]:
        if start == width:
            return (0, 0, 0), ()
        choices = []
        for block_width, rows in geometries.items():
            column = Column(start, min(start + block_width, width), block_width, -(-depth // rows))
            (blocks, selected, count), rest = cut(column.stop)
            selected += (column.stop - start) * (column.stack - 1)
            choices.append(((blocks + column.stack, selected, count + 1), (column, *rest)))
        return min(choices, key=lambda choice: choice[0])

    return cut(0)[1]


def rows(ports: wiring.Component) -> list[int]:
    """Return the initial rows of a memory as plain bits."""
    mask = (1 << Shape.cast(ports.shape).width) - 1
    return [Const.cast(Const(row, ports.shape)).value & mask for row in ports.init]


def memory(
    ports: wiring.Component, rules: Rules, place: Callable[[Block], Instance], *, output_register: bool = True
) -> Module:
    """Build a memory; a read takes 2 cycles, both stages moved by ``read_en``.

    It is distributed RAM where ``rules`` say so, else blocks. Blocks that are stacked are selected behind their last
    register, which adds no cycle.

    Parameters
    ----------
    ports : PipelinedMemory
        What to connect to.
    rules : Rules
        Of the family.
    place : callable
        Returns the instance for a block.
    output_register : bool
        The block has both registers; if not, its second one is built from logic.
    """
    init = rows(ports)
    read_data, write_data = Value.cast(ports.read_data), Value.cast(ports.write_data)
    cut = rules.columns(len(read_data), ports.depth, has_content=bool(init), distributed=ports.distributed)
    if not cut:
        return distributed_memory(ports)
    m = Module()
    word = Signal(len(read_data))
    for column in cut:
        depth, used = rules.geometries[column.width], slice(column.start, column.stop)
        address_bits = ceil_log2(depth)
        content = [row >> column.start & (1 << column.stop - column.start) - 1 for row in init]
        outputs = [Signal(column.width, name=f"output_{column.start}_{k}") for k in range(column.stack)]
        for k, output in enumerate(outputs):
            selected = ports.write_addr[address_bits:] == k if column.stack > 1 else 1
            m.submodules[f"bits_{column.start}_rows_{k * depth}"] = place(Block(
                width=column.width,
                init=tuple(content[k * depth : (k + 1) * depth]),
                read_en=ports.read_en,
                read_addr=ports.read_addr[:address_bits],
                read_data=output,
                write_en=Const(0) if init else ports.write_en & selected,
                write_addr=ports.write_addr[:address_bits],
                write_data=Cat(write_data[used], Const(0, column.width + column.start - column.stop)),
            ))  # fmt: skip
        select = ports.read_addr[address_bits:]
        for stage in ("reading", "output") if output_register else ("reading",):
            select = enabled(m, select, ports.read_en, f"{stage}_select_{column.start}")
        m.d.comb += word[used].eq(Array(outputs)[select] if column.stack > 1 else outputs[0])
    m.d.comb += read_data.eq(word if output_register else enabled(m, word, ports.read_en, "output"))
    return m


def parted_memory(
    ports: wiring.Component, rules: Rules, place: Callable[[Block], Instance], *, output_register: bool = True
) -> Module | None:
    """Build a memory whose parts are written one by one from blocks that lie side by side, a row deep each.

    Returns None where ``rules`` say that each part is a memory.

    Parameters
    ----------
    ports : PartedMemory
        What to connect to.
    rules : Rules
        Of the family.
    place, output_register
        See :func:`memory`.
    """
    if not rules.stores_parts(ports.depth, distributed=ports.distributed):
        return None
    m = Module()
    part_bits = len(ports.write_data)
    unit, units = rules.unit, rules.units(part_bits)
    padded = Cat(ports.write_data, Const(0, units * unit - part_bits))
    words = [padded.word_select(k, unit) for k in range(units)] * len(ports.write_en)
    enables = [enable for enable in ports.write_en for _ in range(units)]
    width, each = rules.width, rules.width // unit  # bits and units of a block
    read = []
    for first in range(0, rules.part_blocks(part_bits, ports.parts) * each, each):
        here = slice(first, first + each)
        missing = each - len(words[here])
        output = Signal(width, name=f"output_{first}")
        write_units = Cat(*enables[here], Const(0, missing))
        m.submodules[f"units_{first}"] = place(Block(
            width=width, init=(), read_en=ports.read_en, read_addr=ports.read_addr, read_data=output,
            write_en=write_units.any(), write_addr=ports.write_addr,
            write_data=Cat(*words[here], Const(0, missing * unit)), write_units=write_units,
        ))  # fmt: skip
        read.append(output)
    word = Cat(read)
    if not output_register:
        word = enabled(m, word, ports.read_en, "output")
    for part, data in enumerate(ports.read_data):
        m.d.comb += Value.cast(data).eq(word[part * units * unit :][:part_bits])
    return m


def distributed_memory(ports: wiring.Component) -> Module:
    """Build a memory that reads asynchronously, with two registers behind: Yosys makes distributed RAM of it."""
    m = Module()
    m.submodules.storage = storage = Memory(
        shape=len(Value.cast(ports.read_data)), depth=ports.depth, init=(),
        attrs={"ram_style": "distributed", "no_rw_check": 1},
    )  # fmt: skip
    write, read = storage.write_port(), storage.read_port(domain="comb")
    reading = enabled(m, read.data, ports.read_en, "reading")
    m.d.comb += [
        read.addr.eq(ports.read_addr),
        write.en.eq(ports.write_en), write.addr.eq(ports.write_addr), write.data.eq(ports.write_data),
        Value.cast(ports.read_data).eq(enabled(m, reading, ports.read_en, "output")),
    ]  # fmt: skip
    return m


def enabled(m: Module, value: Value, enable: Value, name: str) -> Signal:
    """Return a register of ``value`` that moves while ``enable`` is high."""
    register = Signal(len(value), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += register.eq(value)
    return register


def product_in_logic(ports: wiring.Component) -> Module:
    """Multiply in 3 cycles by a tree of adders, one level a cycle: the shorter operand has at most 8 bits."""
    m = Module()
    short, long = sorted((ports.a, ports.b), key=len)
    terms = [Mux(bit, long, 0) << k for k, bit in enumerate(short)]
    if short.shape().signed:
        terms[-1] = -terms[-1]
    for level in ("pairs", "fours", "sum"):
        sums = []
        for k in range(0, len(terms), 2):
            total = sum(terms[k : k + 2], start=Const(0, 0))
            register = Signal(total.shape(), name=f"{level}_{k}", reset_less=True)
            with m.If(ports.en if level == "pairs" else 1):
                m.d.sync += register.eq(total)
            sums.append(register)
        terms = sums
    m.d.comb += ports.product.eq(terms[0])
    return m


def extend(value: Value, width: int) -> Value:
    """Extend a value to the width of a block's port, by its sign if it has one."""
    return Cat(value, (value[-1] if value.shape().signed else Const(0, 1)).replicate(width - len(value)))

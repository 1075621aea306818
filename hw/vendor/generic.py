"""Memory and multiplier with the latencies of an FPGA's own registers.

Every memory read takes 2 cycles and every multiplication 3, so that a device's block RAM and multiplier registers can
be used without changing anything around them. What is built is plain HDL, or, for a platform that
:mod:`hw.vendor` knows, the device's own blocks.
"""

from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.vendor import primitives

MEMORY_LATENCY = 2
MULTIPLIER_LATENCY = 3


class PipelinedMemory(wiring.Component):
    """Read and write one row a cycle; a read takes 2 cycles.

    A row must not be read in the cycle in which it is written: users schedule so, hence no collision logic is built.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a row.
    depth : int
        Rows.
    init : iterable
        Initial rows; a memory with no writer is a ROM.
    distributed : bool
        To be distributed RAM, where the family has it, however deep; if not, the family's rules say what is.

    Members
    -------
    read_en : In(1)
        Moves both read stages; held low, ``read_data`` and the row under way keep.
    read_addr : In(range(depth))
    read_data : Out(shape)
        Row addressed two enabled cycles ago.
    write_en, write_addr, write_data : In
    """

    def __init__(self, *, shape: ShapeLike, depth: int, init=(), distributed: bool = False):
        self.shape, self.depth, self.init, self.distributed = shape, depth, init, distributed
        super().__init__({
            "read_en": In(1, init=1), "read_addr": In(range(depth)), "read_data": Out(shape),
            "write_en": In(1), "write_addr": In(range(depth)), "write_data": In(shape),
        })  # fmt: skip

    def elaborate(self, platform):
        library = primitives(platform)
        return self._plain() if library is None else library.memory(self)

    def _plain(self):
        m = Module()
        m.submodules.storage = storage = Memory(
            shape=self.shape, depth=self.depth, init=self.init, attrs={"no_rw_check": 1}
        )
        read = storage.read_port()
        m.d.comb += [read.en.eq(self.read_en), read.addr.eq(self.read_addr)]
        if not self.init:
            write = storage.write_port()
            m.d.comb += [
                write.en.eq(self.write_en), write.addr.eq(self.write_addr), write.data.eq(self.write_data),
            ]  # fmt: skip

        output = Signal(self.shape, reset_less=True)
        with m.If(self.read_en):
            m.d.sync += output.eq(read.data)
        m.d.comb += self.read_data.eq(output)
        return m


class PartedMemory(wiring.Component):
    """As :class:`PipelinedMemory`, with rows of several equal parts that are read together and written one by one.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a part.
    parts, depth : int
        Parts of a row, and rows.
    distributed : bool
        See :class:`PipelinedMemory`.

    Members
    -------
    read_en : In(1), read_addr : In(range(depth)), read_data : Out(ArrayLayout(shape, parts))
    write_en : In(parts), write_addr : In(range(depth)), write_data : In(shape)
        Goes to each part that is enabled.
    """

    def __init__(self, *, shape: ShapeLike, parts: int, depth: int, distributed: bool = False):
        self.shape, self.parts, self.depth, self.distributed = shape, parts, depth, distributed
        super().__init__({
            "read_en": In(1, init=1), "read_addr": In(range(depth)), "read_data": Out(data.ArrayLayout(shape, parts)),
            "write_en": In(parts), "write_addr": In(range(depth)), "write_data": In(shape),
        })  # fmt: skip

    def elaborate(self, platform):
        library = primitives(platform)
        module = library.parted_memory(self) if library is not None else None
        if module is None:
            module = self._memory_a_part()
        return module

    def _memory_a_part(self):
        m = Module()
        for part in range(self.parts):
            m.submodules[f"part_{part}"] = memory = PipelinedMemory(
                shape=self.shape, depth=self.depth, distributed=self.distributed
            )
            m.d.comb += [
                memory.read_en.eq(self.read_en), memory.read_addr.eq(self.read_addr),
                self.read_data[part].eq(memory.read_data), memory.write_en.eq(self.write_en[part]),
                memory.write_addr.eq(self.write_addr), memory.write_data.eq(self.write_data),
            ]  # fmt: skip
        return m


class SinglePortMemory(PipelinedMemory):
    """Read or write one row a cycle; a read takes 2 cycles. For large memories without initial content.

    As :class:`PipelinedMemory`, but a write takes the place of a read: rows read in the cycle of a write, or on their
    way then, are undefined. A memory that is loaded while nothing reads it can be one.
    """

    def __init__(self, *, shape: ShapeLike, depth: int):
        super().__init__(shape=shape, depth=depth)

    def elaborate(self, platform):
        library = primitives(platform)
        return self._plain() if library is None else library.single_port_memory(self)


class Relay(wiring.Component):
    """Hold a value for one cycle in registers of its own, which the tools do not merge with others of the same input.

    One for each receiver turns a bus with many of them into a tree. Without reset.

    Members
    -------
    i : In(shape), o : Out(shape)
    """

    def __init__(self, shape: ShapeLike):
        super().__init__({"i": In(shape), "o": Out(shape)})

    def elaborate(self, platform):
        library = primitives(platform)
        m = Module()
        inputs, outputs = Value.cast(self.i), Value.cast(self.o)
        if library is None:
            register = Signal.like(outputs, name="register", reset_less=True)
            m.d.sync += register.eq(inputs)
            m.d.comb += outputs.eq(register)
        else:
            m.submodules += [library.register(*bits) for bits in zip(inputs, outputs, strict=True)]
        return m


class Choice(wiring.Component):
    """Choose one of four words, without delay.

    Members
    -------
    words : In(shape).array(4), select : In(2)
    o : Out(shape)
    """

    def __init__(self, shape: ShapeLike):
        super().__init__({"words": In(shape).array(4), "select": In(2), "o": Out(shape)})

    def elaborate(self, platform):
        library = primitives(platform)
        module = library.choice(self) if library is not None else None
        return module or self._plain()

    def _plain(self):
        m = Module()
        first_half, second_half = (Mux(self.select[0], self.words[k + 1], self.words[k]) for k in (0, 2))
        m.d.comb += self.o.eq(Mux(self.select[1], second_half, first_half))
        return m


class Multiplier(wiring.Component):
    """Multiply two integers a cycle; the product follows after 3 cycles.

    Members
    -------
    a : In(a), b : In(b)
    en : In(1)
        Moves the operands' register; while it is low they stay and are multiplied again. The stages behind run freely.
    product : Out
        Exact product of the operands that were in their register 2 cycles ago.
    """

    def __init__(self, a: ShapeLike, b: ShapeLike):
        product = (Signal(a) * Signal(b)).shape()
        super().__init__({"a": In(a), "b": In(b), "en": In(1, init=1), "product": Out(product)})

    def elaborate(self, platform):
        library = primitives(platform)
        module = library.multiplier(self) if library is not None else None
        return module or self._plain()

    def _plain(self):
        m = Module()
        a, b = Signal.like(self.a, reset_less=True), Signal.like(self.b, reset_less=True)
        partial = Signal.like(self.product, reset_less=True)
        output = Signal.like(self.product, reset_less=True)
        with m.If(self.en):
            m.d.sync += [a.eq(self.a), b.eq(self.b)]
        m.d.sync += [partial.eq(a * b), output.eq(partial)]
        m.d.comb += self.product.eq(output)
        return m

"""A queue between two streams."""

from amaranth import Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Queue(wiring.Component):
    """Hold up to ``depth`` items, first in first out.

    One item a cycle in and out; latency one cycle from empty; order kept; stalls without loss on both sides. ``level``,
    ``o.valid`` and ``i.ready`` hang on nothing but registers.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    depth : int
        Items, a power of two. They are read asynchronously, as distributed RAM does.

    Members
    -------
    i : In(stream.Signature(shape)), o : Out(stream.Signature(shape))
    level : Out(range(depth + 1))
        Items held.

    Raises
    ------
    ValueError
        If ``depth`` is not a power of two from 2 up.
    """

    def __init__(self, *, shape: ShapeLike, depth: int):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth is {depth}; it must be a power of two, 2 or more")
        self._shape, self._depth = shape, depth
        super().__init__({
            "i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "level": Out(range(depth + 1)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.storage = storage = Memory(shape=self._shape, depth=self._depth, init=(), attrs={"no_rw_check": 1})
        write, read = storage.write_port(), storage.read_port(domain="comb")
        head, tail = Signal.like(read.addr), Signal.like(write.addr)
        full, push, pop = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            write.en.eq(push),
            write.addr.eq(tail),
            write.data.eq(self.i.payload),
            read.addr.eq(head),
            self.o.payload.eq(read.data),
        ]
        with m.If(push):
            m.d.sync += tail.eq(tail + 1)
        with m.If(pop):
            m.d.sync += head.eq(head + 1)
        with m.If(push & ~pop):
            m.d.sync += [
                self.level.eq(self.level + 1), self.o.valid.eq(1), full.eq(self.level == self._depth - 1),
            ]  # fmt: skip
        with m.Elif(pop & ~push):
            m.d.sync += [self.level.eq(self.level - 1), self.o.valid.eq(self.level != 1), full.eq(0)]
        return m

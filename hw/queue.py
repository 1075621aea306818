"""A queue between two streams."""

from amaranth import Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Queue(wiring.Component):
    """Hold up to ``depth + 1`` items, first in first out.

    One item a cycle in and out; latency one cycle from empty (the item goes straight to the output register); order
    kept; stalls without loss on both sides.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    depth : int
        Items in memory, a power of two; one more waits in the output register.

    Members
    -------
    i : In(stream.Signature(shape)), o : Out(stream.Signature(shape))
    level : Out(range(depth + 2))
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
            "i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "level": Out(range(depth + 2)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.storage = storage = Memory(shape=self._shape, depth=self._depth, init=(), attrs={"no_rw_check": 1})
        write, read = storage.write_port(), storage.read_port()
        stored = Signal(range(self._depth + 1))  # items in memory
        head = Signal.like(read.addr)
        tail = Signal.like(write.addr)

        # The output register is either the memory's own read register or, when nothing was stored, a bypass.
        bypass = Signal(self._shape, reset_less=True)
        bypassed = Signal()
        with m.If(bypassed):
            m.d.comb += self.o.payload.eq(bypass)
        with m.Else():
            m.d.comb += self.o.payload.eq(read.data)

        push, refill = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(stored != self._depth),
            push.eq(self.i.valid & self.i.ready),
            refill.eq(~self.o.valid | self.o.ready),
            read.en.eq(refill),
            read.addr.eq(head),
            write.addr.eq(tail),
            write.data.eq(self.i.payload),
        ]
        with m.If(refill):
            m.d.sync += bypassed.eq(stored == 0)
            with m.If(stored == 0):
                m.d.sync += [self.o.valid.eq(push), bypass.eq(self.i.payload)]
            with m.Else():
                m.d.sync += [self.o.valid.eq(1), head.eq(head + 1)]

        with m.If(push & ~(refill & (stored == 0))):
            m.d.comb += write.en.eq(1)
            m.d.sync += tail.eq(tail + 1)
        m.d.sync += stored.eq(stored + write.en - (refill & (stored != 0)))
        m.d.comb += self.level.eq(stored + self.o.valid)
        return m

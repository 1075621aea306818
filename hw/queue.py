"""A queue between two streams."""

from amaranth import Const, Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.vendor import primitives


class Queue(wiring.Component):
    """Hold items, first in first out: ``depth`` in a memory and the next one in a register behind it.

    One item a cycle in and out; latency 2 from empty, 1 if ``direct``; order kept; stalls without loss on both sides.
    All outputs of the streams are registers.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    depth : int
        Items in memory, a power of two. They are read asynchronously, as distributed RAM does.
    direct : bool
        Whether an item goes straight to the register where the memory is empty: a cycle for a multiplexer.
    guarded : bool
        Whether the queue itself refuses what it has no room for. If not, ``i.ready`` is always high, and whoever sends
        counts the ``depth + 1`` places.

    Members
    -------
    i : In(stream.Signature(shape)), o : Out(stream.Signature(shape))
    empty : Out(1)
        Nothing is held.

    Raises
    ------
    ValueError
        If ``depth`` is not a power of two from 2 up.
    """

    def __init__(self, *, shape: ShapeLike, depth: int, direct: bool = False, guarded: bool = True):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth is {depth}; it must be a power of two, 2 or more")
        self._shape, self._depth, self._direct, self._guarded = shape, depth, direct, guarded
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "empty": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # A distributed RAM of two items takes more cells than their registers; of many, synthesis would take block RAM.
        library = primitives(platform)
        attributes = {"no_rw_check": 1}
        if self._depth == 2:
            attributes["ram_style"] = "registers"
        elif library is not None and library.RULES.distributed_rows:
            attributes["ram_style"] = "distributed"
        m.submodules.storage = storage = Memory(shape=self._shape, depth=self._depth, init=(), attrs=attributes)
        write, read = storage.write_port(), storage.read_port(domain="comb")
        head, tail = Signal.like(read.addr), Signal.like(write.addr)
        second = Signal.like(head, init=1)  # behind ``head``, so that what follows compares registers only
        filled, full = Signal(), Signal()  # of the memory
        push, move = Signal(), Signal()
        free = ~self.o.valid | self.o.ready
        passes = ~filled & free if self._direct else Const(0)
        item = Signal(self._shape, reset_less=True)  # behind the memory
        m.d.comb += [
            self.empty.eq(~filled & ~self.o.valid),
            self.o.payload.eq(item),
            self.i.ready.eq(~full),
            push.eq(self.i.valid & ~full & ~passes),
            move.eq(filled & free),
            # The place at the tail is free unless the memory is full, and may be written before it is known whether
            # anything stays there.
            write.en.eq(~full if self._guarded else self.i.valid),
            write.addr.eq(tail),
            write.data.eq(self.i.payload),
            read.addr.eq(head),
        ]
        with m.If(free):
            m.d.sync += [item.eq(read.data), self.o.valid.eq(filled)]
        with m.If(passes):
            m.d.sync += [item.eq(self.i.payload), self.o.valid.eq(self.i.valid)]
        with m.If(push):
            m.d.sync += [tail.eq(tail + 1), filled.eq(1)]
        with m.Elif(move):
            m.d.sync += filled.eq(second != tail)
        with m.If(move):
            m.d.sync += [head.eq(second), second.eq(second + 1)]
        if self._guarded:
            with m.If(move):
                m.d.sync += full.eq(0)
            with m.Elif(push):
                m.d.sync += full.eq((tail + 1)[: len(head)] == head)
        return m

"""The queue of a compact core: every event is stored once, and each lane reads on at its own place."""

from __future__ import annotations

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.compact.layouts import LaneEvent
from hw.config import CoreConfig


class EventQueue(wiring.Component):
    """Hold the events that are broadcast until the last lane has taken them.

    One event a cycle in. Lanes take turns with the memory, one a cycle. The broadcaster must hold back while ``ready``
    is low; there is room for what it sends before it sees so.

    Members
    -------
    event : In(LaneEvent), valid : In(1), ready : Out(1)
    wants : In(lanes)
        A lane takes the next event as soon as there is one.
    o : Out(LaneEvent), o_valid : Out(lanes)
        The event for one of the lanes, for one cycle.
    """

    DEPTH = 256
    #: Places that are kept: a lane's lead is looked at when it has its turn, at most 16 cycles ago.
    SLACK = DEPTH // 4

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "event": In(LaneEvent(config)), "valid": In(1), "ready": Out(1), "wants": In(config.lanes),
            "o": Out(LaneEvent(config)), "o_valid": Out(config.lanes),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        lanes = self._config.lanes
        m.submodules.events = events = Memory(
            shape=LaneEvent(self._config), depth=self.DEPTH, init=(), attrs={"no_rw_check": 1}
        )
        write, read = events.write_port(), events.read_port()
        tail = Signal(range(self.DEPTH))
        heads = Array(Signal.like(tail, name=f"head_{lane}") for lane in range(lanes))
        turn = Signal(range(max(2, lanes)))
        m.d.sync += turn.eq(Mux(turn == lanes - 1, 0, turn + 1))

        head, waiting, goes, crowded = Signal.like(tail), Signal.like(tail), Signal(), Signal(lanes)
        m.d.comb += [
            write.addr.eq(tail),
            write.data.eq(self.event),
            write.en.eq(self.valid),
            head.eq(heads[turn]),
            read.addr.eq(head),
            self.o.eq(read.data),
            waiting.eq(tail - head),
            # A lane that was given an event in the cycle before does not know yet that it wants no more.
            goes.eq((waiting != 0) & self.wants.bit_select(turn, 1) & ~self.o_valid.bit_select(turn, 1)),
        ]
        m.d.sync += [
            tail.eq(tail + self.valid),
            self.o_valid.eq(goes << turn),
            crowded.bit_select(turn, 1).eq(waiting >= self.DEPTH - self.SLACK),
            self.ready.eq(~crowded.any()),
        ]
        with m.If(goes):
            m.d.sync += heads[turn].eq(head + 1)
        return m

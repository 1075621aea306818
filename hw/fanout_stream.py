"""Fan-out lists from external memory in a lane: queue the beats that come, and walk them."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.beat_walker import BeatWalker, LaneBeat
from hw.config import CoreConfig
from hw.event import Operation, Target
from hw.fanout_onchip import Advance
from hw.queue import Queue
from hw.vendor.generic import Relay


class FanoutStream(wiring.Component):
    """Turn the beats for this lane into entries, one a cycle.

    Takes a beat a cycle and never stalls who sends, which must hold back while ``ready`` is low; there is room for the
    ``slack`` beats that may come before it sees so.

    Members
    -------
    beats : In(LaneBeat).array, to : In(as many bits)
        As of :class:`hw.beat_spreader.BeatSpreader`, and which of them is for this lane: one, or none.
    ready : Out(1)
    o : Out(Operation), o_valid : Out(1), behind : Out(Target), advance : In(Advance)
        See :class:`hw.beat_walker.BeatWalker`.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        #: Beats that may still come when ``ready`` is decided: one in each cycle until it is seen in what the spreader
        #: sends, that has passed its register, and the lane's; with more hops one more each way for each of them.
        self.slack = 3 + 2 * (config.hops - 1)
        ways = 2 * config.beats_at_once
        super().__init__({
            "beats": In(LaneBeat(config)).array(ways), "to": In(ways),
            "ready": Out(1),
            "o": Out(Operation(config)), "o_valid": Out(1), "behind": Out(Target(config)), "advance": In(Advance),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.relay = relay = Relay(LaneBeat(self._config))
        m.submodules.queue = queue = Queue(shape=LaneBeat(self._config), depth=self._config.queue_depth, guarded=False)
        m.submodules.walker = walker = BeatWalker(self._config)
        comes = Signal()
        m.d.sync += comes.eq(self.to.any())
        m.d.comb += relay.i.eq(self.beats[0])
        for number, beat in enumerate(list(self.beats)[1:], 1):
            with m.If(self.to[number]):
                m.d.comb += relay.i.eq(beat)
        m.d.comb += [
            queue.i.payload.eq(relay.o),
            queue.i.valid.eq(comes),
        ]
        wiring.connect(m, queue.o, walker.i)
        m.d.comb += [
            self.o.eq(walker.o),
            self.o_valid.eq(walker.o_valid),
            self.behind.eq(walker.behind),
            walker.advance.eq(self.advance),
        ]
        places = self._config.queue_depth + 1
        free, left = Signal(range(places + 1), init=places), Signal()
        m.d.comb += left.eq(queue.o.valid & queue.o.ready)
        m.d.sync += [free.eq(free + left - comes), self.ready.eq(free > self.slack)]
        return m

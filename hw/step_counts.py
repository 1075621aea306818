"""Count the events and operations of each step apart, though steps overlap."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Event, EventKind
from hw.lane import LaneActivity
from hw.vendor.generic import Relay

STEP_BITS = 32
TOGETHER = 4  #: lanes whose operations are added up first


class StepRecord(data.StructLayout):
    """Counts of one step, valid for one cycle when its last entry has been walked."""

    def __init__(self, config: CoreConfig):
        counts = data.ArrayLayout(STEP_BITS, config.groups)
        super().__init__({"valid": 1, "events": counts, "macs": counts})


class GroupCounts(wiring.Component):
    """Count the events and multiply-accumulates of one group of sources, those of even and odd steps apart.

    Members
    -------
    event, valid, lanes : as for :class:`StepCounts`
    closes : In(2)
        The count of even, or odd, steps is complete, and starts again.
    new_event, new_macs : Out
        Counted in this cycle, whatever the step.
    events, macs : Out(32)
        Of the step whose count was completed last, two cycles later.
    """

    #: From an entry's acceptance, which a lane tells a cycle later, to its place in the count.
    DEPTH = 5

    def __init__(self, config: CoreConfig, group: int):
        self._config, self._group = config, group
        super().__init__({
            "event": In(Event(config)), "valid": In(1), "lanes": In(LaneActivity(config)).array(config.lanes),
            "closes": In(2), "new_event": Out(1), "new_macs": Out(range(config.lanes + 1)),
            "events": Out(STEP_BITS), "macs": Out(STEP_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        event, lanes = self.event, self._config.lanes
        counted = self.valid & (event.kind == EventKind.EVENT) & (event.group == self._group)
        added = []
        complete_events, complete_macs = (
            Signal(STEP_BITS, name=f"complete_{name}", reset_less=True) for name in ("events", "macs")
        )
        m.d.comb += [self.events.eq(complete_events), self.macs.eq(complete_macs)]
        for parity, closes in enumerate(self.closes):
            # Many bits, so not reset: both are closed while stopped.
            events, macs = (Signal(STEP_BITS, name=f"{name}_{parity}", reset_less=True) for name in ("events", "macs"))
            new_event = Signal(name=f"new_event_{parity}")
            hits = Signal(lanes, name=f"hits_{parity}", reset_less=True)  # stopped lanes hit nothing
            new_macs = Signal(range(lanes + 1), name=f"new_macs_{parity}")
            m.d.sync += [
                new_event.eq(counted & (event.bank ^ event.group[0] == parity)),
                *(
                    hit.eq(lane.mac & (lane.group == self._group) & (lane.parity == parity))
                    for hit, lane in zip(hits, self.lanes, strict=True)
                ),
            ]
            together = []
            for first in range(0, lanes, TOGETHER):
                some = hits[first : first + TOGETHER]
                hit = Signal(range(len(some) + 1), name=f"hits_{parity}_from_{first}")
                m.d.sync += hit.eq(sum(some[1:], start=some[0]))
                together.append(hit)
            m.d.sync += new_macs.eq(sum(together[1:], start=together[0]))
            for name, count, new, complete in (
                ("events", events, new_event, complete_events),
                ("macs", macs, new_macs, complete_macs),
            ):
                m.submodules[f"closes_{name}_{parity}"] = own = Relay(1)
                m.d.comb += own.i.eq(closes)
                m.d.sync += count.eq(Mux(own.o, 0, count) + new)
                with m.If(own.o):
                    m.d.sync += complete.eq(count)
            added.append((new_event, new_macs))
        # Events come one a cycle, and a lane multiplies once a cycle: the sums of both parities are no larger.
        new_events, new_macs = zip(*added, strict=True)
        m.d.comb += self.new_event.eq(sum(new_events))
        m.d.sync += self.new_macs.eq(sum(new_macs))
        return m


class StepCounts(wiring.Component):
    """Count events and multiply-accumulates of each step apart, though steps overlap.

    Two sets of counts, one for each parity of step: the bank that an event adds to and its group tell its step's
    parity. A group's count of a step is complete when all lanes have passed the group's end, and is put aside then.

    Members
    -------
    stop : In(1)
        Start again; takes effect 2 cycles later.
    event : In(Event), valid : In(1)
        As broadcast.
    lanes : In(LaneActivity).array(lanes)
    input_closed : In(1), layer_closed : In(1), layer : In, last_layer : In(1)
        All lanes have passed the end of a step's input, or of a layer.
    record : Out(StepRecord)
    new_events, new_macs : Out, one for each group
        Counted in this cycle, whatever the step.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "stop": In(1),
            "event": In(Event(config)), "valid": In(1), "lanes": In(LaneActivity(config)).array(config.lanes),
            "input_closed": In(1), "layer_closed": In(1), "layer": In(config.layer_bits), "last_layer": In(1),
            "record": Out(StepRecord(config)),
            "new_events": Out(1).array(config.groups), "new_macs": Out(range(config.lanes + 1)).array(config.groups),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, record = self._config, self.record

        def under_way(value, cycles, name):
            """Delay a closing; one that is under way at a stop is forgotten, however short that is."""
            for cycle in range(cycles):
                register = Signal(name=f"{name}_{cycle}")
                m.d.sync += register.eq(value & ~self.stop)
                value = register
            return value

        # What is closed is decided a cycle before it is.
        before = GroupCounts.DEPTH - 1
        closes_input = under_way(self.input_closed, before, "closes_input")
        closes_layer = under_way(self.layer_closed, before, "closes_layer")
        closed_layer = delay(m, self.layer, before, "closed_layer")
        closes_step = closes_layer & delay(m, self.last_layer, before, "closes_step")
        input_parity, layer_parity = Signal(), Signal()
        m.d.sync += [input_parity.eq(input_parity ^ closes_input), layer_parity.eq(layer_parity ^ closes_step)]
        step_ends = under_way(closes_step, 1, "step_ends")
        step_parity = delay(m, layer_parity, 1, "step_parity")
        with m.If(self.stop):
            m.d.sync += [input_parity.eq(0), layer_parity.eq(0)]

        for group in range(config.groups):
            # Each is stopped by a register of its own, near it.
            m.submodules[f"group_{group}_stop"] = stop = Relay(1)
            m.submodules[f"group_{group}"] = counts = ResetInserter(stop.o)(GroupCounts(config, group))
            parity = input_parity if group == 0 else layer_parity
            closes = closes_input if group == 0 else closes_layer & (closed_layer == group - 1)
            m.d.comb += [
                stop.i.eq(self.stop),
                *(counts.closes[k].eq(closes & (parity == k) | self.stop) for k in range(2)),
                counts.event.eq(self.event),
                counts.valid.eq(self.valid),
                *(inner.eq(outer) for inner, outer in zip(counts.lanes, self.lanes, strict=True)),
                self.new_events[group].eq(counts.new_event),
                self.new_macs[group].eq(counts.new_macs),
            ]
            if group > 0:
                m.d.comb += [record.events[group].eq(counts.events), record.macs[group].eq(counts.macs)]
                continue
            # The input of the next step may be complete before this step is, but not that of the one after.
            kept = Signal(data.ArrayLayout(data.ArrayLayout(STEP_BITS, 2), 2), reset_less=True)
            for k in range(2):
                with m.If(delay(m, counts.closes[k], 2, f"closed_{k}", init=0)):
                    m.d.sync += kept[k].eq(Cat(counts.events, counts.macs))
            with m.If(step_ends):
                m.d.sync += Cat(record.events[0], record.macs[0]).eq(kept[step_parity])
        m.d.sync += record.valid.eq(step_ends & ~self.stop)
        return m

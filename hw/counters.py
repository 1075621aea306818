"""Exact counters: every operation, and every cycle in which a lane could have done one and did not."""

from __future__ import annotations

from amaranth import Array, Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Event, EventKind
from hw.lane import LaneActivity
from hw.tally import COUNTER_BITS, Tally
from hw.vendor.generic import Relay

GLOBAL = ("cycles", "steps", "silent_fires", "broadcast_stalls", "cell_stalls", "output_stalls")
LANE = ("busy", "hazard", "drain")
STEP_BITS = 32
TOGETHER = 4  #: lanes whose operations are added up first


def counter_map(config: CoreConfig) -> dict[str, int]:
    """Return the index of each counter by name: ``cycles``, ``events_0``, ``step_macs_1``, ``lane_3_busy``...

    Group 0 is the inputs, group 1 + l layer l. ``step_`` counters are those of the last step that is complete; all
    others run since they were cleared. A lane's idle cycles are ``cycles - busy - hazard - drain``.
    """
    names = list(GLOBAL)
    for prefix in ("events", "macs", "step_events", "step_macs"):
        names += [f"{prefix}_{group}" for group in range(config.groups)]
    names += [f"lane_{lane}_{what}" for lane in range(config.lanes) for what in LANE]
    return {name: index for index, name in enumerate(names)}


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


class Counters(wiring.Component):
    """All counters, and a port to read them.

    Members
    -------
    stop, event, valid, lanes, input_closed, layer_closed, layer, last_layer, record : as for :class:`StepCounts`
    silent_fires : In, broadcast_stall, cell_stall, output_stall : In(1)
        To count in this cycle.
    clear : In(1)
    select : In, count : Out(48)
        Read of the counter with this number (:func:`counter_map`), latency ``LATENCY``.
    """

    LATENCY = Tally.LATENCY + 2

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "stop": In(1),
            "event": In(Event(config)), "valid": In(1), "lanes": In(LaneActivity(config)).array(config.lanes),
            "input_closed": In(1), "layer_closed": In(1), "layer": In(config.layer_bits), "last_layer": In(1),
            "record": Out(StepRecord(config)),
            "silent_fires": In(range(config.cell_units + 1)),
            "broadcast_stall": In(1), "cell_stall": In(1), "output_stall": In(1),
            "clear": In(1), "select": In(range(len(counter_map(config)))), "count": Out(COUNTER_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.steps = steps = StepCounts(config)
        m.d.comb += [
            steps.stop.eq(self.stop),
            steps.event.eq(self.event),
            steps.valid.eq(self.valid),
            steps.input_closed.eq(self.input_closed),
            steps.layer_closed.eq(self.layer_closed),
            steps.layer.eq(self.layer),
            steps.last_layer.eq(self.last_layer),
            self.record.eq(steps.record),
        ]
        m.d.comb += [inner.eq(outer) for inner, outer in zip(steps.lanes, self.lanes, strict=True)]

        increments = {  # in the order of the map
            "cycles": (1, 1), "steps": (1, steps.record.valid),
            "silent_fires": (config.cell_units, self.silent_fires), "broadcast_stalls": (1, self.broadcast_stall),
            "cell_stalls": (1, self.cell_stall), "output_stalls": (1, self.output_stall),
        }  # fmt: skip
        increments |= {f"events_{group}": (1, new) for group, new in enumerate(steps.new_events)}
        increments |= {f"macs_{group}": (config.lanes, new) for group, new in enumerate(steps.new_macs)}
        for number, lane in enumerate(self.lanes):
            for name, what in zip(LANE, (lane.mac, lane.hazard, lane.drain), strict=True):
                increments[f"lane_{number}_{name}"] = 1, what
        m.submodules.tally = tally = Tally([limit for limit, _ in increments.values()])
        m.d.comb += tally.clear.eq(self.clear | self.stop)
        # What comes from afar is counted one cycle later: a carry chain wants to begin at a register.
        for k, (name, (_, increment)) in enumerate(increments.items()):
            m.d.comb += tally.increments[f"of_{k}"].eq(
                increment if isinstance(increment, int) else delay(m, increment, 1, f"{name}_before")
            )

        # The counts of the last step stand between the running ones in the map.
        record, of_last_step = steps.record, []
        names = list(counter_map(config))
        first = next(k for k, name in enumerate(names) if name.startswith("step_"))
        for name in names[first : first + len(names) - len(increments)]:
            kind, group = name.removeprefix("step_").split("_")
            value = Signal(STEP_BITS, name=name)
            m.submodules[f"{name}_clear"] = step_clear = Relay(1)
            m.d.comb += step_clear.i.eq(self.clear | self.stop)
            with m.If(record.valid):
                m.d.sync += value.eq(record[kind][int(group)])
            with m.If(step_clear.o):
                m.d.sync += value.eq(0)
            of_last_step.append(value)
        beyond = first + len(of_last_step)
        place, running = Signal(range(len(of_last_step))), Signal.like(tally.select)
        blocks = [
            delay(m, Array(of_last_step[k : k + 4])[place[:2]], 1, f"block_{k}") for k in range(0, len(of_last_step), 4)
        ]
        chosen = delay(m, Array(blocks)[delay(m, place[2:], 1, "block")], 1, "chosen")
        reads_step = delay(m, (self.select >= first) & (self.select < beyond), 3, "reads_step")
        m.d.sync += [
            place.eq(self.select - first),
            running.eq(Mux(self.select < beyond, self.select, self.select - len(of_last_step))),
            self.count.eq(Mux(reads_step, chosen, tally.count)),
        ]
        m.d.comb += tally.select.eq(running)
        return m

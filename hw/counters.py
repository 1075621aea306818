"""Exact counters: every operation, and every cycle in which a lane could have done one and did not."""

from __future__ import annotations

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Event, EventKind
from hw.lane import LaneActivity

GLOBAL = ("cycles", "steps", "silent_fires", "broadcast_stalls", "cell_stalls", "output_stalls")
LANE = ("busy", "hazard", "drain")
COUNTER_BITS = 48
STEP_BITS = 32


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


class StepCounts(wiring.Component):
    """Count events and multiply-accumulates of each step apart, though steps overlap.

    Two sets of counts, one for each parity of step: the bank that an event adds to and its group tell its step's
    parity. A group's count of a step is complete when all lanes have passed the group's end, and is put aside then.

    Members
    -------
    event : In(Event), valid : In(1)
        As broadcast.
    lanes : In(LaneActivity).array(lanes)
    input_closed : In(1), layer_closed : In(1), layer : In, last_layer : In(1)
        All lanes have passed the end of a step's input, or of a layer.
    record : Out(StepRecord)
    """

    #: From an entry's acceptance to its place in the count.
    DEPTH = 4

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "event": In(Event(config)), "valid": In(1), "lanes": In(LaneActivity(config)).array(config.lanes),
            "input_closed": In(1), "layer_closed": In(1), "layer": In(config.layer_bits), "last_layer": In(1),
            "record": Out(StepRecord(config)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        closes_input = delay(m, self.input_closed, self.DEPTH, "closes_input", init=0)
        closes_layer = delay(m, self.layer_closed, self.DEPTH, "closes_layer", init=0)
        closed_layer = delay(m, self.layer, self.DEPTH, "closed_layer")
        closes_step = closes_layer & delay(m, self.last_layer, self.DEPTH, "closes_step")
        input_parity, layer_parity = Signal(), Signal()
        m.d.sync += [
            input_parity.eq(input_parity ^ closes_input),
            layer_parity.eq(layer_parity ^ closes_step),
            self.record.valid.eq(closes_step),
        ]

        counted = self.valid & (self.event.kind == EventKind.EVENT)
        event_parity = self.event.bank ^ self.event.group[0]
        for group in range(config.groups):
            closes = closes_input if group == 0 else closes_layer & (closed_layer == group - 1)
            closing_parity = input_parity if group == 0 else layer_parity
            for parity in range(2):
                name = f"{group}_{parity}"
                events, macs = Signal(STEP_BITS, name=f"events_{name}"), Signal(STEP_BITS, name=f"macs_{name}")
                new_event = Signal(name=f"new_event_{name}")
                hits = Signal(config.lanes, name=f"hits_{name}")
                new_macs = Signal(range(config.lanes + 1), name=f"new_macs_{name}")
                m.d.sync += new_event.eq(counted & (self.event.group == group) & (event_parity == parity))
                for number, lane in enumerate(self.lanes):
                    m.d.sync += hits[number].eq(lane.mac & (lane.group == group) & (lane.parity == parity))
                m.d.sync += new_macs.eq(sum(hits[1:], start=hits[0]))

                closed = closes & (closing_parity == parity)
                m.d.sync += [
                    events.eq(Mux(closed, 0, events) + new_event),
                    macs.eq(Mux(closed, 0, macs) + new_macs),
                ]
                # The input of the next step may be complete before this step is, but not that of the one after.
                if group == 0:
                    input_events = Signal(STEP_BITS, name=f"input_events_{parity}")
                    input_macs = Signal(STEP_BITS, name=f"input_macs_{parity}")
                    with m.If(closed):
                        m.d.sync += [input_events.eq(events), input_macs.eq(macs)]
                    with m.If(closes_step & (layer_parity == parity)):
                        m.d.sync += [self.record.events[0].eq(input_events), self.record.macs[0].eq(input_macs)]
                else:
                    with m.If(closed):
                        m.d.sync += [self.record.events[group].eq(events), self.record.macs[group].eq(macs)]
        return m


class Counters(wiring.Component):
    """All counters, and a port to read them.

    Members
    -------
    event, valid, lanes, input_closed, layer_closed, layer, last_layer, record : as for :class:`StepCounts`
    silent_fires : In, broadcast_stall, cell_stall, output_stall : In(1)
        To count in this cycle.
    clear : In(1)
    select : In, count : Out(48)
        Read of the counter with this number (:func:`counter_map`), latency 2.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
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
            steps.event.eq(self.event),
            steps.valid.eq(self.valid),
            steps.input_closed.eq(self.input_closed),
            steps.layer_closed.eq(self.layer_closed),
            steps.layer.eq(self.layer),
            steps.last_layer.eq(self.last_layer),
            self.record.eq(steps.record),
        ]
        m.d.comb += [inner.eq(outer) for inner, outer in zip(steps.lanes, self.lanes, strict=True)]

        # What comes from afar is counted one cycle later: a carry chain wants to begin at a register.
        record = steps.record
        increments = {
            "cycles": 1, "steps": record.valid,
            "silent_fires": delay(m, self.silent_fires, 1, "silent_fires_before"),
            "broadcast_stalls": delay(m, self.broadcast_stall, 1, "broadcast_stall_before"),
            "cell_stalls": delay(m, self.cell_stall, 1, "cell_stall_before"),
            "output_stalls": delay(m, self.output_stall, 1, "output_stall_before"),
        }  # fmt: skip
        for group in range(config.groups):
            increments[f"events_{group}"] = Mux(record.valid, record.events[group], 0)
            increments[f"macs_{group}"] = Mux(record.valid, record.macs[group], 0)
        for number, lane in enumerate(self.lanes):
            increments[f"lane_{number}_busy"] = lane.mac
            increments[f"lane_{number}_hazard"] = lane.hazard
            increments[f"lane_{number}_drain"] = lane.drain

        values = []
        for name in counter_map(config):
            if name.startswith("step_"):
                kind, group = name.removeprefix("step_").split("_")
                value = Signal(STEP_BITS, name=name)
                with m.If(record.valid):
                    m.d.sync += value.eq(record[kind][int(group)])
            else:
                value = Signal(COUNTER_BITS, name=name)
                m.d.sync += value.eq(value + increments[name])
            with m.If(self.clear):
                m.d.sync += value.eq(0)
            values.append(value)
        # Two steps, as there may be hundreds: one out of each block, then one of the blocks.
        low_bits = (len(self.select) + 1) // 2
        blocks = [values[k : k + (1 << low_bits)] for k in range(0, len(values), 1 << low_bits)]
        chosen = [Signal(COUNTER_BITS, name=f"block_{k}", reset_less=True) for k in range(len(blocks))]
        m.d.sync += [one.eq(Array(block)[self.select[:low_bits]]) for one, block in zip(chosen, blocks, strict=True)]
        m.d.sync += self.count.eq(Array(chosen)[delay(m, self.select[low_bits:], 1, "block")])
        return m

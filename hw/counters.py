"""Exact counters: every operation, and every cycle in which a lane could have done one and did not."""

from __future__ import annotations

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Event
from hw.lane import LaneActivity
from hw.step_counts import STEP_BITS, StepCounts, StepRecord
from hw.tally import COUNTER_BITS, Tally
from hw.vendor.generic import Relay

GLOBAL = ("cycles", "steps", "silent_fires", "broadcast_stalls", "cell_stalls", "output_stalls")
LANE = ("busy", "hazard", "drain")


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

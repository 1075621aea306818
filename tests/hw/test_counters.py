"""Counters: each step's own counts though steps overlap, exact totals, and what else is counted."""

import random
from collections import Counter

import cocotb

from hw.config import CoreConfig
from hw.counters import GLOBAL, LANE, Counters, counter_map
from hw.event import EventKind
from tests.hw.bench import start
from tests.hw.pins import Pins

CONFIG = CoreConfig(lanes=4, cell_units=2, rows=8, entries=64, sources=32, layers=3)
LAYERS = 3
CYCLES = 4000
CLOSE_AFTER = 2  #: cycles from the last activity of a group to its ``closed``, at the least


class Group:
    """One group of sources at one step, while its events are broadcast and walked."""

    def __init__(self, step, group):
        self.step, self.group = step, group
        self.parity, self.bank = step & 1, step & 1 ^ group & 1
        self.events = self.macs = 0
        self.quiet = None  # cycles without activity, once it is over


class Model:
    """What the rest of the core lets happen: input up to one step ahead, layers one by one, each closed when quiet."""

    def __init__(self):
        self.input, self.layer = Group(0, 0), None
        self.closed = {}  #: (step, group) -> (events, macs)
        self.steps_done = 0

    def open_groups(self):
        return [group for group in (self.input, self.layer) if group and group.quiet is None]

    def close(self):
        """Let groups end at random; return the strobes of this cycle."""
        strobes = {"input_closed": 0, "layer_closed": 0, "last_layer": 0}
        for group in (self.input, self.layer):
            if group and group.quiet is None and random.random() < 0.08:
                group.quiet = 0
            elif group and group.quiet is not None:
                group.quiet += 1
        if self.input and self.input.quiet is not None and self.input.quiet >= CLOSE_AFTER:
            strobes["input_closed"] = 1
            self._finish(self.input)
            self._next_input = self.input.step + 1
            self.input = None
        if self.layer and self.layer.quiet is not None and self.layer.quiet >= CLOSE_AFTER:
            number = self.layer.group - 1
            strobes |= {"layer_closed": 1, "layer": number, "last_layer": int(number == LAYERS - 1)}
            self._finish(self.layer)
            step, self.layer = self.layer.step, None
            if number == LAYERS - 1:
                self.steps_done += 1
            else:
                self.layer = Group(step, number + 2)
        # The next input may begin once the last step but one is done; layer 0 once its input is closed.
        if not self.input and self._next_input <= self.steps_done + 1:
            self.input = Group(self._next_input, 0)
        if not self.layer and (self.steps_done, 0) in self.closed and (self.steps_done, 1) not in self.closed:
            self.layer = Group(self.steps_done, 1)
        return strobes

    def _finish(self, group):
        self.closed[group.step, group.group] = group.events, group.macs


@cocotb.test()
async def counts_every_step_apart(dut):
    pins = Pins(dut, Counters(CONFIG))
    await start(dut)
    model, records, totals = Model(), [], Counter()
    for _ in range(CYCLES):
        groups = model.open_groups()
        event, inputs = random.choice(groups) if groups and random.random() < 0.7 else None, {}
        valid = event is not None
        if event:
            event.events += 1
            totals[f"events_{event.group}"] += 1
            inputs["event"] = {"kind": EventKind.EVENT, "bank": event.bank, "group": event.group}
        elif random.random() < 0.3:
            # A marker, or an event that restores a state, is not counted.
            restore = {"kind": EventKind.EVENT, "group": CONFIG.restore_group, "bank": random.randrange(2)}
            marker = {"kind": random.choice((EventKind.INPUT_END, EventKind.LAYER_END)), "bank": random.randrange(2)}
            inputs["event"], valid = random.choice((restore, marker)), True
        for lane in range(CONFIG.lanes):
            group = random.choice(groups) if groups and random.random() < 0.6 else None
            activity = {"mac": 0, "parity": random.randrange(2), "group": random.randrange(CONFIG.groups)}
            if group:
                group.macs += 1
                totals[f"macs_{group.group}"] += 1
                activity = {"mac": 1, "parity": group.parity, "group": group.group}
            else:
                activity[random.choice(("hazard", "drain"))] = random.randrange(2)
            totals.update(f"lane_{lane}_{'busy' if what == 'mac' else what}" for what in ("mac", "hazard", "drain")
                          if activity.get(what))  # fmt: skip
            inputs[f"lanes__{lane}"] = activity
        others = {
            "silent_fires": random.randrange(3), "broadcast_stall": random.randrange(2),
            "cell_stall": random.randrange(2), "output_stall": random.randrange(2),
        }  # fmt: skip
        for name, count in others.items():
            totals[name if name == "silent_fires" else f"{name}s"] += count
        await pins.cycle(valid=valid, **inputs, **others, **model.close())
        record = pins.get("record")
        if record.valid:
            counts = [(record.events[group], record.macs[group]) for group in range(CONFIG.groups)]
            records.append(counts)
            assert counts == [model.closed[len(records) - 1, group] for group in range(CONFIG.groups)]
    idle = {f"lanes__{lane}": {} for lane in range(CONFIG.lanes)}
    strobes = {name: 0 for name in ("input_closed", "layer_closed", *others)}
    await pins.cycle(valid=0, **idle, **strobes)
    for _ in range(8):
        await pins.cycle()
        if pins.get("record").valid:
            records.append([model.closed[len(records), group] for group in range(CONFIG.groups)])
    assert len(records) == model.steps_done > 20

    for group in range(CONFIG.groups):
        for at, name in enumerate(("events", "macs")):
            assert totals[f"{name}_{group}"] >= sum(record[group][at] for record in records)  # and of open steps
            totals[f"step_{name}_{group}"] = records[-1][group][at]
    totals["steps"] = len(records)
    counted = await read(pins)
    assert counted.pop("cycles") >= CYCLES
    assert counted == {name: totals[name] for name in counted}

    await pins.cycle(clear=1)
    await pins.cycle(clear=0)
    cleared = await read(pins)
    assert cleared.pop("cycles") < 20 * len(counted) and not any(cleared.values())


async def read(pins):
    """Read every counter."""
    values = {}
    for name, index in counter_map(CONFIG).items():
        await pins.cycle(select=index)
        for _ in range(Counters.LATENCY):
            await pins.cycle()
        values[name] = pins.get("count")
    return values


def test_counters(simulate):
    simulate(Counters(CONFIG))


def test_the_map_names_every_counter_once():
    names = counter_map(CONFIG)
    assert list(names.values()) == list(range(len(names)))
    groups = [f"{kind}_{group}" for kind in ("events", "macs") for group in range(CONFIG.groups)]
    lanes = [f"lane_{lane}_{what}" for lane in range(CONFIG.lanes) for what in LANE]
    assert set(names) == {*GLOBAL, *groups, *(f"step_{name}" for name in groups), *lanes}

"""Lane: sums of random events, markers, drains at the earliest moment allowed, what it says it did."""

import random
from collections import Counter, defaultdict, deque

import cocotb

from golden.fixed import GATES
from hw.config import CoreConfig
from hw.event import EventKind, ListPart
from hw.lane import Lane
from tests.hw.bench import fields, packed_directory_word, start
from tests.hw.pins import Pins, Together

PARTS = {"waiting": {}, "split_forwarding": {"split_banks": True, "forwarding": True}}
BROADCAST_DELAY = 2  #: from ``ready`` to the broadcast that it allows
DRAIN_AFTER = 2  #: from a count of markers to the drain that it allows: the scheduler's two registers
SUMS_LATENCY = 3
STEPS = 30


def config(part):
    return CoreConfig(
        lanes=2, cell_units=1, queue_depth=8, rows=8, entries=256, sources=32, layers=2, weight_bits=8, y_bits=8,
        value_bits=9, acc_bits=24, **PARTS[part],
    )  # fmt: skip


def parts():
    return Together(**{part: Lane(config(part)) for part in PARTS})


class Network:
    """Random lists of every source: a list never repeats a target, and its length is 0 to every target there is."""

    def __init__(self, config):
        self.lists = {}
        room, targets = config.entries, [(row, gate) for row in range(config.rows) for gate in range(len(GATES))]
        for source in range(config.sources):
            length = min(room, random.choice((0, 1, 2, 3, 5, 8, 20)))
            room -= length
            chosen = random.sample(targets, length)
            forward = random.randint(0, length)
            self.lists[source] = forward, [(random.randrange(-128, 128), row, gate) for row, gate in chosen]

    async def load(self, pins, config):
        """Write it as the loader does."""
        start = 0
        for source, (forward, entries) in self.lists.items():
            word = packed_directory_word(config, start, forward, len(entries))
            await pins.cycle(load={"directory": 1, "address": source, "data": word})
            for address, (weight, row, gate) in enumerate(entries, start):
                word = weight & 0xFF | gate << 8 | row << 10
                await pins.cycle(load={"entry": 1, "address": address, "data": word})
            start += len(entries)
        await pins.cycle(load={})
        await pins.cycle()

    def part(self, source, part):
        forward, entries = self.lists[source]
        return {ListPart.WHOLE: entries, ListPart.FORWARD: entries[:forward], ListPart.RECURRENT: entries[forward:]}[
            part
        ]


def random_step(config, number):
    """Return the events of a step, all on one bank, and the marker that ends it."""
    part, bank = random.choice(list(ListPart)), number % 2
    events = [
        {
            "kind": EventKind.EVENT, "part": part, "source": random.randrange(config.sources),
            "value": random.randrange(-256, 256), "bank": bank, "group": random.randrange(config.groups),
        }
        for _ in range(random.randint(0, 12))
    ]  # fmt: skip
    return [*events, {"kind": EventKind.LAYER_END if number % 3 else EventKind.INPUT_END, "bank": bank}]


class Markers:
    """Count of markers that the lane has passed, as the scheduler sees it: late."""

    def __init__(self, config):
        self._modulo = {"inputs_passed": 4, "layers_passed": 1 << config.marker_bits}
        self._before = dict.fromkeys(self._modulo, 0)
        self._history = deque([0] * DRAIN_AFTER, DRAIN_AFTER)

    def look(self, pins):
        passed = self._history[-1]
        for name, modulo in self._modulo.items():
            passed += (pins.get(name) - self._before[name]) % modulo
            self._before[name] = pins.get(name)
        self._history.append(passed)
        return self._history[0]


@cocotb.test()
@cocotb.parametrize(part=list(PARTS), density=(0.3, 1.0))
async def sums_what_it_is_sent(dut, part, density):
    """Steps take turns with the banks: while one is walked the other is drained, as early as the scheduler could."""
    setup = config(part)
    pins = Pins(dut, Lane(setup), f"{part}__")
    await start(dut)
    network = Network(setup)
    await network.load(pins, setup)
    for row in range(setup.rows):  # the sums are those of the test before
        for bank in range(2):
            await pins.cycle(drain={"valid": 1, "bank": bank, "row": row})
    await pins.cycle(drain={"valid": 0})

    sums, macs, did = defaultdict(int), Counter(), Counter()
    seen, markers = deque([False] * BROADCAST_DELAY, BROADCAST_DELAY), Markers(setup)
    to_send, to_drain, due = [], [], deque([None] * SUMS_LATENCY)
    begun = drained = compared = 0
    while compared < STEPS * setup.rows:
        if not to_send and not to_drain and begun < STEPS and begun - drained < 2:
            to_send = random_step(setup, begun)
            begun += 1
        event = to_send.pop(0) if to_send and seen[0] and random.random() < density else None
        drain = to_drain.pop(0) if to_drain and random.random() < 0.8 else None
        await pins.cycle(
            valid=event is not None,
            drain={"valid": 1, "bank": drain[0], "row": drain[1]} if drain else {"valid": 0},
            **({"event": event} if event else {}),
        )
        seen.append(bool(pins.get("ready")))
        if event and event["kind"] == EventKind.EVENT:
            for weight, row, gate in network.part(event["source"], event["part"]):
                sums[event["bank"], row, gate] += weight * event["value"]
                macs[event["group"], event["bank"] ^ event["group"] & 1] += 1

        if expected := due.popleft():
            assert [pins.get("sums")[gate] for gate in range(len(GATES))] == expected
            compared += 1
        due.append([sums.pop((*drain, gate), 0) for gate in range(len(GATES))] if drain else None)
        while markers.look(pins) > drained:
            to_drain += [(drained % 2, row) for row in range(setup.rows)]
            drained += 1

        activity = fields(pins.get("activity"))
        did.update(what for what in ("mac", "hazard", "drain") if activity[what])
        assert activity["mac"] + activity["hazard"] + activity["drain"] <= 1
        if activity["mac"]:
            macs[activity["group"], activity["parity"]] -= 1
    assert not any(macs.values())
    assert did["mac"] and bool(did["hazard"]) != setup.forwarding and (did["drain"] or setup.split_banks)


@cocotb.test()
@cocotb.parametrize(part=list(PARTS))
async def walks_one_entry_a_cycle(dut, part):
    """A queue full of lists is walked without a bubble; its markers pass when every entry before them was accepted."""
    setup = config(part)
    pins = Pins(dut, Lane(setup), f"{part}__")
    await start(dut)
    entries = [(1, row, gate) for row in range(setup.rows) for gate in range(len(GATES))]
    network = Network(setup)
    network.lists = {0: (0, entries)}
    await network.load(pins, setup)
    event = {"kind": EventKind.EVENT, "source": 0, "value": 1}
    for _ in range(3):
        await pins.cycle(valid=1, event=event)
    await pins.cycle(valid=1, event={"kind": EventKind.LAYER_END})
    pins.set(valid=0)
    busy = []
    while not pins.get("layers_passed"):
        await pins.cycle()
        busy.append(pins.get("activity").mac)
    first = busy.index(1)
    assert busy[first:] == [1] * 3 * len(entries) + [0, 0]


def test_lane(simulate):
    simulate(parts())

"""A compact lane: exact sums of what it is sent, read and cleared while it walks on; how long an event takes."""

import random
from collections import defaultdict

import cocotb

from golden.fixed import GATES
from hw.compact.lane import Lane, Place, directory_base
from hw.config import CoreConfig
from hw.event import EventKind, ListPart
from tests.hw.bench import start
from tests.hw.pins import Pins

CONFIG = CoreConfig(
    lanes=1, cell_units=1, rows=8, entries=200, sources=16, layers=2, y_bits=8, value_bits=9, acc_bits=20,
    counters=False, compact=True,
)  # fmt: skip
STEPS = 30
EVENT_CYCLES = 5  #: beside those of its entries, from when an event is given to when the next is wanted
DRAIN_AFTER = 3  #: cycles from when a marker is given to the first hold


def random_list():
    """Return (weight, row, gate) of the forward part of a list and of the recurrent one."""
    targets = [(row, gate) for row in range(CONFIG.rows) for gate in range(len(GATES))]
    parts = []
    for gates, rows in (((0, 1, 2), range(4, 8)), ((1, 2, 3), range(4))):
        here = [target for target in targets if target[0] in rows and target[1] in gates]
        count = random.choice((0, 1, 2, len(here)))
        parts.append([(random.randint(-128, 127), *target) for target in random.sample(here, count)])
    return parts


class Bench:
    def __init__(self, dut):
        self.pins = Pins(dut, Lane(CONFIG))
        self.lists = [random_list() for _ in range(CONFIG.sources)]
        self.sums = defaultdict(int)

    async def load(self):
        start, base = 0, directory_base(CONFIG)
        for source, (forward, recurrent) in enumerate(self.lists):
            middle, stop = start + len(forward), start + len(forward) + len(recurrent)
            for place, address in ((Place.START, start), (Place.MIDDLE, middle), (Place.STOP, stop)):
                await self._write(base + 4 * source + place.value, address)
            for address, (weight, row, gate) in enumerate(forward + recurrent, start):
                await self._write(address, weight & 0xFF | gate << 8 | row << 10)
            start = stop
        await self.pins.cycle(load={"valid": 0})

    async def _write(self, address, data):
        await self.pins.cycle(load={"valid": 1, "address": address, "data": data})

    async def clear(self):
        for row in range(CONFIG.rows):
            for gate in range(len(GATES)):
                for bank in range(2):
                    await self.pins.cycle(drain={"valid": 1, "bank": bank, "row": row, "gate": gate})
        await self.pins.cycle(drain={"valid": 0})

    def entries(self, event):
        forward, recurrent = self.lists[event["source"]]
        part = event["part"]
        return (forward if part != ListPart.RECURRENT else []) + (recurrent if part != ListPart.FORWARD else [])

    async def send(self, event):
        """Give an event as soon as the lane wants one, and tell after how many cycles it wants another."""
        while not self.pins.get("wants"):
            await self.pins.cycle()
        await self.pins.cycle(event=event, valid=1)
        # What comes for other lanes must not matter.
        noise = random_event(random.randrange(2))
        self.pins.set(event=noise, valid=0)
        if event["kind"] == EventKind.EVENT:
            for weight, row, gate in self.entries(event):
                self.sums[event["bank"], row, gate] += weight * event["value"]
        cycles = 0
        while True:
            await self.pins.cycle()
            if self.pins.get("wants"):
                return cycles
            cycles += 1

    async def drain(self, bank):
        """Read all sums of a bank, as the cell unit does."""
        for row in range(CONFIG.rows):
            for gate in random.sample(range(len(GATES)), len(GATES)):
                while random.random() < 0.5:
                    await self.pins.cycle()
                for _ in range(2):
                    await self.pins.cycle(hold=1)
                await self.pins.cycle(hold=0, drain={"valid": 1, "bank": bank, "row": row, "gate": gate})
                await self.pins.cycle(drain={"valid": 0})
                assert self.pins.get("sum") == self.sums.pop((bank, row, gate), 0)


def random_event(bank):
    return {
        "kind": EventKind.EVENT, "part": random.choice(list(ListPart)), "source": random.randrange(CONFIG.sources),
        "value": random.randint(-256, 255), "bank": bank,
    }  # fmt: skip


async def begin(dut):
    bench = Bench(dut)
    await start(dut)
    await bench.load()
    await bench.clear()
    return bench


@cocotb.test()
async def sums_what_it_is_sent(dut):
    """A step's sums are drained while the events of the next one are walked, on the other bank."""
    bench = await begin(dut)
    drain, counts = None, {EventKind.INPUT_END: 0, EventKind.LAYER_END: 0}
    for step in range(STEPS):
        for _ in range(random.randrange(20)):
            await bench.send(random_event(step % 2))
        marker = random.choice(list(counts))
        assert await bench.send({"kind": marker, "bank": step % 2}) == 0
        counts[marker] += 1
        assert bench.pins.get("inputs_passed") == counts[EventKind.INPUT_END] % 4
        assert bench.pins.get("layers_passed") == counts[EventKind.LAYER_END] % (1 << CONFIG.marker_bits)
        if drain is not None:
            await drain
        for _ in range(DRAIN_AFTER - 1):
            await bench.pins.cycle()
        drain = cocotb.start_soon(bench.drain(step % 2))
    await drain
    assert not any(bench.sums.values())


@cocotb.test()
async def an_event_takes_its_entries_and_little_more(dut):
    bench = await begin(dut)
    for _ in range(100):
        event = random_event(0)
        assert await bench.send(event) == EVENT_CYCLES - 1 + len(bench.entries(event))


def test_lane(simulate):
    simulate(Lane(CONFIG))

"""A cell unit with its memories: which lane's unit goes when, its update against the oracle, what it hands on."""

import random
from collections import Counter, deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden import fixed
from golden.fixed import GATES
from hw.cell_egru import stages
from hw.cell_group import CellGroup
from hw.config import CoreConfig
from hw.event import Result
from hw.load_bus import LoadKind
from hw.scheduler import Scheduler
from tests.hw.bench import StreamSink, start, wait_until
from tests.hw.pins import Pins

LANES = 3
CONFIG = CoreConfig(
    lanes=2 * LANES, cell_units=2, queue_depth=8, rows=32, entries=64, sources=128, layers=3, y_bits=8, value_bits=9,
    acc_bits=20,
)  # fmt: skip
NUMBER = 1
MARKERS = 1 << CONFIG.marker_bits
SUMS_LATENCY = 3
STATE_LATENCY = 3
READY_AFTER = 2  #: cycles from a count of markers to the grant that it allows


# The scheduler.


def has_passed(passed, job):
    """Whether a lane that has passed so many markers (inputs, layers) is ready for a job."""
    return (passed[0] == job["need_inputs"] or not job["first_layer"]) and passed[1] == job["need_layers"]


@cocotb.test()
@cocotb.parametrize(room_share=(1.0, 0.4), first_layer=(0, 1))
async def grants_each_unit_once_and_not_before_its_lane_is_ready(dut, room_share, first_layer):
    """Lanes pass their markers at random; counts wrap around."""
    pins = Pins(dut, Scheduler(CONFIG))
    await start(dut)
    inputs, layers = random.randrange(4), random.randrange(MARKERS)
    passed = {lane: [inputs, layers] for lane in range(LANES)}
    for _ in range(40):
        inputs, layers = (inputs + 1) % 4, (layers + random.randint(0, 2)) % MARKERS
        rows = random.choice((1, 2, 5))
        job = {
            "base": random.randrange(8), "rows": rows, "bank": random.randrange(2), "first_layer": first_layer,
            "need_inputs": inputs, "need_layers": layers, "tag": {"layer": 2, "ending": random.randrange(2)},
        }  # fmt: skip
        to_pass = [
            lane for lane in range(LANES)
            for _ in range(((inputs - passed[lane][0]) % 4) + ((layers - passed[lane][1]) % MARKERS))
        ]  # fmt: skip
        random.shuffle(to_pass)
        counts = {f"inputs_passed__{lane}": n[0] for lane, n in passed.items()}
        counts |= {f"layers_passed__{lane}": n[1] for lane, n in passed.items()}
        await pins.cycle(job=job, start=1, starts_rows=1, room=0, **counts)
        pins.set(start=0, starts_rows=0)
        # A lane may be ready in the cycle of ``start`` already, the one before the first.
        ready_since = {lane: -1 for lane in range(LANES) if has_passed(passed[lane], job)}
        granted, finals, room_before, now = [], [], 0, 0
        while len(granted) < LANES * rows:
            if to_pass and random.random() < 0.3:
                lane = to_pass.pop()
                if passed[lane][0] != inputs:
                    passed[lane][0] = (passed[lane][0] + 1) % 4
                else:
                    passed[lane][1] = (passed[lane][1] + 1) % MARKERS
                pins.set(**{f"inputs_passed__{lane}": passed[lane][0], f"layers_passed__{lane}": passed[lane][1]})
            for lane in range(LANES):
                if has_passed(passed[lane], job):
                    ready_since.setdefault(lane, now)
            room = random.random() < room_share
            await pins.cycle(room=room)
            drains = [lane for lane in range(LANES) if pins.get(f"drain__{lane}").valid]
            if granted:
                assert (pins.get("lane"), pins.get("row")) == granted[-1]
            if pins.get("grant"):
                assert len(drains) == 1 and room_before
                lane = drains[0]
                drain = pins.get(f"drain__{lane}")
                assert drain.bank == job["bank"]
                assert now - ready_since.get(lane, now) >= READY_AFTER, "a unit was granted before its lane was ready"
                granted.append((lane, drain.row))
                finals.append(pins.get("tag").final)
            else:
                assert not drains
            room_before = room
            now += 1
            assert now < 1000
        expected = [(lane, job["base"] + row) for lane in range(LANES) for row in range(rows)]
        assert sorted(granted) == expected
        assert finals == [0] * (len(granted) - 1) + [1]
        await pins.cycle()
        assert (pins.get("lane"), pins.get("row")) == granted[-1]
        assert pins.get("idle") and not pins.get("grant")


@cocotb.test()
async def grants_one_unit_a_cycle(dut):
    pins = Pins(dut, Scheduler(CONFIG))
    await start(dut)
    pins.set(room=1)
    await pins.cycle(job={"base": 3, "rows": 7, "need_layers": MARKERS - 1}, start=1, starts_rows=1)
    pins.set(start=0, starts_rows=0)
    granted = []
    for _ in range(LANES * 7 + 4):
        await pins.cycle()
        granted.append(pins.get("grant"))
    first = granted.index(1)
    assert granted[first:] == [1] * LANES * 7 + [0] * (len(granted) - first - LANES * 7)
    assert first <= READY_AFTER


@cocotb.test()
async def says_when_it_is_blocked(dut):
    pins = Pins(dut, Scheduler(CONFIG))
    await start(dut)
    await pins.cycle(job={"rows": 1}, start=1, starts_rows=1, room=0)
    pins.set(start=0, starts_rows=0)
    for _ in range(3):
        await pins.cycle()
    assert pins.get("blocked") and not pins.get("idle")
    await pins.cycle(room=1)
    assert not pins.get("blocked")


# The cell unit.


class Lanes:
    """Lanes whose sums are given: they answer a drain after three cycles and clear the row."""

    def __init__(self, dut, pins):
        self.sums = {}  #: (bank, lane, row) -> four sums
        self.cleared = Counter()
        self._pins, self._clock = pins, dut.clk
        cocotb.start_soon(self._run())

    async def _run(self):
        due = deque([{}] * (SUMS_LATENCY - 1))
        while True:
            await RisingEdge(self._clock)
            answers = {}
            for lane in range(LANES):
                drain = self._pins.get(f"drain__{lane}")
                if drain.valid:
                    self.cleared[drain.bank, lane, drain.row] += 1
                    answers[f"sums__{lane}"] = self.sums.get((drain.bank, lane, drain.row), [0] * len(GATES))
            due.append(answers)
            # Sums that nobody drained mean nothing.
            noise = {f"sums__{lane}": [random.randrange(1000)] * len(GATES) for lane in range(LANES)}
            self._pins.set(**(noise | due.popleft()))


class Bench:
    """Random units in every row, loaded; jobs run with random sums and compared with the oracle."""

    def __init__(self, dut):
        self.pins = Pins(dut, CellGroup(CONFIG, NUMBER))
        self.sink = StreamSink(dut, "results", Result(CONFIG))
        self.lanes = Lanes(dut, self.pins)
        self.updates, self.silent_fires, self.all_silent_fires = [], 0, 0
        self._dut = dut
        shape = LANES, CONFIG.rows
        self.rng = rng = np.random.default_rng(random.getrandbits(32))
        self.threshold = rng.integers(0, 12000, shape) * (rng.random(shape) < 0.7)
        self.present = rng.random(shape) < 0.9
        self.threshold[~self.present] = fixed.STATE_MAX
        self.identity = rng.permutation(LANES * CONFIG.rows).reshape(shape)
        self.bias = rng.integers(-3000, 3000, (4, *shape)) * self.present
        self.h = np.zeros(shape, np.int64)
        self.shifts = rng.integers(0, 3, (CONFIG.layers, 4))

    async def begin(self):
        await start(self._dut)
        for lane, row in np.ndindex(self.threshold.shape):
            address = row << CONFIG.lane_bits | lane
            unit = self.threshold[lane, row] | int(self.present[lane, row]) << 15 | self.identity[lane, row] << 16
            await self.write(LoadKind.UNIT, address, unit)
            for gate, kind in enumerate((LoadKind.BIAS, LoadKind.BIAS_Z, LoadKind.BIAS_R, LoadKind.BIAS_GH)):
                await self.write(kind, address, self.bias[gate, lane, row])
        layers = [{"shifts": (layer + fixed.SHIFT_GUARD).tolist()} for layer in self.shifts]
        await self.pins.cycle(load={"valid": 0}, layers=layers)
        cocotb.start_soon(self._watch())

    async def write(self, kind, address, data):
        """Write to this cell unit and, other data, to the other one."""
        for select, value in ((NUMBER, int(data)), (1 - NUMBER, ~int(data))):
            word = {"valid": 1, "kind": kind, "select": select, "address": int(address), "data": value & 0xFFFFFFFF}
            await self.pins.cycle(load=word)

    async def _watch(self):
        while True:
            await RisingEdge(self._dut.clk)
            update = self.pins.get("update")
            if update.valid:
                self.updates.append((update.source, update.h, update.fires, update.y))
            self.silent_fires += self.pins.get("silent_fire")

    def draw_sums(self, bank, base, rows):
        """Give the rows of a job random sums; two fifths make c so small that its y rounds to 0."""
        size = LANES, rows
        sums = np.rint(self.rng.normal(0, 6000, (4, *size))).astype(np.int64)
        tiny = self.rng.random(size) < 0.4
        totals = [np.full(size, 3), np.full(size, -60_000), np.zeros(size, int), np.zeros(size, int)]
        sums = np.where(tiny, totals - self.bias[:, :, base : base + rows], sums)
        for lane, row in np.ndindex(size):
            self.lanes.sums[bank, lane, base + row] = sums[:, lane, row].tolist()
        return sums

    async def run(self, *, layer, base, rows, bank, readout=0, fresh=0, tag=None):
        """Run one job to its last result; return the results."""
        sums = self.draw_sums(bank, base, rows)
        tag = {
            "layer": layer, "readout": readout, "fresh": fresh, "bank": 1 - bank,
            "output": int(not readout and random.random() < 0.5), **(tag or {}),
        }  # fmt: skip
        await self.pins.cycle(start=1, job={"base": base, "rows": rows, "bank": bank, "tag": tag})
        self.pins.set(start=0)
        await wait_until(self._dut.clk, lambda: self.sink.received and self.sink.received[-1].tag.final, timeout=5000)
        self._check(sums, layer, slice(base, base + rows), tag)

    def _check(self, sums, layer, where, tag):
        results, self.sink.received[:] = list(self.sink.received), []
        totals = sums + self.bias[:, :, where]
        here, names = self.present[:, where], self.identity[:, where]
        assert [result.tag.final for result in results] == [0] * (len(results) - 1) + [1]
        sent = [(r.to_lanes, r.to_output, r.id, r.value) for r in results if r.to_lanes or r.to_output]
        got = set(sent)
        assert len(got) == len(sent)
        if tag["readout"]:
            total = zip(names[here].tolist(), totals[0][here].tolist(), strict=True)
            assert got == {(0, 1, name, value) for name, value in total}
            assert not self.updates
            return
        old = np.zeros_like(self.h[:, where]) if tag["fresh"] else self.h[:, where]
        shifts = tuple(self.shifts[layer].tolist())
        halves = fixed.half_step(shifts)[:, None, None]  # which the biases of a network have in them
        h, fires, y = fixed.cell(totals - halves, shifts, old, self.threshold[:, where], CONFIG.y_bits)
        self.h[:, where] = h
        updates = [array[here].tolist() for array in (names, h, fires, y)]
        assert sorted(self.updates) == sorted(zip(*updates, strict=True))
        assert got == {(1, tag["output"], name, value) for name, _, _, value in zip(*updates, strict=True) if value}
        assert self.silent_fires == ((fires == 1) & (y == 0)).sum()
        assert (fires[~here] == 0).all(), "a row without a unit must not be able to fire"
        self.updates.clear()
        self.all_silent_fires += self.silent_fires
        self.silent_fires = 0


@cocotb.test()
@cocotb.parametrize(stall=(0.0, 0.5))
async def updates_units_as_the_oracle(dut, stall):
    """Steps of two layers and a readout, each with its own rows and shifts; states carried on or forgotten."""
    bench = Bench(dut)
    bench.sink.stall = stall
    await bench.begin()
    for step in range(8):
        fresh = step in (0, 5)
        for layer, (base, rows) in enumerate(((0, 12), (12, 1), (13, 4))):
            bank = step + layer & 1
            await bench.run(layer=layer, base=base, rows=rows, bank=bank, readout=int(layer == 2), fresh=fresh)
    assert bench.all_silent_fires
    for lane, row in ((0, 0), (1, 5), (2, 12)):
        bench.pins.set(state_addr=row << CONFIG.lane_bits | lane)
        for _ in range(STATE_LATENCY + 1 + stages(CONFIG).latency):
            await bench.pins.cycle()
        assert bench.pins.get("state").h == bench.h[lane, row]


@cocotb.test()
async def a_state_that_was_written_is_what_the_next_update_sees(dut):
    bench = Bench(dut)
    await bench.begin()
    await bench.run(layer=0, base=0, rows=8, bank=0, fresh=1)
    bench.h[:, :8] = bench.rng.integers(-30000, 30000, (LANES, 8))
    for lane, row in np.ndindex(LANES, 8):
        await bench.write(LoadKind.STATE, row << CONFIG.lane_bits | lane, bench.h[lane, row] & 0xFFFF)
    await bench.pins.cycle(load={"valid": 0})
    for lane, row in np.ndindex(LANES, 8):
        bench.pins.set(state_addr=row << CONFIG.lane_bits | lane)
        for _ in range(STATE_LATENCY + 1):
            await bench.pins.cycle()
        assert bench.pins.get("state").h == bench.h[lane, row]
    await bench.run(layer=0, base=0, rows=8, bank=1)


@cocotb.test()
async def loses_no_result_when_the_broadcaster_takes_none(dut):
    """More units than the results queue has places, all firing: granting stops in time, and is counted as blocked."""
    bench = Bench(dut)
    bench.threshold[:], bench.bias[:] = 0, 0
    bench.bias[0], bench.present[:] = 1 << 18, True
    await bench.begin()
    assert LANES * CONFIG.rows > CellGroup.RESULTS_DEPTH
    bench.sink.stall = 1.0
    await bench.pins.cycle(start=1, job={"base": 0, "rows": CONFIG.rows, "tag": {"fresh": 1}})
    bench.pins.set(start=0)
    for _ in range(400):
        await bench.pins.cycle()
    assert bench.pins.get("blocked") and not bench.pins.get("idle")
    held = len(bench.updates)
    assert CellGroup.RESULTS_DEPTH - 4 <= held <= CellGroup.RESULTS_DEPTH + 1
    bench.sink.stall = 0.0
    await wait_until(dut.clk, lambda: len(bench.sink.received) == LANES * CONFIG.rows, timeout=1000)
    assert {result.id for result in bench.sink.received} == set(bench.identity.ravel().tolist())
    assert bench.sink.received[-1].tag.final


@cocotb.test()
async def keeps_the_pipeline_full(dut):
    """One unit a cycle from the first grant to the last result."""
    bench = Bench(dut)
    bench.threshold[:], bench.bias[:] = 0, 0
    bench.bias[0], bench.present[:] = 1 << 18, True
    await bench.begin()
    await bench.pins.cycle(start=1, job={"base": 0, "rows": 16, "tag": {"fresh": 1}})
    bench.pins.set(start=0)
    cycles, seen = 0, []
    while len(bench.updates) < LANES * 16:
        seen.append(len(bench.updates))
        await bench.pins.cycle()
        cycles += 1
    first = next(at for at, count in enumerate(seen) if count)
    assert len(seen) - first == LANES * 16 - 1
    latency = READY_AFTER + CellGroup(CONFIG, 0).sums_after + stages(CONFIG).latency
    assert first <= latency + 2


@cocotb.test()
async def sweeps_every_lane_when_told(dut):
    bench = Bench(dut)
    await bench.begin()
    for row in range(CONFIG.rows):
        for bank in range(2):
            await bench.pins.cycle(sweep={"valid": 1, "bank": bank, "row": row})
    await bench.pins.cycle(sweep={"valid": 0})
    await bench.pins.cycle()
    everywhere = {(bank, lane, row) for bank in range(2) for lane in range(LANES) for row in range(CONFIG.rows)}
    assert bench.lanes.cleared == Counter(dict.fromkeys(everywhere, 1))


def test_scheduler(simulate):
    simulate(Scheduler(CONFIG), only="grants|says_when")


def test_cell_group(simulate):
    simulate(CellGroup(CONFIG, NUMBER), only="updates|a_state|loses|keeps|sweeps")

"""Log-probability: every result equals the oracle's, none is lost, one logit a cycle, latency."""

import math
import random

import cocotb
import numpy as np
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from golden import ranking
from hw.event import NULL_INDEX, OutputBeat
from hw.log_probability import LogProbability
from tests.hw.bench import STALLS, StreamSource, start, wait_until
from tests.hw.pins import Pins

EXPONENT = -14
SCALE = ranking.scale(EXPONENT)
LATENCY = 44
CLEARING = 256
BELOW, ABOVE = -100 << 14, 100 << 14  #: logits outside [-88.7, 88.7)


class Watched(wiring.Component):
    """A stream that goes to nobody, at the pace of ``open``, and what watches it; ``forced`` is a beat at any time."""

    def __init__(self):
        self.part = LogProbability()
        own = {name: member for name, member in self.part.signature.members.items() if name not in ("valid", "beat")}
        super().__init__({"i": In(stream.Signature(OutputBeat())), "open": In(1, init=1), "forced": In(1), **own})

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = self.part
        m.d.comb += [
            self.i.ready.eq(self.open & part.ready),
            part.valid.eq(self.forced | (self.i.valid & self.i.ready)), part.beat.eq(self.i.payload),
        ]  # fmt: skip
        for name, member in part.signature.members.items():
            if name not in ("valid", "beat"):
                port, mine = getattr(part, name), getattr(self, name)
                m.d.comb += port.eq(mine) if member.flow is In else mine.eq(port)
        return m


class Bench:
    """Sends steps, each with its target, and checks each result as it comes."""

    def __init__(self, dut, *, stall=0.0, sink_stall=0.0, scale=SCALE):
        self.pins, self.scale, self.sink_stall = Pins(dut, Watched()), scale, sink_stall
        self.source = StreamSource(dut, "i", OutputBeat(), stall=stall)
        self._dut = dut
        self.forget()

    def forget(self):
        """Forget what was sent and what came of it, as a reset does."""
        self.targets, self.expected = [], []
        self.cycle = self.results = 0
        self.last_sent, self.done = [], []  #: cycles of the last beats, and of the results
        self._begins, self._before = True, (0, 0, 0)

    async def start(self):
        await start(self._dut)
        self.pins.set(multiplier=self.scale.multiplier, shift=self.scale.shift - 1)
        cocotb.start_soon(self._watch())

    def send(self, index, value, target):
        """Queue a step; without logits a silent one."""
        beats = [{"index": i, "value": v} for i, v in zip(index, value, strict=True)]
        beats = beats or [{"index": NULL_INDEX, "value": 5}]
        beats[-1]["last"] = 1
        self.targets.append(target)
        self.expected.append(ranking.log_probability(value, target, self.scale, index))
        self.source.send(*beats)

    async def finish(self):
        """Wait for all results, and as long again for one too many."""
        await wait_until(self._dut.clk, lambda: self.results == len(self.expected))
        for _ in range(LATENCY + ranking.POSITIONS):
            await RisingEdge(self._dut.clk)
        assert self.results == len(self.expected) == len(self.last_sent) and self.source.sent_all

    async def _watch(self):
        pins = self.pins
        while True:
            # The target is there with the first beat of a step only.
            step = len(self.last_sent)
            target = self.targets[step] if self._begins and step < len(self.targets) else random.randrange(50)
            await pins.cycle(open=random.random() >= self.sink_stall, target=target)
            self.cycle += 1
            if self._dut.rst.value:
                continue
            assert not pins.get("overrun")
            result = pins.get("log2"), pins.get("saturated"), pins.get("target_seen")
            if pins.get("done"):
                assert result == self.expected[self.results], f"result {self.results}"
                self.done.append(self.cycle)
                self.results += 1
            else:
                assert result == self._before, "a result changed without a pulse"
            self._before = result
            if pins.get("i__valid") and pins.get("i__ready"):
                self._begins = bool(pins.get("i__payload").last)
                if self._begins:
                    self.last_sent.append(self.cycle)


def logits(count, mean, deviation):
    """Return distinct indices and normal logits, in any order."""
    index = np.random.default_rng(random.randrange(1 << 32)).permutation(60_000)[:count]
    real = [random.gauss(mean, deviation) for _ in range(count)]
    return index.tolist(), [round(x * 2.0**-EXPONENT) for x in real]


def any_target(index):
    """Return an index that is there, or sometimes one that is not."""
    return random.choice(index) if index and random.random() < 0.9 else 60_001


def random_step():
    count = random.choice((0, 1, 2, 3, 10, 40, 300))
    index, value = logits(count, random.choice((0, -70, 70)), random.choice((0, 0.1, 2, 10, 40)))
    return index, value, any_target(index)


@cocotb.test()
@cocotb.parametrize(stall=STALLS, sink_stall=STALLS)
async def equals_the_oracle(dut, stall, sink_stall):
    """Short steps at once behind each other, silent ones, targets that are missing, logits out of range."""
    bench = Bench(dut, stall=stall, sink_stall=sink_stall)
    for _ in range(40):
        bench.send(*random_step())
    bench.send([1], [ABOVE], 1)
    await bench.start()
    await bench.finish()
    assert {result.saturated for result in bench.expected} == {False, True}
    assert {result.target_seen for result in bench.expected} == {False, True}


@cocotb.test()
@cocotb.parametrize(deviation=(1, 10))
async def equals_the_oracle_of_a_whole_vocabulary(dut, deviation):
    """Steps of 10,000 logits: the stream is never held."""
    bench = Bench(dut)
    for _ in range(3):
        index, value = logits(10_000, 0, deviation)
        bench.send(index, value, any_target(index))
    await bench.start()
    await bench.finish()
    assert np.diff(bench.last_sent).tolist() == [10_000, 10_000], "one logit a cycle"


@cocotb.test()
async def adds_terms_of_the_same_row_at_any_distance(dut):
    """Few rows, met again after 1, 2, 3 ... cycles: in each case all terms count."""
    bench = Bench(dut)
    for _ in range(60):
        rows = random.choice((1, 2, 3, 5))
        value = [round((random.randrange(rows) + random.random()) / 1.4427 * 2**14) for _ in range(60)]
        bench.send(range(60), value, random.randrange(60))
    await bench.start()
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(exponent=(0, -8, -15, -31))
async def takes_every_scale_and_extreme_logits(dut, exponent):
    bench = Bench(dut, scale=ranking.scale(exponent))
    extremes = [-(1 << 31), (1 << 31) - 1, -1, 0, 1]
    for number in extremes:
        bench.send([3], [number], 3)
    for _ in range(40):
        count, bits = random.choice((2, 5, 30)), random.randrange(4, 33)
        value = [random.randrange(-(1 << bits - 1), 1 << bits - 1) for _ in range(count)]
        bench.send(range(count), value, random.randrange(count))
    await bench.start()
    await bench.finish()


@cocotb.test()
async def tells_what_saturates(dut):
    bench = Bench(dut)
    for value, saturated in (
        ([0, ABOVE], True), ([0, BELOW], False), ([BELOW, 0], True), ([BELOW, BELOW], True),
        ([-45 << 14, BELOW], True), ([-44 << 14, BELOW], False), ([-88 << 14], False), ([88 << 14], False),
    ):  # fmt: skip
        bench.send(range(len(value)), value, 0)
        assert bench.expected[-1].saturated == saturated
    await bench.start()
    await bench.finish()


@cocotb.test()
async def is_exact_at_the_ends_of_the_range(dut):
    """The last logit that is in it, and the first one that is not, of either sign; rounding leads over the end."""
    bench = Bench(dut, scale=ranking.Scale(1, 1))
    ends = 2 * ranking.T_MAX, 2 * ranking.T_MAX + 1, 2 * ranking.T_MIN - 1, 2 * ranking.T_MIN - 2
    for value, saturated in zip(ends, (False, True, False, True), strict=True):
        bench.send([2], [value], 2)
        assert bench.expected[-1].saturated == saturated
        bench.send([2, 3], [0, value], 2)
    await bench.start()
    await bench.finish()


@cocotb.test()
async def rounds_what_lower_rows_leave(dut):
    """A term 18 positions below another is about half of the last bit that counts: its rounding decides the result.

    And a sum that rounding would carry into the next position stays below it.
    """
    bench = Bench(dut, scale=ranking.Scale(2, 1))  # t is the logit
    for fraction in range(64_700, 65_300, 5):
        bench.send([0, 1], [0, (-18 << ranking.FRACTION) + fraction], 0)
    assert {result.log2 for result in bench.expected} == {0, -1}
    bench.send([0, 1, 2], [(1 << ranking.FRACTION) - 1, -16 << ranking.FRACTION, -17 << ranking.FRACTION], 1)
    await bench.start()
    await bench.finish()


@cocotb.test()
async def takes_as_long_as_it_says(dut):
    """Of any number of positions, and of a silent step; of three steps of one logit the third waits for a result."""
    assert LATENCY == LogProbability.LATENCY
    bench = Bench(dut)
    await bench.start()
    for rows in (1, 2, 20, ranking.POSITIONS):
        value = [round((row - 127.5) * math.log(2) * 2**14) for row in range(rows)]
        bench.send(range(rows), value, 0)
        await wait_until(dut.clk, lambda: bench.results == len(bench.expected))
        assert bench.done[-1] - bench.last_sent[-1] == LATENCY + rows - 1
    bench.send([], [], 0)
    await wait_until(dut.clk, lambda: bench.results == len(bench.expected))
    assert bench.done[-1] - bench.last_sent[-1] == LATENCY
    for _ in range(3):
        bench.send([1], [5], 1)
    await bench.finish()
    first, second, third = bench.last_sent[-3:]
    assert (second, third) == (first + 1, bench.done[-3])
    assert third - first == LATENCY


@cocotb.test()
async def is_ready_once_memory_is_clear(dut):
    """After a reset, wherever it falls, nothing is left of the steps before."""
    bench = Bench(dut)
    await bench.start()
    for moment in (0, 3, 10, 14, 17, 20, 40, 60, 80, 120):
        # A whole step and a part of the next.
        bench.results, bench.last_sent = 0, []
        bench.targets, bench.expected = [1, 1], [ranking.log_probability([k << 12 for k in range(60)], 1, SCALE)]
        bench.source.send(*({"index": k % 60, "value": k << 12, "last": k == 59} for k in range(63)))
        await bench.source.wait()
        for _ in range(moment):
            await RisingEdge(dut.clk)
        dut.rst.value = 1
        for _ in range(2):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        bench.forget()
        for target in (6, 5, 7):
            bench.send([5, 6], [9 << 12, -3 << 12], target)
        waited = 0
        while not bench.pins.get("ready"):
            await RisingEdge(dut.clk)
            waited += 1
        assert waited == CLEARING + 1  # one to see it
        await bench.finish()


@cocotb.test()
async def tells_of_a_beat_that_was_not_held_back(dut):
    pins = Pins(dut, Watched())
    await start(dut)
    for _ in range(CLEARING):
        await pins.cycle(forced=0)
        assert not pins.get("ready") and not pins.get("overrun")
    for _ in range(3):
        await pins.cycle(forced=1, i__payload={"index": 1, "last": 1})
        assert not pins.get("overrun")
    await pins.cycle(forced=0)
    assert pins.get("overrun"), "of three steps of one beat the third came too early"
    await pins.cycle()
    assert pins.get("overrun")


def test_log_probability(simulate):
    simulate(Watched())

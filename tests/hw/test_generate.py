"""Generation: words follow from what steps found, the host's input passes whole and in order, stalls, ends, latency."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from hw.config import CoreConfig
from hw.event import NULL_INDEX, RESTORE_FLAG, InputBeat
from hw.generate import UNDER_WAY_BITS, Generate
from tests.hw.bench import STALLS, StreamSink, StreamSource, fields, start, wait_until
from tests.hw.core_bench import beat, word
from tests.hw.pins import Pins

CONFIG = CoreConfig(lanes=1, cell_units=1, rows=4, entries=16, sources=64, layers=2, acc_bits=20, value_bits=17)
BEAT = InputBeat(CONFIG)
LOW, HIGH = 1, 256  #: values of words, which the host never sends
END = 7


def event(last=0):
    return beat(random.randrange(100), random.choice((-9, -1, 0, 5)), last, last and random.randrange(2))


def host_step():
    """Return the beats of a step, perhaps silent, perhaps with a state restored before."""
    restored = [beat(RESTORE_FLAG | random.randrange(9), 3) for _ in range(random.choice((0, 0, 0, 2)))]
    if random.random() < 0.2:
        return [*restored, beat(NULL_INDEX, 0, 1)]
    count = random.choice((1, 1, 2, 5))
    return [*restored, *(event(at == count - 1) for at in range(count))]


class Core:
    """Takes steps, and completes each some time later with a random best output; checks the words among them."""

    def __init__(self, dut, *, source_stall=0.0, sink_stall=0.0, slow=0.5, wide=0):
        self.pins, self.slow, self.wide = Pins(dut, Generate(CONFIG)), slow, wide
        self.values = (LOW, HIGH) if wide else (LOW,)
        self.source = StreamSource(dut, "i", BEAT, stall=source_stall)
        self.sink = StreamSink(dut, "o", BEAT, stall=sink_stall)
        self.best, self.completed = [], []  #: chosen beforehand, or at random; of the steps completed
        self.under_way, self.from_host, self.words = 0, [], 0
        self._step = []
        self._dut = dut

    async def start(self, **inputs):
        await start(self._dut)
        self.pins.set(wide=self.wide, value=LOW, high_value=HIGH, **inputs)
        cocotb.start_soon(self._run())

    async def _run(self):
        pins = self.pins
        while True:
            completes = self.under_way and random.random() >= self.slow
            best, valid = random.randrange(100), random.random() < 0.95
            if completes and self.best:
                best, valid = self.best.pop(0)
            # What is told with ``done`` alone counts.
            await pins.cycle(done=bool(completes), best_index=best, best_valid=valid)
            if completes:
                self.completed.append((best, valid))
                self.under_way -= 1
            while self.sink.received:
                self._take(fields(self.sink.received.pop(0)))

    def _take(self, one):
        if one["index"] & RESTORE_FLAG and one["index"] != NULL_INDEX:
            self.from_host.append(one)  # is no part of a step
            return
        self._step.append(one)
        if not one["last"]:
            return
        if one["value"] == LOW:
            assert self.under_way == 0, "a word before the step before it was complete"
            assert self.completed[-1][1] and self._step == word(self.completed[-1][0], *self.values)
            self.words += 1
        else:
            assert not any(each["value"] in (LOW, HIGH) for each in self._step)
            self.from_host += self._step
        self._step = []
        self.under_way += 1

    async def generate(self, limit, **inputs):
        """Ask for words and wait for the end; return how many were sent, and told."""
        before = self.words
        await self.pins.cycle(start=1, limit=limit, **inputs)
        self.pins.set(start=0)
        await self.pins.cycle()
        assert self.pins.get("busy")
        await wait_until(self._dut.clk, lambda: not self.pins.get("busy"))
        count = self.pins.get("count")
        await wait_until(self._dut.clk, lambda: self.words - before == count)
        return count


@cocotb.test()
@cocotb.parametrize(wide=(0, 1), source_stall=STALLS, sink_stall=STALLS)
async def words_come_between_the_hosts_steps(dut, wide, source_stall, sink_stall):
    """At any moment of the host's input: before, in and after a step, with others under way."""
    core = Core(dut, source_stall=source_stall, sink_stall=sink_stall, wide=wide)
    await core.start(end_word=END, has_end_word=1)
    sent = []
    for _ in range(40):
        for step in (host_step() for _ in range(random.choice((0, 1, 3)))):
            sent += step
            core.source.send(*step)
        for _ in range(random.randrange(12)):
            await RisingEdge(dut.clk)
        core.slow = random.choice((0, 0.5, 0.9))
        if random.random() < 0.3:
            core.best = [(random.randrange(20, 90), 1), (random.choice((END, 50)), 1)]
        limit = random.choice((0, 1, 2, 5))
        count = await core.generate(limit)
        assert count <= limit
        if count < limit:
            best, valid = core.completed[-1] if core.completed else (0, 0)
            assert not valid or best == END
    await core.source.wait()
    await wait_until(dut.clk, lambda: core.from_host == sent)


@cocotb.test()
@cocotb.parametrize(wide=(0, 1))
async def ends_at_the_end_word_alone(dut, wide):
    core = Core(dut, wide=wide)
    await core.start(end_word=END, has_end_word=1)
    core.source.send(event(1))
    core.best = [(3, 1), (4, 1), (END, 1)]
    assert await core.generate(100) == 2
    core.best = [(END, 1), (8, 1), (END, 1), (9, 1)]
    core.source.send(event(1))
    await wait_until(dut.clk, lambda: core.under_way == 0 and len(core.completed) == 4)
    assert await core.generate(4) == 0, "the best output found before is the first word"
    core.source.send(event(1))
    assert await core.generate(3, has_end_word=0) == 3
    assert await core.generate(0) == 0


@cocotb.test()
async def sends_nothing_where_nothing_was_found(dut):
    core = Core(dut)
    await core.start()
    assert await core.generate(5) == 0, "no step was completed yet"
    core.best = [(3, 1), (4, 0)]
    core.source.send(event(1))
    assert await core.generate(5) == 1


@cocotb.test()
@cocotb.parametrize(late=range(12), wide=(0, 1))
async def stops_before_the_next_word(dut, late, wide):
    """Wherever it falls, for a single cycle; what is asked for at the same time is forgotten, too."""
    core = Core(dut, wide=wide, sink_stall=0.5)
    await core.start()
    core.best = [(20 + k, 1) for k in range(500)]
    core.source.send(event(), event(1), event(1))
    await core.pins.cycle(start=1, limit=300, stop=late == 0)
    core.pins.set(start=0, stop=0)
    for cycle in range(1, late + 1):
        await core.pins.cycle(stop=cycle == late)
    words = core.words
    await core.pins.cycle(stop=0)
    await wait_until(dut.clk, lambda: not core.pins.get("busy"), timeout=100)
    core.source.send(event(1))
    await core.source.wait()
    for _ in range(60):
        await RisingEdge(dut.clk)
    assert len(core.from_host) == 4 and core.words <= words + 1 and core.pins.get("count") == core.words
    assert await core.generate(3) == 3, "the stop is over"


@cocotb.test()
async def passes_in_the_same_cycle_and_offers_a_word_after_two(dut):
    pins = Pins(dut, Generate(CONFIG))
    await start(dut)
    pins.set(o__ready=1, value=LOW, high_value=HIGH, wide=1, limit=2)
    one = beat(9, -4, 1, 1)
    await pins.cycle(i__valid=1, i__payload=one)
    assert pins.get("i__ready") and pins.get("o__valid") and fields(pins.get("o__payload")) == one
    await pins.cycle(i__payload=beat(5, 5, 1), start=1, done=1, best_index=33, best_valid=1, o__ready=0)
    assert pins.get("o__valid") and not pins.get("i__ready") and not pins.get("busy")
    await pins.cycle(start=0, done=0, best_index=1)
    assert pins.get("busy") and pins.get("o__valid"), "what is offered stays"
    await pins.cycle(o__ready=1)
    assert pins.get("i__ready")
    for _ in range(3):
        await pins.cycle(i__payload=beat(6, 6, 1))
        assert not pins.get("o__valid") and not pins.get("i__ready")
    for words in range(2):
        await pins.cycle(done=1, best_index=44, best_valid=1)
        assert not pins.get("o__valid")
        await pins.cycle(done=0, best_index=1)
        assert not pins.get("o__valid")
        for expected in word(44, LOW, HIGH):
            await pins.cycle()
            assert pins.get("o__valid") and not pins.get("i__ready") and pins.get("count") == words
            assert fields(pins.get("o__payload")) == expected
    await pins.cycle()
    assert not pins.get("busy") and pins.get("count") == 2
    assert pins.get("i__ready") and fields(pins.get("o__payload")) == beat(6, 6, 1)


@cocotb.test()
async def holds_the_host_while_too_many_steps_are_under_way(dut):
    pins = Pins(dut, Generate(CONFIG))
    await start(dut)
    most = (1 << UNDER_WAY_BITS) - 1
    for _ in range(most):
        await pins.cycle(i__valid=1, i__payload=beat(1, 5, 1), o__ready=1)
        assert pins.get("i__ready") and pins.get("o__valid")
    for _ in range(3):
        await pins.cycle()
        assert not pins.get("i__ready") and not pins.get("o__valid")
    await pins.cycle(done=1)
    await pins.cycle(done=0)
    assert pins.get("i__ready") and pins.get("o__valid")


@cocotb.test()
async def a_reset_ends_generation(dut):
    core = Core(dut, wide=1)
    await core.start()
    core.best = [(k, 1) for k in range(100)]
    for moment in range(12):
        core.source.send(event(1))
        await core.source.wait()
        await core.pins.cycle(start=1, limit=50)
        core.pins.set(start=0)
        for _ in range(moment):
            await RisingEdge(dut.clk)
        dut.rst.value = 1
        for _ in range(3):
            await core.pins.cycle()
        dut.rst.value = 0
        await core.pins.cycle()
        core.under_way, core.completed, core._step = 0, [], []
        core.best = [(k, 1) for k in range(100)]
        await core.pins.cycle()
        assert not core.pins.get("busy") and core.pins.get("count") == 0 and not core.pins.get("o__valid")
        core.source.send(event(1))
        assert await core.generate(2) == 2
        await wait_until(dut.clk, lambda: core.under_way == 0)


def test_generate(simulate):
    simulate(Generate(CONFIG))

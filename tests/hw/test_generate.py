"""Generation: words follow from what steps found, the host's input passes whole and in order, stalls, ends, latency.

And around a core: texts are those of the oracle, and what the other two tell of each step, too.
"""

import random

import cocotb
import numpy as np
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from golden import fanout, ranking
from golden.reference import Oracle
from hw.config import CoreConfig
from hw.core import Core as HardwareCore
from hw.event import NULL_INDEX, RESTORE_FLAG, InputBeat, OutputBeat
from hw.generate import UNDER_WAY_BITS, Generate
from hw.log_probability import LogProbability
from hw.top_k import TopK
from tests.hw.bench import STALLS, StreamSink, StreamSource, fields, start, wait_until
from tests.hw.core_bench import CONFIGS
from tests.hw.pins import Pins
from tests.networks import random_fixed_network

CONFIG = CoreConfig(lanes=1, cell_units=1, rows=4, entries=16, sources=64, layers=2, acc_bits=20, value_bits=17)
BEAT = InputBeat(CONFIG)
LOW, HIGH = 1, 256  #: values of words, which the host never sends
END = 7


def beat(index, value, last=0, user=0):
    return {"index": index, "value": value, "last": last, "user": user}


def event(last=0):
    return beat(random.randrange(100), random.choice((-9, -1, 0, 5)), last, last and random.randrange(2))


def host_step():
    """Return the beats of a step, perhaps silent, perhaps with a state restored before."""
    restored = [beat(RESTORE_FLAG | random.randrange(9), 3) for _ in range(random.choice((0, 0, 0, 2)))]
    if random.random() < 0.2:
        return [*restored, beat(NULL_INDEX, 0, 1)]
    count = random.choice((1, 1, 2, 5))
    return [*restored, *(event(at == count - 1) for at in range(count))]


def word(token, wide):
    return [beat(2 * token, HIGH), beat(2 * token + 1, LOW, 1)] if wide else [beat(token, LOW, 1)]


class Core:
    """Takes steps, and completes each some time later with a random best output; checks the words among them."""

    def __init__(self, dut, *, source_stall=0.0, sink_stall=0.0, slow=0.5, wide=0):
        self.pins, self.slow, self.wide = Pins(dut, Generate(CONFIG)), slow, wide
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
            assert self.completed[-1][1] and self._step == word(self.completed[-1][0], self.wide)
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
        for expected in word(44, wide=1):
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


class Writer(wiring.Component):
    """A core behind Generate, its output watched by TopK and LogProbability, as ``docs/architecture.md`` connects them.

    The ports of the four, but for those between them; of the watchers with ``top`` and ``log`` before their names.
    """

    CONFIG, K = CONFIGS["small"], 3
    OWN = {
        "generate": ("i", "start", "limit", "wide", "value", "high_value", "busy", "count"),
        "core": ("load", "idle"),
    }

    def __init__(self):
        self.generate, self.core = Generate(self.CONFIG), HardwareCore(self.CONFIG)
        self.top, self.log = TopK(self.K), LogProbability()
        ports = {"o": Out(stream.Signature(OutputBeat()))}
        for name, names in self.OWN.items():
            ports |= {port: getattr(self, name).signature.members[port] for port in names}
        for name in ("top", "log"):
            members = getattr(self, name).signature.members.items()
            ports |= {f"{name}_{port}": member for port, member in members if port not in ("valid", "beat")}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        generate, core, top, log = self.generate, self.core, self.top, self.log
        m.submodules += [generate, core, top, log]
        for name, names in self.OWN.items():
            for port in names:
                _join(m, getattr(self, name), port, getattr(self, port))
        for name, part in (("top", top), ("log", log)):
            for port in part.signature.members:
                if port not in ("valid", "beat"):
                    _join(m, part, port, getattr(self, f"{name}_{port}"))
        wiring.connect(m, generate.o, core.i)
        taken = core.o.valid & core.o.ready
        m.d.comb += [
            self.o.payload.eq(core.o.payload), self.o.valid.eq(core.o.valid & log.ready),
            core.o.ready.eq(self.o.ready & log.ready),
            top.valid.eq(taken), top.beat.eq(core.o.payload), log.valid.eq(taken), log.beat.eq(core.o.payload),
            generate.done.eq(taken & core.o.payload.last),
            generate.best_index.eq(core.best_index), generate.best_valid.eq(core.best_valid),
        ]  # fmt: skip
        return m


def _join(m, part, name, port):
    """Connect a port of a part to one of the same kind of the whole."""
    member, mine = part.signature.members[name], getattr(part, name)
    if member.is_signature:
        wiring.connect(m, wiring.flipped(port), mine)
    else:
        m.d.comb += mine.eq(port) if member.flow is In else port.eq(mine)


class Teller:
    """Takes what a Writer tells of each step: its logits, the largest of them, and the probability of a word."""

    def __init__(self, dut, pins):
        self._pins, self._clock = pins, dut.clk
        self.tops, self.probabilities = [], []

    async def run(self):
        select = 0
        while True:
            await self._pins.cycle(top_select=select)
            if self._pins.get("top_done"):
                self.tops.append([])
            if self.tops and len(self.tops[-1]) == select < self._pins.get("top_count"):
                self.tops[-1].append((self._pins.get("top_index"), self._pins.get("top_value")))
            select = len(self.tops[-1]) % Writer.K if self.tops else 0
            if self._pins.get("log_done"):
                told = (self._pins.get(f"log_{name}") for name in ("log2", "saturated", "target_seen"))
                self.probabilities.append(tuple(told))


@cocotb.test()
@cocotb.parametrize(wide=(0, 1), stall=(0.0, 0.5))
async def writes_the_text_of_the_oracle_with_a_core(dut, wide, stall):
    """A host's words, words of the core, words of the host again: logits, largest, probabilities, all of the oracle."""
    words, written = 13, 9
    config = Writer.CONFIG
    network = random_fixed_network(
        np.random.default_rng(random.getrandbits(32)), inputs=words << wide, layers=[11], outputs=words,
        weight_density=0.6, weight_bits=config.weight_bits, y_bits=config.y_bits, input_bits=config.value_bits,
    )  # fmt: skip
    compiled = fanout.compile(network, config.capacity)
    pins, scale, target = Pins(dut, Writer()), ranking.scale(network.readout.sum_exponent), 5
    source = StreamSource(dut, "i", InputBeat(config), stall=stall)
    sink = StreamSink(dut, "o", OutputBeat(), stall=stall)
    teller = Teller(dut, pins)
    await start(dut)
    pins.set(value=LOW, high_value=HIGH, wide=wide, log_target=target)
    pins.set(log_multiplier=scale.multiplier, log_shift=scale.shift - 1)
    for one in compiled.words:
        await pins.cycle(load__valid=1, load__payload=int(one))
    await pins.cycle(load__valid=0)
    await wait_until(dut.clk, lambda: pins.get("idle"))
    cocotb.start_soon(teller.run())

    before, after = [random.randrange(words) for _ in range(4)], [random.randrange(words) for _ in range(3)]
    for token in before:
        source.send(*word(token, wide))
    await source.wait()
    pins.set(start=1, limit=written)
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    pins.set(start=0)
    for token in after:
        source.send(*word(token, wide))

    oracle, text = Oracle(network), list(before)
    state, expected = oracle.initial_state(1), []
    for step in range(len(before) + written + len(after)):
        x = np.zeros((1, words << wide), np.int64)
        for each in word(text[step], wide):
            x[0, each["index"]] = each["value"]
        trace = oracle.step(x, state)
        state, logits = trace.state, trace.logits[0, 0]
        expected.append(logits)
        if len(before) - 1 <= step < len(before) + written - 1:
            text.append(int(logits.argmax()))
        elif step == len(before) + written - 1:
            text += after
    await wait_until(dut.clk, lambda: len(teller.probabilities) == len(expected))
    assert pins.get("count") == written and not pins.get("busy")
    assert len(sink.received) == len(expected) * words and len(set(text)) > 2
    for step, logits in enumerate(expected):
        told = [(item.index, item.value) for item in sink.received[step * words : (step + 1) * words]]
        assert sorted(told) == list(enumerate(logits.tolist())), f"step {step}"
        largest = ranking.top_k(np.arange(words), logits, Writer.K)
        assert teller.tops[step] == list(zip(*(part.tolist() for part in largest), strict=True)), f"step {step}"
        assert teller.probabilities[step] == ranking.log_probability(logits, target, scale), f"step {step}"


def test_generate(simulate):
    simulate(Generate(CONFIG), only="^(?!.*with_a_core)")


def test_with_a_core(simulate):
    simulate(Writer(), only="with_a_core")

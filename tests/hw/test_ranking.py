"""Ranking around a core: texts are those of the oracle, and so is what it tells of each step, while it writes."""

import itertools
import random
from collections import deque
from dataclasses import replace

import cocotb
import numpy as np
from amaranth import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from golden import fanout, ranking
from golden.reference import Oracle
from hw.core import Core
from hw.event import InputBeat, OutputBeat
from hw.ranking import Ranking
from hw.top_k import TopK
from tests.hw.bench import STALLS, StreamSink, StreamSource, start, wait_until
from tests.hw.core_bench import CONFIGS, word
from tests.hw.pins import Pins
from tests.networks import random_fixed_network

CONFIG = replace(CONFIGS["small"], ranked=3)
LOW, HIGH = 1, 256  #: values of words
WORDS, TARGET = 13, 5


class RankedCore(wiring.Component):
    """A core and its ranking, as :class:`hw.system.System` connects them; the ports of both, but for those between."""

    OF_CORE = ("load", "loaded")
    BETWEEN = ("i", "o", "best_index", "best_value", "best_valid")

    def __init__(self):
        self._core, self._ranking = Core(CONFIG), Ranking(CONFIG)
        self._ports = {name: self._core for name in self.OF_CORE}
        self._ports |= {name: self._ranking for name in self._ranking.signature.members if name not in self.BETWEEN}
        super().__init__({name: part.signature.members[name] for name, part in self._ports.items()})

    def elaborate(self, platform):
        m = Module()
        core, ranking = self._core, self._ranking
        m.submodules.core = core
        m.submodules.ranking = ResetInserter(~core.loaded)(ranking)
        wiring.connect(m, ranking.i, core.i)
        wiring.connect(m, core.o, ranking.o)
        for name in ("best_index", "best_value", "best_valid"):
            m.d.comb += getattr(ranking, name).eq(getattr(core, name))
        for name, part in self._ports.items():
            inside, outside, member = getattr(part, name), getattr(self, name), part.signature.members[name]
            if member.is_signature:
                wiring.connect(m, wiring.flipped(outside), inside)
            else:
                m.d.comb += inside.eq(outside) if member.flow is In else outside.eq(inside)
        return m


class Teller:
    """Takes what is told of each step: its largest logits, and the probability of a word."""

    def __init__(self, pins):
        self._pins = pins
        self.tops = []  #: (index, value) of the largest, a list a step
        self.probabilities = []  #: one for each time that it changes, and before the first step

    async def run(self):
        ends = deque([False] * TopK.LATENCY)  # of steps whose largest are not told yet
        rank = 0
        while True:
            await self._pins.cycle(rank=rank)
            taken = self._pins.get("outputs__valid") and self._pins.get("outputs__ready")
            ends.append(bool(taken and self._pins.get("outputs__payload").last))
            if ends.popleft():
                self.tops.append([])
            if self.tops and len(self.tops[-1]) == rank < self._pins.get("found"):
                self.tops[-1].append((self._pins.get("index"), self._pins.get("value")))
            rank = len(self.tops[-1]) % CONFIG.ranked if self.tops else 0
            told = tuple(self._pins.get(name) for name in ranking.LogProbability._fields)
            if self.probabilities[-1:] != [told]:
                self.probabilities.append(told)


@cocotb.test()
@cocotb.parametrize(wide=(0, 1), stall=STALLS)
async def writes_the_text_of_the_oracle(dut, wide, stall):
    """A host's words, words of the core, words of the host again: logits, largest, probabilities, all of the oracle."""
    written, values = 9, (LOW, HIGH) if wide else (LOW,)
    network = random_fixed_network(
        np.random.default_rng(random.getrandbits(32)), inputs=WORDS << wide, layers=[11], outputs=WORDS,
        weight_density=0.6, weight_bits=CONFIG.weight_bits, y_bits=CONFIG.y_bits, input_bits=CONFIG.value_bits,
    )  # fmt: skip
    pins, scale = Pins(dut, RankedCore()), ranking.scale(network.readout.sum_exponent)
    source = StreamSource(dut, "host", InputBeat(CONFIG), stall=stall)
    sink = StreamSink(dut, "outputs", OutputBeat(), stall=stall)
    teller = Teller(pins)
    await start(dut)
    pins.set(generated_value=LOW, high_value=HIGH, wide=wide)
    pins.set(target=TARGET, multiplier=scale.multiplier, shift=scale.shift - 1)
    for one in fanout.compile(network, CONFIG.capacity).words:
        await pins.cycle(load__valid=1, load__payload=int(one))
    await pins.cycle(load__valid=0)
    await wait_until(dut.clk, lambda: pins.get("loaded"))
    cocotb.start_soon(teller.run())

    before, after = [random.randrange(WORDS) for _ in range(4)], [random.randrange(WORDS) for _ in range(3)]
    for token in before:
        source.send(*word(token, *values))
    await source.wait()
    pins.set(start=1, limit=written)
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    pins.set(start=0)
    for token in after:
        source.send(*word(token, *values))

    oracle, text = Oracle(network), list(before)
    state, expected = oracle.initial_state(1), []
    for step in range(len(before) + written + len(after)):
        x = np.zeros((1, network.inputs), np.int64)
        for each in word(text[step], *values):
            x[0, each["index"]] = each["value"]
        trace = oracle.step(x, state)
        state, logits = trace.state, trace.logits[0, 0]
        expected.append(logits)
        if len(before) - 1 <= step < len(before) + written - 1:
            text.append(int(logits.argmax()))
        elif step == len(before) + written - 1:
            text += after
    await wait_until(dut.clk, lambda: len(teller.tops) == len(expected) and pins.get("idle"))
    assert pins.get("count") == written and not pins.get("busy")
    assert len(sink.received) == len(expected) * WORDS and len(set(text)) > 2
    for step, logits in enumerate(expected):
        told = [(item.index, item.value) for item in sink.received[step * WORDS : (step + 1) * WORDS]]
        assert sorted(told) == list(enumerate(logits.tolist())), f"step {step}"
        largest = ranking.top_k(np.arange(WORDS), logits, CONFIG.ranked)
        assert teller.tops[step] == list(zip(*(part.tolist() for part in largest), strict=True)), f"step {step}"
    probabilities = [ranking.log_probability(logits, TARGET, scale) for logits in expected]
    assert teller.probabilities[1:] == [told for told, _ in itertools.groupby(probabilities)]


def test_ranking(simulate):
    simulate(RankedCore())

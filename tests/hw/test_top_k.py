"""Top k: every result equals the oracle's, at each pace, latency, what a step leaves to the next."""

import gc
import random
import re

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from golden import ranking
from hw.event import NULL_INDEX
from hw.top_k import TopK
from tests.hw.bench import STALLS, start
from tests.hw.pins import Pins, Together

KINDS = {"one": (1, 32), "two": (2, 32), "five": (5, 20), "sixteen": (16, 32)}  #: k and the width of values
LATENCY = 4


def parts():
    return Together(**{name: TopK(k, value_bits=bits) for name, (k, bits) in KINDS.items()})


def pins(dut, kind):
    return Pins(dut, TopK(KINDS[kind][0], value_bits=KINDS[kind][1]), f"{kind}__")


def step(index, value):
    """Return the beats of a step; without values a silent one."""
    beats = [{"index": i, "value": v, "last": 0} for i, v in zip(index, value, strict=True)]
    beats = beats or [{"index": NULL_INDEX, "value": random.choice((-1, 0, 9)), "last": 0}]
    beats[-1]["last"] = 1
    return beats


def random_values(bits, count):
    """Return values of one kind: all equal, few different ones, both extremes, rising, falling, any."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    kind = random.choice(("equal", "few", "extreme", "rising", "falling", "any", "negative"))
    if kind == "equal":
        return [random.choice((low, -1, 0, high))] * count
    if kind == "few":
        return random.choices((-2, -1, 0, 1, 2), k=count)
    if kind == "extreme":
        return random.choices((low, low + 1, -1, 0, high - 1, high), k=count)
    values = sorted(random.randrange(low, 0 if kind == "negative" else high + 1) for _ in range(count))
    if kind == "falling":
        values.reverse()
    elif kind != "rising":
        random.shuffle(values)
    return values


class Reader:
    """Lets cycles pass, looks at a result in each, any of them, and checks that they stay until the next step's."""

    def __init__(self, part, k):
        self._part, self._k = part, k
        self.expected = []  #: (index, value) of each result of each step
        self.steps = 0  #: whose results came

    async def cycle(self, **inputs):
        select = random.randrange(self._k)
        await self._part.cycle(select=select, **inputs)
        self.steps += self._part.get("done")
        expected = self.expected[self.steps - 1] if self.steps else []
        assert self._part.get("count") == len(expected)
        if select < len(expected):
            assert (self._part.get("index"), self._part.get("value")) == expected[select]


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), stall=STALLS)
async def equals_the_oracle(dut, kind, stall):
    """Steps of all sizes, silent ones among them, at once behind each other or with pauses, in any order."""
    k, bits = KINDS[kind]
    reader = Reader(pins(dut, kind), k)
    beats = []
    for _ in range(300):
        count = random.choice((0, 1, 2, 3, k - 1, k, k + 1, 40))
        index, value = random.sample(range(NULL_INDEX), count), random_values(bits, count)
        reader.expected.append(list(zip(*(part.tolist() for part in ranking.top_k(index, value, k)), strict=True)))
        beats += step(index, value)
    await start(dut)
    for beat in beats:
        while random.random() < stall:
            await reader.cycle(valid=0, beat={"index": random.randrange(9), "value": 1 << 18, "last": 1})
        await reader.cycle(valid=1, beat=beat)
    for _ in range(LATENCY + 2):
        await reader.cycle(valid=0)
    assert reader.steps == len(reader.expected)


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def sorts_a_vocabulary(dut, kind):
    """The whole list, and each of its places read."""
    k, bits = KINDS[kind]
    part = pins(dut, kind)
    await start(dut)
    index = random.sample(range(NULL_INDEX), 5_000)
    value = [round(random.gauss(0, 1) * (1 << bits - 5)) for _ in index]
    for beat in step(index, value):
        await part.cycle(valid=1, beat=beat)
    for _ in range(LATENCY):
        await part.cycle(valid=0)
    assert part.get("done") and part.get("count") == k
    for place, expected in enumerate(zip(*ranking.top_k(index, value, k), strict=True)):
        await part.cycle(select=place)
        assert (part.get("index"), part.get("value")) == expected


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def takes_four_cycles_and_a_step_a_cycle(dut, kind):
    assert LATENCY == TopK.LATENCY
    part = pins(dut, kind)
    await start(dut)
    steps = [(3, -7), (4, 9), None, (3, -7), (0, 0), None]
    for cycle in range(len(steps) + LATENCY + 2):
        one = steps[cycle] if cycle < len(steps) else None
        beat = step(*([[x] for x in one] if one else ([], [])))[0]
        await part.cycle(valid=cycle < len(steps), beat=beat)
        told = cycle - LATENCY
        assert part.get("done") == (0 <= told < len(steps))
        if part.get("done"):
            assert part.get("count") == (steps[told] is not None)
            if steps[told]:
                assert (part.get("index"), part.get("value")) == steps[told]


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), late=range(LATENCY + 1))
async def forgets_the_step_at_a_reset(dut, kind, late):
    part = pins(dut, kind)
    await start(dut)
    for index in range(20):
        await part.cycle(valid=1, beat={"index": index, "value": 1000 + index})
    await part.cycle(valid=late % 2, beat={"index": 50, "value": 5000, "last": 1})
    for _ in range(late):
        await part.cycle(valid=0)
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    await part.cycle(valid=0)
    dut.rst.value = 0
    for _ in range(LATENCY + 1):
        await part.cycle()
        assert not part.get("done") and part.get("count") == 0
    await part.cycle(valid=1, beat={"index": 7, "value": -3, "last": 1})
    for _ in range(LATENCY):
        await part.cycle(valid=0)
    assert part.get("done") and (part.get("count"), part.get("index"), part.get("value")) == (1, 7, -3)


def test_top_k(simulate):
    simulate(parts())


@pytest.mark.parametrize(
    ("k", "bits", "message"),
    [
        (0, 32, "k is 0; it must be from 1 to 16"),
        (17, 32, "k is 17; it must be from 1 to 16"),
        (4, 1, "value_bits is 1; it must be from 2 to 32"),
        (4, 33, "value_bits is 33; it must be from 2 to 32"),
    ],
)
def test_bad_parameters_are_refused(k, bits, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TopK(k, value_bits=bits)
    gc.collect()  # the half-made component goes now, while the warning about it is ignored

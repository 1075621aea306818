"""Accumulators: exact sums whatever meets whatever, stalls only where a sum is under way, drains."""

import random
from collections import defaultdict, deque

import cocotb

from golden.fixed import GATES
from hw.accumulate import Accumulators
from hw.config import CoreConfig
from hw.vendor.generic import MULTIPLIER_LATENCY
from tests.hw.bench import start
from tests.hw.pins import Pins

CONFIG = CoreConfig(
    lanes=1, cell_units=1, rows=16, entries=64, sources=16, layers=2, value_bits=9, weight_bits=8, acc_bits=20
)  # fmt: skip
SUMS_LATENCY = 3
PRODUCT_MAX = 1 << CONFIG.product_bits - 1


def target(bank, row, gate):
    return {"drain": 0, "bank": bank, "row": row, "gate": gate}


def drain(bank, row):
    return {"drain": 1, "bank": bank, "row": row, "gate": 0}


def conflict(a, b):
    """Whether two targets share a sum; a drain has all four of its row."""
    same_row = (a["bank"], a["row"]) == (b["bank"], b["row"])
    return same_row and (a["drain"] or b["drain"] or a["gate"] == b["gate"])


class Bench:
    """Offer targets, give products when they are due, compare sums and stalls with the model in every cycle."""

    def __init__(self, dut):
        self.pins = Pins(dut, Accumulators(CONFIG))
        self.sums = defaultdict(int)
        self.stalls = 0
        self.drained = []
        self._recent = deque([None] * 3, 3)  # targets accepted 1, 2 and 3 cycles ago
        self._due = deque([(0, None)] * max(MULTIPLIER_LATENCY, SUMS_LATENCY))

    async def cycle(self, offered=None, product=0):
        """Offer a target for one cycle; return whether it was accepted."""
        product_now, sums_now = self._due.popleft()
        inputs = {"i__payload": offered} if offered else {}
        await self.pins.cycle(i__valid=offered is not None, product=product_now, **inputs)
        ready = bool(self.pins.get("i__ready"))
        if sums_now is not None:
            self.drained.append(sums_now)
            assert [self.pins.get("sums")[gate] for gate in range(len(GATES))] == sums_now
        hazard = offered is not None and any(old and conflict(old, offered) for old in self._recent)
        assert offered is None or ready != hazard
        accepted = offered if offered and ready else None
        self.stalls += hazard
        self._recent.appendleft(accepted)
        due = (random.randrange(-PRODUCT_MAX, PRODUCT_MAX), None)  # a product that belongs to nothing
        if accepted and accepted["drain"]:
            keys = [(accepted["bank"], accepted["row"], gate) for gate in range(len(GATES))]
            due = (due[0], [self.sums.pop(key, 0) for key in keys])
        elif accepted:
            due = (product, None)
            self.sums[accepted["bank"], accepted["row"], accepted["gate"]] += product
        self._due.append(due)
        return accepted is not None

    async def send(self, offered, product=0):
        """Offer a target until it is accepted; return how many cycles it waited."""
        waited = 0
        while not await self.cycle(offered, product):
            waited += 1
        return waited

    async def settle(self):
        for _ in range(5):
            await self.cycle()


async def begin(dut):
    bench = Bench(dut)
    await start(dut)
    for row in range(CONFIG.rows):  # without the checks of the bench: the first sums are those of the test before
        for bank in range(2):
            await bench.pins.cycle(i__valid=1, i__payload=drain(bank, row))
    await bench.pins.cycle(i__valid=0)
    await bench.settle()
    return bench


def random_product():
    return random.choice((random.randrange(-1000, 1000), PRODUCT_MAX - 1, -PRODUCT_MAX))


@cocotb.test()
@cocotb.parametrize(rows=(1, 2, CONFIG.rows), offered_share=(0.5, 1.0))
async def adds_exactly(dut, rows, offered_share):
    """Random targets among few rows: conflicts at every distance, drains among them."""
    bench = await begin(dut)
    for _ in range(1500):
        if random.random() >= offered_share:
            await bench.cycle()
            continue
        bank, row = random.randrange(2), random.randrange(rows)
        key_sum = max(abs(bench.sums[bank, row, gate]) for gate in range(len(GATES)))
        if random.random() < 0.1 or key_sum > (1 << CONFIG.acc_bits - 1) - PRODUCT_MAX - 1:
            await bench.send(drain(bank, row))
        else:
            await bench.send(target(bank, row, random.randrange(len(GATES))), random_product())
    for row in range(rows):
        for bank in range(2):
            await bench.send(drain(bank, row))
    await bench.settle()
    assert bench.stalls and bench.drained


@cocotb.test()
@cocotb.parametrize(distance=range(1, 6), first=("add", "drain"), second=("add", "drain"))
async def stalls_at_a_distance_of_three_or_less(dut, distance, first, second):
    """Two uses of a sum, ``distance`` operations apart: the second waits until 4 cycles have passed, or not at all."""
    bench = await begin(dut)

    def use(kind):
        return drain(1, 5) if kind == "drain" else target(1, 5, 2)

    await bench.send(target(1, 5, 2), 1234)
    await bench.settle()
    await bench.send(use(first), -77)
    for other in range(distance - 1):
        assert await bench.send(target(1, 6 + other, 2), other) == 0
    assert await bench.send(use(second), 11) == max(0, 4 - distance)
    await bench.settle()
    await bench.send(drain(1, 5))
    await bench.settle()
    expected = 11 if first == "drain" else 1234 - 77 + 11
    assert bench.drained[-1][2] == (0 if second == "drain" else expected)


@cocotb.test()
async def takes_one_operation_a_cycle_where_targets_differ(dut):
    """The same row in another bank, or another gate of it, is no conflict."""
    bench = await begin(dut)
    for operation in range(200):
        gate, bank = operation % 4, operation // 4 % 2
        assert await bench.send(target(bank, 3, gate), operation) == 0


@cocotb.test()
async def adds_to_one_target_back_to_back(dut):
    bench = await begin(dut)
    for product in range(1, 21):
        assert await bench.send(target(0, 0, 3), product) == (0 if product == 1 else 3)
    await bench.send(drain(0, 0))
    await bench.settle()
    assert bench.drained[-1] == [0, 0, 0, sum(range(21))]


@cocotb.test()
@cocotb.parametrize(sign=(-1, 1))
async def holds_the_largest_sums(dut, sign):
    """Every bit of a sum counts, up to the width and back."""
    bench = await begin(dut)
    limit = (1 << CONFIG.acc_bits - 1) - (sign > 0)
    total = 0
    while total < limit:
        step = min(PRODUCT_MAX - 1, limit - total)
        await bench.send(target(0, 2, 1), sign * step)
        total += step
    await bench.send(drain(0, 2))
    await bench.settle()
    assert bench.drained[-1] == [0, sign * limit, 0, 0]


def test_accumulators(simulate):
    simulate(Accumulators(CONFIG))

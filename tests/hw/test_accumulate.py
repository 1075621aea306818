"""Accumulators: exact sums whatever meets whatever, stalls only where a sum is under way, drains."""

import random
from collections import defaultdict, deque

import cocotb

from golden.fixed import GATES
from hw.accumulate import Accumulators
from hw.config import CoreConfig
from tests.hw.bench import start
from tests.hw.pins import Pins, Together

#: One memory for both banks, or one for each; operations wait for a sum under way, or get it passed on.
PARTS = {
    "waiting": {}, "split": {"split_banks": True}, "forwarding": {"forwarding": True},
    "split_forwarding": {"split_banks": True, "forwarding": True},
}  # fmt: skip
ROWS = 16
SUMS_LATENCY = 3
PRODUCT_AFTER = 2  #: cycles from when an operation goes to its product
WRITE_AFTER = (
    Accumulators.HAZARD_DISTANCE + 1
)  #: cycles from a drain to the next drain, or the coming in of an operation, on its sums
DRAIN_AFTER = Accumulators.HAZARD_DISTANCE  #: cycles from when an operation goes to a drain of its sum
SETTLED = 8  #: cycles after which whatever came in is in the sums


def config(part):
    return CoreConfig(
        lanes=1, cell_units=1, rows=ROWS, entries=64, sources=16, layers=2, weight_bits=8, value_bits=9, acc_bits=20,
        **PARTS[part],
    )  # fmt: skip


ACC_BITS = config("waiting").acc_bits
PRODUCT_MAX = (1 << config("waiting").product_bits - 1) - 1


def parts():
    return Together(**{part: Accumulators(config(part)) for part in PARTS})


def random_target():
    return random.randrange(2), random.randrange(ROWS), random.randrange(len(GATES))


class Bench:
    """Offer targets and drains, give products when they are due; compare sums and stalls with a model.

    As the walker does it, an operation waits in a register behind the next one.
    """

    def __init__(self, dut, part):
        self.pins = Pins(dut, Accumulators(config(part)), f"{part}__")
        self.sums = defaultdict(int)
        self.drained = []  #: what each drain must give, oldest first
        self.hazards = self.taken = 0
        self._config = config(part)
        self.went = defaultdict(lambda: -DRAIN_AFTER)  #: cycle in which an operation on this row last went
        self.now = 0
        self._next = None  # target and product of the operation that is to be held next
        self._held = None  # of that which waits to go
        self._drain = None  # the drain of the cycle before: it reads now
        self._recent = deque(maxlen=Accumulators.HAZARD_DISTANCE)  # targets that went 1, 2, ... cycles ago
        self._products = deque([0] * (PRODUCT_AFTER + 1))
        self._expected = deque([None] * SUMS_LATENCY)

    async def cycle(self, target=None, product=0, drain=None):
        """Offer a target (bank, row, gate) and a drain (bank, row) for one cycle; return whether the target came in."""
        coming = self._next[0] if self._next else None
        inputs = {
            name: dict(zip(("bank", "row", "gate"), at or random_target(), strict=True))
            for name, at in (("i__payload", coming), ("behind", target))
        }
        drained = {"valid": 1, "bank": drain[0], "row": drain[1]} if drain else {"valid": 0}
        self._products.popleft()
        await self.pins.cycle(i__valid=coming is not None, product=self._products[0], drain=drained, **inputs)
        if (sums := self._expected.popleft()) is not None:
            assert [self.pins.get("sums")[gate] for gate in range(len(GATES))] == sums

        hazard = taken = False
        if self._held:
            held, its_product = self._held
            hazard = held in self._recent and not self._config.forwarding
            taken = self._drain is not None and (not self._config.split_banks or self._drain[0] == held[0])
        goes = self._held is not None and not hazard and not taken
        said = [bool(self.pins.get(name)) for name in ("hazard", "drained", "goes", "i__ready")]
        assert said == [hazard, taken and not hazard, goes, goes or self._held is None]
        self.hazards, self.taken = self.hazards + hazard, self.taken + taken
        self._recent.appendleft(held if goes else None)
        if goes:
            self.went[held[:2]] = self.now
        self.now += 1
        # A product that nobody asked for must not matter.
        self._products.append(its_product if goes else random.randint(-PRODUCT_MAX - 1, PRODUCT_MAX))
        moves = goes or self._held is None
        if comes := target is not None and moves:
            self.sums[target] += product
        if moves:
            self._held, self._next = self._next, (target, product) if comes else None
        self._drain = drain
        due = [self.sums.pop((*drain, gate), 0) for gate in range(len(GATES))] if drain else None
        self._expected.append(due)
        self.drained += [due] if drain else []
        return comes

    def may_drain(self, row):
        """Tell whether the sums of a row (bank, row) are complete."""
        under_way = [operation[0][:2] for operation in (self._held, self._next) if operation]
        return row not in under_way and self.now - self.went[row] >= DRAIN_AFTER

    async def send(self, target, product=0):
        """Offer a target until it comes in; return how many cycles it waited."""
        waited = 0
        while not await self.cycle(target, product):
            waited += 1
        return waited

    async def settle(self):
        while self._held or self._next:
            await self.cycle()
        for _ in range(SETTLED):
            await self.cycle()


async def begin(dut, part):
    bench = Bench(dut, part)
    await start(dut)
    for row in range(ROWS):  # unchecked: the sums are those of the test before
        for bank in range(2):
            await bench.pins.cycle(drain={"valid": 1, "bank": bank, "row": row})
    await bench.pins.cycle(drain={"valid": 0})
    await bench.settle()
    return bench


@cocotb.test()
@cocotb.parametrize(part=list(PARTS), rows=(2, 3, ROWS), busy=(0.5, 1.0))
async def adds_exactly(dut, part, rows, busy):
    """Random targets among few sums: conflicts at every distance; drains as soon as they are allowed."""
    bench = await begin(dut, part)
    drained = defaultdict(lambda: -WRITE_AFTER)
    target, product, drains = None, 0, 0
    for _ in range(1200):
        now = bench.now
        if target is None and random.random() < busy:
            row = random.randrange(2), random.randrange(rows)
            headroom = (1 << ACC_BITS - 1) - 1 - max(abs(bench.sums[*row, gate]) for gate in range(len(GATES)))
            if now - drained[row] >= WRITE_AFTER and headroom >= PRODUCT_MAX:
                target = (*row, random.randrange(len(GATES)))
                product = random.choice((random.randint(-PRODUCT_MAX, PRODUCT_MAX), PRODUCT_MAX, -PRODUCT_MAX))
        row = random.randrange(2), random.randrange(rows)
        complete = bench.may_drain(row) and now - drained[row] >= WRITE_AFTER
        drain = row if complete and (target is None or target[:2] != row) and random.random() < 0.5 else None
        if await bench.cycle(target, product, drain):
            target = None
        if drain:
            drained[drain], drains = now, drains + 1
    assert drains > 50 and bench.taken and (bench.hazards or rows == ROWS or config(part).forwarding)


@cocotb.test()
@cocotb.parametrize(part=list(PARTS), distance=range(1, Accumulators.HAZARD_DISTANCE + 3))
async def stalls_where_a_sum_is_not_in_memory_yet(dut, part, distance):
    """The second of two additions to a sum, ``distance`` operations apart, is held until the first is in memory.

    With forwarding it goes at once.
    """
    bench = await begin(dut, part)
    waits = 0 if config(part).forwarding else max(0, WRITE_AFTER - distance)
    target = (1, 5, 2)
    await bench.send(target, -77)
    for other in range(distance - 1):
        assert await bench.send((1, 6 + other, 2), other) == 0
    assert await bench.send(target, 11) == 0
    assert await bench.send((1, 5, 3)) == 0
    assert await bench.send((1, 5, 1)) == waits
    await bench.settle()
    await bench.cycle(drain=target[:2])
    await bench.settle()
    assert bench.drained == [[0, 0, -66, 0]]


@cocotb.test()
@cocotb.parametrize(part=list(PARTS))
async def takes_one_operation_a_cycle_where_targets_differ(dut, part):
    """The same row in another bank, or another gate of it, is no conflict."""
    bench = await begin(dut, part)
    for operation in range(200):
        assert await bench.send((operation // 4 % 2, 3, operation % 4), operation) == 0


@cocotb.test()
@cocotb.parametrize(part=list(PARTS))
async def drains_cost_a_cycle_only_where_the_memory_is_shared(dut, part):
    bench = await begin(dut, part)
    shared = not config(part).split_banks
    for row in range(ROWS):
        assert await bench.cycle((0, row, 1), 5)
        assert await bench.cycle((0, (row + 8) % ROWS, 0), drain=(1, row))
        assert await bench.cycle((0, (row + 8) % ROWS, 2)) != shared
        await bench.settle()
    for row in range(ROWS):
        assert await bench.cycle((0, (row + 8) % ROWS, 0))
        assert await bench.cycle((0, (row + 8) % ROWS, 2), drain=(0, row))
        assert not await bench.cycle((0, (row + 8) % ROWS, 3))
        await bench.settle()
    assert bench.drained == [[0] * 4] * ROWS + [[0, 5, 0, 0]] * ROWS


@cocotb.test()
@cocotb.parametrize(part=list(PARTS))
async def adds_to_one_target_back_to_back(dut, part):
    bench = await begin(dut, part)
    for product in range(1, 21):
        assert await bench.send((0, 0, 3), product) == (
            0 if product <= 3 or config(part).forwarding else WRITE_AFTER - 1
        )
    await bench.settle()
    await bench.cycle(drain=(0, 0))
    await bench.settle()
    assert bench.drained == [[0, 0, 0, sum(range(21))]]


@cocotb.test()
@cocotb.parametrize(part=list(PARTS), sign=(-1, 1))
async def holds_the_largest_sums(dut, part, sign):
    """Every bit of a sum counts, in every gate."""
    bench = await begin(dut, part)
    limit = (1 << ACC_BITS - 1) - (sign > 0)
    for gate in range(len(GATES)):
        total = 0
        while total < limit:
            step = min(PRODUCT_MAX, limit - total)
            await bench.send((0, 2, gate), sign * step)
            total += step
    await bench.settle()
    await bench.cycle(drain=(0, 2))
    await bench.settle()
    assert bench.drained == [[sign * limit] * len(GATES)]


def test_accumulators(simulate):
    simulate(parts())

"""The cell: rescaling and the whole update, bit for bit against :mod:`golden.fixed`."""

import cocotb
import numpy as np

from golden import fixed
from golden.fixed import GATES
from hw.cell_egru import CellEgru, Rescale, stages
from hw.config import CoreConfig
from tests.hw.bench import start
from tests.hw.pins import Pins, Together

RESCALES = {  #: acc_bits, bits, and whether there is a register more
    "narrow": (20, fixed.PRE_BITS, False), "wide": (32, fixed.ADDEND_BITS, False), "far": (24, fixed.PRE_BITS, True),
}  # fmt: skip
CELLS = {8: 24, 12: 20, 15: 28, 16: 32}  #: y_bits: acc_bits
HOPS = {12: 2, 15: 3}  #: y_bits: hops, where not 1
VECTORS = 3000
BLOCK = 100  # vectors that share their shifts, as the units of a layer do


def config(y_bits):
    return CoreConfig(
        lanes=1, cell_units=1, rows=4, entries=16, sources=16, layers=1,
        y_bits=y_bits, value_bits=17, acc_bits=CELLS[y_bits], hops=HOPS.get(y_bits, 1),
    )  # fmt: skip


def parts():
    return Together(
        **{name: Rescale(acc_bits=acc, bits=bits, far=far) for name, (acc, bits, far) in RESCALES.items()},
        **{f"cell_{y_bits}": CellEgru(config(y_bits)) for y_bits in CELLS},
    )


@cocotb.test()
@cocotb.parametrize(name=list(RESCALES))
async def rescales_and_saturates(dut, name):
    """What comes in has half a step in it, which the oracle adds."""
    acc_bits, bits, far = RESCALES[name]
    pins, latency = Pins(dut, Rescale(acc_bits=acc_bits, bits=bits, far=far), f"{name}__"), Rescale.LATENCY + 2 * far
    await start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    low, high = -(1 << acc_bits - 1), (1 << acc_bits - 1) - 1
    for shift in range(fixed.SHIFT_MIN, fixed.SHIFT_MAX + 1):
        # Around every border: the ends, zero, where a step begins, and where saturation does.
        border = [1 << k for k in range(acc_bits - 1)] + [(1 << bits - 1 + max(shift, 0)) + d for d in (-2, -1, 0, 1)]
        totals = np.array([low, high, 0, -1, *border, *(-b for b in border), *(3 * b for b in border)])
        totals = np.clip(np.concatenate([totals, totals - 1, rng.integers(low, high + 1, 60)]), low, high)
        expected = fixed.rescale(totals - fixed.half_step(shift), shift, bits)
        totals = [*totals.tolist(), *[0] * latency]
        for cycle, total in enumerate(totals):
            await pins.cycle(total=total, shift=shift + fixed.SHIFT_GUARD)
            if latency <= cycle < latency + len(expected):
                assert pins.get("scaled") == expected[cycle - latency], f"shift {shift}"


def draw_vectors(rng, acc_bits, y_bits):
    """Return shifts (blocks, 4), sums and biases (4, vectors), h and thresholds (vectors,): random ones and corners."""
    blocks = VECTORS // BLOCK
    # Shifts for which a full sum is between a 16th and 2 times the range of its addend; some at either end.
    usual = np.clip(acc_bits - fixed.PRE_BITS - rng.integers(-1, 5, (blocks, 4)), fixed.SHIFT_MIN, fixed.SHIFT_MAX)
    anything = rng.integers(fixed.SHIFT_MIN, fixed.SHIFT_MAX + 1, (blocks, 4))
    shifts = np.where(rng.random((blocks, 4)) < 0.9, usual, anything)
    each = np.repeat(shifts.T, BLOCK, axis=1)

    low, high = -(1 << acc_bits - 1), (1 << acc_bits - 1) - 1
    totals = rng.integers(low, high + 1, (4, VECTORS))
    real = np.rint(rng.normal(0, 1.0, (4, VECTORS)) * 2.0 ** (fixed.PRE_FRACTION + each)).astype(np.int64)
    totals = np.where(rng.random(VECTORS) < 0.7, np.clip(real, low, high), totals)
    totals = np.where(rng.random((4, VECTORS)) < 0.05, rng.choice([low, high, 0, -1, 1], (4, VECTORS)), totals)

    h = rng.integers(-(1 << 15), 1 << 15, VECTORS)
    h = np.where(rng.random(VECTORS) < 0.1, rng.choice([-(1 << 15), -1, 0, fixed.STATE_MAX], VECTORS), h)
    # Candidates and states around 0, so that some units fire with a value that rounds to 0.
    tiny, size = rng.random(VECTORS) < 0.15, max(8, 2 << max(0, fixed.STATE_FRACTION - y_bits))
    small = rng.integers(-size, size + 1, (2, VECTORS))
    totals[0] = np.where(tiny, np.clip(small[0] << np.maximum(each[0] - 3, 0), low, high), totals[0])
    totals[3], h = np.where(tiny, 0, totals[3]), np.where(tiny, small[1], h)

    # Thresholds at c exactly, one below and one above: c is what remains of a unit that cannot fire.
    c = cell_each(totals, shifts, h, np.full(VECTORS, fixed.STATE_MAX), y_bits)[0]
    threshold = rng.integers(0, fixed.STATE_MAX + 1, VECTORS)
    choice = np.where(tiny, rng.integers(0, 5, VECTORS), rng.integers(0, 6, VECTORS))
    close = np.clip(c + choice - 1, 0, fixed.STATE_MAX)
    ends = np.where(tiny, 0, rng.choice([0, fixed.STATE_MAX], VECTORS))
    threshold = np.where(choice < 3, close, np.where(choice < 5, ends, threshold))

    # A bias and a sum that make the total, neither beyond the width.
    bias = np.where(rng.random((4, VECTORS)) < 0.5, totals // 3, rng.integers(-500, 501, (4, VECTORS)))
    sums = np.clip(totals - bias, low, high)
    return shifts, sums, totals - sums, h, threshold, c


def cell_each(totals, shifts, h, threshold, y_bits):
    """:func:`golden.fixed.cell`, block by block; ``totals`` have half a step of their shift in them."""
    parts = [
        fixed.cell(totals[:, s] - fixed.half_step(shifts[k])[:, None], tuple(shifts[k]), h[s], threshold[s], y_bits)
        for k, s in ((k, slice(k * BLOCK, (k + 1) * BLOCK)) for k in range(len(shifts)))
    ]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


@cocotb.test()
@cocotb.parametrize(y_bits=list(CELLS))
async def updates_as_the_oracle(dut, y_bits):
    """One unit a cycle; the result after ``latency`` cycles, neither earlier nor later."""
    pins = Pins(dut, CellEgru(config(y_bits)), f"cell_{y_bits}__")
    await start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED + y_bits)
    shifts, sums, bias, h, threshold, c = draw_vectors(rng, CELLS[y_bits], y_bits)
    h_next, fires, y = cell_each(sums + bias, shifts, h, threshold, y_bits)
    assert (c == threshold).sum() > 50 and 0.1 < fires.mean() < 0.9
    silent = (fires == 1) & (y == 0)
    assert silent.sum() > 10 if y_bits < 14 else not silent.any()
    assert (y == (1 << y_bits) - 1).any() or y_bits > 15

    sums, bias = sums.T.tolist(), bias.T.tolist()
    h, threshold, shifts = h.tolist(), threshold.tolist(), (shifts + fixed.SHIFT_GUARD).tolist()
    expected = list(zip(h_next.tolist(), fires.tolist(), y.tolist(), strict=True))
    at = stages(config(y_bits))
    assert at.latency == (25 if y_bits in HOPS else 20)
    for cycle in range(VECTORS + at.latency):
        inputs = {}
        if cycle < VECTORS:
            inputs |= {"sums": sums[cycle], "bias": bias[cycle]}
        if 0 <= (k := cycle - 1) < VECTORS:
            inputs["shifts"] = shifts[k // BLOCK]
        if 0 <= (k := cycle - at.state) < VECTORS:
            inputs["h"] = h[k]
        if 0 <= (k := cycle - at.threshold) < VECTORS:
            inputs["threshold"] = threshold[k]
        await pins.cycle(**inputs)
        if (k := cycle - at.latency) >= 0:
            assert (pins.get("h_next"), pins.get("fires"), pins.get("y")) == expected[k], f"unit {k}"


def test_cell(simulate):
    assert len(GATES) == 4
    simulate(parts())

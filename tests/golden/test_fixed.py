"""The number formats against exact arithmetic: every table entry, every rounding, and the error of a cell update."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from golden import fixed, numerics

EVERY_PRE = np.arange(-(2**15), 2**15)


def half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


@pytest.mark.parametrize(("table", "tanh", "bound"), [(fixed.SIGMOID, False, 1.27), (fixed.TANH, True, 3.81)])
def test_every_argument_of_a_table_is_within_its_bound(table, tanh, bound):
    exact = [math.tanh(x / 4096) if tanh else 1 / (1 + math.exp(-x / 4096)) for x in EVERY_PRE.tolist()]
    error = np.abs(table(EVERY_PRE) - np.array(exact) * 32768)
    assert bound - 0.02 < error.max() < bound
    assert numerics.worst_table_error(tanh) == pytest.approx(error.max(), abs=1e-9)


@pytest.mark.parametrize(("table", "low", "high"), [(fixed.SIGMOID, 0, 32767), (fixed.TANH, -32767, 32767)])
def test_tables_are_monotonic_and_in_range(table, low, high):
    values = table(EVERY_PRE)
    assert (np.diff(values) >= 0).all()
    assert values.min() >= low and values.max() <= high


def test_tables_have_512_segments_whose_entries_fit():
    for table, slope_bits in ((fixed.SIGMOID, 9), (fixed.TANH, 11)):
        assert len(table.base) == len(table.slope) == 512
        assert table.slope_bits == slope_bits
        assert table.slope.min() >= 0 and table.slope.max() < 1 << slope_bits
        assert np.abs(table.base).max() <= 32767


def test_nodes_are_the_correctly_rounded_functions():
    borders = EVERY_PRE[::128]
    np.testing.assert_array_equal(
        fixed.SIGMOID(borders), [half_up(Fraction(32768 / (1 + math.exp(-x / 4096)))) for x in borders]
    )
    np.testing.assert_array_equal(
        fixed.TANH(borders), np.clip([half_up(Fraction(32768 * math.tanh(x / 4096))) for x in borders], -32767, 32767)
    )


@pytest.mark.parametrize("shift", range(0, 32))
def test_round_shift_is_half_up(shift):
    rng = np.random.default_rng(shift)
    step = 1 << shift
    values = [0, 1, -1, step // 2, -(step // 2), step // 2 - 1, -(step // 2) - 1, 3 * step // 2, -(3 * step) // 2]
    values += rng.integers(-(2**40), 2**40, 200).tolist()
    expected = [half_up(Fraction(value, step)) for value in values]
    np.testing.assert_array_equal(fixed.round_shift(np.array(values), shift), expected)


@pytest.mark.parametrize("shift", range(fixed.SHIFT_MIN, fixed.SHIFT_MAX + 1))
@pytest.mark.parametrize("bits", [fixed.PRE_BITS, fixed.ADDEND_BITS])
def test_rescale_rounds_and_saturates(shift, bits):
    rng = np.random.default_rng(shift + 4)
    values = [0, 1, -1, 2**31 - 1, -(2**31), *rng.integers(-(2**31), 2**31, 50).tolist()]
    values += [value >> int(rng.integers(32)) for value in values]
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    expected = [min(max(half_up(Fraction(value) / Fraction(2) ** shift), low), high) for value in values]
    np.testing.assert_array_equal(fixed.rescale(np.array(values), shift, bits), expected)


@pytest.mark.parametrize("shift", [fixed.SHIFT_MIN - 1, fixed.SHIFT_MAX + 1])
def test_rescale_refuses_other_shifts(shift):
    with pytest.raises(ValueError) as error:
        fixed.rescale(np.array([1]), shift, 16)
    assert str(error.value) == f"shift {shift} is outside [-4, 27]"


@pytest.mark.parametrize("y_bits", range(fixed.Y_BITS_MIN, fixed.Y_BITS_MAX + 1))
def test_every_event_value_is_rounded_and_saturated(y_bits):
    c = np.arange(0, 2**15)
    exact = np.floor(c * 2.0 ** (y_bits - 15) + 0.5).astype(int)  # exact: powers of two
    np.testing.assert_array_equal(fixed.event_value(c, y_bits), np.minimum(exact, 2**y_bits - 1))
    below_one = c[c < 2**15 - 2 ** max(0, 14 - y_bits)]  # beyond, a value saturates
    error = np.abs(fixed.event_value(below_one, y_bits) - below_one * 2.0 ** (y_bits - 15))
    assert error.max() <= 0.5
    assert numerics.worst_event_error(y_bits) < 1


def test_a_cell_stays_in_range_at_the_extremes():
    """All combinations of the largest sums, states and thresholds, either sign."""
    extreme = np.array([-(2**31), -1, 0, 1, 2**31 - 1])
    states, thresholds = np.array([-32768, -32767, -1, 0, 1, 32767]), np.array([0, 1, 32766, 32767])
    *sums, h, threshold = (grid.ravel() for grid in np.meshgrid(*[extreme] * 4, states, thresholds, indexing="ij"))
    for shift in (fixed.SHIFT_MIN, 0, fixed.SHIFT_MAX):
        new_h, fires, y = fixed.cell(np.stack(sums), (shift,) * 4, h, threshold, 8)
        assert new_h.min() >= -32768 and new_h.max() <= 32767
        assert y.min() >= 0 and y.max() <= 255
        assert (new_h[fires == 1] >= 1).all() and not y[fires == 0].any()


def test_state_stays_between_its_candidate_and_itself():
    """c lies between g and h for every z: no rounding pushes it out."""
    rng = np.random.default_rng(0)
    z, g, h = (rng.integers(low, 2**15, 200_000) for low in (0, -32767, -32768))
    c = g + fixed.round_shift(z * (h - g), 15)
    assert (np.minimum(g, h) <= c).all() and (c <= np.maximum(g, h)).all()


@pytest.mark.parametrize(("gh", "gate"), [(0.0, 7.9), (1.0, 7.9), (4.0, 7.9), (4.0, 20.0), (16.0, 7.9)])
def test_a_cell_update_is_within_its_float_bound(gh, gate):
    bound = numerics.cell_bound(gh, saturated=gate > 8)
    worst = np.abs(numerics.cell_errors(np.random.default_rng(1), 300_000, gh, gate)).max()
    assert 0.1 * bound < worst < bound


def test_the_bound_is_not_met_beyond_the_addends_range():
    """gx = 40 and gh = -36 both saturate at 32 and cancel: the precondition of the bound is needed."""
    sums = np.array([40 << 12, 0, 20 << 12, -36 << 12])[:, None]
    h, _, _ = fixed.cell(sums, (0, 0, 0, 0), np.array([0]), np.array([32767]), 8)
    assert abs(h[0] - 0.5 * math.tanh(4) * 32768) > 10_000


def test_report_prints_the_worst_cases():
    command = [sys.executable, "-m", "golden.numerics", "--count", "1000"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    for figure in ("1.26", "3.80", "11.00", "0.992"):
        assert figure in result.stdout

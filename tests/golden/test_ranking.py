"""Top k, and the log-probability against exact softmax: error, order, ends of the range, texts."""

import math
import random

import numpy as np
import pytest

from golden import ranking
from golden.ranking import LogProbability, Scale, log_probability, perplexity, scale, top_k

EXPONENT = -14
SCALE = scale(EXPONENT)
BITS = 2.0**-ranking.FRACTION
EVERY_FRACTION = np.arange(1 << ranking.FRACTION)


def exact(values, exponent=EXPONENT):
    """Return the log2 of the softmax of all logits, in float64."""
    t = np.asarray(values) * 2.0**exponent * math.log2(math.e)
    return t - t.max() - math.log2(np.exp2(t - t.max()).sum())


def error(values, target, exponent=EXPONENT):
    """Return the error of a log2 probability, and the bound that the module states."""
    result = log_probability(values, target, scale(exponent))
    assert result.target_seen and not result.saturated
    distance = np.abs(np.asarray(values) - values[target]).max() * 2.0**exponent * math.log2(math.e)
    bound = ranking.ERROR_MAX + ranking.SCALE_ERROR * distance
    return result.log2 * BITS - exact(values, exponent)[target], bound


def integers(real, exponent=EXPONENT):
    return np.round(np.asarray(real) * 2.0**-exponent).astype(np.int64)


def test_top_k_is_what_sorting_finds():
    rng = random.Random(1)
    for _ in range(300):
        count, k = rng.randrange(40), rng.randrange(1, 17)
        index = rng.sample(range(65_535), count)
        value = [rng.choice((rng.randrange(-3, 3), rng.choice((-(1 << 31), (1 << 31) - 1)))) for _ in index]
        expected = sorted(zip(index, value, strict=True), key=lambda pair: (-pair[1], pair[0]))[:k]
        assert list(zip(*(part.tolist() for part in top_k(index, value, k)), strict=True)) == expected


def test_top_k_takes_the_lowest_index_among_equals():
    index, value = top_k([9, 3, 7, 5], [4, 4, -1, 4], 3)
    assert (index.tolist(), value.tolist()) == ([3, 5, 9], [4, 4, 4])


@pytest.mark.parametrize(
    ("table", "function", "worst"),
    [(ranking.EXP2, lambda x: np.exp2(x) - 1, 1.30), (ranking.LOG2, lambda x: np.log2(1 + x), 1.40)],
)
def test_every_argument_of_a_table_is_within_its_bound(table, function, worst):
    """Of Q0.16; and tables are monotonic, and fit the hardware's 16 bits."""
    values = table(EVERY_FRACTION - ranking.HALF)
    errors = np.abs(values + ranking.HALF - function(EVERY_FRACTION * BITS) / BITS)
    assert worst - 0.02 < errors.max() < worst
    assert (np.diff(values) >= 0).all() and values.min() == -ranking.HALF and values.max() < ranking.HALF
    assert table.slope_bits == 8


def test_scale_is_log2_of_e():
    for exponent in range(ranking.EXPONENT_MIN, ranking.EXPONENT_MAX + 1):
        found = scale(exponent)
        of_one = found.multiplier * 2.0 ** (-exponent - found.shift) * BITS  # what a logit of 1.0 becomes
        assert abs(of_one / math.log2(math.e) - 1) < ranking.SCALE_ERROR


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scale(1), "exponent is 1; it must be from -31 to 0"),
        (lambda: scale(-32), "exponent is -32; it must be from -31 to 0"),
        (lambda: Scale(1 << 18, 1), "multiplier is 262144; it must be from 0 to 262143"),
        (lambda: Scale(-1, 1), "multiplier is -1; it must be from 0 to 262143"),
        (lambda: Scale(1, 0), "shift is 0; it must be from 1 to 32"),
        (lambda: Scale(1, 33), "shift is 33; it must be from 1 to 32"),
        (lambda: perplexity([]), "log2s is empty; it must hold a word's log2 probability or more"),
    ],
)
def test_what_is_out_of_range_is_refused(make, message):
    with pytest.raises(ValueError) as raised:
        make()
    assert str(raised.value) == message


@pytest.mark.parametrize("deviation", [1, 2, 5, 10])
def test_perplexity_of_a_vocabulary(deviation):
    """10,000 normal logits a step around any mean; words as often as they are probable, so of every size."""
    rng = np.random.default_rng(deviation)
    found, wanted, worst = [], [], 0.0
    for _ in range(200):
        values = integers(rng.normal(rng.normal() * 5, deviation, 10_000))
        probabilities = exact(values)
        target = int(rng.choice(len(values), p=np.exp2(probabilities) / np.exp2(probabilities).sum()))
        difference, bound = error(values, target)
        assert abs(difference) < bound
        worst = max(worst, abs(difference))
        found.append(log_probability(values, target, SCALE).log2)
        wanted.append(probabilities[target])
    assert worst < 3.2e-5, "half of the bound"
    assert abs(perplexity(found) / 2.0 ** -np.mean(wanted) - 1) < 5e-6


def test_adversarial_logits_stay_within_the_bound():
    """Where roundings agree: of equal logits, of logits at a node or just off it, of very different ones."""
    rng = np.random.default_rng(0)
    unit = math.log(2)
    cases = [(np.full(count, at), 0) for count in (1, 2, 3, 4095, 65_536) for at in rng.normal(0, 20, 20)]
    cases += [([at, *[at + unit * d] * 2000], 0) for at in rng.normal(0, 5, 10) for d in (-17, -1, 0, 1, 17, 60)]
    cases += [(rng.choice([-40.0, 0.0, 20.0, 40.0], 500), k) for k in range(50)]
    cases += [(np.arange(-300, 300) * unit / 8 + shift * 2.0**-15, k) for k in (0, 299, 599) for shift in range(8)]
    cases += [(rng.uniform(-88, 88, rng.integers(2, 30)), 0) for _ in range(500)]
    worst = 0.0
    for real, target in cases:
        difference, bound = error(integers(real), target)
        assert abs(difference) < bound
        worst = max(worst, abs(difference) / bound)
    assert worst > 0.4, "the bound is no more than is needed"


@pytest.mark.parametrize("exponent", [0, -3, -8, -20, -31])
def test_other_exponents(exponent):
    rng = np.random.default_rng(-exponent)
    limit = min(60, (2**31 - 1) * 2.0**exponent)
    for _ in range(100):
        difference, bound = error(integers(rng.uniform(-limit, limit, 50), exponent), 7, exponent)
        assert abs(difference) < bound


def test_the_order_does_not_matter():
    rng = np.random.default_rng(3)
    values = integers(rng.normal(0, 15, 3000))
    index = rng.permutation(3000)
    for target in range(0, 3000, 300):
        assert log_probability(values[index], target, SCALE, index) == log_probability(values, target, SCALE)


def test_a_probability_is_never_above_one():
    for value in range(-5000, 5000, 7):
        for values in ([value], [value, value - (60 << 14)]):
            assert -ranking.ERROR_MAX <= log_probability(values, 0, SCALE).log2 * BITS <= 0


def test_missing_targets_and_silent_steps():
    assert log_probability([], 0, SCALE) == LogProbability(ranking.NONE, False, False)
    assert log_probability([5, 6], 2, SCALE) == LogProbability(ranking.NONE, False, False)
    assert log_probability([5, 6], 9, SCALE, [9, 4]).target_seen


@pytest.mark.parametrize(
    ("real", "saturated"),
    [
        ([0, 89], True), ([89, 0], True), ([-89, 0], True), ([-89, -89], True), ([-45, -89], True),
        ([0, -89], False), ([-44, -1000], False), ([-88, -88], False), ([88, 0], False),
    ],
)  # fmt: skip
def test_saturation_is_told_where_it_can_matter(real, saturated):
    values = integers(real)
    result = log_probability(values, 0, SCALE)
    assert result.saturated == saturated
    if not saturated:
        assert abs(result.log2 * BITS - exact(values)[0]) < 2 * ranking.ERROR_MAX


@pytest.mark.parametrize(
    ("value", "saturated"),
    [
        (ranking.T_MAX * 2, False),
        (ranking.T_MAX * 2 + 1, True),
        (ranking.T_MIN * 2 - 1, False),
        (ranking.T_MIN * 2 - 2, True),
    ],
)
def test_the_range_ends_where_it_says(value, saturated):
    """Half a step up is rounded over the upper end, and on to the lower one."""
    assert log_probability([value], 0, Scale(1, 1)).saturated == saturated

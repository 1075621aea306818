"""What follows the readout of a language model, in integers: the largest logits, and the log-probability of a word.

A probability needs the sum of an exponential over all logits of a step, which leave a core in no fixed order. So the
sum is exact, and only what follows from it is rounded: the result is the same in every order of the logits.

======== ==================== =====================================================================
name     format               range
======== ==================== =====================================================================
logit    signed 32 bit        times ``2**exponent`` it is a real value
t        Q7.16 (24 bit)       a logit in units of log2, ``logit * log2(e)``; saturated
term     unsigned Q1.16       ``2**t`` without its position: [65536, 131071]; the position is floor(t)
row      unsigned 33 bit      sum of all terms of one position, exact for 65,536 logits
sum      unsigned Q17.24      all rows, in units of the highest position that has a term
result   Q9.16 (26 bit)       log2 of the probability, [-272, 0]; -512 where there is none
======== ==================== =====================================================================

With ``floor(t)`` from -128 to 127 a term has the range of a float32. Logits below it count as 0, logits above it as the
largest that is in it, and :attr:`LogProbability.saturated` tells when that can matter.

**Error.** Where ``saturated`` is false, the result differs from the logarithm of an exact softmax by less than
:data:`ERROR_MAX` plus :data:`SCALE_ERROR` times the largest distance of a logit from the target's, in log2 units:
``6.9e-5 + 4e-7 * distance``. With all logits within 40 nats of the target's that is 6.4e-5 nats: the relative error of
each probability, and so of the perplexity of any text, is below 6.5e-5. ``docs/numerics.md`` derives it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from golden.fixed import PRE_BITS, SEGMENT_BITS, Integers, Table, round_shift

VALUE_BITS = 32  #: of a logit
MULTIPLIER_BITS = 18
SHIFT_MIN, SHIFT_MAX = 1, 32
EXPONENT_MIN, EXPONENT_MAX = 1 - SHIFT_MAX, 1 - SHIFT_MIN  #: of the logits

FRACTION = PRE_BITS  #: of t, of a term and of the result: what one table takes
POSITION_BITS = 8
T_BITS = POSITION_BITS + FRACTION
T_MIN, T_MAX = -(1 << (T_BITS - 1)), (1 << (T_BITS - 1)) - 1
POSITIONS = 1 << POSITION_BITS
POSITION_MIN = T_MIN >> FRACTION
SAFE_ROW = POSITIONS // 4  #: with a term at this row, logits below the range are less than 2**-48 of the sum together
COUNT_BITS = 16  #: a step has at most 2**16 logits
TERM_BITS = FRACTION + 1
ROW_BITS = COUNT_BITS + TERM_BITS
GUARD = 8  #: bits below a row that keep what is carried up from lower ones
SUM_BITS = ROW_BITS + GUARD
RESULT_BITS = T_BITS + 2
NONE = -(1 << (RESULT_BITS - 1))  #: the result where no term or no target is there

HALF = 1 << (PRE_BITS - 1)  #: tables are :class:`golden.fixed.Table`: arguments and values are less by this


def _nodes(exponential: bool) -> Integers:
    """Values of ``2**x - 1`` or ``log2(1 + x)`` at 513 borders in [0, 1], Q0.16 less a half."""
    count, nodes = 1 << SEGMENT_BITS, []
    with localcontext() as context:
        context.prec = 40
        for k in range(count + 1):
            x = Decimal(k) / count
            value = 2**x - 1 if exponential else (1 + x).ln() / Decimal(2).ln()
            nodes.append(int((value * (1 << FRACTION) + Decimal("0.5")).to_integral_value("ROUND_FLOOR")) - HALF)
    return np.clip(np.array(nodes, np.int64), -HALF, HALF - 1)


EXP2 = Table(_nodes(exponential=True))  #: of x - 1/2, Q0.16: 2**x - 3/2
LOG2 = Table(_nodes(exponential=False))  #: of x - 1/2, Q0.16: log2(1 + x) - 1/2

ERROR_MAX = 4.5 * 2.0**-FRACTION  #: of a result, without that of the scale, in log2 units
SCALE_ERROR = 4e-7  #: of a multiplier of :func:`scale`, relative


@dataclass(frozen=True)
class Scale:
    """What brings a logit to log2 units: ``t = round_half_up(logit * multiplier * 2**-shift)``, Q7.16.

    multiplier : int, [0, 2**18)
    shift : int, [1, 32]
    """

    multiplier: int
    shift: int

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("multiplier", self.multiplier, 0, (1 << MULTIPLIER_BITS) - 1),
            ("shift", self.shift, SHIFT_MIN, SHIFT_MAX),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must be from {low} to {high}")


def scale(exponent: int) -> Scale:
    """Return the scale of logits that are real values times ``2**-exponent``; it is log2(e) * 2**exponent.

    Raises
    ------
    ValueError
        If ``exponent`` is not from -31 to 0.
    """
    if not EXPONENT_MIN <= exponent <= EXPONENT_MAX:
        raise ValueError(f"exponent is {exponent}; it must be from {EXPONENT_MIN} to {EXPONENT_MAX}")
    multiplier = round(math.log2(math.e) * (1 << (MULTIPLIER_BITS - 1)))
    return Scale(multiplier, MULTIPLIER_BITS - 1 - FRACTION - exponent)


def top_k(index: ArrayLike, value: ArrayLike, k: int) -> tuple[Integers, Integers]:
    """Return indices and values, int64 (at most k,), of the k largest values; among equals the lowest index first.

    index, value : int (logits,)
    """
    index, value = np.asarray(index, np.int64), np.asarray(value, np.int64)
    order = np.lexsort((index, -value))[:k]
    return index[order], value[order]


class LogProbability(NamedTuple):
    """The logarithm of a word's probability.

    log2 : int, Q9.16
        Never positive; :data:`NONE` where the target was not among the logits, or no logit is in range.
    saturated : bool
        A logit was above the range; or the target was below it; or another one was, while none was large enough for it
        not to matter. ``log2`` may be far off then.
    target_seen : bool
    """

    log2: int
    saturated: bool
    target_seen: bool


def log_probability(values: ArrayLike, target: int, scale: Scale, index: ArrayLike | None = None) -> LogProbability:
    """Return the log2 of the softmax of logits at a target, to the last bit as the hardware does.

    Parameters
    ----------
    values : int (logits,), 32 bit signed
        At most 65,536, in any order.
    target : int
        Index of the logit that is asked for.
    scale : Scale
    index : int (logits,), optional
        Index of each value, none of them twice; 0, 1, 2 ... if left out.
    """
    values = np.asarray(values, np.int64)
    index = np.arange(len(values)) if index is None else np.asarray(index, np.int64)
    exact = round_shift(values * scale.multiplier, scale.shift)
    t, below = np.clip(exact, T_MIN, T_MAX), exact < T_MIN
    at = np.flatnonzero(index == target)
    seen, counts = len(at) > 0, t[~below]
    position = (counts >> FRACTION) - POSITION_MIN
    highest = int(position.max(initial=0))
    lost = bool(below.any()) and highest < SAFE_ROW
    saturated = bool((exact > T_MAX).any()) or lost or bool(below[at].any())
    if not seen or not len(counts):
        return LogProbability(NONE, saturated, seen)

    terms = (1 << FRACTION) + HALF + EXP2((counts & ((1 << FRACTION) - 1)) - HALF)
    rows = np.bincount(position, weights=terms)  # of float64, exact below 2**53
    total = 0
    for row in rows.astype(np.int64).tolist():
        total = int(round_shift(np.asarray(total), 1)) + (row << GUARD)
    logarithm = log2(total) + ((highest + POSITION_MIN - FRACTION - GUARD) << FRACTION)
    return LogProbability(min(0, int(t[at[0]]) - logarithm), saturated, seen)


def log2(total: int) -> int:
    """Return log2 of an integer of at least ``2**16``, Q0.16 behind its position."""
    position = total.bit_length() - 1
    mantissa = min(int(round_shift(np.asarray(total), position - FRACTION)), (2 << FRACTION) - 1)
    return (position << FRACTION) + HALF + int(LOG2(np.asarray(mantissa - (1 << FRACTION) - HALF)))


def perplexity(log2s: Iterable[int]) -> float:
    """Return the perplexity of a text from the log2 probability of each of its words, Q9.16, of which there is one."""
    log2s = list(log2s)
    if not log2s:
        raise ValueError("log2s is empty; it must hold a word's log2 probability or more")
    return 2.0 ** (-sum(log2s) / len(log2s) / (1 << FRACTION))

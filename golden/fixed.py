"""The number formats, defined once: every integer that the oracle computes and the hardware carries.

All functions take and return NumPy int64 arrays (or Python ints) that hold integers of the stated width. There is one
rounding mode, half up after the shift, in :func:`round_shift`. ``docs/numerics.md`` derives the worst-case errors.

========== =========================== =========================================================
name       format                      range
========== =========================== =========================================================
weight     signed 8 (or 4) bit         [-128, 127], one power-of-two exponent a layer and gate
value      signed, 17 bit at most      inputs signed; y unsigned, ``y_bits`` wide
sum        signed, ``acc_bits`` wide   exact; the compiler proves the width
pre        Q3.12 (16 bit)              argument of sigmoid and tanh, saturated
addend     Q5.12 (18 bit)              gx and gh before they are combined, saturated
z, r       Q0.15                       [0, 32767]
g          Q0.15                       [-32767, 32767]
h, c       Q0.15 (16 bit signed)       [-32768, 32767]
thr        Q0.15                       [0, 32767], 1.0 is stored as 32767
========== =========================== =========================================================
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]

GATES = ("gx", "z", "r", "gh")  #: the four sums of a unit, in the order of every memory and file

STATE_FRACTION = 15  #: z, r, g, h, c and thr are Q0.15
STATE_MAX = (1 << STATE_FRACTION) - 1
PRE_FRACTION = 12
PRE_BITS = 16  #: Q3.12: argument of the nonlinearities
ADDEND_BITS = 18  #: Q5.12: gx and gh before ``gx + r * gh``
VALUE_BITS_MAX = 17
Y_BITS_MIN, Y_BITS_MAX = 8, 16

SHIFT_GUARD = 4  #: sums are shifted left by this first, so that a shift may be as low as -4
SHIFT_MIN, SHIFT_MAX = -SHIFT_GUARD, 31 - SHIFT_GUARD

SEGMENT_BITS = 9  #: 512 segments over [-8, 8)
FRACTION_BITS = PRE_BITS - SEGMENT_BITS  #: position inside a segment


def half_step(shift: ArrayLike) -> Integers:
    """Return what, added before a right shift, makes it round half up: half of its step, 0 if it drops no bit."""
    shift = np.asarray(shift, np.int64)
    return np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)


def round_shift(x: Integers, shift: int | Integers) -> Integers:
    """Return ``x / 2**shift`` rounded half up; ``shift`` >= 0."""
    return (np.asarray(x, np.int64) + half_step(shift)) >> np.asarray(shift, np.int64)


def saturate(x: Integers, bits: int) -> Integers:
    """Clamp ``x`` to a signed integer of ``bits`` bits."""
    return np.clip(x, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def rescale(total: Integers, shift: int, bits: int) -> Integers:
    """Bring a sum, bias included, to 12 fraction bits: ``sat(round_half_up(total * 2**-shift))``.

    ``shift`` is in [-4, 27]; ``bits`` is :data:`PRE_BITS` for z and r, :data:`ADDEND_BITS` for gx and gh.
    """
    if not SHIFT_MIN <= shift <= SHIFT_MAX:
        raise ValueError(f"shift {shift} is outside [{SHIFT_MIN}, {SHIFT_MAX}]")
    return saturate(round_shift(np.asarray(total, np.int64) << SHIFT_GUARD, shift + SHIFT_GUARD), bits)


def _nodes(tanh: bool) -> Integers:
    """Values at the 513 segment borders, Q0.15. Decimal arithmetic: the same digits on every machine."""
    count = 1 << SEGMENT_BITS
    nodes = []
    with localcontext() as context:
        context.prec = 40
        for k in range(count + 1):
            x = Decimal(k - count // 2) * (1 << FRACTION_BITS) / (1 << PRE_FRACTION)
            value = 1 / (1 + (-2 * x if tanh else -x).exp())
            value = 2 * value - 1 if tanh else value
            nodes.append(int((value * (1 << STATE_FRACTION) + Decimal("0.5")).to_integral_value("ROUND_FLOOR")))
    return np.clip(np.array(nodes, np.int64), -STATE_MAX if tanh else 0, STATE_MAX)


class Table:
    """A nonlinearity as 512 linear segments over [-8, 8): ``base + round(slope * fraction / 128)``.

    Attributes
    ----------
    base : int64 (512,), Q0.15
        Value at the lower border of each segment.
    slope : int64 (512,), Q0.15
        Increase over the segment, never negative; ``slope_bits`` wide.
    """

    def __init__(self, nodes: Integers):
        self.base: Integers = nodes[:-1]
        self.slope: Integers = np.diff(nodes)
        self.slope_bits = int(self.slope.max()).bit_length()

    def __call__(self, pre: Integers) -> Integers:
        """Evaluate at ``pre``, Q3.12 in 16 bits; returns Q0.15."""
        pre = np.asarray(pre, np.int64)
        segment = (pre >> FRACTION_BITS) + (1 << (SEGMENT_BITS - 1))
        fraction = pre & ((1 << FRACTION_BITS) - 1)
        return self.base[segment] + round_shift(self.slope[segment] * fraction, FRACTION_BITS)


SIGMOID = Table(_nodes(tanh=False))
TANH = Table(_nodes(tanh=True))


def event_value(c: Integers, y_bits: int) -> Integers:
    """Return y, the value of the event of a unit that fires with ``c`` (Q0.15, > 0), saturated at ``2**y_bits - 1``."""
    if y_bits > STATE_FRACTION:
        return np.asarray(c, np.int64) << (y_bits - STATE_FRACTION)
    return np.minimum(round_shift(c, STATE_FRACTION - y_bits), (1 << y_bits) - 1)


def cell(
    sums: Integers, shifts: tuple[int, int, int, int], h: Integers, threshold: Integers, y_bits: int
) -> tuple[Integers, Integers, Integers]:
    """One update of EGRU units, in the order in which the hardware pipeline does it.

    Parameters
    ----------
    sums : int64 (4, ...)
        gx, z, r and gh, biases included.
    shifts : four ints
        Right shift of each sum that leaves 12 fraction bits.
    h, threshold : int64 (...), Q0.15

    Returns
    -------
    h : int64 (...), Q0.15
        The state carried on.
    fires : int64 (...), 0 or 1
        1 where ``c > thr``, strictly.
    y : int64 (...), ``y_bits`` wide
        Value of the event; 0 where the unit is silent, or fires silently.

    Source: Subramoney et al., arXiv 2206.06178, with the reset gate after the recurrent product as in EvNN.
    """
    z = SIGMOID(rescale(sums[1], shifts[1], PRE_BITS))
    r = SIGMOID(rescale(sums[2], shifts[2], PRE_BITS))
    gx = rescale(sums[0], shifts[0], ADDEND_BITS)
    gh = rescale(sums[3], shifts[3], ADDEND_BITS)
    g = TANH(saturate(gx + round_shift(r * gh, STATE_FRACTION), PRE_BITS))
    c = g + round_shift(z * (np.asarray(h, np.int64) - g), STATE_FRACTION)
    fires = (c > threshold).astype(np.int64)
    return c - fires * threshold, fires, fires * event_value(np.maximum(c, 0), y_bits)

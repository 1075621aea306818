"""Worst-case errors of the number formats, measured: ``python -m golden.numerics``. ``docs/numerics.md`` derives them.

Errors are in last bits (LSB) of Q0.15, ``2**-15``, unless said otherwise.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from golden import fixed, float_reference

Floats = NDArray[Any]

LSB = 2.0**-fixed.STATE_FRACTION
PRE_STEP = 2.0**-fixed.PRE_FRACTION
PRE_LIMIT = 8.0  #: Q3.12 is [-8, 8)
ROUNDED_PRE = PRE_STEP / 2 / LSB  #: error of an argument rounded to 12 fraction bits


def table_errors(tanh: bool) -> tuple[Floats, Floats]:
    """Return the 65,536 arguments of a table, and the table's error at each, in LSB."""
    pre = np.arange(-(1 << (fixed.PRE_BITS - 1)), 1 << (fixed.PRE_BITS - 1))
    x = pre * PRE_STEP
    table, exact = (fixed.TANH, np.tanh) if tanh else (fixed.SIGMOID, float_reference.sigmoid)
    return x, table(pre) - exact(x) / LSB


def worst_table_error(tanh: bool) -> float:
    """Return the largest error of a table for an argument in [-8, 8), in LSB."""
    return float(np.abs(table_errors(tanh)[1]).max())


def worst_saturation_error(tanh: bool) -> float:
    """Return the largest error of a table for an argument outside [-8, 8), where it gives its first or last value."""
    ends = (table_errors(tanh)[1][[0, -1]]) * LSB  # value of the table at its ends, less the function there
    limits = (-1.0 if tanh else 0.0, 1.0)
    x = np.array([-PRE_LIMIT, PRE_LIMIT - PRE_STEP])
    values = ends + (np.tanh(x) if tanh else float_reference.sigmoid(x))
    return float(np.abs(values - limits).max() / LSB)


def cell_bound(largest_gh: float, *, saturated: bool) -> float:
    """Return the bound of ``docs/numerics.md`` on the error of c after one update, in LSB.

    ``largest_gh`` bounds the real gh sum; ``saturated`` is whether arguments of z and r may leave [-8, 8). The real gx
    and gh stay inside (-32, 32), where their addends do not saturate.
    """
    gate = ROUNDED_PRE / 4 + worst_table_error(tanh=False)  # the slope of sigmoid is at most 1/4
    if saturated:
        gate = max(gate, worst_saturation_error(tanh=False) + ROUNDED_PRE / 4)
    g = 3 * ROUNDED_PRE + largest_gh * gate + worst_table_error(tanh=True)  # gx, gh and their product are rounded
    return g + 2 * gate + 0.5  # |h - g| < 2


def cell_errors(rng: np.random.Generator, count: int, largest_gh: float, largest_gate: float) -> Floats:
    """Return the error of c, in LSB, of ``count`` random updates; exact sums, z and r within ``largest_gate``."""
    shifts = (9, 8, 7, 10)
    limits = (6.0, largest_gate, largest_gate, largest_gh)
    real_per_bit = [2.0 ** -(shift + fixed.PRE_FRACTION) for shift in shifts]
    ranges = [int(limit / bit) for limit, bit in zip(limits, real_per_bit, strict=True)]
    sums = np.stack([rng.integers(-limit, limit + 1, count) for limit in ranges])
    h = rng.integers(-fixed.STATE_MAX, fixed.STATE_MAX + 1, count)
    never = np.full(count, fixed.STATE_MAX)  # c is never above it: h is c
    c, _, _ = fixed.cell(sums, (shifts[0], shifts[1], shifts[2], shifts[3]), h, never, 8)
    gx, z, r, gh = (row * bit for row, bit in zip(sums, real_per_bit, strict=True))
    zeros = np.zeros(count)
    exact, _, _ = float_reference.cell(
        np.concatenate([z, r, gx]), np.concatenate([zeros, zeros, gh]), h * LSB, np.full(count, 2.0)
    )
    return c - exact / LSB


def worst_event_error(y_bits: int) -> float:
    """Return the largest error of an event's value over all positive c, in steps of ``2**-y_bits``."""
    c = np.arange(1, fixed.STATE_MAX + 1)
    return float(np.abs(fixed.event_value(c, y_bits) - c * 2.0 ** (y_bits - fixed.STATE_FRACTION)).max())


def report(count: int) -> list[Table]:
    """Return the tables that the program prints."""
    tables = Table(title="Nonlinearities, all 65,536 arguments of Q3.12")
    for column in ("table", "worst error, LSB", "at", "outside [-8, 8), LSB", "slope bits"):
        tables.add_column(column, justify="left" if column == "table" else "right")
    for name, tanh in (("sigmoid", False), ("tanh", True)):
        x, errors = table_errors(tanh)
        worst = int(np.abs(errors).argmax())
        slope_bits = (fixed.TANH if tanh else fixed.SIGMOID).slope_bits
        outside = worst_saturation_error(tanh)
        tables.add_row(name, f"{abs(errors[worst]):.2f}", f"{x[worst]:.4f}", f"{outside:.2f}", str(slope_bits))

    updates = Table(title=f"One cell update, {count:,} random sums and states each")
    for column in ("|gh| at most", "|z|, |r| sums at most", "bound, LSB", "worst seen, LSB", "mean, LSB"):
        updates.add_column(column, justify="right")
    for largest_gh, largest_gate in ((0.0, 7.9), (1.0, 7.9), (4.0, 7.9), (4.0, 20.0)):
        errors = cell_errors(np.random.default_rng(0), count, largest_gh, largest_gate)
        bound = cell_bound(largest_gh, saturated=largest_gate > PRE_LIMIT)
        seen = np.abs(errors).max()
        updates.add_row(
            f"{largest_gh:g}", f"{largest_gate:g}", f"{bound:.1f}", f"{seen:.1f}", f"{np.abs(errors).mean():.1f}"
        )

    events = Table(title="Event value y, all positive c; a step is 2**-y_bits")
    for column in ("y_bits", "worst error, steps"):
        events.add_column(column, justify="right")
    for y_bits in range(fixed.Y_BITS_MIN, fixed.Y_BITS_MAX + 1):
        events.add_row(str(y_bits), f"{worst_event_error(y_bits):.3f}")
    return [tables, updates, events]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m golden.numerics",
        description="Print the worst-case errors of the number formats.",
        epilog="example: python -m golden.numerics --count 100000",
    )
    parser.add_argument("--count", type=int, default=1_000_000, help="random cell updates a row (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.count < 1:
        parser.error(f"--count is {arguments.count}; it must be at least 1")
    console = Console()
    for table in report(arguments.count):
        console.print(table)


if __name__ == "__main__":
    main()

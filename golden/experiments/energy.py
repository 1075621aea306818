"""An estimate of the energy of a token from counted operations and accesses. Nothing here was measured on hardware.

Energies are those of Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, pages 10-14: 45
nm, 0.9 V; a cache access moves 64 bits; DRAM the lower of its two figures. A multiply-accumulate reads its weight and
reads and writes its sum; a unit's update reads and writes its state and reads its sums, biases and threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from golden.experiments.counted import work_of
from golden.experiments.levels import PAPER_LEVEL, dense, pruned
from golden.experiments.report import Result, Row, number, spread, text
from golden.experiments.runner import Run, Runner

HELP = "energy of a token, an estimate from counted accesses (Horowitz, ISSCC 2014)"

ADD_32 = 0.1e-12  #: J, integer
MULTIPLY_8, MULTIPLY_32 = 0.2e-12, 3.1e-12  #: J, integer
SMALL_MEMORY = 10e-12 / 64  #: J a bit, cache of 8 KB: sums and states
LARGE_MEMORY = 100e-12 / 64  #: J a bit, cache of 1 MB: weights on chip
DRAM = 1.3e-9 / 64  #: J a bit: weights off chip

ENTRY_BITS = 26  #: of a pruned weight in a fan-out list on chip, with gate and row (docs/memory-image.md)
BEAT_BITS = 15  #: the same off chip, in a beat of many (docs/beats.md)
WEIGHT_BITS = 8  #: of a dense matrix
SUM_BITS = 32
UNIT_BITS = 2 * 16 + 4 * 2 * 32 + 16  #: h in and out, four sums and biases, threshold
UNIT_PRODUCTS = 6  #: r gh, z h, (1 - z) g, and three interpolations of tables
ROW_BITS = 16  #: of each sum of a word's folded embedding


@dataclass(frozen=True)
class Network:
    """Runs of one kind; ``folded`` with the embedding as a row of sums a word, kept off chip."""

    name: str
    runs: list[Run]
    folded: bool = False


def run(runner: Runner) -> Result:
    """Estimate the energy of dense and pruned networks, weights on chip and off."""
    pruned_runs = pruned(runner, PAPER_LEVEL)
    networks = [
        Network("LSTM, dense", dense(runner, "lstm")),
        Network("EGRU, dense", dense(runner)),
        Network(f"EGRU, {PAPER_LEVEL:.0%} pruned", pruned_runs),
        Network(f"EGRU, {PAPER_LEVEL:.0%} pruned, folded", pruned_runs, folded=True),
    ]
    rows = [{"network": each.name, **energies(runner, each)} for each in networks]
    columns = {
        "network": text("network"),
        "MACs": number("on_chip_macs", 3, 1e6),
        "weights, on chip": number("on_chip_weights", 3, 1e6),
        "sums": number("on_chip_sums", 3, 1e6),
        "units": number("on_chip_units", 3, 1e6),
        "all, on chip": number("on_chip_all", 3, 1e6),
        "all, weights off chip": number("off_chip_all", 1, 1e6),
    }
    remarks = ["An ESTIMATE, not a measurement: counted operations and accesses times the energies of 45 nm circuits",
               "(Horowitz, ISSCC 2014); layers alone, without the decoder, control, wires and leakage."]  # fmt: skip
    return Result("Energy of a token, uJ, ESTIMATED, test", rows, columns, draw(rows), remarks)


def energies(runner: Runner, network: Network) -> Row:
    """Return the parts, in J a token, with the weights on chip and off chip."""
    parts: dict[str, list[float]] = {}
    for each in network.runs:
        groups = work_of(runner, each).groups[:-1]
        counted = groups[1:] if network.folded else groups
        macs = sum(group.counted for group in counted)
        sparse = each.metrics["sparsity"] > 0
        row_sums = groups[0].dense if network.folded else 0
        units = sum(each.settings.layers)
        row_energy = row_sums * (ROW_BITS * DRAM + ADD_32)
        fixed = {
            "macs": macs * (MULTIPLY_8 + ADD_32),
            "sums": (macs + row_sums) * 2 * SUM_BITS * SMALL_MEMORY,
            "units": units * (UNIT_BITS * SMALL_MEMORY + UNIT_PRODUCTS * MULTIPLY_32),
            "rows": row_energy,
        }
        for place, bit, entry in (("on_chip", LARGE_MEMORY, ENTRY_BITS), ("off_chip", DRAM, BEAT_BITS)):
            found = {**fixed, "weights": macs * (entry if sparse else WEIGHT_BITS) * bit}
            for name, value in {**found, "all": sum(found.values())}.items():
                parts.setdefault(f"{place}_{name}", []).append(value)
    return {name: spread(values) for name, values in parts.items()}


def draw(rows: list[Row]) -> Figure:
    """Draw the parts over each other, weights on chip and off chip."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    figure.suptitle("estimate, not measured", fontsize="small")
    for axes, place in zip(figure.subplots(1, 2), ("on_chip", "off_chip"), strict=True):
        base = np.zeros(len(rows))
        for part in ("macs", "sums", "units", "weights", "rows"):
            heights = np.array([row[f"{place}_{part}"]["mean"] * 1e6 for row in rows])
            axes.bar([row["network"].replace(", ", "\n") for row in rows], heights, bottom=base, label=part)
            base += heights
        axes.set(ylabel="uJ a token", title=f"weights {place.replace('_', ' ')}")
        axes.tick_params(axis="x", labelsize="x-small")
    axes.legend(fontsize="x-small")
    return figure

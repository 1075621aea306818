"""Perplexity, activity and MACs over the share of weights pruned, by iterative global magnitude."""

from __future__ import annotations

from matplotlib.figure import Figure

from golden.experiments.levels import all_levels
from golden.experiments.report import NETWORK_COLUMNS, Result, Row, points, summary, text
from golden.experiments.runner import Runner

HELP = "levels 0, 20, 40, 60, 80, 85, 90, 95 %: perplexity, activity, MACs"


def run(runner: Runner) -> Result:
    """Prune level after level and measure each."""
    rows = [
        {"pruned": f"{100 * level:.0f} %", "level": level, **summary(runs)}
        for level, runs in all_levels(runner).items()
    ]
    return Result(
        "EGRU, iterative global magnitude pruning, test",
        rows,
        {"pruned": text("pruned"), **NETWORK_COLUMNS},
        draw(rows),
    )


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    levels = [100 * row["level"] for row in rows]
    for axes, (name, label, scale) in zip(
        panels,
        (("perplexity", "perplexity, test", 1), ("activity", "active units, %", 100), ("macs", "M MACs a token", 1e-6)),
        strict=True,
    ):
        points(axes, levels, rows, name, scale)
        axes.set(xlabel="weights pruned, %", ylabel=label)
    panels[2].set_yscale("log")
    return figure

"""What each part of a unit is good for: gates, reset, surrogate gradient and thresholds changed, one at a time."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from golden.experiments.levels import dense
from golden.experiments.report import NETWORK_COLUMNS, Result, Row, summary, text
from golden.experiments.runner import Runner
from golden.surrogate import SURROGATES

HELP = "no r, no z, hard reset, surrogate shapes, learnt thresholds"

ABLATIONS: dict[str, dict[str, Any]] = {
    "no reset gate": {"reset_gate": False},
    "no update gate": {"update_gate": False},
    "neither": {"reset_gate": False, "update_gate": False},
    "hard reset": {"hard_reset": True},
    "learnt thresholds": {"train_threshold": True},
    **{f"surrogate {shape}": {"surrogate": shape} for shape in SURROGATES if shape != "triangle"},
}


def run(runner: Runner) -> Result:
    """Train a dense network with each change."""
    rows: list[Row] = [{"network": "as it is", **summary(dense(runner))}]
    for name, change in ABLATIONS.items():
        runs = runner.each_seed(f"egru-{name.replace(' ', '-')}", runner.settings(**change))
        rows.append({"network": name, "change": change, **summary(runs)})
    columns = {"network": text("network"), **NETWORK_COLUMNS}
    remarks = ["As it is: both gates, h = c - thr after a fire, frozen thresholds, triangle.",
               "Without a gate a network has two thirds of the weights, without both a third."]  # fmt: skip
    return Result("EGRU, dense, ablations, test", rows, columns, draw(rows), remarks)


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    names = [row["network"] for row in rows]
    for axes, name, label, scale in zip(
        figure.subplots(1, 2, sharey=True),
        ("perplexity", "activity"),
        ("perplexity, test", "active units, %"),
        (1.0, 100.0),
        strict=True,
    ):
        means = [row[name]["mean"] * scale for row in rows]
        deviations = [(row[name]["deviation"] or 0.0) * scale for row in rows]
        axes.errorbar(means, names, xerr=deviations, marker="o", linestyle="", capsize=3)
        axes.axvline(means[0], color="0.8", linewidth=1)
        axes.set(xlabel=label)
        axes.invert_yaxis() if name == "perplexity" else None
    return figure

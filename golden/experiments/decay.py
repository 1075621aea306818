"""Weight decay against activity and perplexity, and what it does to the weights."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from golden.experiments.histograms import histogram, plot
from golden.experiments.levels import dense
from golden.experiments.report import NETWORK_COLUMNS, Result, Row, number, points, summary
from golden.experiments.runner import Run, Runner
from golden.prune import prunable

HELP = "weight decay against activity and perplexity; weight histograms"
FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  #: times the preset's weight decay


def run(runner: Runner) -> Result:
    """Train a dense network with each decay."""
    base = runner.settings()
    rows: list[Row] = []
    for factor in FACTORS:
        decay = factor * base.weight_decay
        changed = runner.settings(weight_decay=decay)
        runs = dense(runner) if factor == 1 else runner.each_seed(f"egru-decay-{decay:g}", changed)
        weights = [weights_of(runner, each) for each in runs]
        rows.append({"weight_decay": decay, **summary(runs), "histogram": histogram(weights)})
    columns = {"weight decay": number("weight_decay", 4), **NETWORK_COLUMNS}
    return Result("EGRU, dense, weight decay, test", rows, columns, draw(rows))


def weights_of(runner: Runner, run: Run) -> list[Any]:
    """Return the matrices of a run that could be pruned."""
    return [weight.detach().numpy() for weight in prunable(runner.model(run), readout=False).values()]


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    perplexity, activity, weights = figure.subplots(1, 3)
    labels = [f"{row['weight_decay']:g}" for row in rows]  # equally spaced: the values are not, and one is 0
    points(perplexity, labels, rows, "perplexity")
    points(activity, labels, rows, "activity", 100)
    perplexity.set(xlabel="weight decay", ylabel="perplexity, test")
    activity.set(xlabel="weight decay", ylabel="active units, %", ylim=(0, None))
    for n, (label, row) in enumerate(zip(labels, rows, strict=True)):
        plot(weights, row["histogram"], label, color=str(0.75 * n / len(rows)))
    weights.legend(title="weight decay", fontsize="x-small")
    return figure

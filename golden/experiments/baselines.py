"""Dense networks: an EGRU and an LSTM by the same recipe."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from golden.experiments.levels import dense
from golden.experiments.report import NETWORK_COLUMNS, Result, summary, text
from golden.experiments.runner import Run, Runner

HELP = "dense EGRU and LSTM: perplexity, activity, MACs"


def run(runner: Runner) -> Result:
    """Train both and compare them."""
    networks = {"EGRU, dense": dense(runner), "LSTM, dense": dense(runner, "lstm")}
    rows = [{"network": name, **summary(runs)} for name, runs in networks.items()]
    return Result("Dense networks, test", rows, {"network": text("network"), **NETWORK_COLUMNS}, draw(networks))


def draw(networks: dict[str, list[Run]]) -> Figure:
    """Draw validation over epochs, mean and range of the seeds."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    perplexity, activity = figure.subplots(1, 2)
    for name, runs in networks.items():
        for axes, key in ((perplexity, "valid_perplexity"), (activity, "valid_activity")):
            values = np.array([[np.mean(record[key]) for record in run.history] for run in runs])
            axes.plot(values.mean(axis=0), label=name)
            axes.fill_between(range(values.shape[1]), values.min(axis=0), values.max(axis=0), alpha=0.3)
    perplexity.set(xlabel="epoch", ylabel="perplexity, validation", yscale="log")
    activity.set(xlabel="epoch", ylabel="active units, mean of layers", ylim=(0, None))
    perplexity.legend()
    return figure

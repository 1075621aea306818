"""A pruned EGRU of characters, beside a dense GRU and a dense LSTM with as many weights as it has left, or MACs.

All read the same text, with as many passes as the EGRU ("tokens"); those with as many weights also for as many seconds
as it took on the same machine ("seconds"). Learning rates are the best, by validation, of :data:`RATES` in a short run
of one seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from golden.checkpoint import TrainingError
from golden.experiments.report import Result, Row, number, spread, summary, text
from golden.experiments.runner import Run, Runner
from golden.lm.settings import Settings
from golden.lm.trainer import DivergedError

HELP = "a pruned EGRU of characters, a dense GRU and LSTM: equal weights, tokens, seconds, operations"
RATES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
TUNING = 4  #: part of the epochs in which a learning rate is tried
GATES = {"gru": 3, "lstm": 4}


def run(runner: Runner) -> Result:
    """Train the EGRU, then the dense networks by what it took, and compare them."""
    pruned = runner.each_seed("characters-egru", runner.settings())
    rows, curves = [row(runner, "EGRU, pruned", pruned)], {"EGRU, pruned": pruned}
    weights = weights_left(runner, pruned[0])
    macs = round(np.mean([run.metrics["test"]["macs_with_decoder"] for run in pruned]))
    for cell in GATES:
        name, label = f"characters-{cell}", f"{cell.upper()}, dense, as many"
        settings = tuned(runner, name, runner.settings(cell, layers=(units_of_weights(runner, cell, weights),)))
        tokens = runner.each_seed(name, settings)
        epochs = max(1, round(seconds(pruned) / seconds(tokens) * settings.epochs))
        long = runner.each_seed(f"{name}-seconds", replace(settings, epochs=epochs))
        small = tuned(runner, f"{name}-macs", runner.settings(cell, layers=(units_of_macs(runner, cell, macs),)))
        few = runner.each_seed(f"{name}-macs", small)
        for budget, runs in (("weights and tokens", tokens), ("weights and seconds", long), ("MACs and tokens", few)):
            rows.append(row(runner, f"{label} {budget}", runs))
        curves |= {f"{cell.upper()}, as many weights": long, f"{cell.upper()}, as many MACs": few}
    columns = {
        "network": text("network"), "units": text("units"), "weights": text("weights"), "epochs": text("epochs"),
        "seconds": number("seconds", 0), "learning rate": text("learning_rate"), "test bits": number("bits", 4),
        "units active, %": number("activity", 1, 100), "MACs": number("macs_with_decoder", 0),
    }  # fmt: skip
    return Result("Networks of characters, test", rows, columns, draw(curves))


def weights_left(runner: Runner, run: Run) -> int:
    """Return the non-zero weights of a network's matrices."""
    return sum(int(value.count_nonzero()) for value in runner.model(run).parameters() if value.dim() > 1)


def units_of_weights(runner: Runner, cell: str, weights: int) -> int:
    """Return the units of a layer with that many weights, kernels and decoder together."""
    gates, characters = GATES[cell], len(runner.corpus.words)
    return _root(gates, (gates + 1) * characters, weights)


def units_of_macs(runner: Runner, cell: str, macs: int) -> int:
    """Return the units of a layer with that many MACs a character: a row of the kernel, all else whole."""
    gates, characters = GATES[cell], len(runner.corpus.words)
    return _root(gates, gates + characters, macs)


def _root(square: int, linear: int, value: int) -> int:
    """Return the n, at least 1, for which ``square n**2 + linear n`` is nearest to a value."""
    return max(1, round((math.sqrt(linear**2 + 4 * square * value) - linear) / (2 * square)))


def tuned(runner: Runner, name: str, settings: Settings) -> Settings:
    """Return the settings with the learning rate that does best in a short run, ``NAME-rate-RATE``."""
    short = replace(settings, epochs=max(1, settings.epochs // TUNING))
    tried = []
    for rate in RATES:
        with suppress(DivergedError):  # a rate that is too high has lost
            tried.append(runner.run(f"{name}-rate-{rate:g}-s0", replace(short, learning_rate=rate, seed=0)))
    if not tried:
        raise TrainingError(f"a {settings.cell} of characters diverges at every learning rate of {RATES}; lower them")
    best = min(tried, key=lambda run: run.history[-1]["valid_loss"])
    return replace(settings, learning_rate=best.settings.learning_rate)


def seconds(runs: Sequence[Run]) -> float:
    """Return the mean seconds that runs trained for."""
    return float(np.mean([sum(record["seconds"] for record in run.history) for run in runs]))


def row(runner: Runner, name: str, runs: Sequence[Run]) -> Row:
    """Return the figures of a network."""
    settings = runs[0].settings
    return {
        "network": name, **summary(runs), "bits": spread(run.metrics["test"]["bits"] for run in runs),
        "units": settings.layers[0], "epochs": settings.epochs, "learning_rate": settings.learning_rate,
        "seconds": seconds(runs), "weights": weights_left(runner, runs[0]),
    }  # fmt: skip


def draw(curves: dict[str, list[Run]]) -> Figure:
    """Draw bits of validation over seconds and over passes, the mean of the seeds."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    by_seconds, by_epochs = figure.subplots(1, 2, sharey=True)
    for name, runs in curves.items():
        bits = np.mean([[record["valid_bits"] for record in run.history] for run in runs], axis=0)
        times = np.mean([np.cumsum([record["seconds"] for record in run.history]) for run in runs], axis=0)
        by_seconds.plot(times / 60, bits, label=name)
        by_epochs.plot(np.arange(1, len(bits) + 1), bits, label=name)
    by_seconds.set(xlabel="minutes", ylabel="bits a character, validation")
    by_epochs.set(xlabel="passes over the text")
    by_epochs.legend()
    return figure

"""Weight decay against activity and accuracy on a second task, handwritten digits, and what it does to the weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure
from rich.progress import Progress

from golden.data import digits
from golden.experiments.histograms import histogram, plot
from golden.experiments.report import Result, Row, number, points, spread
from golden.experiments.runner import Runner
from golden.fit import Settings
from golden.network import Model, ModelError, load
from golden.train import train

HELP = "the same for digits, the second task"
DECAYS = (0.0, 0.01, 0.03, 0.1, 0.3)
TINY_EPOCHS = 12


def run(runner: Runner) -> Result:
    """Train a dense network with each decay, no penalty on activity."""
    epochs = runner.options.epochs or (TINY_EPOCHS if runner.options.scale == "tiny" else Settings.epochs)
    rows: list[Row] = []
    for decay in DECAYS:
        base: dict[str, Any] = {"epochs": epochs, "rounds": 1, "sparsity": 0.0, "activity_penalty": 0.0}
        models = [trained(runner, Settings(weight_decay=decay, seed=seed, **base)) for seed in runner.seeds]
        tests = [model.provenance["metrics"]["test"]["float"] for model in models]
        rows.append(
            {
                "weight_decay": decay,
                "accuracy": spread(test["accuracy"] for test in tests),
                "activity": spread(test["activity"] for test in tests),
                "histogram": histogram([_weights(model) for model in models]),
            }
        )
    columns = {
        "weight decay": number("weight_decay", 2),
        "test accuracy, %": number("accuracy", 1, 100),
        "units active, %": number("activity", 1, 100),
    }
    return Result("Digits, dense, weight decay, test", rows, columns, draw(rows))


def trained(runner: Runner, settings: Settings) -> Model:
    """Return the network of these settings; train it if it is not there."""
    name = f"digits-decay-{settings.weight_decay:g}-s{settings.seed}"
    directory = runner.options.out / "runs" / name
    path = directory / "digits.safetensors"
    if path.exists():
        model = load(path)
        if model.provenance["settings"] != asdict(settings):
            raise ModelError(f"{path} was made with other settings; give the same options or another --out")
        return model
    runner.check_time()
    with Progress(*Progress.get_default_columns(), console=runner.console, transient=True) as bars:
        task = bars.add_task(name, total=settings.epochs)
        return train("digits", settings, digits(), directory, resume=True, report=lambda record: bars.advance(task))


def _weights(model: Model) -> list[Any]:
    assert model.float_network is not None
    layer = model.float_network.layers[0]
    return [layer.kernel, layer.recurrent_kernel]


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    accuracy, activity, weights = figure.subplots(1, 3)
    labels = [f"{row['weight_decay']:g}" for row in rows]
    points(accuracy, labels, rows, "accuracy", 100)
    points(activity, labels, rows, "activity", 100)
    accuracy.set(xlabel="weight decay", ylabel="accuracy, test, %")
    activity.set(xlabel="weight decay", ylabel="active units, %", ylim=(0, None))
    for n, (label, row) in enumerate(zip(labels, rows, strict=True)):
        plot(weights, row["histogram"], label, color=str(0.75 * n / len(rows)))
    weights.legend(title="weight decay", fontsize="x-small")
    return figure

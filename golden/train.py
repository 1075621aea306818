"""Train, prune and quantise a network, and write its model file; train and prune a language model.

    python -m golden.train digits
    python -m golden.train digits --sweep
    python -m golden.train lm --corpus ptb

``docs/training.md`` explains the options and shows the results. Language models are trained by :mod:`golden.lm`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from golden.checkpoint import TrainingError
from golden.data import Dataset, Samples, digits
from golden.fit import Run, Settings, measure
from golden.layers import FixedNetwork
from golden.lm import command as lm
from golden.network import Model, ModelError, save
from golden.quantize import quantize, quantize_inputs
from golden.reference import run
from golden.sweep import sweep, table

DATASETS: dict[str, Callable[[], Dataset]] = {"digits": digits}

HELP = {
    "units": "units of the layer",
    "epochs": "passes over the training samples, all phases together",
    "batch": "samples in a step of the optimizer",
    "learning_rate": "of AdamW, until the last phase",
    "weight_decay": "of AdamW, on the weights that can be pruned",
    "activity_penalty": "added to the loss: this times the share of units that fire",
    "threshold_mean": "mean of the thresholds at the start, between 0 and 1",
    "sparsity": "share of weights pruned, 0 to less than 1",
    "rounds": "rounds of pruning",
    "shift": "move each training sample at random by up to this many steps and channels",
    "noise": "standard deviation of the noise added to each training sample, as a share of the largest input",
    "label_smoothing": "probability given to all the other classes in the training targets",
    "banks": "leave each source as many weights in each of this many lanes; 0: wherever",
    "quantise_weights": "train the last phase with weights of as many bits as the integer ones; 0: real ones",
    "weight_bits": "of the integer weights, 8 or 4",
    "y_bits": "of the integer value of an event, 8 to 16",
    "seed": "of everything random",
}


def command(name: str, settings: Settings) -> str:
    """Return the command that trains with these settings."""
    options = [
        f" --{field.name.replace('_', '-')} {getattr(settings, field.name)}"
        for field in fields(settings)
        if getattr(settings, field.name) != field.default
    ]
    return f"python -m golden.train {name}{''.join(options)}"


def versions() -> dict[str, str]:
    """Return the versions on which a result depends."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def measure_fixed(network: FixedNetwork, samples: Samples) -> dict[str, float]:
    """Return an integer network's accuracy after the last step, and its activity: the share of units with an event."""
    trace = run(network, quantize_inputs(samples.inputs.swapaxes(0, 1), network))
    assert trace.logits is not None
    return {
        "accuracy": float((trace.logits[-1].argmax(axis=1) == samples.labels).mean()),
        "activity": float((trace.y[0] != 0).mean()),
    }


def train(
    name: str,
    settings: Settings,
    dataset: Dataset,
    directory: Path,
    *,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
) -> Model:
    """Train, prune and quantise; write ``<name>.safetensors`` and ``<name>.jsonl``, the log, to ``directory``.

    The float network and its integer form are in the model file, with the command, the settings, the versions and the
    metrics on validation and test. The checkpoint beside them lets ``resume`` go on where a run was stopped.

    Parameters
    ----------
    report
        Called with the record of every epoch.

    Raises
    ------
    TrainingError, ModelError
        Naming what is wrong and what to do.
    """
    session = Run(settings, dataset)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot write to {directory} ({error.strerror}); choose another folder") from None
    checkpoint = directory / f"{name}.checkpoint"
    if resume and checkpoint.exists():
        session.load(checkpoint)
    origin = {"command": command(name, settings), "settings": asdict(settings), "versions": versions()}
    with (directory / f"{name}.jsonl").open("w") as log:  # the checkpoint holds the lines of the epochs before it

        def write(record: dict[str, Any]) -> None:
            log.write(json.dumps(record) + "\n")
            log.flush()

        write(origin)
        for record in session.history:
            write(record)
            report(record)
        while len(session.history) < settings.epochs:
            record = session.epoch()
            session.save(checkpoint)
            write(record)
            report(record)
        model = _quantized(name, session, origin)
        write({"metrics": model.provenance["metrics"]})
    save(model, directory / f"{name}.safetensors")
    return model


def _quantized(name: str, session: Run, origin: dict[str, Any]) -> Model:
    """Return the trained network with its integer form, calibrated on the training samples, and what both achieve."""
    settings, dataset = session.settings, session.dataset
    network = session.model.to_float()
    calibration = dataset.train.inputs.swapaxes(0, 1)
    fixed = quantize(network, calibration, weight_bits=settings.weight_bits, y_bits=settings.y_bits)
    metrics: dict[str, Any] = {"sparsity": session.history[-1]["sparsity"]}
    for part, samples in (("validation", dataset.validation), ("test", dataset.test)):
        metrics[part] = {"float": measure(session.model, samples), "integer": measure_fixed(fixed, samples)}
    return Model(name, network, fixed, {**origin, "metrics": metrics})


def result_table(metrics: dict[str, Any]) -> Table:
    """Return the metrics of a model as a table for people."""
    result = Table(title=f"{metrics['sparsity']:.1%} of the weights are zero")
    result.add_column("network")
    for column in ("validation", "test", "active, validation", "active, test"):
        result.add_column(column, justify="right")
    for form in ("float", "integer"):
        parts = [metrics[part][form] for part in ("validation", "test")]
        result.add_row(form, *(f"{part[key]:.2%}" for key in ("accuracy", "activity") for part in parts))
    return result


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m golden.train",
        description="Train a network of event-based GRUs, prune and quantise it, and write its model file.",
        epilog="examples: python -m golden.train digits; python -m golden.train lm --corpus ptb --preset small",
    )
    subparsers = parser.add_subparsers(dest="dataset", required=True, metavar="|".join((*DATASETS, "lm")))
    for name in DATASETS:
        _add_arguments(subparsers.add_parser(name, help="classify handwritten digits"))
    lm.add_arguments(subparsers.add_parser("lm", help="predict the next word of a text"))
    return parser.parse_args(arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a classifier."""
    for field in fields(Settings):
        assert field.name in HELP
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N" if isinstance(field.default, int) else "X",
            help=f"{HELP[field.name]} (default {field.default})",
        )
    parser.add_argument(
        "--out", type=Path, help="folder for the model file, the log and the checkpoint (default build/<dataset>)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the folder, if there is one"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="train over a range of weight decays and of activity penalties"
    )


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.dataset == "lm":
        return lm.run(options)
    console = Console()
    name, directory = options.dataset, options.out or Path("build") / options.dataset
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    try:
        settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
        dataset = DATASETS[name]()
        with Progress(*columns, console=console) as progress:

            def train_one(settings: Settings, run_name: str, directory: Path) -> Model:
                task = progress.add_task(run_name, total=settings.epochs, state="")

                def report(record: dict[str, Any]) -> None:
                    state = (
                        f"pruned {record['sparsity']:.0%}  loss {record['loss']:.3f}  "
                        f"valid {record['validation_accuracy']:.1%}  active {record['validation_activity']:.0%}"
                    )
                    progress.update(task, completed=record["epoch"] + 1, state=state)

                return train(name, settings, dataset, directory, resume=options.resume, report=report)

            if options.sweep:
                rows = sweep(settings, lambda settings, run: train_one(settings, run, directory / run), directory)
            else:
                model = train_one(settings, name, directory)
    except (TrainingError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on from the last whole epoch", file=sys.stderr)
        return 130
    console.print(table(rows) if options.sweep else result_table(model.provenance["metrics"]))
    console.print(f"written to {directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

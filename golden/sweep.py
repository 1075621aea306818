"""Sweep the two knobs of activity, weight decay and the activity penalty: a table, a plot and a JSON file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from golden.files import write_whole
from golden.fit import Settings
from golden.network import Model

SWEEPS: dict[str, tuple[float, ...]] = {
    "weight_decay": (0.0, 0.01, 0.03, 0.1, 0.3),
    "activity_penalty": (0.0, 0.05, 0.1, 0.25, 0.4, 0.6),
}

Row = dict[str, Any]  #: knob, value, and the metrics of the model file


def sweep(base: Settings, train: Callable[[Settings, str], Model], directory: Path) -> list[Row]:
    """Train once for every value of every knob, the others as in ``base``; write ``sweep.json`` and ``sweep.png``.

    Parameters
    ----------
    train
        Trains with the settings given; the second argument names the run, the same for the same settings.
    """
    rows: list[Row] = []
    models: dict[Settings, Model] = {}  # both sweeps pass through the base
    for knob, values in SWEEPS.items():
        for value in values:
            changed: dict[str, Any] = {knob: value}
            settings = replace(base, **changed)
            if settings not in models:
                models[settings] = train(settings, f"{knob}-{value}")
            rows.append({"knob": knob, "value": value, **models[settings].provenance["metrics"]})
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(directory / "sweep.json", json.dumps(rows, indent=1))
    plot(rows, directory / "sweep.png")
    return rows


def table(rows: list[Row]) -> Table:
    """Return the sweep as a table for people."""
    result = Table(title="Float accuracy (validation, test), integer accuracy (test), units active a step (test)")
    result.add_column("knob")
    for column in ("value", "validation", "test", "integer", "active"):
        result.add_column(column, justify="right")
    for row in rows:
        test = row["test"]
        shares = (row["validation"]["float"]["accuracy"], test["float"]["accuracy"], test["integer"]["accuracy"])
        result.add_row(
            row["knob"].replace("_", " "),
            f"{row['value']:g}",
            *(f"{share:.1%}" for share in (*shares, test["integer"]["activity"])),
        )
    return result


def plot(rows: list[Row], path: Path) -> None:
    """Draw accuracy and activity over the values of each knob, one panel a knob, as a PNG file."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(SWEEPS), sharey=True)  # one scale, so that noise looks like noise
    most = max(row["test"]["float"]["activity"] for row in rows)
    for axes, knob in zip(panels, SWEEPS, strict=True):
        chosen = [row for row in rows if row["knob"] == knob]
        labels = [f"{row['value']:g}" for row in chosen]  # equally spaced: the values are not, and one is 0
        for part in ("validation", "test"):
            axes.plot(labels, [100 * row[part]["float"]["accuracy"] for row in chosen], marker="o", label=part)
        axes.set(xlabel=knob.replace("_", " "), ylabel="accuracy, float, %")
        activity = axes.twinx()
        shares = [100 * row["test"]["float"]["activity"] for row in chosen]
        activity.plot(labels, shares, marker="s", color="tab:red", linestyle="--")
        activity.set_ylim(0, 110 * most)
        activity.set_ylabel("units active a step, %", color="tab:red")
        axes.legend(loc="lower left")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    write_whole(path, image.getvalue())

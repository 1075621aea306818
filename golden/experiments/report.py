"""What experiments write: figures with their mean and deviation over seeds, a JSON file, a plot, a table."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from golden.experiments.runner import Run
from golden.files import write_whole
from golden.page import markdown_table, write_section

Row = dict[str, Any]


@dataclass
class Result:
    """Rows of an experiment, the columns of its table (title, how to show a row), its plot, and remarks."""

    title: str
    rows: list[Row]
    columns: Mapping[str, Callable[[Row], str]]
    figure: Figure
    remarks: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """Return a table for people."""
        table = Table(title=self.title, caption="\n".join(self.remarks) or None, caption_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for cells in self.cells():
            table.add_row(*cells)
        return table

    def cells(self) -> list[list[str]]:
        """Return what the rows show in the columns."""
        return [[show(row) for show in self.columns.values()] for row in self.rows]

    def put_into(self, page: Path, section: str, command: str) -> None:
        """Put command, table and remarks into a section of a page."""
        table = markdown_table(list(self.columns), self.cells())
        remarks = ["", " ".join(self.remarks)] if self.remarks else []
        write_section(page, section, "\n".join([f"`{command}`", "", table, *remarks]))

    def write(self, stem: Path, origin: Mapping[str, Any]) -> None:
        """Write ``<stem>.json`` and ``<stem>.png``, each whole or not at all."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        content = {**origin, "title": self.title, "remarks": self.remarks, "rows": self.rows}
        write_whole(stem.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
        picture = io.BytesIO()
        self.figure.savefig(picture, format="png", dpi=120)
        write_whole(stem.with_suffix(".png"), picture.getvalue())


def spread(values: Iterable[float]) -> Row:
    """Return mean, sample standard deviation (None of a single value) and the values themselves."""
    numbers = [float(value) for value in values]
    deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    return {"mean": float(np.mean(numbers)), "deviation": deviation, "values": numbers}


def summary(runs: Sequence[Run], split: str = "test") -> Row:
    """Return what runs that differ in the seed achieve on a whole text, each figure as :func:`spread`."""
    metrics = [run.metrics[split] for run in runs]
    names = ("perplexity", "macs", "macs_of_inputs", "macs_with_decoder")
    return {
        "runs": [run.name for run in runs],
        "valid_perplexity": spread(run.metrics["valid"]["perplexity"] for run in runs),
        **{name: spread(each[name] for each in metrics) for name in names},
        "macs_folded": spread(each["macs"] - each["macs_of_inputs"] for each in metrics),
        "activity": spread(mean_activity(run, each["activity"]) for run, each in zip(runs, metrics, strict=True)),
        "activity_of_layers": [spread(layer) for layer in zip(*(each["activity"] for each in metrics), strict=True)],
        "sparsity": spread(run.metrics["sparsity"] for run in runs),
    }


def mean_activity(run: Run, layers: Sequence[float]) -> float:
    """Return the mean activity of all units, of that of each layer."""
    return float(np.average(layers, weights=run.settings.layers))


def number(name: str, digits: int = 2, scale: float = 1.0, unit: str = "") -> Callable[[Row], str]:
    """Return how to show a figure of a row, with its deviation if it has one; nothing if the row lacks it."""

    def show(row: Row) -> str:
        if row.get(name) is None:
            return ""
        value = row[name] if isinstance(row[name], dict) else {"mean": row[name], "deviation": None}
        text = f"{value['mean'] * scale:.{digits}f}"
        if value["deviation"] is not None:
            text += f" ± {value['deviation'] * scale:.{digits}f}"
        return text + unit

    return show


def text(name: str) -> Callable[[Row], str]:
    """Return how to show a word of a row."""
    return lambda row: str(row[name])


#: Columns of networks, after one that names them.
NETWORK_COLUMNS: dict[str, Callable[[Row], str]] = {
    "test perplexity": number("perplexity"),
    "units active, %": number("activity", 1, 100),
    "M MACs a token": number("macs", 3, 1e-6),
    "embedding folded": number("macs_folded", 3, 1e-6),
    "with decoder": number("macs_with_decoder", 3, 1e-6),
}


def points(axes: Axes, xs: Sequence[Any], rows: Sequence[Row], name: str, scale: float = 1.0, **style: Any) -> None:
    """Plot a figure of each row with its deviation."""
    means = [row[name]["mean"] * scale for row in rows]
    deviations = [(row[name]["deviation"] or 0.0) * scale for row in rows]
    axes.errorbar(xs, means, yerr=deviations, marker="o", markersize=4, capsize=3, **style)

"""The last layer's events cost a whole vocabulary each: penalise them, or let the decoder read fewer units."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from golden.experiments.levels import PAPER_LEVEL
from golden.experiments.report import NETWORK_COLUMNS, Result, Row, number, summary, text
from golden.experiments.runner import Runner

HELP = "penalise activity of the last layer, or decode from fewer units: total work with the decoder"
PENALTIES = (0.0, 0.01, 0.03, 0.1, 0.3)
SHARES = (0.5, 0.25)  #: of the last layer's units that the decoder reads


def run(runner: Runner) -> Result:
    """Train networks, pruned on the way, with each penalty and with each share of units read."""
    base = runner.settings()
    options: dict[str, dict[str, Any]] = {f"penalty {value:g}": {"activity_penalty_last": value} for value in PENALTIES}
    for share in SHARES:
        read = max(1, round(share * base.embedding))
        options[f"{read} of {base.layers[-1]} units read"] = {"decoded": read, "embedding": read}
    rows: list[Row] = []
    for name, change in options.items():
        settings = runner.settings(sparsity=PAPER_LEVEL, **change)
        suffix = "" if name == "penalty 0" else f"-{name.replace(' ', '-')}"
        runs = runner.each_seed(f"egru-{100 * PAPER_LEVEL:.0f}-on-the-way{suffix}", settings)
        row = {"network": name, "change": change, **summary(runs)}
        rows.append({**row, "last_activity": row["activity_of_layers"][-1]})
    columns = {"network": text("network"), **NETWORK_COLUMNS, "last layer active, %": number("last_activity", 1, 100)}
    return Result(f"EGRU, {PAPER_LEVEL:.0%} pruned on the way, last layer, test", rows, columns, draw(rows))


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        axes.errorbar(
            row["macs_with_decoder"]["mean"] * 1e-6,
            row["perplexity"]["mean"],
            xerr=(row["macs_with_decoder"]["deviation"] or 0.0) * 1e-6,
            yerr=row["perplexity"]["deviation"] or 0.0,
            marker="s" if "decoded" in row["change"] else "o",
            capsize=3,
            label=row["network"],
        )
    axes.set(xlabel="M MACs a token, decoder included", ylabel="perplexity, test")
    axes.legend(fontsize="x-small")
    return figure

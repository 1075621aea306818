"""Is it the EGRU alone? Silent values in an LSTM and in a small transformer, both pruned, and the product law there."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from golden.experiments.counted import law_of, per_group, per_token, work_of
from golden.experiments.levels import PAPER_LEVEL
from golden.experiments.report import Result, Row, number, summary, text
from golden.experiments.runner import Runner

HELP = "a thresholded LSTM and a small transformer, both pruned: activity, product law"

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "EGRU": ("egru", {}),
    **{f"LSTM, |y| > {value:g}": ("lstm", {"output_threshold": value}) for value in (0.0, 0.1, 0.2)},
    **{f"transformer, |x| > {value:g}": ("transformer", {"output_threshold": value}) for value in (0.0, 0.3, 0.6)},
}


def run(runner: Runner) -> Result:
    """Train each, pruned on the way, and count the work of all its sources."""
    rows: list[Row] = []
    for name, (cell, change) in NETWORKS.items():
        threshold = change.get("output_threshold", 0.0)
        run_name = f"{cell}-{100 * PAPER_LEVEL:.0f}-on-the-way" + (f"-silent-{threshold:g}" if threshold else "")
        runs = runner.each_seed(run_name, runner.settings(cell, sparsity=PAPER_LEVEL, **change))
        works = [work_of(runner, each) for each in runs]
        rows.append(
            {
                "network": name,
                "cell": cell,
                **summary(runs),
                **law_of(works),
                **per_token(works),
                "groups": per_group(works),
            }
        )
    columns = {
        "network": text("network"),
        "test perplexity": number("perplexity"),
        "dense, M": number("dense", 3, 1e-6),
        "weights, %": number("weight_density", 1, 100),
        "active, %": number("activity", 1, 100),
        "product, M": number("product", 3, 1e-6),
        "counted, M": number("counted", 3, 1e-6),
        "off, %": number("deviation", 1, 100),
    }
    remarks = [
        "MACs a token of the layers' weights, in millions; activity by sources' dense fan-out.",
        "The transformer sees its window alone; products of queries, keys and values are not counted.",
    ]
    return Result(f"{PAPER_LEVEL:.0%} pruned on the way, test", rows, columns, draw(rows), remarks)


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    law, cost = figure.subplots(1, 2)
    product, counted = ([row[name]["mean"] * 1e-6 for row in rows] for name in ("product", "counted"))
    ends = [0.8 * min(*product, *counted), 1.25 * max(*product, *counted)]
    law.loglog(ends, ends, color="0.7", linewidth=1)
    markers = {"egru": "o", "lstm": "s", "transformer": "^"}
    for row, x, y in zip(rows, product, counted, strict=True):
        law.loglog(x, y, markers[row["cell"]])
        cost.plot(y, row["perplexity"]["mean"], markers[row["cell"]], label=row["network"])
    law.set(xlabel="M MACs a token, product of densities", ylabel="M MACs a token, counted")
    cost.set(xlabel="M MACs a token, counted", ylabel="perplexity, test", xscale="log")
    cost.legend(fontsize="x-small")
    return figure

"""The table of Mukherji et al., arXiv 2311.07625, with our networks beside the paper's."""

from __future__ import annotations

from matplotlib.figure import Figure

from golden.experiments.levels import PAPER_LEVEL, dense, pruned
from golden.experiments.report import NETWORK_COLUMNS, Result, Row, summary, text
from golden.experiments.runner import Runner

HELP = "the table of arXiv 2311.07625, our rows beside the paper's"

#: Penn Treebank as published: MACs a token of the recurrent layers, test perplexity. The dense EGRU's MACs are those of
#: all its weights: the paper multiplies them with the activity.
PUBLISHED = {
    "LSTM 400-1150-1150-400, dense": (20.2e6, 57.3),
    "EGRU 750-1350-1350-750, dense": (24.2e6, 57.06),
    "EGRU 750-1350-1350-750, 85 % pruned": (1.2e6, 58.9),
}


def run(runner: Runner) -> Result:
    """Train the three networks and set them beside the published."""
    rows: list[Row] = [
        {"network": name, "source": "arXiv 2311.07625, Penn Treebank", "macs": macs, "perplexity": perplexity}
        for name, (macs, perplexity) in PUBLISHED.items()
    ]
    networks = (
        ("dense", dense(runner, "lstm")),
        ("dense", dense(runner)),
        ("85 % pruned", pruned(runner, PAPER_LEVEL)),
    )
    for what, runs in networks:
        settings = runs[0].settings
        shape = "-".join(map(str, (settings.embedding, *settings.layers)))
        name = f"{settings.cell.upper()} {shape}, {what}"
        rows.append({"network": name, "source": f"here, {runner.corpus.name}, {runner.options.scale}", **summary(runs)})
    columns = {"network": text("network"), "source": text("source"), **NETWORK_COLUMNS}
    remarks = [
        "Published MACs of the dense EGRU are of all its weights, to be multiplied with its activity; ours are counted."
    ]
    return Result("MACs a token and test perplexity", rows, columns, draw(rows), remarks)


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        ours = isinstance(row["macs"], dict)
        macs, perplexity = (row[name]["mean"] if ours else row[name] for name in ("macs", "perplexity"))
        label = f"{row['network']}, {'here' if ours else 'published'}"
        axes.plot(macs * 1e-6, perplexity, "o" if ours else "x", label=label)
    axes.set(xlabel="M MACs a token, recurrent layers", ylabel="perplexity, test", xscale="log", yscale="log")
    axes.legend(fontsize="xx-small")
    return figure

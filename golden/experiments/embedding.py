"""How large an embedding does an EGRU need, and what does that cost once the embedding is folded?"""

from __future__ import annotations

from matplotlib.figure import Figure

from golden.experiments.levels import dense
from golden.experiments.report import NETWORK_COLUMNS, Result, Row, points, summary, text
from golden.experiments.runner import Runner

HELP = "size of the embedding, and of the last layer with it"
FACTORS = (0.25, 0.5, 1.0, 2.0)  #: times the preset's embedding
MULTIPLE = 8


def run(runner: Runner) -> Result:
    """Train a dense network with each embedding; the last layer, tied to it, has as many units."""
    base = runner.settings()
    rows: list[Row] = []
    for factor in FACTORS:
        size = base.embedding if factor == 1 else max(1, round(factor * base.embedding / MULTIPLE)) * MULTIPLE
        changed = runner.settings(embedding=size, layers=(*base.layers[:-1], size))
        runs = dense(runner) if size == base.embedding else runner.each_seed(f"egru-embedding-{size}", changed)
        rows.append({"embedding": size, **summary(runs)})
    columns = {"embedding": text("embedding"), **NETWORK_COLUMNS}
    return Result("EGRU, dense, size of the embedding, test", rows, columns, draw(rows))


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    perplexity, macs = figure.subplots(1, 2)
    sizes = [row["embedding"] for row in rows]
    points(perplexity, sizes, rows, "perplexity")
    perplexity.set(xlabel="features of the embedding", ylabel="perplexity, test")
    for name, label in (("macs", "layers"), ("macs_folded", "layers, embedding folded")):
        points(macs, sizes, rows, name, 1e-6, label=label)
    macs.set(xlabel="features of the embedding", ylabel="M MACs a token", ylim=(0, None))
    macs.legend()
    return figure

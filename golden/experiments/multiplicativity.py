"""Do both sparsities multiply? The product of the densities against counted MACs, by level, and token by token."""

from __future__ import annotations

from matplotlib.figure import Figure

from golden.experiments.counted import correlations, law_of, per_group, per_token, units, work_of
from golden.experiments.levels import PAPER_LEVEL, all_levels
from golden.experiments.report import Result, Row, number, text
from golden.experiments.runner import Runner
from golden.lm.sources import Work

HELP = "product of both densities against counted MACs; MACs of the median, 99th and worst token"


def run(runner: Runner) -> Result:
    """Count the work of every level of pruning on the test text."""
    rows: list[Row] = []
    shown: Work | None = None
    for level, runs in all_levels(runner).items():
        works = [work_of(runner, each) for each in runs]
        shown = works[0] if level == PAPER_LEVEL else shown
        row = {"pruned": f"{100 * level:.0f} %", "level": level, **law_of(works), **per_token(works)}
        row["correlations"] = correlations(works)
        rows.append({**row, "groups": per_group(works)})
    columns = {
        "pruned": text("pruned"),
        "weights, %": number("weight_density", 1, 100),
        "active, %": number("activity", 1, 100),
        "product, M": number("product", 3, 1e-6),
        "counted, M": number("counted", 3, 1e-6),
        "off, %": number("deviation", 1, 100),
        "off by group, %": number("deviation_by_group", 1, 100),
        "r of each layer": lambda row: ", ".join(
            f"{each['mean']:.2f}" if each else "-" for each in row["correlations"]
        ),
        "p50": number("macs_p50", 3, 1e-6),
        "p99": number("macs_p99", 3, 1e-6),
        "worst": number("macs_worst", 3, 1e-6),
    }
    remarks = [
        "Off by group: off the sum of the products of each group of sources, embedding and layers.",
        "MACs of the layers, in millions; the embedding's features count as active sources.",
        "r: correlation of a unit's activity with its weights, which are as many for all without pruning.",
    ]
    assert shown is not None
    return Result("MACs a token, test: product of the densities, counted", rows, columns, draw(rows, shown), remarks)


def draw(rows: list[Row], shown: Work) -> Figure:
    """Draw counted over product of all levels; then activity over fan-out, and MACs of all tokens, of one network."""
    figure = Figure(figsize=(11.5, 3.6), layout="constrained")
    law, sources, tokens = figure.subplots(1, 3)
    product, counted = ([row[name]["mean"] * 1e-6 for row in rows] for name in ("product", "counted"))
    ends = [0.8 * min(*product, *counted), 1.25 * max(*product, *counted)]
    law.loglog(ends, ends, color="0.7", linewidth=1)
    law.loglog(product, counted, "o")
    for row, x, y in zip(rows, product, counted, strict=True):
        law.annotate(row["pruned"], (x, y), xytext=(4, -8), textcoords="offset points", fontsize="x-small")
    law.set(xlabel="M MACs a token, product of densities", ylabel="M MACs a token, counted")
    for group in units(shown.groups):
        label = group.name if group.correlation is None else f"{group.name}, r = {group.correlation:.2f}"
        sources.plot(group.fan_out, 100 * group.activity, ".", markersize=3, alpha=0.6, label=label)
    sources.set(xlabel="weights of a unit", ylabel="steps in which it is active, %", title=f"{PAPER_LEVEL:.0%} pruned")
    sources.legend(fontsize="x-small")
    tokens.hist(shown.macs * 1e-6, bins=60)
    tokens.locator_params(axis="x", nbins=4)
    tokens.set(xlabel="M MACs of a token", ylabel="tokens", title=f"{PAPER_LEVEL:.0%} pruned")
    return figure

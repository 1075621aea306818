"""What the sources of a trained network do on the test text: :mod:`golden.lm.sources`, of the runs of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from golden.experiments.report import Row, spread
from golden.experiments.runner import Run, Runner
from golden.lm.corpus import columns
from golden.lm.sources import Group, Work, product_law, work
from golden.lm.steps import default_steps

STREAMS = 16  #: runs into which the test text is cut: some tokens follow no state, the work of few
LAW = ("dense", "weight_density", "activity", "product", "counted", "deviation", "deviation_by_group")


def work_of(runner: Runner, run: Run) -> Work:
    """Run a network over the test text and count."""
    model = runner.model(run).to(runner.device)
    if run.settings.cell == "egru":
        model.choose(default_steps(runner.device, versatile=run.settings.versatile), torch.float32)
    inputs, _ = columns(runner.corpus.test, min(STREAMS, len(runner.corpus.test)), runner.corpus.end)
    return work(model, torch.from_numpy(inputs).to(runner.device), run.settings.bptt)


def law_of(works: Sequence[Work]) -> Row:
    """Return the product law over all groups but the decoder, each figure over the seeds."""
    laws = [product_law(each.groups[:-1]) for each in works]
    return {name: spread(law[name] for law in laws) for name in LAW}


def per_group(works: Sequence[Work]) -> list[Row]:
    """Return, of each group: density, activity, counted MACs, product, and correlation of activity and fan-out."""
    rows = []
    for groups in zip(*(each.groups for each in works), strict=True):
        rows.append(
            {
                "sources": groups[0].name,
                "dense": float(groups[0].dense * len(groups[0].fan_out)),
                "weight_density": spread(group.density for group in groups),
                "activity": spread(group.activity.mean() for group in groups),
                "product": spread(group.product for group in groups),
                "counted": spread(group.counted for group in groups),
                "correlation": _correlation(groups),
            }
        )
    return rows


def correlations(works: Sequence[Work]) -> list[Row | None]:
    """Return, of the units of each layer, Pearson's correlation of activity and fan-out; None without any."""
    return [_correlation(groups) for groups in zip(*(units(each.groups) for each in works), strict=True)]


def _correlation(groups: Sequence[Group]) -> Row | None:
    found = [group.correlation for group in groups if group.correlation is not None]
    return spread(found) if found else None


def per_token(works: Sequence[Work]) -> Row:
    """Return median, 99th percentile and worst MACs a token, of the layers and with the decoder."""
    found: Row = {}
    for name, values in (
        ("macs", [each.macs for each in works]),
        ("macs_with_decoder", [each.macs + each.decoder for each in works]),
    ):
        found[f"{name}_p50"] = spread(np.percentile(each, 50) for each in values)
        found[f"{name}_p99"] = spread(np.percentile(each, 99) for each in values)
        found[f"{name}_worst"] = spread(each.max() for each in values)
    return found


def units(groups: Sequence[Group]) -> list[Group]:
    """Return the groups whose sources can be silent and have lists of their own."""
    return [group for group in groups if group.name not in ("embedding", "decoder")]

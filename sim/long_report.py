"""The figures of a long run of text, from the records of its chunks, as JSON and as a table for people."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from rich.table import Table

KINDS = ("updates", "logits", "counts", "reads")


def spread(values: ArrayLike) -> dict[str, float]:
    """Return mean, p50, p99 and worst; percentiles are values that occur."""
    array = np.asarray(values)
    p50, p99 = (int(np.percentile(array, p, method="inverted_cdf")) for p in (50, 99))
    return {"mean": float(array.mean()), "p50": p50, "p99": p99, "worst": int(array.max())}


def figures(run: dict[str, Any], records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return all figures of a run from its chunks' records, in any order.

    ``macs``, ``events``, ``cycles`` are of each token; ``lane_efficiency`` is MACs / (lanes x cycles),
    ``port_utilisation`` bytes / (bytes of a beat of the port x cycles); ``first_difference`` is the first in the text.
    """
    records = sorted(records, key=lambda record: (record["sequence"], record["chunk"]))
    config = run["configuration"]
    macs, events = (np.concatenate([record[name] for record in records]) for name in ("macs", "events"))
    cycles, sizes = (np.concatenate([record[name] for record in records]) for name in ("cycles", "bytes"))
    nats = math.fsum(each for record in records for each in record["nats"]) / len(cycles)
    names = ["inputs", *(f"layer {l}" for l in range(macs.shape[1] - 1))]
    total = int(cycles.sum())
    found = [record["first_difference"] for record in records if record["first_difference"]]
    memory = None
    if run["lists"] == "memory":
        memory = {
            "bytes": spread(sizes),
            "port_utilisation": float(sizes.sum() / (config["port_bits"] // 8 * total)),
        }
    return {
        "tokens": len(cycles),
        "perplexity": math.exp(nats),
        "bits": nats / math.log(2),
        "macs": spread(macs.sum(axis=1)),
        "macs_by_group": dict(zip(names, macs.mean(axis=0).tolist(), strict=True)),
        "events": spread(events.sum(axis=1)),
        "events_by_group": dict(zip(names, events.mean(axis=0).tolist(), strict=True)),
        "cycles": spread(cycles),
        "lane_efficiency": float(macs.sum() / (config["lanes"] * total)),
        "tokens_a_second": run["core_mhz"] * 1e6 * len(cycles) / total,
        "external_memory": memory,
        "compared": {kind: sum(record["compared"][kind] for record in records) for kind in KINDS},
        "differences": {kind: sum(record["differences"][kind] for record in records) for kind in KINDS},
        "first_difference": found[0] if found else None,
    }


def exact(done: dict[str, Any]) -> bool:
    return not any(done["differences"].values())


def sentence(difference: dict[str, Any], unit: str) -> str:
    """Return a difference in words."""
    where = "".join(f" {name} {difference[name]}" for name in ("layer", "unit") if name in difference)
    return (
        f"sequence {difference['sequence']} {unit} {difference['token']}{where}, {difference['what']}: "
        f"{difference['got']}, expected {difference['expected']}"
    )


def result_table(run: dict[str, Any], done: dict[str, Any]) -> Table:
    """Return the figures as a table for people."""
    unit, config = run["unit"], run["configuration"]
    lists = f"lists in memory {run['memory']}" if run["lists"] == "memory" else "lists on chip"
    table = Table(
        title=f"{run['model']} reads {done['tokens']:,} {unit}s of {run['corpus']}, {run['split']}: {config['lanes']} "
        f"lanes, {config['cell_units']} cell units, {lists}",
        show_header=False,
    )

    def of(name: str, shown: dict[str, float]) -> None:
        table.add_row(name, ", ".join(f"{key} {value:,.0f}" for key, value in shown.items()))

    table.add_row(f"perplexity, from the core's logits; bits a {unit}", f"{done['perplexity']:.3f}; {done['bits']:.4f}")
    of(f"MACs a {unit}", done["macs"])
    of(f"MACs a {unit} by source, mean", done["macs_by_group"])
    of(f"events a {unit} by source, mean", done["events_by_group"])
    of(f"cycles a {unit}", done["cycles"])
    table.add_row(f"{unit}s a second at {run['core_mhz']:g} MHz", f"{done['tokens_a_second']:,.0f}")
    table.add_row("lane efficiency, MACs / (lanes x cycles)", f"{done['lane_efficiency']:.3f}")
    if done["external_memory"]:
        of(f"bytes read a {unit}", done["external_memory"]["bytes"])
        table.add_row("port utilisation", f"{done['external_memory']['port_utilisation']:.1%}")
    for kind, what in zip(
        KINDS,
        ("unit updates (h, fires, y) that differ", "logits that differ", "events and MACs that differ from theory",
         "chunks whose bytes differ from their lists'"),
        strict=True,
    ):  # fmt: skip
        if kind == "reads" and not done["external_memory"]:
            continue
        table.add_row(f"RTL against oracle, {what}", f"{done['differences'][kind]:,} of {done['compared'][kind]:,}")
    return table

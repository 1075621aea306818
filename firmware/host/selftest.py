"""The self-test: replay the vectors on a core and compare every number, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from firmware.host.device import Device
from firmware.host.network import States, compile_for
from firmware.host.vectors import SHAPES, Vectors, read_vectors
from golden.streamed import CompiledStream


@dataclass(frozen=True)
class Comparison:
    """How many numbers of a kind were compared, and how many of them differ."""

    network: str
    what: str
    compared: int
    differ: int


def self_test(device: Device) -> list[Comparison]:
    """Run all vectors on a core; what it held before is lost.

    Raises
    ------
    LinkError
        If the core or the way to it fails.
    golden.fanout.CompileError
        If a network does not fit the core.
    """
    return [comparison for name in SHAPES for comparison in _replay(device, name)]


def _replay(device: Device, name: str) -> list[Comparison]:
    network, vectors = read_vectors(name)
    compiled = compile_for(network, device.identity)
    device.load(compiled.words, compiled.lists.beats if isinstance(compiled, CompiledStream) else None)
    done: list[Comparison] = []

    def compare(what: str, got: NDArray[np.generic], wanted: NDArray[np.generic]) -> None:
        done.append(Comparison(name, what, wanted.size, int((got != wanted).sum())))

    device.clear_counters()
    compare("outputs of all steps", device.run(vectors.inputs, vectors.ends), vectors.outputs)
    counters = device.counters()
    for kind, wanted in (("events", vectors.events), ("macs", vectors.macs)) if counters else ():
        compare(f"{kind} counted", np.array([counters[f"{kind}_{group}"] for group in range(len(wanted))]), wanted)
    if counters:
        compare("steps counted", np.array([counters["steps"]]), np.array([len(vectors.inputs)]))

    stop, end = int(vectors.stop[0]), int(np.flatnonzero(vectors.ends)[0]) + 1
    device.run(vectors.inputs[:stop], False)
    best = device.best
    compare("largest output", np.array((-1, 0) if best is None else best), vectors.best)
    states = device.states()
    compare("states h", np.concatenate(states.h), vectors.h)
    compare("states fires", np.concatenate(states.fires), vectors.fires)

    device.run(vectors.inputs[:1], False)  # something else, which must leave no trace
    device.write_states(_states(vectors, device))
    compare("states h, written back", np.concatenate(device.states().h), vectors.h)
    compare("outputs of steps behind it", device.run(vectors.inputs[stop:end]), vectors.outputs[stop:end])
    return done


def _states(vectors: Vectors, device: Device) -> States:
    at = np.cumsum(device.network.units)[:-1]
    return States(tuple(np.split(vectors.h, at)), tuple(np.split(vectors.fires, at)))


def as_table(done: list[Comparison]) -> Table:
    """Return what was compared, as a table for people."""
    table = Table("network", "what", title="self-test: the core against the integer oracle")
    table.add_column("compared", justify="right")
    table.add_column("differ", justify="right")
    for k, row in enumerate(done):
        table.add_row(
            row.network, row.what, f"{row.compared:,}", f"{row.differ:,}", style="bold red" if row.differ else None,
            end_section=k + 1 == len(done) or done[k + 1].network != row.network,
        )  # fmt: skip
    table.add_row("all", "", f"{sum(row.compared for row in done):,}", f"{sum(row.differ for row in done):,}")
    return table

"""Handwritten digits on a core: what it says of them, whether the integer oracle says so, and how long it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from firmware.host.device import Device
from firmware.host.network import compile_for
from firmware.port import Identity
from golden.network import FixedNetwork
from golden.reference import run
from golden.streamed import CompiledStream
from hw.build_folder import read_network
from sim.inputs import Inputs, read_inputs


@dataclass(frozen=True, eq=False)
class Run:
    """Images on a core.

    labels, results, expected : int64 (images,): what is written, what the core says, what the oracle says
    differ : int64 (images,), of an image's outputs, those that are not the oracle's
    counters : dict, of this run alone; empty for a core without
    words : of the memory image
    load_seconds, run_seconds, port_seconds : wall time; of running, the part between driver and core
    """

    labels: NDArray[np.int64]
    results: NDArray[np.int64]
    expected: NDArray[np.int64]
    differ: NDArray[np.int64]
    counters: dict[str, int]
    steps: int
    words: int
    load_seconds: float
    run_seconds: float
    port_seconds: float

    @property
    def exact(self) -> bool:
        return not self.differ.any()


def read_digits(path: Path, images: int) -> tuple[FixedNetwork, Inputs]:
    """Read a model with a readout, and the first so many test images.

    Raises
    ------
    ValueError
        If the model cannot be used, or there are not as many images.
    """
    network = read_network(path).fixed
    assert network is not None, "read_network has looked"
    if network.readout is None:
        raise ValueError(f"model file {path} has no readout, so it classifies nothing; choose another model")
    return network, read_inputs(f"digits:{images}", network)


def run_digits(device: Device, network: FixedNetwork, inputs: Inputs) -> Run:
    """Load a network compiled for the core, and run all images, one sequence each.

    Raises
    ------
    LinkError, golden.fanout.CompileError
        If the core fails, or the network does not fit it.
    """
    compiled = compile_for(network, device.identity)
    start = time.perf_counter()
    device.load(compiled.words, compiled.lists.beats if isinstance(compiled, CompiledStream) else None)
    load_seconds = time.perf_counter() - start

    length, images, _ = inputs.integers.shape
    ends = np.zeros((images, length), bool)
    ends[:, -1] = True
    values = inputs.integers.swapaxes(0, 1).reshape(images * length, -1)
    device.clear_counters()
    port_before, start = device.core.seconds, time.perf_counter()
    outputs = device.run(values, ends.ravel())
    run_seconds, port_seconds = time.perf_counter() - start, device.core.seconds - port_before
    counters = device.counters()

    logits = run(network, inputs.integers).logits
    assert logits is not None, "it has a readout"
    wanted = logits.swapaxes(0, 1)
    got = outputs.reshape(wanted.shape)
    assert inputs.labels is not None, "digits have labels"
    return Run(
        inputs.labels, got[:, -1].argmax(axis=1), wanted[:, -1].argmax(axis=1), (got != wanted).sum(axis=(1, 2)),
        counters, images * length, len(compiled.words), load_seconds, run_seconds, port_seconds,
    )  # fmt: skip


def classification(done: Run) -> Table:
    """Return the images, one a row."""
    table = Table("image", "label", "core", "oracle", "outputs that differ", title="handwritten digits")
    for k, row in enumerate(zip(done.labels, done.results, done.expected, done.differ, strict=True)):
        label, result, expected, differ = map(int, row)
        style = "bold red" if differ else None if result == label else "yellow"
        table.add_row(str(k), str(label), str(result), str(expected), str(differ), style=style)
    right = int((done.results == done.labels).sum())
    table.caption = (
        f"{right} of {len(done.labels)} right ({right / len(done.labels):.2%}); "
        f"{int(done.differ.sum())} outputs differ from the oracle's"
    )
    return table


def speed(done: Run, core: Identity) -> Table:
    """Return how fast it went."""
    table = Table(
        title=f"{done.steps:,} steps of handwritten digits, {core.capacities['lanes']} lanes", show_header=False
    )
    table.add_row(
        "loading the network", f"{done.load_seconds:.3f} s, {4 * done.words / done.load_seconds / 1e3:,.1f} kB/s"
    )
    table.add_row("steps a second", f"{done.steps / done.run_seconds:,.1f}")
    table.add_row(
        "of the time, transfers and waiting for the core", f"{done.port_seconds:.3f} of {done.run_seconds:.3f} s"
    )
    if done.counters:
        lanes = range(core.capacities["lanes"])
        worked = max(sum(done.counters[f"lane_{k}_{what}"] for what in ("busy", "hazard", "drain")) for k in lanes)
        macs = sum(count for name, count in done.counters.items() if name.startswith("macs_"))
        steps = done.counters["steps"]
        table.add_row("cycles a step, waiting for the host included", f"{done.counters['cycles'] / steps:,.0f}")
        table.add_row("cycles a step in which the busiest lane worked", f"{worked / steps:,.0f}")
        table.add_row("multiply-accumulates a step", f"{macs / steps:,.0f}")
    else:
        table.add_row("cycles a step", "not known: the core was built without counters")
    table.add_row("outputs that differ from the oracle's", f"{int(done.differ.sum())}")
    return table

"""Theoretical operation counts: multiply-accumulates (MACs) of weights, as the literature counts them.

    python -m golden.macs models/digits/digits.safetensors --input rows.npy
    python -m golden.macs --paper

Sources fall into groups: group 0 is the inputs, group 1 + l the units of EGRU layer l. An active source costs one MAC
for each entry of its fan-out list, its non-zero integer weights: for an input those of layer 0's kernel; for a unit its
row of its own recurrent kernel and its row of the next layer's (or the readout's) kernel. They count in the step in
which the source is active. A source is active when its value is not 0: a unit that fires silently emits no event and
costs nothing. Biases, nonlinearities and elementwise products are not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from golden.network import FixedNetwork, ModelError, load
from golden.quantize import quantize_inputs
from golden.reference import Trace, run

Integers = NDArray[Any]


@dataclass(frozen=True)
class FanOut:
    """Fan-out lists of one group of sources.

    forward, recurrent : int64 (sources,)
        Entries of each source's list that feed the next layer (or the readout), and its own layer at the next step.
    dense : int
        Length of every list if no weight were 0.
    """

    forward: NDArray[np.int64]
    recurrent: NDArray[np.int64]
    dense: int

    @property
    def whole(self) -> NDArray[np.int64]:
        return self.forward + self.recurrent


def fan_out(network: FixedNetwork, *, readout: bool = True) -> list[FanOut]:
    """Return the lists of the inputs, then of each layer's units."""

    def lengths(kernel: Integers | None, sources: int) -> NDArray[np.int64]:
        return np.zeros(sources, np.int64) if kernel is None else np.count_nonzero(kernel, axis=1)

    kernel = network.layers[0].kernel
    groups = [FanOut(lengths(kernel, network.inputs), lengths(None, network.inputs), kernel.shape[1])]
    for layer, above in zip(network.layers, (*network.layers[1:], network.readout), strict=True):
        counted = above is not None and (readout or above is not network.readout)
        forward = above.kernel if above is not None and counted else None
        dense = layer.recurrent_kernel.shape[1] + (0 if forward is None else forward.shape[1])
        groups.append(FanOut(lengths(forward, layer.units), lengths(layer.recurrent_kernel, layer.units), dense))
    return groups


def _active(trace: Trace, inputs: Integers) -> list[NDArray[np.bool_]]:
    return [np.asarray(values) != 0 for values in (inputs, *trace.y)]


def theoretical_events(trace: Trace, inputs: Integers) -> NDArray[np.int64]:
    """Return the active sources, int64 (time, batch, groups), of a run of ``inputs`` (time, batch, I)."""
    return np.stack([active.sum(axis=2) for active in _active(trace, inputs)], axis=2)


def theoretical_macs(
    network: FixedNetwork,
    trace: Trace,
    inputs: Integers,
    *,
    sequence_end: NDArray[np.bool_] | None = None,
    readout: bool = True,
) -> NDArray[np.int64]:
    """Return the MACs that a machine without waste does, int64 (time, batch, groups): the hardware's count exactly.

    sequence_end : bool (time, batch)
        Steps that end a sequence: nothing follows them, so only the forward part of a unit's list is walked.
    """
    macs = []
    for active, lists in zip(_active(trace, inputs), fan_out(network, readout=readout), strict=True):
        events = active.astype(np.int64)
        goes_on = 1 if sequence_end is None else ~np.asarray(sequence_end, bool)
        macs.append(events @ lists.forward + (events @ lists.recurrent) * goes_on)
    return np.stack(macs, axis=2)


@dataclass(frozen=True)
class Counts:
    """MACs of a group of sources, or of all.

    dense, weight_sparse : int, a step
    activity_sparse, both : int64 (time, batch)
    """

    name: str
    dense: int
    weight_sparse: int
    activity_sparse: NDArray[np.int64]
    both: NDArray[np.int64]

    @property
    def product(self) -> float:
        """Prediction of the mean of ``both``: dense MACs times weight density times activity density."""
        return self.weight_sparse * float(self.activity_sparse.mean()) / self.dense

    @property
    def deviation(self) -> float:
        """Relative deviation of the counted mean from the prediction; 0 where both are 0."""
        return float(self.both.mean()) / self.product - 1 if self.product else 0.0


def count(
    network: FixedNetwork,
    trace: Trace,
    inputs: Integers,
    *,
    sequence_end: NDArray[np.bool_] | None = None,
    readout: bool = True,
) -> list[Counts]:
    """Return the counts of every group, and of all together last; ``sequence_end`` affects ``both`` alone.

    The densities of the total are those of the whole network: its product is not the sum of the groups' products.
    """
    rows = []
    lists = fan_out(network, readout=readout)
    events = theoretical_events(trace, inputs)
    both = theoretical_macs(network, trace, inputs, sequence_end=sequence_end, readout=readout)
    for g, group in enumerate(lists):
        name = f"layer {g - 1}" if g else "inputs"
        dense = len(group.forward) * group.dense
        rows.append(Counts(name, dense, int(group.whole.sum()), events[..., g] * group.dense, both[..., g]))
    activity_sparse = np.sum([row.activity_sparse for row in rows], axis=0)
    dense, weight_sparse = (sum(getattr(row, name) for row in rows) for name in ("dense", "weight_sparse"))
    return [*rows, Counts("all", dense, weight_sparse, activity_sparse, both.sum(axis=2))]


def count_table(rows: list[Counts], title: str) -> Table:
    """Return the means over steps and batch as a table for people."""
    table = Table(title=title)
    table.add_column("sources")
    for column in ("dense", "weight-sparse", "activity-sparse", "both", "product", "deviation"):
        table.add_column(column, justify="right")
    for row in rows:
        counts = (row.dense, row.weight_sparse, row.activity_sparse.mean(), row.both.mean(), row.product)
        table.add_row(row.name, *(f"{value:,.0f}" for value in counts), f"{row.deviation:+.1%}")
    return table


def lstm_macs(inputs: int, layers: Sequence[int]) -> int:
    """Return the MACs a step of dense LSTM layers: sum of 4 (in + H) H."""
    return sum(4 * (below + units) * units for below, units in zip((inputs, *layers), layers, strict=False))


def egru_macs(inputs: int, layers: Sequence[int], density: float = 1.0, activity: Sequence[float] = ()) -> float:
    """Return the expected MACs a step of EGRU layers: sum of 3 (in + H) H, times the densities.

    ``density`` is that of all weights; ``activity`` that of each layer's units, 1 if left out. Every input is active.
    """
    activity = activity or [1.0] * len(layers)
    macs = 3.0 * inputs * layers[0]
    for units, above, active in zip(layers, (*layers[1:], 0), activity, strict=True):
        macs += active * 3 * units * (units + above)
    return density * macs


AWD_LSTM = (400, (1150, 1150, 400))  #: inputs, layers; Merity et al., as the paper's dense baseline
EGRU = (750, (1350, 1350, 750))
PAPER_DENSITY, PAPER_MACS = 0.15, 1.2e6  #: the paper's pruned network: 85 % of the weights 0, MACs a token
VOCABULARY = 10_000


def implied_activity(inputs: int, layers: Sequence[int], density: float, macs: float) -> float:
    """Return the activity, the same in all layers, at which :func:`egru_macs` gives ``macs``."""
    silent = egru_macs(inputs, layers, density, [0.0] * len(layers))
    return (macs - silent) / (egru_macs(inputs, layers, density) - silent)


def paper_table() -> Table:
    """Reproduce the Penn Treebank counts of Mukherji et al., arXiv 2311.07625."""
    activity = implied_activity(*EGRU, PAPER_DENSITY, PAPER_MACS)
    silent = egru_macs(*EGRU, PAPER_DENSITY, [0.0] * 3)
    table = Table(title="Penn Treebank, million MACs a token (arXiv 2311.07625)")
    for column, justify in (("network", "left"), ("layers", "right"), ("with decoder", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    lstm, egru = lstm_macs(*AWD_LSTM), egru_macs(*EGRU)
    rows = [
        ("LSTM 400-1150-1150-400, dense", lstm, AWD_LSTM[1][-1] * VOCABULARY),
        ("EGRU 750-1350-1350-750, dense", egru, EGRU[1][-1] * VOCABULARY),
        ("EGRU, weight density 0.15, all units active", PAPER_DENSITY * egru, EGRU[1][-1] * VOCABULARY),
        ("EGRU, weight density 0.15, no unit active", silent, 0),
        (f"EGRU, weight density 0.15, activity {activity:.3f}", PAPER_MACS, activity * EGRU[1][-1] * VOCABULARY),
    ]
    for name, macs, decoder in rows:
        table.add_row(name, f"{macs / 1e6:.3f}", f"{(macs + decoder) / 1e6:.3f}")
    table.caption = (
        f"The published 1.2 M implies the activity. It is {egru / PAPER_MACS:.1f} times fewer than the dense EGRU, "
        f"{lstm / PAPER_MACS:.1f} times fewer than the LSTM. The decoder is dense, for its active sources."
    )
    return table


def _read_inputs(path: str, network: FixedNetwork) -> Integers:
    """Read a NumPy file of inputs, as integers (time, batch, I)."""
    try:
        inputs = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise ValueError(f"input file {path} is no NumPy array file; write it with numpy.save") from None
    except OSError as error:
        raise ValueError(f"input file {path} cannot be read ({error.strerror}); correct the path") from None
    if not isinstance(inputs, np.ndarray) or not inputs.size:
        raise ValueError(f"input file {path} does not hold one array with at least one step; write it with numpy.save")
    inputs = inputs[:, None] if inputs.ndim == 2 else inputs
    return inputs if np.issubdtype(inputs.dtype, np.integer) else quantize_inputs(inputs, network)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m golden.macs",
        description="Count the MACs of a model on given inputs, or reproduce the published counts.",
        epilog="example: python -m golden.macs models/digits/digits.safetensors --input rows.npy",
    )
    parser.add_argument("model", nargs="?", help="model file with an integer network")
    parser.add_argument("--input", help="NumPy file: real or integer inputs, (time, inputs) or (time, batch, inputs)")
    parser.add_argument("--paper", action="store_true", help="print the counts of arXiv 2311.07625 and exit")
    arguments = parser.parse_args()
    console = Console()
    if arguments.paper:
        console.print(paper_table())
        return
    if not arguments.model or not arguments.input:
        parser.error("give a model and --input, or --paper")
    try:
        network = load(arguments.model).fixed
        if network is None:
            raise ModelError(f"model file {arguments.model} has no integer network; quantise it first")
        inputs = _read_inputs(arguments.input, network)
        trace = run(network, inputs)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    console.print(count_table(count(network, trace, inputs), "MACs a step, readout included"))
    if network.readout is not None:
        console.print(count_table(count(network, trace, inputs, readout=False), "MACs a step, without the readout"))


if __name__ == "__main__":
    main()

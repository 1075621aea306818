"""The networks of the benchmark: random weights, and activity that is as given whatever the dynamics do.

    python -m sim.workloads

A trained network decides itself how active it is. A benchmark wants a stated activity, drawn anew at each step, on a
stated sparsity. So the update gate is shut (c = g: nothing is remembered but in the events), g is the tanh of a wide
random sum of the events, and each unit's threshold is the quantile of its own c that lets it fire at the given rate.
As every event changes hundreds of sums, who fires is as good as drawn at random, step after step.
"""

import argparse
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from golden import fixed
from golden.fanout import balance
from golden.lanes import deal, unit_work
from golden.lists import matrices
from golden.network import FixedLayer, FixedNetwork
from golden.reference import Oracle

WEIGHT_DEVIATION = 40.0
INPUT_BITS = 9
SHUT = -8.0  #: real bias of z: sigmoid(-8) = 0.0003
#: Wanted of the real sums. Inputs decide most of g: were its recurrent part large, patterns of activity would last.
DEVIATION = {"gx": 0.7, "z": 0.1, "r": 1.0, "gh": 0.2}
G_SUMS = [fixed.GATES.index("gx"), fixed.GATES.index("gh")]
UNEVENNESS = 0.5  #: standard deviation of the logarithm of a row's density
CALIBRATION_ROUNDS, CALIBRATION_BATCH, CALIBRATION_STEPS, SETTLING_STEPS = 4, 24, 14, 4


@dataclass(frozen=True)
class Workload:
    """A network and how to drive it.

    rates : float64 (sources,), events a step of each source, measured
    activity : share of the inputs, and of the units, that is active in a step
    lanes : lane counts that the benchmark runs it on
    """

    name: str
    network: FixedNetwork
    rates: np.ndarray
    activity: float
    lanes: tuple[int, ...]

    def inputs(self, steps: int, seed: int = 0) -> np.ndarray:
        """Draw the input values of a sequence, int64 (steps, inputs), 0 where there is no event."""
        return _draw_inputs(np.random.default_rng(seed), (steps, self.network.inputs), self.activity)


def _draw_inputs(rng: np.random.Generator, shape: tuple[int, ...], activity: float) -> np.ndarray:
    values = rng.integers(1, 1 << (INPUT_BITS - 1), shape) * rng.choice([-1, 1], shape)
    return values * (rng.random(shape) < activity)


def uneven_mask(rng: np.random.Generator, sources: int, units: int, density: float) -> np.ndarray:
    """Draw where weights are not zero, bool (sources, 3 * units): each unit has a density of its own."""
    row = rng.lognormal(0, UNEVENNESS, units)
    row = np.minimum(1, row * density / row.mean())
    row *= density / row.mean()
    return rng.random((sources, 3 * units)) < np.tile(row, 3)


def banked_mask(rng: np.random.Generator, sources: int, units: int, lanes: int, count: int) -> np.ndarray:
    """Draw where weights are not zero, bool (sources, 3 * units): each source has ``count`` weights in every lane.

    Lanes hold the units in turn, as the compiler deals a network that is level that way.
    """
    rows = units // lanes
    chosen = rng.random((sources, lanes, rows * 3)).argsort(axis=2) < count
    return chosen.reshape(sources, lanes, rows, 3).transpose(0, 3, 2, 1).reshape(sources, 3 * units)


def draw_network(
    rng: np.random.Generator, sizes: list[int], mask: Callable[[int, int], np.ndarray], activity: Sequence[float]
) -> FixedNetwork:
    """Draw weights for layers of ``sizes[1:]`` units on ``sizes[0]`` inputs; thresholds are still to be calibrated.

    ``activity``: share of the inputs, and of the units of each layer, that is active in a step.
    """
    layers = []
    for (sources, units), (below, own) in zip(itertools.pairwise(sizes), itertools.pairwise(activity), strict=True):
        weights = np.clip(np.rint(rng.normal(0, WEIGHT_DEVIATION, (sources + units, 3 * units))), -127, 127)
        weights[weights == 0] = 1
        weights *= mask(sources + units, units)
        z, r, g = np.split(weights, 3, axis=1)
        rates = np.repeat([below, own], [sources, units])
        exponents = (
            _exponent(g[:sources], rates[:sources], DEVIATION["gx"]),
            _exponent(z, rates, DEVIATION["z"]),
            _exponent(r, rates, DEVIATION["r"]),
            _exponent(g[sources:], rates[sources:], DEVIATION["gh"]),
        )
        bias = np.zeros((4, units), np.int32)
        bias[1] = round(math.ldexp(SHUT, -exponents[1]))
        kernel, recurrent_kernel = np.split(weights.astype(np.int8), [sources])
        layers.append(FixedLayer(kernel, recurrent_kernel, bias, np.full(units, 1 << 14, np.int16), exponents))
    return FixedNetwork(
        tuple(layers), None, weight_bits=8, y_bits=8, input_bits=INPUT_BITS, input_exponent=1 - INPUT_BITS
    )


def _exponent(weights: np.ndarray, rates: np.ndarray, deviation: float) -> int:
    """Return the exponent for which the sums over events of about half the largest value have a deviation."""
    variance = (rates @ weights**2).mean() * (1 << (INPUT_BITS - 2)) ** 2
    return round(math.log2(deviation / math.sqrt(variance)))


def calibrate(
    network: FixedNetwork, activity: Sequence[float], draw: Callable[[tuple[int, ...]], np.ndarray]
) -> tuple[FixedNetwork, np.ndarray]:
    """Set biases and thresholds so that each unit emits an event in a share of the steps, its layer's ``activity``.

    Biases centre the sums of g, so that the quantile of c that becomes the threshold is positive. ``draw`` returns
    input values of a shape. Returns the network and the rate of every source, float64 (sources,), in a run of it.
    """
    for _ in range(CALIBRATION_ROUNDS):
        inputs = draw((CALIBRATION_STEPS, CALIBRATION_BATCH, network.inputs))
        trace = Oracle(network).run(inputs, keep_sums=True)
        assert trace.sums is not None
        layers = []
        for layer, sums, rate in zip(network.layers, trace.sums, activity, strict=True):
            sums = sums[SETTLING_STEPS:].swapaxes(0, 1)
            excess = sums[G_SUMS].mean(axis=(1, 2)).round().astype(np.int32)
            bias = layer.bias.copy()
            bias[G_SUMS] -= excess
            sums[G_SUMS] -= excess[:, None, None]
            c, _, _ = fixed.cell(sums, layer.shifts, np.int64(0), np.int64(0), network.y_bits)  # threshold 0: h is c
            threshold = np.quantile(c, 1 - rate, axis=(0, 1)).clip(0, fixed.STATE_MAX).astype(np.int16)
            layers.append(dataclasses.replace(layer, bias=bias, threshold=threshold))
        network = dataclasses.replace(network, layers=tuple(layers))
    events = [inputs, *Oracle(network).run(inputs).y]
    return network, np.concatenate([(values[SETTLING_STEPS:] != 0).mean(axis=(0, 1)) for values in events])


def unstructured(
    name: str, sizes: list[int], *, density: float = 0.15, activity: float, lanes: tuple[int, ...], seed: int = 0
) -> Workload:
    """Draw a network of ``sizes[1:]`` units on ``sizes[0]`` inputs whose zeros lie anywhere, rows uneven."""
    rng = np.random.default_rng(seed)
    return _workload(name, rng, sizes, partial(uneven_mask, rng, density=density), activity, lanes)


def bank_balanced(name: str, units: int, *, count: int, activity: float, lanes: int, seed: int = 0) -> Workload:
    """Draw a network of as many inputs as units in which each source has ``count`` weights a lane and kernel."""
    rng = np.random.default_rng(seed)
    return _workload(name, rng, [units, units], partial(banked_mask, rng, lanes=lanes, count=count), activity, (lanes,))


def _workload(name, rng, sizes, mask, activity, lanes) -> Workload:
    """Draw a network that is as active everywhere."""
    network = draw_network(rng, sizes, mask, [activity] * len(sizes))
    draw = partial(_draw_inputs, rng, activity=activity)
    return Workload(name, *calibrate(network, [activity] * len(network.layers), draw), activity, lanes)


#: What each is: see :func:`main`, or run this module.
WORKLOADS: dict[str, Callable[[], Workload]] = {
    "wide": lambda: unstructured("wide", [1350, 1350], activity=0.20, lanes=(16,)),
    "square": lambda: unstructured("square", [512, 512], activity=0.15, lanes=(32, 64)),
    "stack": lambda: unstructured("stack", [256, 256, 256, 256], activity=0.15, lanes=(16,)),
    "banked": lambda: bank_balanced("banked", 512, count=4, activity=0.15, lanes=64),
}


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m sim.workloads",
        description="Draw the networks of the benchmark, and report their sparsity, activity and balance over lanes.",
    ).parse_args()
    table = Table("network", "units", "sparse", "active", "lanes", "entries", "in turn", "dealt", box=box.SIMPLE)
    table.caption = "Inputs as many as units in a layer. Entries a step; the busiest lane relative to the mean lane."
    for make in track(WORKLOADS.values(), description="drawing networks", console=Console(stderr=True), transient=True):
        workload = make()
        network, rates = workload.network, workload.rates
        weights = [matrix.weights for matrix in matrices(network)]
        sparse = 1 - sum(map(np.count_nonzero, weights)) / sum(w.size for w in weights)
        units = f"{len(network.layers)} x {network.layers[0].units}"
        for lanes in workload.lanes:
            in_turn, dealt = np.zeros(lanes), np.zeros(lanes)
            work = [phases.sum(axis=1) for phases in unit_work(network, rates)]
            for entries, lane in zip(work, deal(network, lanes, rates).lane, strict=True):
                np.add.at(in_turn, np.arange(len(entries)) % lanes, entries)
                np.add.at(dealt, lane, entries)
            table.add_row(
                workload.name, units, f"{sparse:.1%}", f"{rates.mean():.1%}", str(lanes), f"{dealt.sum():,.0f}",
                f"{balance(in_turn):.4f}", f"{balance(dealt):.4f}",
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()

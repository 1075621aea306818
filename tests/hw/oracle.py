"""What the core must do, from the oracle: random networks that fit a configuration, and every number they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from golden.fanout import Compiled, CompileError
from golden.macs import theoretical_events, theoretical_macs
from golden.network import FixedNetwork
from golden.reference import Oracle
from golden.streamed import CompiledStream
from hw.config import CoreConfig
from tests.networks import random_fixed_network, random_inputs

DENSITIES = (0.0, 0.02, 0.15, 0.5, 1.0)
ACTIVITIES = (0.0, 0.05, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Case:
    """A network compiled for a configuration, and sequences for it, int64 (steps, inputs) each."""

    compiled: Compiled | CompiledStream
    sequences: list[np.ndarray]

    @property
    def network(self) -> FixedNetwork:
        return self.compiled.network


def draw_case(
    rng: np.random.Generator, config: CoreConfig, *, units_max: int = 128, steps_max: int = 5, sequences: int = 3
) -> Case:
    """Draw a network of any kind that fits a configuration, and sequences of unequal length."""
    outputs_max = 12 * config.lanes if config.streamed else 12  # several rows of the readout
    while True:
        layers = np.minimum(2 ** rng.uniform(0, 8, rng.integers(1, config.layers)), units_max).astype(int).tolist()
        network = random_fixed_network(
            rng,
            inputs=int(rng.integers(1, 65)),
            layers=layers,
            outputs=int(rng.integers(1, outputs_max + 1)) if rng.random() < 0.6 else None,
            weight_density=float(rng.choice(DENSITIES)),
            weight_bits=config.weight_bits,
            y_bits=config.y_bits,
            input_bits=int(rng.integers(2, config.value_bits + 1)),
            extremes=bool(rng.random() < 0.15),
            uneven=bool(rng.random() < 0.5),
        )
        try:
            compiled = config.compile(network)
        except CompileError:
            continue  # too large, or its sums too wide: draw again
        lengths = rng.integers(1, steps_max + 1, rng.integers(1, sequences + 1))
        return Case(
            compiled,
            [random_inputs(rng, network, steps, 1, float(rng.choice(ACTIVITIES)))[:, 0] for steps in lengths],
        )


@dataclass(frozen=True)
class Step:
    """Everything observable of one step.

    units : one dict a layer, source -> (h, fires, y)
    outputs : dict, index -> value; with a readout all of them, without one only what is not 0
    best : the largest output (index, value), the lowest index first; None after a silent step
    ending : whether the step ends its sequence
    events, macs : a count for each group that the network has
    silent_fires : units that fired with a y that rounds to 0
    """

    units: list[dict[int, tuple[int, int, int]]]
    outputs: dict[int, int]
    best: tuple[int, int] | None
    ending: bool
    events: list[int]
    macs: list[int]
    silent_fires: int


def expect(network: FixedNetwork, sequences: Sequence[np.ndarray], *, ends: bool = True) -> list[Step]:
    """Return what each step of the sequences must give; ``ends``: the last step of each ends it."""
    return [step for sequence in sequences for step in _expect_sequence(network, sequence, ends)]


def _expect_sequence(network: FixedNetwork, sequence: np.ndarray, ends: bool) -> list[Step]:
    inputs = sequence[:, None]
    trace = Oracle(network).run(inputs)
    ending = np.zeros((len(sequence), 1), bool)
    ending[-1] = ends
    events = theoretical_events(trace, inputs)[:, 0].tolist()
    macs = theoretical_macs(network, trace, inputs, sequence_end=ending)[:, 0].tolist()
    first_source = np.cumsum([network.inputs, *(layer.units for layer in network.layers)]).tolist()
    steps = []
    for t in range(len(sequence)):
        layers = [[array[l][t, 0].tolist() for array in (trace.h, trace.fires, trace.y)] for l in range(len(trace.y))]
        units = [
            dict(enumerate(zip(*layer, strict=True), first)) for first, layer in zip(first_source, layers, strict=False)
        ]
        if trace.logits is not None:
            outputs = dict(enumerate(trace.logits[t, 0].tolist()))
        else:
            outputs = {unit: y for unit, y in enumerate(layers[-1][2]) if y}
        steps.append(
            Step(
                units,
                outputs,
                min(outputs.items(), key=lambda item: (-item[1], item[0]), default=None),
                bool(ending[t, 0]),
                events[t],
                macs[t],
                sum(fires and not y for layer in units for _, fires, y in layer.values()),
            )
        )
    return steps

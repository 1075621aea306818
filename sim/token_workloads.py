"""Networks of the shape of a published language model, with random weights, that are as active as a trained one.

The embedding is folded into the first layer: a token is an input whose list has a weight for every gate of every unit.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from golden.layers import FixedReadout
from golden.network import FixedNetwork
from sim.workloads import INPUT_BITS, WEIGHT_DEVIATION, calibrate, draw_network, uneven_mask

VOCABULARY = 10_000
LAYERS = (1350, 1350, 750)  #: of the published network, whose embedding has 750 features
#: Share of units that is active in a step, of each layer: of ``ptb-small``, two layers, whose first one stands for two.
ACTIVITY = (0.17, 0.17, 0.21)
TOKEN = 1 << INPUT_BITS - 2  #: value of the event of a token


@dataclass(frozen=True)
class TokenWorkload:
    """A network that reads tokens.

    rates : float64 (sources,), events a step of each source, measured
    activity : share of the units of each layer that is active in a step
    """

    name: str
    network: FixedNetwork
    rates: np.ndarray
    activity: tuple[float, ...]

    def inputs(self, steps: int, seed: int = 0) -> np.ndarray:
        """Draw tokens, int64 (steps, inputs), one a step."""
        return _draw_tokens(np.random.default_rng(seed), (steps, self.network.inputs))

    def cut_to(self, inputs: np.ndarray) -> tuple[FixedNetwork, np.ndarray]:
        """Return the network without the tokens that ``inputs``, int64 (steps, inputs), lack, and these inputs for it.

        It has fewer lists, and does the same on them.
        """
        first, *others = self.network.layers
        used = (inputs != 0).any(axis=0)
        layers = (dataclasses.replace(first, kernel=first.kernel[used]), *others)
        return dataclasses.replace(self.network, layers=layers), inputs[:, used]


def _draw_tokens(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = np.zeros(shape, np.int64)
    np.put_along_axis(values, rng.integers(0, shape[-1], (*shape[:-1], 1)), TOKEN, axis=-1)
    return values


def language_model(
    name: str,
    *,
    density: float,
    readout: bool,
    layers: tuple[int, ...] = LAYERS,
    vocabulary: int = VOCABULARY,
    activity: tuple[float, ...] = ACTIVITY,
    seed: int = 0,
) -> TokenWorkload:
    """Draw a network of tokens.

    Parameters
    ----------
    density : float
        Share of weights that are not 0, between and within layers; rows of tokens and of the readout are dense.
    readout : bool
        Whether there are logits, or only events of the last layer.
    """
    rng = np.random.default_rng(seed)

    def mask(sources: int, units: int) -> np.ndarray:
        found = uneven_mask(rng, sources, units, density)
        if sources == vocabulary + units:
            found[:vocabulary] = True
        return found

    network = draw_network(rng, [vocabulary, *layers], mask, [1 / vocabulary, *activity])
    network, rates = calibrate(network, activity, partial(_draw_tokens, rng))
    if readout:
        weights = np.clip(np.rint(rng.normal(0, WEIGHT_DEVIATION, (layers[-1], vocabulary))), -127, 127)
        deviation = WEIGHT_DEVIATION * 128 * math.sqrt(activity[-1] * layers[-1])
        kernel, exponent = weights.astype(np.int8), -round(math.log2(deviation))
        network = dataclasses.replace(network, readout=FixedReadout(kernel, np.zeros(vocabulary, np.int32), exponent))
    return TokenWorkload(name, network, rates, activity)

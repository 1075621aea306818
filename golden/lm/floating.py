"""A language model in floating point, at speed: what the integers are compared with. No torch.

Matrix products are float32, as in training, and all else is float64; compiled C walks the recurrent weights of active
units alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.float_reference import Floats, FloatState, FloatTrace
from golden.layers import FloatLayer, FloatNetwork, FloatReadout, ModelError
from golden.lm.integer import DEFINITIONS
from golden.lm.native import build, call
from golden.reference import Integers


@dataclass(frozen=True)
class FloatLanguageModel:
    """An embedding, float (V, I), the layers that read it, and a readout of one logit a word."""

    embedding: NDArray[np.float32]
    layers: tuple[FloatLayer, ...]
    readout: FloatReadout

    def __post_init__(self) -> None:
        network = FloatNetwork(self.layers, self.readout)
        words = len(self.embedding)
        if self.embedding.ndim != 2 or self.embedding.shape[1] != network.inputs:
            raise ModelError(
                f"the embedding has shape {list(self.embedding.shape)}; it must be [words, {network.inputs}], as the "
                "first layer reads"
            )
        if not np.isfinite(self.embedding).all():
            raise ModelError("the embedding holds NaN or infinity; every value must be finite, so train it again")
        if self.readout.units != words:
            raise ModelError(f"the readout has {self.readout.units} outputs; it must have {words}, one for each word")

    def fold(self) -> FloatNetwork:
        """Return the same model without an embedding: its first layer has an input, 1 or 0, for each word."""
        first = self.layers[0]
        rows = self.embedding.astype(np.float64) @ first.kernel.astype(np.float64)
        folded = FloatLayer(rows, first.recurrent_kernel, first.bias, first.recurrent_bias, first.threshold)
        return FloatNetwork((folded, *self.layers[1:]), self.readout)


def random_model(words: int, features: int, units: Sequence[int], density: float = 0.15) -> FloatLanguageModel:
    """Return a model that knows nothing, for measuring speed: random weights of this density, a dense embedding.

    A fifth of its units, or so, are active.
    """
    rng = np.random.default_rng(0)

    def weights(sources: int, targets: int, deviation: float) -> NDArray[np.float32]:
        kept = rng.random((sources, targets), np.float32) < density
        return rng.standard_normal((sources, targets), np.float32) * kept * np.float32(deviation / sources**0.5)

    layers: list[FloatLayer] = []
    for below, count in zip((features, *units), units, strict=False):
        kernel = weights(below, 3 * count, 5.0 if not layers else 6.0)
        bias = np.zeros(3 * count, np.float32)
        layers.append(FloatLayer(kernel, weights(count, 3 * count, 5.0), bias, bias, np.full(count, 0.11, np.float32)))
    embedding, decoder = (rng.uniform(-0.3, 0.3, (words, count)).astype(np.float32) for count in (features, units[-1]))
    readout = FloatReadout(np.ascontiguousarray(decoder.T), np.zeros(words, np.float32))
    return FloatLanguageModel(embedding, tuple(layers), readout)


class FloatRunner:
    """A model ready to run over words (time, batch)."""

    def __init__(self, model: FloatLanguageModel) -> None:
        self.model, self.words = model, len(model.embedding)
        self._function = build("layer.c", DEFINITIONS).egru_float
        self._kernels = [layer.kernel.astype(np.float32) for layer in model.layers]
        self._decoder = model.readout.kernel.astype(np.float32)
        self._recurrent = [np.ascontiguousarray(layer.recurrent_kernel, np.float32) for layer in model.layers]

    def initial_state(self, batch: int = 1) -> FloatState:
        """Return the state at the start of a text: h = 0, y = 0."""
        zeros = tuple(np.zeros((batch, layer.units)) for layer in self.model.layers)
        return FloatState(zeros, zeros)

    def run(self, tokens: Integers, state: FloatState | None = None, *, readout: bool = True) -> FloatTrace:
        """Run over words (time, batch) from a state; logits are None without ``readout``."""
        state = self.initial_state(tokens.shape[1]) if state is None else state
        x: Floats = self.model.embedding[tokens]
        runs = []
        for l, layer in enumerate(self.model.layers):
            from_inputs = _product(x, self._kernels[l]) + layer.bias.astype(np.float64)
            runs.append(self._run_layer(l, from_inputs, state))
            x = runs[-1][2]
        hs, fires, ys, h, y = zip(*runs, strict=True)
        logits = _product(x, self._decoder) + self.model.readout.bias.astype(np.float64) if readout else None
        return FloatTrace(ys, fires, hs, logits, FloatState(h, y))

    def _run_layer(self, l: int, from_inputs: Floats, state: FloatState) -> tuple[Floats, ...]:
        """Run on the input's part of the sums; return h, fires, y of all steps, and h, y after."""
        layer, (steps, batch, _) = self.model.layers[l], from_inputs.shape
        h, y = state.h[l].copy(), state.y[l].copy()
        results = [np.empty((steps, batch, layer.units)) for _ in range(3)]
        constants = [layer.recurrent_bias.astype(np.float64), layer.threshold.astype(np.float64), self._recurrent[l]]
        scratch = [np.empty(3 * layer.units, np.float32), np.empty(layer.units, np.int64)]
        call(self._function, steps, batch, layer.units, *constants, from_inputs, h, y, *results, *scratch)
        return *results, h, y


def _product(x: Floats, weights: NDArray[np.float32]) -> Floats:
    """Return ``x @ weights`` of x (time, batch, sources); as one product, since many small ones are slow."""
    product = x.reshape(-1, x.shape[2]).astype(np.float32) @ weights
    return product.reshape(*x.shape[:2], -1)

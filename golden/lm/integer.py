"""The integer language model: the oracle's arithmetic at speed, over texts of any length.

A word-level model is a network of integers whose first layer reads words. Its embedding is folded into the first
layer's input weights: a word is a source, whose list has one entry for each unit and gate, and nothing is multiplied by
features. A row, embedding times input weights, has 8 or 16 bits, in one list for every ``weight_bits`` of them, most
significant first and each signed; a word is active with values that are powers of two. With weights of 8 bits::

    rows of 8 bits     source t       value 2**k
    rows of 16 bits    source 2t      value 2**(k + 8)     high byte
                       source 2t + 1  value 2**k           low byte

``k`` is ``-input_exponent``, so that the real values are 256 and 1: rows have steps as the weights of any network, and
:mod:`golden.reference` runs it unchanged, on :meth:`IntegerModel.inputs`. Here compiled C walks only the rows of active
units; the results are the same to the last bit (``tests/golden/lm/test_integer.py``). No torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden import fixed
from golden.layers import FixedLayer, FixedNetwork, ModelError, accumulator_bits
from golden.lm.native import build, call
from golden.macs import fan_out
from golden.reference import Integers, Product, Readout, State, Trace

ROW_BITS = (8, 16)  #: of a folded embedding
DEFINITIONS = tuple(
    f"{name}={getattr(fixed, name)}"
    for name in ("SHIFT_GUARD", "PRE_BITS", "ADDEND_BITS", "STATE_FRACTION", "SEGMENT_BITS", "FRACTION_BITS")
)


class _Layer:
    """The recurrent part of one layer, run over many steps by ``layer.c``."""

    def __init__(self, layer: FixedLayer, y_bits: int) -> None:
        self._function = build("layer.c", DEFINITIONS).egru_integer
        self._units = layer.units
        y_max = (1 << y_bits) - 1
        largest = int(np.abs(layer.recurrent_kernel.astype(np.int64)).sum(axis=0).max()) * y_max
        self._formats = (int(largest >= 1 << 31), y_bits)
        tables = [np.concatenate([table.base, table.slope]) for table in (fixed.SIGMOID, fixed.TANH)]
        self._constants = [
            *(np.ascontiguousarray(array, np.int64) for array in (layer.shifts, *tables, layer.bias, layer.threshold)),
            np.ascontiguousarray(layer.recurrent_kernel),
        ]
        self._scratch = [np.empty((3, layer.units), np.int32), *(np.empty((n, layer.units), np.int64) for n in (3, 1))]

    def run(self, from_inputs: NDArray[np.int64], h: Integers, y: Integers) -> tuple[Integers, ...]:
        """Run on the input's part of the sums, int64 (time, batch, 3H); return h, fires, y of all steps, and h, y.

        h and y, int32 (batch, H), are the state before, and are not changed.

        Raises
        ------
        ValueError
            If the state is misshapen.
        """
        steps, batch, _ = from_inputs.shape
        if h.shape != (batch, self._units) or y.shape != h.shape:
            raise ValueError(f"a layer's state has shapes {h.shape} and {y.shape}; both must be {(batch, self._units)}")
        h, y = h.astype(np.int32), y.astype(np.int32)
        results = [np.empty((steps, batch, self._units), np.int32) for _ in range(3)]
        sizes = (steps, batch, self._units)
        inputs = np.ascontiguousarray(from_inputs)
        call(self._function, *sizes, *self._formats, *self._constants, inputs, h, y, *results, *self._scratch)
        return *results, h, y


class IntegerModel:
    """An integer language model with a folded embedding, ready to run.

    Parameters
    ----------
    network : FixedNetwork
        With a readout of one logit a word, and the inputs above.

    Raises
    ------
    ModelError
        If the network is none of these.
    """

    def __init__(self, network: FixedNetwork) -> None:
        self.network = network
        self.words = 0 if network.readout is None else network.readout.units
        self.lists = network.inputs // max(1, self.words)  #: of a word
        self.row_bits = self.lists * network.weight_bits
        known = sorted({1, *(bits // network.weight_bits for bits in ROW_BITS)})  # one list: weights as they are
        if network.readout is None or network.inputs % self.words or self.lists not in known:
            raise ModelError(
                f"a network of {network.inputs} inputs and {self.words} outputs is no language model with a folded "
                f"embedding, which has {' or '.join(map(str, known))} inputs for each output; make one with python -m "
                "golden.lm.convert"
            )
        top = self.row_bits - network.weight_bits - network.input_exponent
        if network.input_exponent > 0 or top > network.input_bits - 2:
            raise ModelError(
                f"values of words are from 2**{-network.input_exponent} to 2**{top}, which do not fit inputs of "
                f"{network.input_bits} bits; convert the model again"
            )
        self.values = np.int64(1) << (top - network.weight_bits * np.arange(self.lists))  #: of a word, int64 (lists,)
        self._rows = network.layers[0].kernel.reshape(self.words, self.lists, -1)
        y_max = (1 << network.y_bits) - 1
        self._products = [Product(layer.kernel, y_max) for layer in network.layers[1:]]
        self._layers = [_Layer(layer, network.y_bits) for layer in network.layers]
        self.logit_exponent = network.readout.sum_exponent
        self._readout = Readout(network.readout, network.y_bits)
        self._fan_out = fan_out(network)

    def initial_state(self, batch: int = 1) -> State:
        """Return the state at the start of a text: h = 0, y = 0."""
        zeros = tuple(np.zeros((batch, layer.units), np.int32) for layer in self.network.layers)
        return State(zeros, zeros)

    def inputs(self, tokens: Integers) -> NDArray[np.int64]:
        """Return the inputs, int64 (time, batch, I), that words (time, batch) are to the oracle."""
        inputs = np.zeros((*tokens.shape, self.words, self.lists), np.int64)
        np.put_along_axis(inputs, np.asarray(tokens)[..., None, None], self.values, axis=2)
        return inputs.reshape(*tokens.shape, -1)

    def run(self, tokens: Integers, state: State | None = None) -> Trace:
        """Run over words (time, batch) from a state, the initial one if left out; see :class:`golden.reference.Trace`.

        Memory is in proportion to ``time * batch``; a long text is run in pieces, each from the state after the one
        before.

        Raises
        ------
        ValueError
            If a word is not of the vocabulary, or the state is misshapen.
        """
        tokens = np.asarray(tokens)
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < self.words:
            raise ValueError(
                f"words are from {tokens.min()} to {tokens.max()}; they must be from 0 to {self.words - 1}"
            )
        state = self.initial_state(tokens.shape[1]) if state is None else state
        runs: list[tuple[Integers, ...]] = []
        from_inputs = np.tensordot(self.values, self._rows[tokens].astype(np.int64), axes=(0, 2))
        for l, layer in enumerate(self._layers):
            if l:
                y = runs[-1][2]
                from_inputs = self._products[l - 1](y.reshape(-1, y.shape[2])).reshape(*tokens.shape, -1)
            runs.append(layer.run(from_inputs, state.h[l], state.y[l]))
        hs, fires, ys, h, y_last = zip(*runs, strict=True)
        return Trace(ys, fires, hs, self._readout.run(ys[-1]), State(h, y_last))

    def macs(self, tokens: Integers, trace: Trace) -> NDArray[np.int64]:
        """Return the MACs of a run, int64 (time, batch, 2 + layers), as :mod:`golden.macs` counts them.

        Of the words' rows, of each layer's units without the readout, and of the readout.
        """
        rows = self._fan_out[0].forward.reshape(self.words, self.lists).sum(axis=1)[tokens]
        active = [(y != 0).astype(np.int64) for y in trace.y]
        units = [events @ lists.recurrent for events, lists in zip(active, self._fan_out[1:], strict=True)]
        forward = [events @ lists.forward for events, lists in zip(active, self._fan_out[1:], strict=True)]
        layers = [own + above for own, above in zip(units[:-1], forward[:-1], strict=True)]
        return np.stack([rows, *layers, units[-1], forward[-1]], axis=-1)

    @property
    def accumulator_bits(self) -> int:
        """Signed width that holds every sum, there being one word a step."""
        pieces = np.array_split(self._rows, max(1, self._rows.size >> 22))
        magnitudes = [np.tensordot(self.values, np.abs(piece.astype(np.int64)), axes=(0, 1)) for piece in pieces]
        return accumulator_bits(self.network, np.max([magnitude.max(axis=0) for magnitude in magnitudes], axis=0))

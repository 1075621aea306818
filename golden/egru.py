"""The event-based GRU in floating point: a layer, a stack of layers, and its ways of dropout.

One layer, one step; ``I`` inputs, ``H`` units, ``B`` sequences in a batch, ``T`` steps::

    a = x W + bx                     W: kernel            (I, 3H), columns z, r, g
    b = y R + br                     R: recurrent_kernel  (H, 3H), columns z, r, g
    z = sigmoid(a_z + b_z)
    r = sigmoid(a_r + b_r)
    g = tanh(a_g + r * b_g)          the reset gate comes after the recurrent product
    c = z * h + (1 - z) * g          z multiplies the old state
    o = 1 where c > thr, else 0      strict: c == thr is silent
    y = o * c                        the event's value: to R, to the next layer and to the readout
    h = c - o * thr                  (h, y) is the state carried on

Source: Subramoney et al., ICLR 2023, arXiv 2206.06178, in the form of the authors' code EvNN 0.2.0, which multiplies by
the reset gate after the recurrent product. Parameters of other frameworks are translated by :mod:`golden.convert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from golden.fake_quantize import LayerGrid, NetworkGrid, fake_quantize
from golden.layers import FloatLayer, FloatNetwork, FloatReadout, ModelError
from golden.surrogate import Fire

State = tuple[Tensor, Tensor]  #: h and y, each (B, H)

GATES = "zrg"  #: in the order of the kernels' columns
OPEN = 20.0  #: argument at which a sigmoid is 1 in float32


class LayerOutput(NamedTuple):
    """Events y, states h and fires o of every step, (T, B, H) or (B, T, H), and the state to go on from."""

    y: Tensor
    h: Tensor
    o: Tensor
    state: State


class NetworkOutput(NamedTuple):
    """Result of every step (logits, or y of the last layer without a readout), all layers, the state to go on from."""

    result: Tensor
    layers: list[LayerOutput]
    state: list[State]


def variational_dropout(x: Tensor, probability: float, training: bool, time_axis: int = 0) -> Tensor:
    """Drop features of (T, B, features), one mask for all steps of a sequence (Gal, Ghahramani, arXiv 1512.05287)."""
    if not training or probability == 0:
        return x
    mask = functional.dropout(torch.ones_like(x.narrow(time_axis, 0, 1)), probability)
    return x * mask


class EGRU(nn.Module):
    """A layer of event-based gated recurrent units.

    Parameters
    ----------
    inputs, units : int
        Width of an input, number of units.
    batch_first : bool
        Whether sequences are (B, T, I) rather than (T, B, I).
    threshold_mean : float
        Mean m, in (0, 1), of the Beta(3m / (1 - m), 3) from which the thresholds are drawn.
    train_threshold : bool
        Whether the thresholds are trained; they are clamped to [0, 1] at every call.
    dampening, support : float
        Height, and slope on either side, of the surrogate gradient.
    dropconnect : float
        Probability with which a recurrent weight is dropped during training, drawn once a call.
    gates : str
        Gates with weights, of "zrg". Without z a unit has a constant leak of its own, ``sigmoid`` of its biases alone
        (Dey and Salem, arXiv 1701.05923); without r the reset gate is open. The kernels have these gates' columns.
    hard_reset : bool
        A unit that fires goes on from ``h = 0`` instead of ``h = c - thr``.
    surrogate : str
        Shape of the surrogate gradient, of :data:`golden.surrogate.SURROGATES`.

    ``grid``, None at first, is on what grid the weights are used (:mod:`golden.fake_quantize`).
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        batch_first: bool = False,
        threshold_mean: float = 0.3,
        train_threshold: bool = True,
        dampening: float = 0.7,
        support: float = 1.0,
        dropconnect: float = 0.0,
        gates: str = GATES,
        hard_reset: bool = False,
        surrogate: str = "triangle",
    ) -> None:
        super().__init__()
        if not 0 < threshold_mean < 1:
            raise ValueError(f"threshold_mean is {threshold_mean}; it must be between 0 and 1, both excluded")
        self.batch_first, self.dropconnect = batch_first, dropconnect
        self.dampening, self.support, self.surrogate = dampening, support, surrogate
        self.gates, self.hard_reset = gates, hard_reset
        self.grid: LayerGrid | None = None
        self.kernel = nn.Parameter(nn.init.xavier_normal_(torch.empty(inputs, len(gates) * units)))
        self.recurrent_kernel = nn.Parameter(nn.init.xavier_normal_(torch.empty(units, len(gates) * units)))
        self.bias = nn.Parameter(torch.zeros(3 * units))
        self.recurrent_bias = nn.Parameter(torch.zeros(3 * units))
        beta = torch.distributions.Beta(3 * threshold_mean / (1 - threshold_mean), 3.0)
        self.threshold = nn.Parameter(beta.sample((units,)), requires_grad=train_threshold)

    @property
    def units(self) -> int:
        return self.recurrent_kernel.shape[0]

    def weights(self) -> tuple[Tensor, Tensor]:
        """Return kernel (I, 3H) and recurrent kernel (H, 3H) as they are used: on the grid, zeros for absent gates."""
        kernel, recurrent_kernel = (self._all_gates(weight) for weight in (self.kernel, self.recurrent_kernel))
        if self.grid is not None:
            kernel = fake_quantize(kernel, self.grid.kernel, self.grid.bits)
            recurrent_kernel = fake_quantize(recurrent_kernel, self.grid.recurrent_kernel, self.grid.bits)
        return kernel, recurrent_kernel

    def _all_gates(self, weight: Tensor) -> Tensor:
        if self.gates == GATES:
            return weight
        blocks = dict(zip(self.gates, weight.chunk(len(self.gates), dim=1), strict=True))
        nothing = weight.new_zeros(len(weight), self.units)
        return torch.cat([blocks.get(gate, nothing) for gate in GATES], dim=1)

    def biases(self) -> tuple[Tensor, Tensor]:
        """Return bias and recurrent bias (3H,) as they are used: an absent r is open."""
        if "r" in self.gates:
            return self.bias, self.recurrent_bias
        (z, r, g), (recurrent_z, _, recurrent_g) = self.bias.chunk(3), self.recurrent_bias.chunk(3)
        opened = torch.full_like(r, OPEN)
        return torch.cat([z, opened, g]), torch.cat([recurrent_z, torch.zeros_like(opened), recurrent_g])

    def to_float(self) -> FloatLayer:
        """Return the parameters as they are used, as arrays, in their precision.

        Raises
        ------
        ModelError
            If units reset hard, which no other form of the network can.
        """
        if self.hard_reset:
            raise ModelError("a unit's hard reset exists in training alone; train with the soft reset")
        arrays = [part.detach().cpu().numpy().copy() for part in (*self.weights(), *self.biases(), self.threshold)]
        arrays[-1] = arrays[-1].clip(0, 1)  # as the next call would
        return FloatLayer(*arrays)

    def forward(self, x: Tensor, state: State | None = None) -> LayerOutput:
        """Run over sequences (T, B, I), or (B, T, I) with ``batch_first``, from ``state`` or from zeros."""
        if self.batch_first:
            x = x.transpose(0, 1)
        with torch.no_grad():
            self.threshold.clamp_(0, 1)
        zeros = x.new_zeros(x.shape[1], self.units)
        h, y = (zeros, zeros) if state is None else state
        kernel, recurrent_kernel = self.weights()
        bias, recurrent_bias = self.biases()
        recurrent_kernel = functional.dropout(recurrent_kernel, self.dropconnect, self.training)

        ys, hs, os = [], [], []
        for a in x @ kernel + bias:  # a: (B, 3H)
            b = y @ recurrent_kernel + recurrent_bias  # (B, 3H)
            (a_z, a_r, a_g), (b_z, b_r, b_g) = a.chunk(3, dim=1), b.chunk(3, dim=1)  # each (B, H)
            z = torch.sigmoid(a_z + b_z)
            r = torch.sigmoid(a_r + b_r)
            g = torch.tanh(a_g + r * b_g)
            c = z * h + (1 - z) * g
            o = Fire.apply(c - self.threshold, self.dampening, self.support, self.surrogate)
            y = o * c
            h = c - o * (c if self.hard_reset else self.threshold)
            ys.append(y)
            hs.append(h)
            os.append(o)

        time_axis = 1 if self.batch_first else 0
        return LayerOutput(torch.stack(ys, time_axis), torch.stack(hs, time_axis), torch.stack(os, time_axis), (h, y))


class WordEmbedding(nn.Module):
    """Rows of a (vocabulary, features) matrix, U(-0.1, 0.1); word dropout drops all occurrences of a word in a call."""

    def __init__(self, vocabulary: int, features: int, word_dropout: float = 0.0) -> None:
        super().__init__()
        self.word_dropout = word_dropout
        self.weight = nn.Parameter(nn.init.uniform_(torch.empty(vocabulary, features), -0.1, 0.1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., features) of integer tokens (...)."""
        keep = functional.dropout(self.weight.new_ones(len(self.weight), 1), self.word_dropout, self.training)
        return functional.embedding(tokens, self.weight * keep)


class EGRUNetwork(nn.Module):
    """A chain of EGRU layers, optionally with a word embedding before and a linear readout after it.

    Parameters
    ----------
    inputs : int
        Width of an input, or of the embedding.
    units : sequence of int
        Units of each layer.
    outputs : int, optional
        Logits of the readout; none without it.
    vocabulary : int, optional
        Number of words: inputs are then integer tokens (T, B), embedded in ``inputs`` features.
    dropout : float
        Variational dropout before every layer and the readout, except of raw inputs.
    word_dropout : float
        Probability with which a word of the vocabulary is dropped.
    layer_options
        Options of every :class:`EGRU`.
    """

    def __init__(
        self,
        inputs: int,
        units: Sequence[int],
        outputs: int | None = None,
        *,
        vocabulary: int | None = None,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        batch_first: bool = False,
        **layer_options: Any,
    ) -> None:
        super().__init__()
        self.dropout, self.time_axis = dropout, int(batch_first)
        self.embedding = None if vocabulary is None else WordEmbedding(vocabulary, inputs, word_dropout)
        widths = (inputs, *units)
        self.layers = nn.ModuleList(
            EGRU(before, after, batch_first=batch_first, **layer_options)
            for before, after in zip(widths, units, strict=False)
        )
        self.readout = None if outputs is None else nn.Linear(widths[-1], outputs)
        self.grid: NetworkGrid | None = None
        if self.readout is not None:
            nn.init.zeros_(self.readout.bias)

    def forward(self, x: Tensor, state: Sequence[State] | None = None) -> NetworkOutput:
        """Run over sequences (T, B, I) or tokens (T, B), batch first if so built, from ``state`` or from zeros."""
        if self.embedding is not None:
            x = self._drop(self.embedding(x))
        layers: list[LayerOutput] = []
        for index, layer in enumerate(self.layers):
            layers.append(layer(x, None if state is None else state[index]))
            x = self._drop(layers[-1].y)
        if self.readout is not None:
            x = functional.linear(x, self._readout_weight(), self.readout.bias)
        return NetworkOutput(x, layers, [output.state for output in layers])

    def set_grid(self, grid: NetworkGrid | None) -> None:
        """Use all weights on these grids, or, with None, as they are."""
        self.grid = grid
        layers: Any = self.layers
        for l, layer in enumerate(layers):
            layer.grid = None if grid is None else LayerGrid(*grid.layers[l])

    def _readout_weight(self) -> Tensor:
        assert self.readout is not None
        if self.grid is None:
            return self.readout.weight
        return fake_quantize(self.readout.weight, self.grid.readout, self.grid.bits)

    def _drop(self, x: Tensor) -> Tensor:
        return variational_dropout(x, self.dropout, self.training, self.time_axis)

    def to_float(self) -> FloatNetwork:
        """Return the layers and the readout as arrays, in the parameters' precision."""
        layers: Any = self.layers
        readout = None
        if self.readout is not None:
            weight, bias = self._readout_weight().detach().numpy(), self.readout.bias.detach().numpy()
            readout = FloatReadout(kernel=weight.T.copy(), bias=bias.copy())
        return FloatNetwork(tuple(layer.to_float() for layer in layers), readout)

    @classmethod
    def from_float(cls, network: FloatNetwork, **options: Any) -> EGRUNetwork:
        """Build a model with the parameters of ``network``, in their precision; ``options`` as for the constructor."""
        outputs = None if network.readout is None else network.readout.units
        model = cls(network.inputs, [layer.units for layer in network.layers], outputs, **options)
        for module, layer in zip(model.layers, network.layers, strict=True):
            for name, parameter in module.named_parameters():
                parameter.data = torch.as_tensor(getattr(layer, name)).clone()
        if model.readout is not None and network.readout is not None:
            model.readout.weight.data = torch.as_tensor(network.readout.kernel).T.clone()
            model.readout.bias.data = torch.as_tensor(network.readout.bias).clone()
        return model

"""A language model of words or characters: embedding, recurrent layers, decoder, with the dropouts of AWD-LSTM.

Shapes: ``T`` steps, ``B`` runs of text, ``V`` words::

    tokens (T, B) -> embedding -> dropout -> layer -> dropout -> ... -> layer -> dropout -> y (T, B, H) -> decoder

Source: Merity et al., arXiv 1708.02182 (dropouts, tied decoder), with EGRU layers as in EvNN 0.2.0, ``benchmarks/lm``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from golden.egru import EGRU, State, WordEmbedding, variational_dropout
from golden.fake_quantize import NetworkGrid, fake_quantize, folded_grids
from golden.layers import FloatReadout
from golden.lm.gru import GRU
from golden.lm.loss import CrossEntropy
from golden.lm.lstm import LSTM
from golden.lm.program import CHUNK
from golden.lm.recurrence import Recurrence, StackOutput, padded
from golden.lm.settings import HEADS, Settings
from golden.lm.transformer import Block
from golden.quantize import mean_squares, readout_exponent

UNREACHABLE = -1e4  #: logit of a padded word
Y_BITS = 8  #: of the integer y for which formats of quantised weights are chosen


class ModelOutput(NamedTuple):
    """What the decoder reads (T, B, H or more); then as :class:`golden.lm.recurrence.StackOutput`."""

    y: Tensor
    outputs: list[Tensor]
    fires: list[Tensor]
    state: list[State]


class OneHot(nn.Module):
    """The identity in the place of an embedding: a character is an input of its own, 1 where it comes, else 0."""

    def __init__(self, characters: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.register_buffer("weight", torch.eye(characters), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., characters) of integer tokens (...); dropout drops all occurrences of a character in a call."""
        weight: Any = self.weight
        keep = functional.dropout(weight.new_ones(len(weight), 1), self.dropout, self.training)
        return functional.embedding(tokens, weight * keep)


class Decoder(nn.Module):
    """Logits of words; ``weight`` (V, H) is left out where it is the embedding's."""

    def __init__(self, words: int, units: int, tied: bool) -> None:
        super().__init__()
        bound = units**-0.5
        self.weight = None if tied else nn.Parameter(nn.init.uniform_(torch.empty(words, units), -bound, bound))
        self.bias = nn.Parameter(torch.zeros(words))


class LanguageModel(nn.Module):
    """An embedding, layers of EGRUs, GRUs, LSTMs or a transformer, and a decoder, of the given shape.

    With ``grid`` chosen the decoder's weights are used on it, as the layers' are on theirs.

    Parameters
    ----------
    words : int
        Size of the vocabulary.
    settings : Settings
        Shape, dropouts and options of the layers.
    """

    def __init__(self, words: int, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.embedding: Any
        if settings.characters:
            self.embedding = OneHot(words, settings.dropout_word)
        else:
            self.embedding = WordEmbedding(words, settings.embedding, settings.dropout_word)
        widths = (self.embedding.weight.shape[1], *settings.layers)
        self.layers: Any = nn.ModuleList(self._layer(*pair) for pair in zip(widths, settings.layers, strict=False))
        self.readout = Decoder(words, settings.readout_width, settings.tied)
        self.grid: NetworkGrid | None = None
        self.choose("plain", torch.float32)

    def _layer(self, inputs: int, units: int) -> nn.Module:
        s = self.settings
        if s.cell == "gru":
            return GRU(inputs, units, dropconnect=s.dropconnect)
        if s.cell == "lstm":
            return LSTM(inputs, units, dropconnect=s.dropconnect, threshold=s.output_threshold)
        if s.cell == "transformer":
            return Block(s.embedding, units, heads=HEADS, threshold=s.output_threshold)
        return EGRU(
            inputs, units, threshold_mean=s.threshold_mean, train_threshold=s.train_threshold,
            dampening=s.dampening, support=s.support, dropconnect=s.dropconnect, gates=s.gates,
            hard_reset=s.hard_reset, surrogate=s.surrogate,
        )  # fmt: skip

    def choose(self, steps: str, dtype: torch.dtype, chunk: int = CHUNK) -> None:
        """Choose who computes the steps of EGRUs (:data:`golden.lm.steps.STEPS`), with what factors of products.

        Plain steps, and layers of other kinds, are float32; the decoder's products are not.
        """
        s = self.settings
        self.padded = s.cell == "egru" and steps != "plain"
        self.dtype = dtype if self.padded else torch.float32
        self.decoder_dtype = dtype
        self.recur: Callable[[Tensor, Sequence[State] | None], StackOutput]
        self.recur = Recurrence(self.layers, steps, dtype, s.dropout_layer, chunk) if self.padded else self._plain

    def _plain(self, x: Tensor, state: Sequence[State] | None) -> StackOutput:
        """Run the layers one after the other, each as its module defines it."""
        outputs, fires, states = [], [], []
        if self.settings.cell == "transformer":
            return self._transform(x)
        for l, layer in enumerate(self.layers):
            if l:
                x = variational_dropout(x, self.settings.dropout_layer, self.training)
            before = None if state is None else state[l]
            if isinstance(layer, GRU | LSTM):
                x, fired, after = layer(x, before)
            else:
                x, _, o, after = layer(x, before)
                fired = o.sum((0, 1))
            outputs.append(x)
            fires.append(fired)
            states.append((after[0].detach(), after[1].detach()))
        return StackOutput(outputs, fires, states)

    def _transform(self, x: Tensor) -> StackOutput:
        """Run the blocks of a transformer, which sees no further back than its window; outputs are their sources'."""
        outputs, fires = [], []
        for layer in self.layers:
            x, sources = layer(variational_dropout(x, self.settings.dropout_layer, self.training))
            outputs.append(sources.detach())
            fires.append((sources != 0).sum((0, 1), dtype=x.dtype))
        return StackOutput([*outputs, x], fires, [])

    def forward(self, tokens: Tensor, state: Sequence[State] | None = None) -> ModelOutput:
        """Run over tokens (T, B) from ``state``, or from zeros."""
        s = self.settings
        x = self.embedding(tokens).to(self.dtype)
        if self.padded:
            x = functional.pad(x, (0, padded(x.shape[2], x.device) - x.shape[2]))
        x = variational_dropout(x, s.dropout_embedding, self.training)
        output = self.recur(x, state)
        y = variational_dropout(output.outputs[-1], s.dropout_output, self.training)
        return ModelOutput(y, *output)

    def decoder_weight(self) -> Tensor:
        """Return (V, H) as it is used."""
        weight = self.embedding.weight if self.readout.weight is None else self.readout.weight
        return weight if self.grid is None else fake_quantize(weight, self.grid.readout, self.grid.bits)

    @torch.no_grad()
    def choose_grid(self, tokens: Tensor) -> None:
        """Choose the formats of quantised weights, as :mod:`golden.quantize` would, from a run over tokens (T, B)."""
        bits = self.settings.quantise_weights
        self.set_grid(None)
        self.eval()
        outputs = self(tokens).outputs
        powers = [
            mean_squares(y[..., : layer.units].float().cpu().numpy())
            for y, layer in zip(outputs, self.layers, strict=True)
        ]
        grids = folded_grids([layer.to_float() for layer in self.layers], powers, bits, Y_BITS)
        readout = FloatReadout(self.decoder_weight().t().cpu().numpy(), self.readout.bias.cpu().numpy())
        exponent = readout_exponent(readout, powers[-1][: readout.kernel.shape[0]], bits, Y_BITS)
        self.set_grid(NetworkGrid(grids, (exponent + Y_BITS,), bits))

    def set_grid(self, grid: NetworkGrid | None) -> None:
        """Use weights on these grids, or, with None, as they are."""
        self.grid = grid
        if self.settings.cell == "egru":
            for l, layer in enumerate(self.layers):
                layer.grid = None if grid is None else grid.layers[l]

    @torch.no_grad()
    def used_state(self) -> dict[str, Tensor]:
        """Return the state dict with weights as they are used: on their grids, if they have any.

        A tied decoder's remain the embedding's, which are real.
        """
        state = self.state_dict()
        if self.grid is not None:
            for l, layer in enumerate(self.layers):
                state[f"layers.{l}.kernel"], state[f"layers.{l}.recurrent_kernel"] = layer.weights()
            if self.readout.weight is not None:
                state["readout.weight"] = self.decoder_weight()
        return state

    def loss(self, y: Tensor, words: Tensor) -> Tensor:
        """Return the mean cross-entropy of the next words (T, B), for y (T, B, H or more) of :meth:`forward`."""
        weight, bias = self._decoder(y)
        return CrossEntropy.apply(y.flatten(0, 1).to(self.decoder_dtype), weight, bias, words.flatten())

    def logits(self, y: Tensor) -> Tensor:
        """Return (T, B, V) for y (T, B, H or more) of :meth:`forward`."""
        weight, bias = self._decoder(y)
        return functional.linear(y, weight, bias.to(y.dtype))[..., : len(self.readout.bias)]

    def _decoder(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight (V, H) and bias (V,), padded as y is; words that only pad cannot be."""
        weight = self.decoder_weight()
        more = padded(len(weight), y.device) - len(weight)
        padded_weight = functional.pad(weight, (0, y.shape[2] - weight.shape[1], 0, more))
        return padded_weight, functional.pad(self.readout.bias, (0, more), value=UNREACHABLE)

"""A word-level language model: embedding, recurrent layers, decoder, with the dropouts of AWD-LSTM.

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
from golden.lm.loss import CrossEntropy
from golden.lm.lstm import LSTM
from golden.lm.program import CHUNK
from golden.lm.recurrence import Recurrence, StackOutput, padded
from golden.lm.settings import Settings

UNREACHABLE = -1e4  #: logit of a padded word


class ModelOutput(NamedTuple):
    """What the decoder reads (T, B, H or more); then as :class:`golden.lm.recurrence.StackOutput`."""

    y: Tensor
    outputs: list[Tensor]
    fires: list[Tensor]
    state: list[State]


class Decoder(nn.Module):
    """Logits of words; ``weight`` (V, H) is left out where it is the embedding's."""

    def __init__(self, words: int, units: int, tied: bool) -> None:
        super().__init__()
        bound = units**-0.5
        self.weight = None if tied else nn.Parameter(nn.init.uniform_(torch.empty(words, units), -bound, bound))
        self.bias = nn.Parameter(torch.zeros(words))


class LanguageModel(nn.Module):
    """An embedding, layers of EGRUs or LSTMs, and a decoder, of the given shape.

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
        self.embedding = WordEmbedding(words, settings.embedding, settings.dropout_word)
        widths = (settings.embedding, *settings.layers)
        self.layers: Any = nn.ModuleList(self._layer(*pair) for pair in zip(widths, settings.layers, strict=False))
        self.readout = Decoder(words, widths[-1], settings.tied)
        self.choose("plain", torch.float32)

    def _layer(self, inputs: int, units: int) -> nn.Module:
        s = self.settings
        if s.cell == "lstm":
            return LSTM(inputs, units, dropconnect=s.dropconnect)
        return EGRU(
            inputs, units, threshold_mean=s.threshold_mean, train_threshold=s.train_threshold,
            dampening=s.dampening, support=s.support, dropconnect=s.dropconnect,
        )  # fmt: skip

    def choose(self, steps: str, dtype: torch.dtype, chunk: int = CHUNK) -> None:
        """Choose who computes the steps of EGRUs (:data:`golden.lm.steps.STEPS`), with what factors of products."""
        s = self.settings
        self.padded = s.cell == "egru" and steps != "plain"
        self.dtype = dtype if self.padded else torch.float32
        self.recur: Callable[[Tensor, Sequence[State] | None], StackOutput]
        self.recur = Recurrence(self.layers, steps, dtype, s.dropout_layer, chunk) if self.padded else self._plain

    def _plain(self, x: Tensor, state: Sequence[State] | None) -> StackOutput:
        """Run the layers one after the other, each as its module defines it."""
        outputs, fires, states = [], [], []
        for l, layer in enumerate(self.layers):
            if l:
                x = variational_dropout(x, self.settings.dropout_layer, self.training)
            before = None if state is None else state[l]
            if isinstance(layer, LSTM):
                x, fired, after = layer(x, before)
            else:
                x, _, o, after = layer(x, before)
                fired = o.sum((0, 1))
            outputs.append(x)
            fires.append(fired)
            states.append((after[0].detach(), after[1].detach()))
        return StackOutput(outputs, fires, states)

    def forward(self, tokens: Tensor, state: Sequence[State] | None = None) -> ModelOutput:
        """Run over tokens (T, B) from ``state``, or from zeros."""
        s = self.settings
        x = self.embedding(tokens).to(self.dtype)
        if self.padded:
            x = functional.pad(x, (0, padded(s.embedding, x.device) - s.embedding))
        x = variational_dropout(x, s.dropout_embedding, self.training)
        output = self.recur(x, state)
        y = variational_dropout(output.outputs[-1], s.dropout_output, self.training)
        return ModelOutput(y, *output)

    def loss(self, y: Tensor, words: Tensor) -> Tensor:
        """Return the mean cross-entropy of the next words (T, B), for y (T, B, H or more) of :meth:`forward`."""
        weight, bias = self._decoder(y)
        return CrossEntropy.apply(y.flatten(0, 1), weight, bias, words.flatten())

    def logits(self, y: Tensor) -> Tensor:
        """Return (T, B, V) for y (T, B, H or more) of :meth:`forward`."""
        weight, bias = self._decoder(y)
        return functional.linear(y, weight, bias.to(y.dtype))[..., : len(self.readout.bias)]

    def _decoder(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight (V, H) and bias (V,), padded as y is; words that only pad cannot be."""
        weight = self.embedding.weight if self.readout.weight is None else self.readout.weight
        more = padded(len(weight), y.device) - len(weight) if self.padded else 0
        padded_weight = functional.pad(weight, (0, y.shape[2] - weight.shape[1], 0, more))
        return padded_weight, functional.pad(self.readout.bias, (0, more), value=UNREACHABLE)

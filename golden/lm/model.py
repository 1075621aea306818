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
from golden.lm.recurrence import Recurrence, padded
from golden.lm.settings import Settings

UNREACHABLE = -1e4  #: logit of a padded word


class ModelOutput(NamedTuple):
    """The decoder's input (T, B, H or more), each layer's count of active steps a unit (H,), its outputs, the state."""

    y: Tensor
    fires: list[Tensor]
    outputs: list[Tensor]
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

    def choose(self, steps: str, dtype: torch.dtype) -> None:
        """Choose who computes the steps of EGRUs (:data:`golden.lm.recurrence.STEPS`), and in what products."""
        lstm = self.settings.cell == "lstm"
        self.dtype = torch.float32 if lstm else dtype
        self.padded = not lstm and steps != "plain"
        self.runs: Sequence[Callable[[Tensor, State | None], tuple[Tensor, Tensor, State]]] = [
            layer if isinstance(layer, LSTM) else Recurrence(layer, steps, self.dtype) for layer in self.layers
        ]

    def forward(self, tokens: Tensor, state: Sequence[State] | None = None) -> ModelOutput:
        """Run over tokens (T, B) from ``state``, or from zeros."""
        s = self.settings
        x = self.embedding(tokens).to(self.dtype)
        if self.padded:
            x = functional.pad(x, (0, padded(s.embedding, x.device) - s.embedding))
        fires, outputs, states = [], [], []
        drops = (s.dropout_embedding, *[s.dropout_layer] * (len(self.runs) - 1))
        for index, (run, drop) in enumerate(zip(self.runs, drops, strict=True)):
            x = variational_dropout(x, drop, self.training)
            x, fired, after = run(x, None if state is None else state[index])
            fires.append(fired)
            outputs.append(x)
            states.append((after[0].detach(), after[1].detach()))
        x = variational_dropout(x, s.dropout_output, self.training)
        return ModelOutput(x, fires, outputs, states)

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

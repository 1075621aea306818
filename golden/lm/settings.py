"""What decides the result of training a language model: settings, presets, and the plan of epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from golden.checkpoint import TrainingError
from golden.fit import EPOCHS_MAX
from golden.surrogate import SURROGATES

CELLS = ("egru", "gru", "lstm", "transformer")
PRESETS = ("small", "medium", "flagship", "characters")
HEADS = 4  #: of a transformer
CHARACTERS: dict[str, Any] = {
    "characters": True, "tied": False, "prune_readout": True, "epochs": 15, "bptt": 64, "learning_rate": 0.005,
    "cosine_from": 0.2, "weight_decay": 0.01, "dropout_word": 0.0, "dropout_embedding": 0.0, "dropout_layer": 0.0,
    "dropout_output": 0.0, "dropconnect": 0.0,
}  # fmt: skip
CHARACTER_EGRU: dict[str, Any] = {
    "train_threshold": True, "threshold_mean": 0.1, "dampening": 0.5, "support": 1.0, "activity_penalty": 0.02,
    "levels": (0.0, 0.66, 0.75, 0.8, 0.83, 0.85), "prune_from": 0.0, "prune_to": 0.4, "quantise_weights": 8,
    "quantise_from": 0.75,
}  # fmt: skip
CHARACTER_UNITS = {"egru": (448,), "gru": (156,), "lstm": (133,), "transformer": ()}  #: of the preset for characters
EGRU_ALONE = ("surrogate", "reset_gate", "update_gate", "hard_reset", "quantise_weights", "activity_penalty",
              "activity_penalty_last", "train_threshold")  # fmt: skip


def _setting(default: Any, help: str, low: float = 0, high: float = 1) -> Any:
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the result of a run, except the corpus, the device and its precision.

    ``layers`` counts units; the first layer reads the embedding, and with ``tied`` the last one has as many units as
    the embedding has features. Shares of epochs place the phases: the learning rate is constant up to ``cosine_from``
    and falls to 0 along a cosine; the sparsity rises from ``prune_from`` to ``prune_to`` along ``1 - (1 - k)**3``.
    With ``levels`` it rises in these steps instead, at equal distances. Layers of a transformer all are as wide as the
    embedding; ``layers`` counts the hidden units of each.
    """

    cell: str = _setting("egru", "kind of layer: egru, gru, lstm or transformer")
    characters: bool = _setting(False, "read characters, each an input of the first layer, instead of words")
    embedding: int = _setting(256, "features of a word", 1, 65536)
    layers: tuple[int, ...] = _setting((512, 256), "units of each layer", 1, 65536)
    tied: bool = _setting(True, "decode with the embedding's matrix")
    decoded: int = _setting(0, "units of the last layer that the decoder reads; 0 is all", 0, 65536)
    epochs: int = _setting(40, "passes over the training text", 1, EPOCHS_MAX)
    batch: int = _setting(32, "runs of text read side by side", 1, 65536)
    bptt: int = _setting(35, "steps of a window", 1, 10_000)
    vary_bptt: bool = _setting(False, "draw the length of every window around bptt; its learning rate is in proportion")
    learning_rate: float = _setting(0.002, "of AdamW")
    momentum: float = _setting(0.0, "first beta of AdamW", 0, 0.999)
    warmup: int = _setting(0, "steps in which the learning rate rises from 0", 0, 1_000_000)
    cosine_from: float = _setting(0.3, "share of epochs from which the learning rate falls to 0 along a cosine")
    clip: float = _setting(0.25, "norm to which gradients are scaled down", 0, 1000)
    weight_decay: float = _setting(0.02, "of AdamW, on all but thresholds", 0, 100)
    dropout_word: float = _setting(0.05, "probability that a word of the vocabulary is dropped in a window", 0, 0.99)
    dropout_embedding: float = _setting(0.2, "probability that a feature of the embedding is dropped", 0, 0.99)
    dropout_layer: float = _setting(0.2, "probability that a unit is dropped, between layers", 0, 0.99)
    dropout_output: float = _setting(0.35, "probability that a unit is dropped, before the decoder", 0, 0.99)
    dropconnect: float = _setting(0.3, "probability that a recurrent weight is dropped in a window", 0, 0.99)
    activity_penalty: float = _setting(0.0, "added to the loss: this times the share of units that fire", 0, 100)
    activity_penalty_last: float = _setting(0.0, "the same for the units of the last layer alone", 0, 100)
    output_penalty: float = _setting(0.0, "added to the loss: this times the mean square of the last outputs", 0, 100)
    slowness_penalty: float = _setting(0.0, "added to the loss: this times the mean square of their changes", 0, 100)
    threshold_mean: float = _setting(0.01, "mean of the thresholds at the start", 0.001, 0.999)
    train_threshold: bool = _setting(False, "train the thresholds")
    dampening: float = _setting(3.6, "height of the surrogate gradient", 0, 100)
    support: float = _setting(3.6, "slope of the surrogate gradient", 0, 100)
    surrogate: str = _setting("triangle", f"shape of the surrogate gradient: {', '.join(SURROGATES)}")
    reset_gate: bool = _setting(True, "have a reset gate; it is open otherwise")
    update_gate: bool = _setting(True, "have an update gate; a unit has a constant leak otherwise")
    hard_reset: bool = _setting(False, "let a unit that fires go on from 0 instead of what is above its threshold")
    output_threshold: float = _setting(0.0, "values up to this magnitude are 0, of an LSTM or a transformer", 0, 100)
    sparsity: float = _setting(0.0, "share of weights pruned at the end", 0, 0.999)
    levels: tuple[float, ...] = _setting((), "sparsities to go through one after the other", 0, 0.999)
    prune_from: float = _setting(0.05, "share of epochs at which pruning starts")
    prune_to: float = _setting(0.6, "share of epochs at which the last weight is pruned")
    prune_readout: bool = _setting(False, "prune the decoder too, if it is not tied")
    banks: int = _setting(0, "leave each source as many weights in each of this many lanes; 0: wherever", 0, 4096)
    quantise_weights: int = _setting(0, "train with weights of 8 or 4 bits; 0: real ones", 0, 8)
    quantise_from: float = _setting(0.6, "share of epochs from which weights are quantised")
    seed: int = _setting(0, "of everything random", 0, 1 << 31)

    def __post_init__(self) -> None:
        for item in fields(self):
            values = getattr(self, item.name)
            for value in values if isinstance(values, tuple) else (values,):
                low, high = item.metadata["low"], item.metadata["high"]
                if not isinstance(value, str) and not low <= value <= high:
                    raise TrainingError(f"{item.name} is {value}; it must be from {low} to {high}")
        for name, known in (("cell", CELLS), ("surrogate", SURROGATES)):
            if getattr(self, name) not in known:
                raise TrainingError(f"{name} is {getattr(self, name)}; it must be one of {', '.join(known)}")
        if not self.layers:
            raise TrainingError("layers is empty; give the units of at least one layer")
        self._check_decoder()
        self._check_cell()
        if self.prune_from > self.prune_to:
            raise TrainingError(f"prune_from is {self.prune_from}; it must be at most prune_to, {self.prune_to}")
        if list(self.levels) != sorted(self.levels):
            raise TrainingError(f"levels are {self.levels}; they must rise")
        if self.quantise_weights not in (0, 4, 8):
            raise TrainingError(f"quantise_weights is {self.quantise_weights}; it must be 0, 4 or 8")

    def _check_decoder(self) -> None:
        units = self.output_width
        if self.characters and self.tied:
            raise TrainingError("characters have no embedding that a decoder could be tied to; choose --no-tied")
        if self.decoded > units:
            raise TrainingError(f"decoded is {self.decoded}; the last layer has {units} units, so lower it")
        if self.tied and self.readout_width != self.embedding:
            reads = "the decoder reads" if self.decoded else "the last layer has"
            raise TrainingError(
                f"{reads} {self.readout_width} units and the embedding {self.embedding} features; "
                "a tied decoder needs as many, so change one or choose --no-tied"
            )
        if self.prune_readout and self.tied:
            raise TrainingError("a tied decoder cannot be pruned, as embeddings stay dense; choose --no-tied")

    def _check_cell(self) -> None:
        """Refuse what layers of this kind do not have."""
        alone = () if self.cell == "egru" else EGRU_ALONE
        refused = {name: getattr(self, name) != self.__dataclass_fields__[name].default for name in alone}
        refused["output_threshold"] = self.cell in ("egru", "gru") and self.output_threshold > 0
        for name in (name for name, given in refused.items() if given):
            raise TrainingError(f"{name} is {getattr(self, name)}; a layer of kind {self.cell} has none, leave it out")
        if self.cell == "transformer" and self.characters:
            raise TrainingError("a transformer needs an embedding, which characters do not have; choose another cell")
        if self.cell == "transformer" and self.embedding % HEADS:
            raise TrainingError(f"embedding is {self.embedding}; a transformer needs a multiple of its {HEADS} heads")
        if self.quantise_weights and not (self.reset_gate and self.update_gate):
            raise TrainingError("weights are quantised in layers with all gates; leave out --quantise-weights")

    @property
    def gates(self) -> str:
        """Gates of an EGRU, in the order of its kernels' columns."""
        return "z" * self.update_gate + "r" * self.reset_gate + "g"

    @property
    def versatile(self) -> bool:
        """Whether only the steps of :data:`golden.lm.steps.VERSATILE` can do this."""
        return self.hard_reset or self.surrogate != "triangle"

    @property
    def output_width(self) -> int:
        """Units of the last layer."""
        return self.embedding if self.cell == "transformer" else self.layers[-1]

    @property
    def readout_width(self) -> int:
        """Units that the decoder reads."""
        return self.decoded or self.output_width

    def plan(self) -> list[tuple[float, float]]:
        """Return the sparsity and the learning rate of every epoch."""
        return [(self._sparsity(epoch), self._rate(epoch)) for epoch in range(self.epochs)]

    def _sparsity(self, epoch: int) -> float:
        first, last = (round(share * self.epochs) for share in (self.prune_from, self.prune_to))
        if epoch < first:
            return 0.0
        done = 1.0 if epoch >= last else (epoch + 1 - first) / (last + 1 - first)
        if self.levels:
            return self.levels[min(int(done * len(self.levels)), len(self.levels) - 1)]
        return self.sparsity * (1 - (1 - done) ** 3)

    def _rate(self, epoch: int) -> float:
        first = min(round(self.cosine_from * self.epochs), self.epochs - 1)
        return self.learning_rate * (1 + math.cos(math.pi * max(0, epoch - first) / (self.epochs - first))) / 2


def preset(name: str, corpus: str, cell: str) -> dict[str, Any]:
    """Return the settings of a preset, as far as they are not the defaults.

    ``small`` is for two processor cores, ``medium`` for many or a GPU. ``flagship`` is the network and the recipe of
    EvNN 0.2.0 (``benchmarks/lm``), behind Mukherji et al., arXiv 2311.07625; as an LSTM it is the shape of AWD-LSTM
    with its dropouts and penalties (Merity et al., arXiv 1708.02182), trained with AdamW. A transformer is a small one
    of a preset's embedding. ``characters`` is the recipe of ``models/ptb-char``, whose layer and readout fit on an
    ECP5-85F once pruned; the other cells are dense, with as many weights as it has left.
    """
    if name == "small":
        shape: dict[str, Any] = {} if cell in ("egru", "gru") else {"layers": (412, 256)}  # as many recurrent weights
    elif name == "characters":
        shape = CHARACTERS | {"layers": CHARACTER_UNITS[cell]} | (CHARACTER_EGRU if cell == "egru" else {})
    elif name == "medium":
        shape = {
            "embedding": 400, "layers": (800, 400), "epochs": 80, "bptt": 70, "batch": 64, "weight_decay": 0.05,
            "dropout_embedding": 0.4, "dropout_layer": 0.25, "dropout_output": 0.45, "dropconnect": 0.5,
        }  # fmt: skip
    else:
        wikitext = corpus == "wikitext-2"
        shape = {
            "embedding": 750, "layers": (1350, 1350, 750), "bptt": 70, "vary_bptt": True, "clip": 0.1,
            "epochs": 800 if wikitext else 1000, "cosine_from": 0.5 if wikitext else 0.7,
            "batch": 128 if wikitext else 64, "learning_rate": 1e-3 if wikitext else 1.2e-3,
            "weight_decay": 0.12 if wikitext else 0.10, "dropout_word": 0.1,
            "dropout_embedding": 0.7 if wikitext else 0.6,
            "dropout_layer": 0.25, "dropout_output": 0.5, "dropconnect": 0.7,
        }  # fmt: skip
        if cell == "lstm":
            shape |= {
                "embedding": 400, "layers": (1150, 1150, 400), "clip": 0.25, "learning_rate": 1e-3,
                "weight_decay": 0.05, "dropout_embedding": 0.4, "dropout_output": 0.4, "dropconnect": 0.5,
                "output_penalty": 2.0, "slowness_penalty": 1.0,
            }  # fmt: skip
    if cell == "transformer":
        width = -(-shape.get("embedding", 256) // HEADS) * HEADS
        shape |= {"embedding": width, "layers": (2 * width,) * 2}
    return {"cell": cell, **shape}

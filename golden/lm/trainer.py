"""Train a language model, one epoch at a time; prune it on the way; resumable at every epoch.

The loss of a window is the cross-entropy of the next words, plus the penalties. The state (h, y) goes on from window to
window, in training and evaluation, and starts from zeros at the first window of a text.

Everything random in an epoch is seeded by (seed, epoch), so an epoch depends on nothing but the checkpoint before it:
on the same machine, versions and number of threads a resumed run is an unbroken one, to the last bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from golden import checkpoint
from golden.checkpoint import TrainingError
from golden.fake_quantize import NetworkGrid, refreshed
from golden.fit import EPOCHS_MAX, Record
from golden.lm import distributed
from golden.lm.corpus import Corpus, columns
from golden.lm.measure import measure
from golden.lm.model import LanguageModel, ModelOutput
from golden.lm.settings import Settings
from golden.prune import Masks, apply_masks, magnitude_masks, prunable, sparsity_of

SPREAD = 5  #: standard deviation of a varied window's length
GRID = 10  #: varied lengths are multiples of this, so that few graphs are captured
CALIBRATION = 4  #: windows of the validation text, the same in all processes, by which formats of weights are chosen
MEASURE_BATCH = 64  #: runs into which a text is cut to validate
TEST_WINDOW = 140  #: steps at least of a window of the test, whose one run makes small products


def windows(steps: int, settings: Settings, epoch: int) -> list[int]:
    """Return the lengths of an epoch's windows: ``bptt``, or drawn around it as in AWD-LSTM, on a grid.

    One in twenty is drawn around half of it (Merity et al., arXiv 1708.02182).
    """
    generator = np.random.default_rng((settings.seed, epoch))
    lengths: list[int] = []
    rest = steps
    while rest > 0:
        length = settings.bptt
        if settings.vary_bptt:
            mean = settings.bptt if generator.random() < 0.95 else settings.bptt / 2
            length = max(1, round(generator.normal(mean, SPREAD) / GRID)) * GRID
        lengths.append(min(length, rest))
        rest -= length
    return lengths


class DivergedError(TrainingError):
    """A loss became nan or infinite."""


class Trainer:
    """A run of training.

    Parameters
    ----------
    settings : Settings
    corpus : Corpus
    device : torch.device
    steps : str
        One of :data:`golden.lm.steps.STEPS`.
    dtype : torch.dtype
        Of products in training and validation; the test is measured in float32.
    init : dict, optional
        Weights to start from, by name.
    """

    def __init__(
        self,
        settings: Settings,
        corpus: Corpus,
        device: torch.device,
        steps: str,
        dtype: torch.dtype = torch.float32,
        init: dict[str, Tensor] | None = None,
    ) -> None:
        if settings.batch % distributed.world():
            raise TrainingError(f"batch is {settings.batch}; it must be a multiple of {distributed.world()} processes")
        torch.manual_seed(settings.seed)
        self.settings, self.corpus, self.device = settings, corpus, device
        self.steps, self.dtype = steps, dtype
        self.plan = settings.plan()
        self.model = LanguageModel(len(corpus.words), settings)
        if init is not None:
            self._start_from(init)
        self.model.to(device)
        self.model.choose(steps, dtype)
        self.weights = prunable(self.model, readout=settings.prune_readout)
        named = dict(self.model.named_parameters())
        thresholds = [parameter for name, parameter in named.items() if name.endswith("threshold")]
        others = [parameter for name, parameter in named.items() if not name.endswith("threshold")]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": thresholds, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups,
            betas=(settings.momentum, 0.999), weight_decay=settings.weight_decay, fused=True,
        )  # fmt: skip
        self.masks: Masks = {}
        if init is not None and sparsity_of(self.weights) > 0:
            self.masks = {name: weight.detach() != 0 for name, weight in self.weights.items()}
        self.history: list[Record] = []
        self.pieces: list[Record] = []  #: how each stretch between stops was run, for the log
        self.step_count = 0
        self.texts = {
            split: self._columns(split, min(MEASURE_BATCH, len(getattr(corpus, split)))) for split in ("valid", "test")
        }
        self.train_text = self._columns("train", settings.batch, share=True)

    def _columns(self, split: str, batch: int, *, share: bool = False) -> tuple[Tensor, Tensor]:
        """Return inputs and targets (steps, batch); of a shared text, this process's runs."""
        text = getattr(self.corpus, split)
        cut = columns(text, batch, self.corpus.end)
        chosen = slice(distributed.rank(), None, distributed.world()) if share else slice(None)
        inputs, targets = (torch.from_numpy(part[:, chosen].copy()).to(self.device) for part in cut)
        return inputs, targets

    def _start_from(self, init: dict[str, Tensor]) -> None:
        want = {name: list(value.shape) for name, value in self.model.state_dict().items()}
        have = {name: list(value.shape) for name, value in init.items()}
        for name in (*want, *(name for name in have if name not in want)):
            if have.get(name) != want.get(name):
                raise TrainingError(
                    f"the weights to start from have {name} of shape {have.get(name)} instead of {want.get(name)}; "
                    "give the settings they were trained with"
                )
        self.model.load_state_dict(init)

    def epoch(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Record:
        """Prune, train on the whole text once, validate; return, and keep, the record.

        ``progress`` is called after every window with the steps done and the steps of the text.

        Raises
        ------
        DivergedError
            If a loss is not finite; the record is not kept.
        """
        settings, index, began = self.settings, len(self.history), time.perf_counter()
        sparsity, rate = self.plan[index]
        if sparsity > sparsity_of(self.weights):
            self.masks = magnitude_masks(self.weights, sparsity, settings.banks)
            apply_masks(self.weights, self.masks)
        first = round(settings.quantise_from * settings.epochs)
        if settings.quantise_weights and refreshed(index, first, settings.epochs):
            self.model.choose_grid(self.texts["valid"][0][: CALIBRATION * settings.bptt])
        torch.manual_seed((settings.seed * EPOCHS_MAX + index) * distributed.world() + distributed.rank())
        loss = self._train(index, rate, progress)
        seconds = time.perf_counter() - began
        record: Record = {
            "epoch": index, "learning_rate": rate, "sparsity": sparsity_of(self.weights),
            "loss": loss, "bits": loss / math.log(2), "perplexity": math.exp(min(loss, 700.0)),
            "seconds": round(seconds, 3),
        }  # fmt: skip
        achieved = measure(self.model, *self.texts["valid"], settings.bptt)
        if not math.isfinite(achieved["loss"]):  # the last window may have spoilt weights after its own loss
            raise DivergedError(f"the validation loss became {achieved['loss']} after epoch {index}")
        record |= {f"valid_{name}": value for name, value in achieved.items() if name != "sparsity"}
        self.history.append(record)
        return record

    def _train(self, index: int, rate: float, progress: Callable[[int, int], None]) -> float:
        """Return the mean loss over the windows of an epoch, weighted by their lengths."""
        inputs, targets = self.train_text
        state, done = None, 0
        lengths = windows(len(inputs), self.settings, index)
        losses = torch.zeros(len(lengths), device=self.device)
        self.model.train()
        for n, length in enumerate(lengths):
            for group in self.optimizer.param_groups:
                group["lr"] = rate * self._warm() * length / self.settings.bptt
            output = self.model(inputs[done : done + length], state)
            state = output.state
            loss = self.model.loss(output.y, targets[done : done + length])
            losses[n] = loss.detach()
            if self.device.type == "cpu":  # elsewhere a look at a result would wait for it
                self._check(losses[n : n + 1], index, n)
            (loss + self._penalty(output)).backward()
            self._update()
            done += length
            progress(done, len(inputs))
        distributed.average([losses])
        self._check(losses, index, 0)
        return float(losses.double() @ torch.tensor(lengths, device=self.device).double()) / len(inputs)

    def _check(self, losses: Tensor, index: int, first: int) -> None:
        """Raise DivergedError if one of the losses of an epoch's steps, from ``first`` on, is not finite."""
        for n, value in enumerate(losses.tolist(), first):
            if not math.isfinite(value):
                raise DivergedError(f"the loss became {value} in epoch {index}, step {n}")

    def _warm(self) -> float:
        return min(1.0, (self.step_count + 1) / (self.settings.warmup + 1))

    def _penalty(self, output: ModelOutput) -> Tensor | float:
        """Return the penalties of a window."""
        settings, last = self.settings, output.outputs[-1][..., : self.settings.output_width].float()
        penalty: Tensor | float = 0.0
        if settings.activity_penalty:
            units = sum(len(fires) for fires in output.fires)
            share = sum(fires.sum() for fires in output.fires) / (units * last.shape[0] * last.shape[1])
            penalty = penalty + settings.activity_penalty * share
        if settings.activity_penalty_last:
            share = output.fires[-1].sum() / (len(output.fires[-1]) * last.shape[0] * last.shape[1])
            penalty = penalty + settings.activity_penalty_last * share
        if settings.output_penalty:
            penalty = penalty + settings.output_penalty * last.square().mean()
        if settings.slowness_penalty and len(last) > 1:
            penalty = penalty + settings.slowness_penalty * last.diff(dim=0).square().mean()
        return penalty

    def _update(self) -> None:
        """Take a step of the optimizer along the gradients."""
        parameters = list(self.model.parameters())
        distributed.average(parameter.grad for parameter in parameters)
        torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        apply_masks(self.weights, self.masks)
        self.step_count += 1

    def test(self) -> Record:
        """Return what the model achieves on whole texts in float32: one run, every token predicted.

        A transformer, which sees no further back than its window, gets windows as in training; to others theirs make
        no difference.
        """
        window = self.settings.bptt
        window = window if self.settings.cell == "transformer" else max(window, TEST_WINDOW)
        self.model.choose(self.steps, torch.float32)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 has 10 bits
            result = {split: measure(self.model, *self._columns(split, 1), window) for split in ("valid", "test")}
        self.model.choose(self.steps, self.dtype)
        return result

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "masks": self.masks,
            "grid": None if self.model.grid is None else self.model.grid.plain(),
            "history": self.history,
            "pieces": self.pieces,
            "step_count": self.step_count,
        }
        checkpoint.save(path, self._made_with(), state)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        TrainingError
            If the file is damaged or was made with other settings.
        """
        state = checkpoint.load(path, self._made_with(), self.device)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.model.set_grid(NetworkGrid.of(state["grid"]))
        self.masks, self.history, self.step_count = state["masks"], state["history"], state["step_count"]
        self.pieces = state["pieces"]

    def _made_with(self) -> dict[str, Any]:
        return {"corpus": self.corpus.name, "text of checksum": self.corpus.checksum, **asdict(self.settings)}

"""Fit a classifier of sequences: train densely, prune in rounds, fine-tune; resumable at every epoch.

The loss is the cross-entropy of the logits after the last step, plus ``activity_penalty`` times the share of units that
fire (mean over units, steps and samples; differentiable through the surrogate gradient).

Everything random in an epoch comes from a generator seeded by (seed, epoch), and all arithmetic runs on one thread: an
epoch depends on nothing but the checkpoint before it, so a resumed run is an unbroken one, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from golden import checkpoint
from golden.checkpoint import TrainingError
from golden.data import Dataset, Samples
from golden.egru import EGRUNetwork
from golden.fake_quantize import NetworkGrid, network_grid, refreshed
from golden.prune import Masks, apply_masks, magnitude_masks, prunable, sparsities, sparsity_of
from golden.quantize import quantize

Record = dict[str, Any]  #: one line of the log

EPOCHS_MAX = 100_000
GRADIENT_NORM = 1.0  #: gradients are scaled down to this norm
DAMPENING, SUPPORT = 1.0, 2.0  #: of the surrogate gradient: a triangle of height 1 and half width 1/2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the result of a run.

    Epochs are spent on one dense phase (a quarter), ``rounds`` rounds of pruning and fine-tuning (a fifth), and
    fine-tuning at the final sparsity (the rest), in which the learning rate falls to 0 along a cosine.

    Parameters
    ----------
    sparsity : float
        Share of zeros, in [0, 1), among the weights of kernels, recurrent kernels and readout together.
    shift : int
        Each sample is moved by up to this many steps and channels, at random, whenever it is trained on.
    noise : float
        Standard deviation of the normal noise then added to it, as a share of the largest input.
    banks : int
        Leave each source as many weights in each of this many lanes (:mod:`golden.banks`); 0 leaves them wherever.
    quantise_weights : int
        Use weights of so many bits in the last phase (:mod:`golden.fake_quantize`); 0 uses real ones.
    """

    units: int = 128
    epochs: int = 300
    batch: int = 64
    learning_rate: float = 0.006
    weight_decay: float = 0.01
    activity_penalty: float = 0.6
    threshold_mean: float = 0.02
    sparsity: float = 0.85
    rounds: int = 10
    shift: int = 1
    noise: float = 0.1
    label_smoothing: float = 0.1
    banks: int = 0
    quantise_weights: int = 0
    weight_bits: int = 8
    y_bits: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("units", 1, 4096), ("epochs", 1, EPOCHS_MAX), ("batch", 1, 1 << 16), ("learning_rate", 0, 1),
            ("weight_decay", 0, 100), ("activity_penalty", 0, 100), ("threshold_mean", 0.001, 0.999),
            ("sparsity", 0, 0.999), ("rounds", 1, 1000), ("shift", 0, 64), ("noise", 0, 100),
            ("label_smoothing", 0, 0.9), ("banks", 0, 4096), ("y_bits", 8, 16), ("seed", 0, 1 << 31),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise TrainingError(f"{name} is {value}; it must be from {low} to {high}")
        if self.weight_bits not in (4, 8):
            raise TrainingError(f"weight_bits is {self.weight_bits}; it must be 4 or 8")
        if self.quantise_weights not in (0, self.weight_bits):
            raise TrainingError(
                f"quantise_weights is {self.quantise_weights}; it must be 0 or weight_bits, {self.weight_bits}"
            )

    def _phases(self) -> tuple[int, int]:
        """Return the epochs of the dense phase and of each round of pruning."""
        return self.epochs // 4, max(1, self.epochs // (5 * self.rounds))

    @property
    def last_phase(self) -> int:
        """First epoch of the last phase."""
        dense, each = self._phases()
        return dense + self.rounds * each

    def plan(self) -> list[tuple[float, float]]:
        """Return the sparsity and the learning rate of every epoch.

        Raises
        ------
        TrainingError
            If the epochs are too few for the rounds.
        """
        dense, each = self._phases()
        final = self.epochs - self.last_phase
        if final < 1:
            raise TrainingError(
                f"{self.epochs} epochs are too few for {self.rounds} rounds of pruning; "
                "give more epochs or fewer rounds"
            )
        pruning = [sparsity for sparsity in sparsities(self.sparsity, self.rounds) for _ in range(each)]
        cosine = [self.learning_rate * (1 + math.cos(math.pi * k / final)) / 2 for k in range(final)]
        rates = [self.learning_rate] * (dense + len(pruning)) + cosine
        return list(zip([0.0] * dense + pruning + [self.sparsity] * final, rates, strict=True))


def shifted(x: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Return (batch, steps, channels) with each sample moved by up to ``limit`` in both directions, zeros moving in."""
    batch, steps, channels = x.shape
    offsets = torch.randint(2 * limit + 1, (2, batch, 1), generator=generator)
    rows, columns = offsets[0] + torch.arange(steps), offsets[1] + torch.arange(channels)  # (batch, steps or channels)
    padded = functional.pad(x, (limit, limit, limit, limit))
    return padded[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]


@torch.no_grad()
def measure(model: EGRUNetwork, samples: Samples) -> dict[str, float]:
    """Return cross-entropy and accuracy after the last step, and activity: the share of units that fire."""
    output = model.eval()(torch.from_numpy(samples.inputs))
    logits, labels = output.result[:, -1], torch.from_numpy(samples.labels)
    return {
        "cross_entropy": functional.cross_entropy(logits, labels).item(),
        "accuracy": (logits.argmax(dim=1) == labels).float().mean().item(),
        "activity": output.layers[0].o.mean().item(),
    }


class Run:
    """A run of training, one epoch at a time.

    Parameters
    ----------
    settings : Settings
    dataset : Dataset
        Real inputs (samples, steps, channels), labels from 0 on.
    """

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(settings.seed)
        self.settings, self.dataset, self.plan = settings, dataset, settings.plan()
        self.noise = settings.noise * float(np.abs(dataset.train.inputs).max(initial=0))
        self.model = EGRUNetwork(
            dataset.train.inputs.shape[2],
            [settings.units],
            int(dataset.train.labels.max()) + 1,
            batch_first=True,
            threshold_mean=settings.threshold_mean,
            dampening=DAMPENING,
            support=SUPPORT,
        )
        self.weights = prunable(self.model)
        others = [parameter for name, parameter in self.model.named_parameters() if name not in self.weights]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(self.weights.values()), "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ]
        )
        self.masks: Masks = {}
        self.history: list[Record] = []

    def epoch(self) -> Record:
        """Prune if this epoch starts a round, train on every sample once, validate; return, and keep, the record."""
        index = len(self.history)
        sparsity, rate = self.plan[index]
        if sparsity > (self.plan[index - 1][0] if index else 0.0):
            self.masks = magnitude_masks(self.weights, sparsity, self.settings.banks)
            apply_masks(self.weights, self.masks)
        if self.settings.quantise_weights and refreshed(index, self.settings.last_phase, self.settings.epochs):
            self._choose_grid()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        generator = torch.Generator().manual_seed(self.settings.seed * EPOCHS_MAX + index)
        order = torch.randperm(len(self.dataset.train), generator=generator)
        losses = [self._step(batch, generator) for batch in order.split(self.settings.batch)]
        record = {"epoch": index, "sparsity": sparsity_of(self.weights), "learning_rate": rate}
        record["loss"] = sum(losses) / len(losses)
        record |= {f"validation_{name}": value for name, value in measure(self.model, self.dataset.validation).items()}
        self.history.append(record)
        return record

    def _choose_grid(self) -> None:
        """Choose the formats of quantised weights as the integer form of the network as it is would have them."""
        settings, inputs = self.settings, self.dataset.train.inputs.swapaxes(0, 1)
        self.model.set_grid(None)
        fixed = quantize(self.model.to_float(), inputs, weight_bits=settings.weight_bits, y_bits=settings.y_bits)
        self.model.set_grid(network_grid(fixed))

    def _step(self, batch: Tensor, generator: torch.Generator) -> float:
        """Take one step of the optimizer on the samples of the given indices; return the loss."""
        x = shifted(torch.from_numpy(self.dataset.train.inputs)[batch], self.settings.shift, generator)
        x += self.noise * torch.randn(x.shape, generator=generator)
        output = self.model.train()(x)
        labels, smoothing = torch.from_numpy(self.dataset.train.labels)[batch], self.settings.label_smoothing
        loss = functional.cross_entropy(output.result[:, -1], labels, label_smoothing=smoothing)
        loss = loss + self.settings.activity_penalty * output.layers[0].o.mean()
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss became {loss.item()} in epoch {len(self.history)}; "
                f"lower the learning rate, which is {self.settings.learning_rate}, or check the inputs for NaN"
            )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        apply_masks(self.weights, self.masks)
        return loss.item()

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "masks": self.masks,
            "grid": None if self.model.grid is None else self.model.grid.plain(),
            "history": self.history,
        }
        checkpoint.save(path, asdict(self.settings), state)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        TrainingError
            If the file is damaged or was made with other settings.
        """
        state = checkpoint.load(path, asdict(self.settings))
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.model.set_grid(NetworkGrid.of(state["grid"]))
        self.masks, self.history = state["masks"], state["history"]

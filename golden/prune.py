"""Iterative global magnitude pruning: which weights stay, how many at which round, and keeping the others at zero.

Source: Han et al., NeurIPS 2015, arXiv 1506.02626 (train, prune, fine-tune); Zhu and Gupta, arXiv 1710.01878
(schedule); applied to EGRU by Mukherji et al., arXiv 2311.07625 (global, unstructured, embeddings excluded).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from golden.banks import Masks, bank_balanced_masks


def prunable(model: nn.Module, *, readout: bool = True) -> dict[str, Tensor]:
    """Return the weights that pruning may zero, by name: kernels, recurrent kernels and, if wanted, the readout's.

    Biases, thresholds and embeddings are none: they cost no multiplication.
    """
    kinds = ("kernel", "recurrent_kernel")
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.rpartition(".")[2] in kinds or (readout and name == "readout.weight")
    }


def sparsities(target: float, rounds: int) -> list[float]:
    """Return the sparsity of each round, rising to ``target`` along ``1 - (1 - k / rounds)**3``: slower and slower."""
    return [target * (1 - (1 - k / rounds) ** 3) for k in range(1, rounds + 1)]


def magnitude_masks(weights: Mapping[str, Tensor], sparsity: float, banks: int = 0) -> Masks:
    """Choose the weights that stay: the largest in magnitude of all tensors together.

    Exactly ``round(sparsity * count)`` weights go, of equal magnitudes the first; what is zero already goes first. With
    ``banks`` they go in groups (:mod:`golden.banks`), as many as come nearest to that count.

    Raises
    ------
    ValueError
        If ``sparsity`` is not in [0, 1), or there are no weights.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity is {sparsity}; it must be at least 0 and less than 1")
    if not weights:
        raise ValueError("there are no weights to prune")
    if banks:
        return bank_balanced_masks(weights, sparsity, banks)
    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    keep[magnitudes.argsort(stable=True)[: round(sparsity * len(magnitudes))]] = False
    parts = keep.split([weight.numel() for weight in weights.values()])
    return {name: part.reshape(weight.shape) for (name, weight), part in zip(weights.items(), parts, strict=True)}


@torch.no_grad()
def apply_masks(weights: Mapping[str, Tensor], masks: Masks) -> None:
    """Zero, in place, the weights that do not stay; to be called after every step of an optimizer."""
    for name, mask in masks.items():
        weights[name].mul_(mask)


def sparsity_of(weights: Mapping[str, Tensor]) -> float:
    """Return the share of zero weights."""
    return 1 - sum(int(weight.count_nonzero()) for weight in weights.values()) / sum(
        weight.numel() for weight in weights.values()
    )

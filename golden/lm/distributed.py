"""Several processes, one a GPU, started by ``torchrun``: each reads its share of the runs of text, gradients are
averaged.

Without ``torchrun`` there is one process and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


def start(device_type: str) -> torch.device:
    """Join the other processes, if there are any, and return this one's device."""
    if "WORLD_SIZE" not in os.environ:
        return torch.device(device_type)
    distributed.init_process_group("nccl" if device_type == "cuda" else "gloo")
    if device_type == "cpu":
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def stop() -> None:
    """Leave the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def average(tensors: Iterable[Tensor | None]) -> None:
    """Replace each tensor, in place, by its mean over all processes."""
    if world() > 1:
        present = [tensor for tensor in tensors if tensor is not None]
        flat = torch.cat([tensor.flatten() for tensor in present])
        distributed.all_reduce(flat)
        flat /= world()
        for tensor, part in zip(present, flat.split([tensor.numel() for tensor in present]), strict=True):
            tensor.copy_(part.view_as(tensor))


def agree(decision: bool, device: torch.device) -> bool:
    """Return the first process's decision, in every process."""
    if world() == 1:
        return decision
    flag = torch.tensor(float(decision), device=device)
    distributed.broadcast(flag, 0)
    return bool(flag)

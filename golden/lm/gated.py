"""What the dense layers that an EGRU is compared with have in common: two kernels and a bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gated(nn.Module):
    """H ``units`` of G ``gates`` each: kernel (I, G H), recurrent kernel (H, G H), bias (G H,)."""

    def __init__(self, inputs: int, units: int, gates: int, dropconnect: float) -> None:
        super().__init__()
        self.dropconnect = dropconnect
        bound = units**-0.5
        self.kernel = nn.Parameter(nn.init.uniform_(torch.empty(inputs, gates * units), -bound, bound))
        self.recurrent_kernel = nn.Parameter(nn.init.uniform_(torch.empty(units, gates * units), -bound, bound))
        self.bias = nn.Parameter(torch.zeros(gates * units))

    @property
    def units(self) -> int:
        return self.recurrent_kernel.shape[0]

    def weights(self) -> tuple[Tensor, Tensor]:
        """Return kernel and recurrent kernel."""
        return self.kernel, self.recurrent_kernel

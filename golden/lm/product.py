"""Matrix products whose result is float32, whatever the factors are."""

from __future__ import annotations

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a b`` in float32; bfloat16 factors are multiplied by the fast units of a GPU, and summed in float32."""
    if a.dtype == torch.float32:
        return a @ b
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else (a @ b).float()

"""The fire of a unit and its surrogate gradients: what training takes for the derivative of a step; silence.

For v = c - thr, with height d (dampening) and slope s (support); every shape is d at v = 0 and has the area d / s, so
that they differ in nothing but how far they reach::

    triangle      d max(0, 1 - s |v|)
    rectangle     d where |v| < 1 / (2 s)
    gaussian      d exp(-pi (s v)^2)
    sigmoid       4 d sigma(4 s v) (1 - sigma(4 s v))
    arctangent    d / (1 + (pi s v)^2)
    fast-sigmoid  d / (1 + 2 s |v|)^2

Source: triangle, Bellec et al., arXiv 1803.09574, and EvNN 0.2.0; fast sigmoid, Zenke and Ganguli, arXiv 1705.11146;
arctangent, Fang et al., arXiv 2007.05785; an overview, Neftci et al., arXiv 1901.09948.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

#: Derivatives at ``s v``, for a height of 1.
SURROGATES: dict[str, Callable[[Tensor], Tensor]] = {
    "triangle": lambda x: (1 - x.abs()).clamp(min=0),
    "rectangle": lambda x: (x.abs() < 0.5).to(x.dtype),
    "gaussian": lambda x: torch.exp(-math.pi * x * x),
    "sigmoid": lambda x: 4 * torch.sigmoid(4 * x) * torch.sigmoid(-4 * x),
    "arctangent": lambda x: 1 / (1 + (math.pi * x) ** 2),
    "fast-sigmoid": lambda x: 1 / (1 + 2 * x.abs()) ** 2,
}


class Fire(torch.autograd.Function):
    """Compute ``o = 1 where v > 0`` with a surrogate gradient ``do/dv`` of :data:`SURROGATES`."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, dampening: float, support: float, surrogate: str = "triangle") -> Tensor:
        ctx.save_for_backward(v)
        ctx.dampening, ctx.support, ctx.surrogate = dampening, support, surrogate
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (v,) = ctx.saved_tensors
        return gradients[0] * ctx.dampening * SURROGATES[ctx.surrogate](ctx.support * v), None, None, None


def silence(x: Tensor, threshold: float) -> Tensor:
    """Set values of at most this magnitude to 0; the gradient is that of x, so that the silent can become active."""
    return x + (functional.hardshrink(x, threshold) - x).detach() if threshold else x

"""Decoder and cross-entropy as one differentiable function, in chunks of rows: logits are never whole in memory.

For rows x (N, H), a decoder W (V, H) with bias b, and the next words::

    L = x W' + b    loss = sum of log sum exp L - L[next]    dL = softmax(L) - onehot(next)

Gradients are computed with the loss, while a chunk is in the cache; the backward pass only scales them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from golden.lm.product import product

CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 512 << 20}  #: of the logits of a chunk, in float32


class CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of rows (N, H) and the words (N,) they should predict.

    Weights and bias are float32; the factors of products are of the type of x.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, words: Tensor) -> Tensor:
        needed = any(ctx.needs_input_grad)
        dx, dweight, dbias = (torch.zeros_like(value) if needed else value.new_empty(0) for value in (x, weight, bias))
        loss = x.new_zeros((), dtype=torch.float32)
        factor = weight.to(x.dtype)
        rows = max(1, CHUNK_BYTES[x.device.type] // (4 * len(weight)))
        for start in range(0, len(x), rows):
            chunk, target = x[start : start + rows], words[start : start + rows, None]
            logits = product(chunk, factor.t()).add_(bias)
            logarithms = logits.log_softmax(1)
            loss -= logarithms.gather(1, target).sum()
            if needed:
                d = logarithms.exp_()
                d.scatter_add_(1, target, d.new_full(target.shape, -1.0))
                dbias += d.sum(0)
                d = d.to(x.dtype)
                torch.mm(d, factor, out=dx[start : start + rows])
                dweight += product(d.t(), chunk)
        ctx.save_for_backward(dx, dweight, dbias)
        return loss / len(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        dx, dweight, dbias = ctx.saved_tensors
        scale = gradients[0] / len(dx)
        return dx * scale, dweight * scale, dbias * scale, None

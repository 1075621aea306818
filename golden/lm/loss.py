"""Decoder and cross-entropy as one differentiable function, in chunks of rows: logits are never whole in memory.

For rows x (N, H), a decoder W (V, H) with bias b, and the next words::

    L = x W' + b    loss = sum of log sum exp L - L[next]    dL = softmax(L) - onehot(next)

Gradients are computed with the loss, while a chunk is in the cache; the backward pass only scales them. On a processor
with a C compiler what is not a product is ``loss.c``, which passes over a chunk once.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from golden.lm.native import available, build
from golden.lm.product import product

CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 512 << 20}  #: of the logits of a chunk, in float32
COMPILED = {torch.float32: (), torch.bfloat16: ("BFLOAT16",)}  #: definitions for loss.c


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
        compiled = x.device.type == "cpu" and x.dtype in COMPILED and available()
        differentiate = _compiled if compiled else _torch
        for start in range(0, len(x), rows):
            chunk = x[start : start + rows]
            part, d = differentiate(chunk, factor, bias, words[start : start + rows], dbias if needed else None)
            loss += part
            if needed:
                torch.mm(d, factor, out=dx[start : start + rows])
                dweight += product(d.t(), chunk)
        ctx.save_for_backward(dx, dweight, dbias)
        return loss / len(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        dx, dweight, dbias = ctx.saved_tensors
        scale = gradients[0] / len(dx)
        return dx * scale, dweight * scale, dbias * scale, None


def _torch(x: Tensor, factor: Tensor, bias: Tensor, words: Tensor, dbias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the loss of a chunk and dL, as factors of products; add to dbias if there is one."""
    logarithms = product(x, factor.t()).add_(bias).log_softmax(1)
    loss = -logarithms.gather(1, words[:, None]).sum()
    if dbias is None:
        return loss, logarithms
    d = logarithms.exp_()
    d.scatter_add_(1, words[:, None], d.new_full((len(d), 1), -1.0))
    dbias += d.sum(0)
    return loss, d.to(x.dtype)


def _compiled(x: Tensor, factor: Tensor, bias: Tensor, words: Tensor, dbias: Tensor | None) -> tuple[float, Tensor]:
    """The same in C; logits are of the type of factors, too."""
    logits, scratch = x @ factor.t(), torch.empty_like(bias)
    arrays = bias.contiguous(), words.contiguous(), logits, scratch if dbias is None else dbias, scratch
    addresses = (array.data_ptr() for array in arrays)
    return _library(x.dtype).cross_entropy(*logits.shape, dbias is not None, *addresses), logits


@functools.cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    loaded = build("loss.c", COMPILED[dtype])
    loaded.cross_entropy.argtypes = [*[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 5]
    loaded.cross_entropy.restype = ctypes.c_double
    return loaded

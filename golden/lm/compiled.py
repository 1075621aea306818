"""Steps of an EGRU compiled for this processor: ``cell.c``, built by :mod:`golden.lm.native`.

Products are PyTorch's, or, of float32 and once most recurrent weights are zero, those of :mod:`golden.lm.sparse`:
a processor with units for bfloat16 has a dense product done before those.
"""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from golden.checkpoint import TrainingError
from golden.lm.native import CompilerError, build
from golden.lm.sparse import SparseWeights, gradient
from golden.lm.steps import ProductSteps, Window


@functools.cache
def library(dtype: torch.dtype, surrogate: str, hard_reset: bool) -> ctypes.CDLL:
    """Return the library for factors of products of this type, float32 or bfloat16, built if it is not there.

    ``surrogate`` is one of :data:`golden.surrogate.SURROGATES`.

    Raises
    ------
    TrainingError
        If there is no compiler, or it fails.
    """
    options = f"SURROGATE=surrogate_{surrogate.replace('-', '_')}", f"HARD_RESET={int(hard_reset)}"
    try:
        loaded = build("cell.c", (*options, "BFLOAT16") if dtype == torch.bfloat16 else options)
    except CompilerError as error:
        raise TrainingError(f"{error}, or train with --steps torch") from None
    size, array, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
    loaded.egru_forward.argtypes = [size, size, *[array] * 8]
    loaded.egru_backward.argtypes = [size, size, *[array] * 9, number, number, *[array] * 3]
    loaded.egru_forward.restype = loaded.egru_backward.restype = None
    return loaded


class CompiledSteps(ProductSteps):
    """Steps in C, on one thread; dense products, which take most of the time, are PyTorch's on all of them."""

    def __init__(self, window: Window) -> None:
        w = window
        super().__init__(window)
        self.sparse, self.may_be_sparse = False, w.a.dtype == torch.float32
        self.weights, self.weights_back = SparseWeights(w.units, 3 * w.units), SparseWeights(3 * w.units, w.units)

        def addresses(*arrays: Tensor) -> list[int]:
            return [array.data_ptr() for array in arrays]

        size = [w.batch, w.units]
        constant = addresses(w.bias, w.threshold)
        self.arguments = [
            [*size, *constant, *addresses(w.a[t], w.b[t], w.h[t], w.c[t], w.h[t + 1], w.y[t + 1])]
            for t in range(w.steps)
        ]
        self.arguments_back = [
            [*size, *constant, *addresses(w.a[t], w.b[t], w.h[t], w.c[t], w.dy[t], w.dy_back, w.dfires)]
            for t in range(w.steps)
        ]
        self.results_back = [addresses(w.dh, w.dthreshold, w.d[t]) for t in range(w.steps)]

    def forward(self, t: int) -> None:
        w = self.window
        if t == 0:
            self.sparse = self.may_be_sparse and self.weights.take(w.weight) and self.weights_back.take(w.weight_back)
        if self.sparse:
            self.weights.product(w.y[t], w.b[t])
            self.cell(t)
        else:
            super().forward(t)

    def backward(self, t: int) -> None:
        w = self.window
        if self.sparse:
            if t + 1 < w.steps:  # dy_back is zero otherwise
                self.weights_back.product(w.d[t + 1, :, w.units :], w.dy_back)
            self.cell_back(t)
        else:
            super().backward(t)

    def gradient(self, x: Tensor, d: Tensor) -> Tensor:
        if not self.may_be_sparse:
            return super().gradient(x, d)
        return gradient(x.flatten(0, 1), d.flatten(0, 1))

    def cell(self, t: int) -> None:
        self._library().egru_forward(*self.arguments[t])

    def cell_back(self, t: int) -> None:
        w = self.window
        self._library().egru_backward(*self.arguments_back[t], w.dampening, w.support, *self.results_back[t])

    def _library(self) -> ctypes.CDLL:
        """Return the library for the options that the window has now."""
        w = self.window
        return library(w.a.dtype, w.surrogate, w.hard_reset)

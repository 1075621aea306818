"""A stack of EGRU layers over a window of steps as one differentiable function, fast on processors and GPUs.

The equations are those of :mod:`golden.egru`. What does not depend on the step before is taken out of the loop, as one
large product over all ``T`` steps of ``B`` sequences (``I`` inputs, ``H`` units)::

    A = X W                           (T B, I) (I, 3H), columns g, z, r
    for t in 0 .. T-1:
        b = y R                       (B, H) (H, 3H), columns z, r, gh
        c, h, y = cell(A[t], b, h)    pointwise
    for t in T-1 .. 0:
        D[t], dh = cell'(dY[t] + dy, dh)    pointwise; gradients of the four sums, columns g, z, r, gh
        dy = D[t, :, H:] R'
    dX = D[..., :3H] W'    dW = X' D[..., :3H]    dR = Y' D[..., H:]    biases: the sum of D over steps

``D`` in the order of the four accumulators makes both products contiguous: W sees g, z, r and R sees z, r, gh. What
remains a step is one product and one pointwise kernel; :data:`golden.lm.steps.STEPS` names who computes it.
:mod:`golden.lm.program` has the loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from golden.egru import EGRU, State
from golden.lm.program import CHUNK, Program
from golden.lm.steps import Window

ALIGNMENT = 16  #: on CUDA, widths are padded to a multiple of this, or products miss the fast matrix kernels


class Weights(NamedTuple):
    """Parameters of a layer as a window wants them, float32: kernel (I, 3H), R (H, 3H), bias (4H,), threshold (H,)."""

    kernel: Tensor
    weight: Tensor
    bias: Tensor
    threshold: Tensor


class StackFunction(torch.autograd.Function):
    """Run a program: x (T, B, I) to y (T, B, H) of the last layer; then of each layer its fires, h, last y, all y.

    Fires of each unit (H,) and the last y are differentiable in the parameters. The backward pass reads the program's
    buffers: it must come before the next forward pass of the same shape.
    """

    @staticmethod
    def forward(ctx: Any, program: Program, x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        for l, window in enumerate(program.windows):
            weights = Weights(*parameters[4 * l : 4 * l + 4])
            window.kernel.copy_(weights.kernel)
            window.weight.copy_(weights.weight)
            window.weight_back.copy_(window.weight.t())
            window.bias.copy_(weights.bias)
            window.threshold.copy_(weights.threshold)
        program.windows[0].x.copy_(x)
        program.forward()
        ctx.program, ctx.use = program, program.uses
        fires = [(window.y[1:] > 0).sum((0, 1), dtype=torch.float32) for window in program.windows]
        others = [window.y[1:].clone() for window in program.windows]
        h = [window.h[-1].clone() for window in program.windows]
        last = others.pop()
        ctx.mark_non_differentiable(*others, *h)
        return last, *fires, *h, *others

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        program: Program = ctx.program
        windows = program.windows
        if ctx.use != program.uses:
            raise RuntimeError("a window's backward pass must come before the next forward pass of the same shape")
        windows[-1].dy.copy_(gradients[0])
        for window, dfires in zip(windows, gradients[1 : 1 + len(windows)], strict=True):
            window.dfires.copy_(dfires)
        program.backward()
        found: list[Tensor | None] = []
        for window, steps in zip(windows, program.steps, strict=True):
            before, after = window.d[..., : 3 * window.units], window.d[..., window.units :]
            found += [
                steps.gradient(window.x, before),
                steps.gradient(window.y[:-1], after),
                window.d.sum((0, 1), dtype=torch.float32),
                window.dthreshold.sum(0),
            ]
        first = windows[0]
        dx = first.d.flatten(0, 1)[:, : 3 * first.units] @ first.kernel.t() if ctx.needs_input_grad[1] else None
        return None, None if dx is None else dx.view_as(first.x), *found


class StackOutput(NamedTuple):
    """All layers' y (T, B, H or more), of which the last is differentiable, fires of each unit (H,), and states."""

    outputs: list[Tensor]
    fires: list[Tensor]
    state: list[State]


class Recurrence:
    """Runs a stack of EGRU layers over windows, keeping their buffers.

    Parameters
    ----------
    layers : sequence of EGRU
        Of which the parameters and options are used, at every call as they are then.
    steps : str
        One of :data:`golden.lm.steps.STEPS`, but not plain.
    dtype : torch.dtype
        Of the factors of products: float32 or bfloat16.
    dropout : float
        Probability that a unit is dropped between layers, in training, the same ones at all steps of a sequence.
    chunk : int
        Steps after which, in a graph, the layer above may start.
    """

    def __init__(
        self, layers: Sequence[EGRU], steps: str, dtype: torch.dtype, dropout: float = 0.0, chunk: int = CHUNK
    ) -> None:
        self.layers, self.steps, self.dtype, self.dropout, self.chunk = layers, steps, dtype, dropout, chunk
        self.programs: dict[tuple[int, int], Program] = {}

    def __call__(self, x: Tensor, state: Sequence[State] | None = None) -> StackOutput:
        """Run x (T, B, I or more) from ``state``, or from zeros; widths are padded on CUDA, with zeros."""
        program = self._program(x)
        parameters: list[Tensor] = []
        for l, (layer, window) in enumerate(zip(self.layers, program.windows, strict=True)):
            if l:
                ones = torch.ones_like(window.keep)
                window.keep.copy_(functional.dropout(ones, self.dropout, layer.training))
            parameters += self._weights(layer, window)
            window.dampening, window.support, window.surrogate = layer.dampening, layer.support, layer.surrogate
            window.hard_reset = layer.hard_reset
            window.h[0], window.y[0] = (0.0, 0.0) if state is None else state[l]
        count = len(self.layers)
        last, *rest = StackFunction.apply(program, x, *parameters)
        fires = [fired[: layer.units] for fired, layer in zip(rest[:count], self.layers, strict=True)]
        outputs = [*rest[2 * count :], last]
        states = [(h, y[-1].detach().float()) for h, y in zip(rest[count : 2 * count], outputs, strict=True)]
        return StackOutput(outputs, fires, states)

    def _program(self, x: Tensor) -> Program:
        key = x.shape[0], x.shape[1]
        if key not in self.programs:
            widths = [x.shape[2], *(padded(layer.units, x.device) for layer in self.layers)]
            windows = [Window(*key, *pair, x.device, self.dtype) for pair in zip(widths, widths[1:], strict=False)]
            self.programs[key] = Program(windows, self.steps, self.chunk)
        return self.programs[key]

    @staticmethod
    def _weights(layer: EGRU, window: Window) -> Weights:
        """Return the parameters of a layer in the order of the window's buffers, recurrent weights dropped."""
        with torch.no_grad():
            layer.threshold.clamp_(0, 1)
        units, more = window.units, window.units - layer.units
        kernel, r = layer.weights()
        r = functional.dropout(r, layer.dropconnect, layer.training)
        (a_z, a_r, a_g), (b_z, b_r, b_g) = (bias.chunk(3) for bias in layer.biases())
        bias = torch.stack([a_g, a_z + b_z, a_r + b_r, b_g])
        return Weights(
            pad_gates(kernel.unflatten(1, (3, -1)).roll(1, 1), window.inputs, units),
            pad_gates(r.unflatten(1, (3, -1)), units, units),
            functional.pad(bias, (0, more)).flatten(),
            functional.pad(layer.threshold, (0, more)),
        )


def padded(width: int, device: torch.device) -> int:
    """Return the width of buffers for ``width`` features: the next multiple of :data:`ALIGNMENT` on CUDA."""
    return -(-width // ALIGNMENT) * ALIGNMENT if device.type == "cuda" else width


def pad_gates(kernel: Tensor, rows: int, columns: int) -> Tensor:
    """Return (rows, 3 columns) of a kernel (I, 3, H), zeros where it has no value."""
    return functional.pad(kernel, (0, columns - kernel.shape[2], 0, 0, 0, rows - kernel.shape[0])).flatten(1)

"""A layer of EGRUs over a window of steps as one differentiable function, fast on processors and GPUs.

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
remains a step is one product and one pointwise kernel; :data:`STEPS` names who computes it. On CUDA all steps of a
window are captured in one graph for each direction, so that a window costs two launches a layer.

Reckoning for an H100, layers 750-1350-1350-750, batch 64, 70 steps: R is 11 MB in bf16, read from L2 (5 TB/s) in 2
us; a product of 64 x 1360 x 4080 takes 6 to 8 us as a graph node, the pointwise kernel 2 to 3 us. 70 x 3 x 2
directions at about 10 us make 4.5 ms a window. The large products of a window (190 MFLOP a token with the decoder)
take 2 ms at 400 TFLOP/s, softmax, optimizer and dropout move some 3 GB, 1 ms. 207 windows of 64 x 70 tokens: about
1.6 s an epoch of Penn Treebank. ``python -m golden.lm.benchmark`` measures it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from golden.egru import EGRU, State
from golden.lm.product import product

#: Who computes the steps: plain is the loop of golden.egru; torch, compiled (C) and triton are this module's function;
#: graph captures it on CUDA.
STEPS = ("plain", "torch", "compiled", "triton", "torch-graph", "triton-graph")
ALIGNMENT = 16  #: on CUDA, widths are padded to a multiple of this, or products miss the fast matrix kernels


class Window:
    """Buffers of one layer over ``steps`` steps, allocated once and used again by every window of this shape.

    ``dtype`` is that of the products; sums over time (h, c and the gradient of h) are always float32.
    """

    def __init__(self, steps: int, batch: int, units: int, device: torch.device, dtype: torch.dtype) -> None:
        def buffer(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        full = torch.float32
        self.steps, self.batch, self.units = steps, batch, units
        self.weight = buffer(units, 3 * units)  # R, columns z, r, gh
        self.weight_back = buffer(3 * units, units)  # R', in order: products with it are faster than with a view of R
        self.bias = buffer(4 * units, dtype=full)  # g, z, r, gh
        self.threshold = buffer(units, dtype=full)
        self.a = buffer(steps, batch, 3 * units)  # columns g, z, r
        self.b = buffer(steps, batch, 3 * units)  # columns z, r, gh
        self.c = buffer(steps, batch, units, dtype=full)
        self.h = buffer(steps + 1, batch, units, dtype=full)  # [t] is the state before step t
        self.y = buffer(steps + 1, batch, units)
        self.dy = buffer(steps, batch, units)  # from the outputs
        self.dy_back = buffer(batch, units)  # from the step after
        self.dh = buffer(batch, units, dtype=full)
        self.d = buffer(steps, batch, 4 * units)  # columns g, z, r, gh
        self.dfires = buffer(units, dtype=full)
        self.dthreshold = buffer(batch, units, dtype=full)
        self.dampening, self.support = 0.0, 0.0
        self.uses = 0


class Steps(Protocol):
    """The pointwise part of a step, on the buffers of one window."""

    def forward(self, t: int) -> None:
        """Compute c[t], h[t + 1], y[t + 1] of a[t], b[t], h[t]."""

    def backward(self, t: int) -> None:
        """Compute d[t] of dy[t] + dy_back and dh; replace dh by that of the step before; add to dthreshold."""


class TorchSteps:
    """Steps in PyTorch, on any device: the definition that the others are checked against."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, t: int) -> None:
        w = self.window
        z, r, g, _ = self._gates(t)
        c = z * w.h[t] + (1 - z) * g
        o = (c > w.threshold).float()
        w.c[t] = c
        w.y[t + 1] = o * c
        w.h[t + 1] = c - o * w.threshold

    def backward(self, t: int) -> None:
        w = self.window
        z, r, g, b_g = self._gates(t)
        v = w.c[t] - w.threshold
        o = (v > 0).float()
        dy = w.dy[t].float() + w.dy_back.float()
        do = dy * w.c[t] - w.dh * w.threshold + w.dfires
        dv = do * w.dampening * (1 - w.support * v.abs()).clamp(min=0)
        dc = dy * o + w.dh + dv
        w.dthreshold -= dv + w.dh * o
        dg = dc * (1 - z) * (1 - g * g)
        dz = dc * (w.h[t] - g) * z * (1 - z)
        dr = dg * b_g * r * (1 - r)
        w.d[t] = torch.cat([dg, dz, dr, dg * r], dim=1)
        torch.mul(dc, z, out=w.dh)

    def _gates(self, t: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        w = self.window
        a_g, a_z, a_r = w.a[t].float().chunk(3, dim=1)
        b_z, b_r, b_g = w.b[t].float().chunk(3, dim=1)
        bias_g, bias_z, bias_r, bias_b = w.bias.chunk(4)
        b_g = b_g + bias_b
        z, r = torch.sigmoid(a_z + b_z + bias_z), torch.sigmoid(a_r + b_r + bias_r)
        return z, r, torch.tanh(a_g + bias_g + r * b_g), b_g


def steps_of(name: str, window: Window) -> Steps:
    """Return who computes the steps of a window, by the first part of a name in :data:`STEPS`."""
    if name == "compiled":
        from golden.lm.compiled import CompiledSteps

        return CompiledSteps(window)
    if name == "triton":
        from golden.lm.kernels import TritonSteps

        return TritonSteps(window)
    return TorchSteps(window)


class Program:
    """A window and the two loops over its steps, run step by step or, on CUDA, as captured graphs."""

    def __init__(self, window: Window, name: str) -> None:
        self.window = window
        self.steps = steps_of(name.partition("-")[0], window)
        self.graphed = name.endswith("-graph")
        self.graphs: tuple[torch.cuda.CUDAGraph, torch.cuda.CUDAGraph] | None = None

    def forward(self) -> None:
        """Compute c, h and y of all steps from a, h[0] and y[0]."""
        window = self.window
        window.uses += 1
        if self.graphed and window.uses == 2:  # a shape that comes once is not worth a graph
            self.graphs = self._capture(self._forward), self._capture(self._backward)
        if self.graphs is None:
            self._forward()
        else:
            self.graphs[0].replay()

    def backward(self) -> None:
        """Compute d and dthreshold of all steps from dy and dfires."""
        if self.graphs is None:
            self._backward()
        else:
            self.graphs[1].replay()

    def _forward(self) -> None:
        window = self.window
        for t in range(window.steps):
            torch.mm(window.y[t], window.weight, out=window.b[t])
            self.steps.forward(t)

    def _backward(self) -> None:
        window = self.window
        for buffer in (window.dy_back, window.dh, window.dthreshold):
            buffer.zero_()
        for t in reversed(range(window.steps)):
            self.steps.backward(t)
            if t:
                torch.mm(window.d[t, :, window.units :], window.weight_back, out=window.dy_back)

    @staticmethod
    def _capture(run: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """Return ``run`` as a graph; it is run once before, so that kernels are compiled and libraries set up."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may wait for other processes
            run()
        return graph


class WindowFunction(torch.autograd.Function):
    """Run a program: inputs (T, B, I) to events y (T, B, H), fires of each unit (H,), and the last h and y (B, H).

    Weights are float32, and cast to the type of x. The backward pass reads the program's buffers: it must come before
    the next forward pass of the same shape.
    """

    @staticmethod
    def forward(
        ctx: Any, program: Program, x: Tensor, w: Tensor, r: Tensor, bias: Tensor, threshold: Tensor, state: State
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        window = program.window
        w = w.to(x.dtype)
        torch.mm(x.flatten(0, 1), w, out=window.a.flatten(0, 1))
        window.weight.copy_(r)
        window.weight_back.copy_(r.t())
        window.bias.copy_(bias)
        window.threshold.copy_(threshold)
        window.h[0], window.y[0] = state
        program.forward()
        ctx.save_for_backward(x, w)
        ctx.program, ctx.use = program, window.uses
        fires = (window.y[1:] > 0).sum((0, 1), dtype=torch.float32)
        last = window.h[-1].clone(), window.y[-1].to(torch.float32, copy=True)
        ctx.mark_non_differentiable(*last)
        return window.y[1:].clone(), fires, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor, Tensor, Tensor, Tensor, None]:
        x, w = ctx.saved_tensors
        window: Window = ctx.program.window
        if ctx.use != window.uses:
            raise RuntimeError("a window's backward pass must come before the next forward pass of the same shape")
        window.dy.copy_(gradients[0])
        window.dfires.copy_(gradients[1])
        ctx.program.backward()
        d = window.d.flatten(0, 1)  # (T B, 4H)
        before, after = d[:, : 3 * window.units], d[:, window.units :]
        dx = (before @ w.t()).view_as(x) if ctx.needs_input_grad[1] else None
        dw = product(x.flatten(0, 1).t(), before)
        dr = product(window.y[:-1].flatten(0, 1).t(), after)
        return None, dx, dw, dr, d.sum(0, dtype=torch.float32), window.dthreshold.sum(0), None


def default_steps(device: torch.device) -> str:
    """Return the fastest of :data:`STEPS` that works here."""
    if device.type == "cuda":
        return "triton-graph" if importlib.util.find_spec("triton") else "torch-graph"
    from golden.lm.compiled import available

    return "compiled" if available() else "torch"


class Recurrence:
    """Runs an :class:`EGRU` over windows, keeping their buffers.

    Parameters
    ----------
    layer : EGRU
        Of which the parameters and options are used, at every call as they are then.
    steps : str
        One of :data:`STEPS`.
    dtype : torch.dtype
        Of the products: float32, or bfloat16 on CUDA.
    """

    def __init__(self, layer: EGRU, steps: str, dtype: torch.dtype = torch.float32) -> None:
        self.layer, self.steps, self.dtype = layer, steps, dtype
        self.programs: dict[tuple[int, int], Program] = {}

    def __call__(self, x: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        """Return y (T, B, H or more), fires of each unit (H,), and the state, for x (T, B, I or more).

        Where widths are padded, the columns beyond I and H are zero.
        """
        layer = self.layer
        if self.steps == "plain":
            output = layer(x, state)
            return output.y, output.o.sum((0, 1)), output.state
        with torch.no_grad():
            layer.threshold.clamp_(0, 1)
        inputs, units = x.shape[2], padded(layer.units, x.device)
        r = functional.dropout(layer.recurrent_kernel, layer.dropconnect, layer.training)
        w = pad_gates(layer.kernel.unflatten(1, (3, -1)).roll(1, 1), inputs, units)
        r = pad_gates(r.unflatten(1, (3, -1)), units, units)
        sums = torch.stack([layer.bias.unflatten(0, (3, -1)), layer.recurrent_bias.unflatten(0, (3, -1))])
        z, r_, g = range(3)
        bias = torch.stack([sums[0, g], sums[:, z].sum(0), sums[:, r_].sum(0), sums[1, g]])
        bias = functional.pad(bias, (0, units - layer.units)).flatten()
        threshold = functional.pad(layer.threshold, (0, units - layer.units))
        if state is None:
            zeros = x.new_zeros(x.shape[1], units, dtype=torch.float32)
            state = zeros, zeros
        y, fires, *last = WindowFunction.apply(self._program(x, units), x, w, r, bias, threshold, state)
        return y, fires[: layer.units], (last[0], last[1])

    def _program(self, x: Tensor, units: int) -> Program:
        key = x.shape[0], x.shape[1]
        if key not in self.programs:
            self.programs[key] = Program(Window(*key, units, x.device, self.dtype), self.steps)
        program = self.programs[key]
        program.window.dampening, program.window.support = self.layer.dampening, self.layer.support
        return program


def padded(width: int, device: torch.device) -> int:
    """Return the width of buffers for ``width`` features: the next multiple of :data:`ALIGNMENT` on CUDA."""
    return -(-width // ALIGNMENT) * ALIGNMENT if device.type == "cuda" else width


def pad_gates(kernel: Tensor, rows: int, columns: int) -> Tensor:
    """Return (rows, 3 columns) of a kernel (I, 3, H), zeros where it has no value."""
    return functional.pad(kernel, (0, columns - kernel.shape[2], 0, 0, 0, rows - kernel.shape[0])).flatten(1)

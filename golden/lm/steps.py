"""One step of an EGRU layer within a window: the buffers, the arithmetic, and who computes it.

The equations are those of :mod:`golden.egru`; :mod:`golden.lm.recurrence` has the products over whole windows.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from golden.checkpoint import TrainingError
from golden.lm.product import product
from golden.surrogate import SURROGATES

#: Who computes the steps: plain is the loop of golden.egru; torch, compiled (C) and triton do what is pointwise after a
#: product by the library; fused is a Triton kernel that does both, unless they are float32; graph is captured on CUDA.
STEPS = ("plain", "torch", "compiled", "triton", "fused", "torch-graph", "triton-graph", "fused-graph")
VERSATILE = ("plain", "torch", "compiled", "torch-graph")  #: with a hard reset and all surrogate gradients


class Window:
    """Buffers of one layer over ``steps`` steps, allocated once and used again by every window of this shape.

    ``dtype`` is that of the factors of products; sums over time (h, c and the gradient of h) are always float32.
    """

    def __init__(
        self, steps: int, batch: int, inputs: int, units: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        def buffer(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        full = torch.float32
        self.steps, self.batch, self.inputs, self.units = steps, batch, inputs, units
        self.kernel = buffer(inputs, 3 * units)  # W, columns g, z, r
        self.weight = buffer(units, 3 * units)  # R, columns z, r, gh
        self.weight_back = buffer(3 * units, units)  # R', in order: products with it are faster than with a view of R
        self.bias = buffer(4 * units, dtype=full)  # g, z, r, gh
        self.threshold = buffer(units, dtype=full)
        self.keep = buffer(1, batch, inputs)  # dropout of the inputs, the same at all steps
        self.x = buffer(steps, batch, inputs)
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
        self.dampening, self.support, self.surrogate = 0.0, 0.0, "triangle"
        self.hard_reset = False


class Steps:
    """A step forward and back, on the buffers of one window."""

    window: Window

    def forward(self, t: int) -> None:
        """Compute b[t], c[t], h[t + 1], y[t + 1] of a[t], h[t], y[t]."""
        raise NotImplementedError

    def backward(self, t: int) -> None:
        """Compute d[t] of dy[t], dh and d[t + 1]; replace dh by that of the step before; add to dthreshold."""
        raise NotImplementedError

    def gradient(self, x: Tensor, d: Tensor) -> Tensor:
        """Return the gradient ``x' d`` (sources, targets) of weights, of all steps' x (T, B, sources) and d."""
        return product(x.flatten(0, 1).t(), d.flatten(0, 1))


class ProductSteps(Steps):
    """Steps of one product, by PyTorch, and one pointwise function."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, t: int) -> None:
        w = self.window
        torch.mm(w.y[t], w.weight, out=w.b[t])
        self.cell(t)

    def backward(self, t: int) -> None:
        w = self.window
        if t + 1 < w.steps:  # dy_back is zero otherwise
            torch.mm(w.d[t + 1, :, w.units :], w.weight_back, out=w.dy_back)
        self.cell_back(t)

    def cell(self, t: int) -> None:
        """Compute c[t], h[t + 1], y[t + 1] of a[t], b[t], h[t]."""
        raise NotImplementedError

    def cell_back(self, t: int) -> None:
        """Compute d[t] of dy[t] + dy_back and dh; replace dh by that of the step before; add to dthreshold."""
        raise NotImplementedError


class TorchSteps(ProductSteps):
    """Steps in PyTorch, on any device: the definition that the others are checked against."""

    def cell(self, t: int) -> None:
        w = self.window
        z, r, g, _ = self._gates(t)
        c = z * w.h[t] + (1 - z) * g
        o = (c > w.threshold).float()
        w.c[t] = c
        w.y[t + 1] = o * c
        w.h[t + 1] = c - o * (c if w.hard_reset else w.threshold)

    def cell_back(self, t: int) -> None:
        w = self.window
        z, r, g, b_g = self._gates(t)
        v = w.c[t] - w.threshold
        o = (v > 0).float()
        dy = w.dy[t].float() + w.dy_back.float()
        lost = w.c[t] if w.hard_reset else w.threshold  # what h loses by a fire
        dlost = -w.dh * o
        do = dy * w.c[t] - w.dh * lost + w.dfires
        dv = do * w.dampening * SURROGATES[w.surrogate](w.support * v)
        dc = dy * o + w.dh + dv
        if w.hard_reset:
            dc += dlost
        else:
            w.dthreshold += dlost
        w.dthreshold -= dv
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
    if name == "fused" and window.a.dtype != torch.float32:
        from golden.lm.fused import FusedSteps

        return FusedSteps(window)
    if name in ("triton", "fused"):
        from golden.lm.kernels import TritonSteps

        return TritonSteps(window)
    return TorchSteps(window)


def choose_device(name: str | None) -> torch.device:
    """Return the device of that name, or if there is none the fastest; raise TrainingError if it is not there."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise TrainingError("there is no CUDA device that this PyTorch can use; choose --device cpu")
    return torch.device(name or ("cuda" if available else "cpu"))


def check_steps(name: str, device: torch.device, *, versatile: bool = False) -> None:
    """Raise TrainingError if these steps cannot run there."""
    if device.type != "cuda" and (name.endswith("-graph") or name in ("triton", "fused")):
        raise TrainingError(f"{name} steps need a CUDA device; choose torch or compiled")
    if versatile and name not in VERSATILE:
        others = " or ".join(each for each in VERSATILE if each != "compiled")  # this is CUDA
        raise TrainingError(f"{name} steps know neither a hard reset nor other surrogate gradients; choose {others}")
    if name == "compiled" and device.type != "cpu":
        raise TrainingError("compiled steps are for cpu; choose torch or triton-graph")


def default_dtype(device: torch.device) -> torch.dtype:
    """Return the type of which products are fastest here: bfloat16 on CUDA and on processors with units for it."""
    cpu = Path("/proc/cpuinfo")
    fast = device.type == "cuda" or (cpu.is_file() and bool({"avx512_bf16", "amx_bf16"} & set(cpu.read_text().split())))
    return torch.bfloat16 if fast else torch.float32


def default_steps(device: torch.device, *, versatile: bool = False) -> str:
    """Return the fastest of :data:`STEPS`, or of :data:`VERSATILE`, that works here."""
    if device.type == "cuda":
        return "triton-graph" if importlib.util.find_spec("triton") and not versatile else "torch-graph"
    from golden.lm.native import available

    return "compiled" if available() else "torch"

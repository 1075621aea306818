"""Steps of an EGRU as Triton kernels, for CUDA; with ``TRITON_INTERPRET=1`` they run on a processor, for tests.

The arrays and their columns are those of :class:`golden.lm.steps.Window`; arithmetic is float32 whatever they
hold. A program computes ``BLOCK`` units of one sequence.
"""

import torch
import triton
import triton.language as tl

from golden.lm.steps import ProductSteps, Window

BLOCK = 256


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def gates(a, bias, row, j, H, inside, b_z, b_r, b_g):
    """Return z, r, g and the recurrent sum of g, of the products with y."""
    a += row * 3 * H + j
    bias += j
    a_g = tl.load(a, inside, 0).to(tl.float32) + tl.load(bias, inside, 0)
    a_z = tl.load(a + H, inside, 0).to(tl.float32) + tl.load(bias + H, inside, 0)
    a_r = tl.load(a + 2 * H, inside, 0).to(tl.float32) + tl.load(bias + 2 * H, inside, 0)
    b_g += tl.load(bias + 3 * H, inside, 0)
    z = tl.sigmoid(a_z + b_z)
    r = tl.sigmoid(a_r + b_r)
    return z, r, _tanh(a_g + r * b_g), b_g


@triton.jit
def products(b, row, j, H, inside):
    """Return the three products with y, as they were stored."""
    b += row * 3 * H + j
    b_z = tl.load(b, inside, 0).to(tl.float32)
    b_r = tl.load(b + H, inside, 0).to(tl.float32)
    return b_z, b_r, tl.load(b + 2 * H, inside, 0).to(tl.float32)


@triton.jit
def cell(z, g, threshold, h, c, h_next, y_next, row, j, H, inside):
    """Store what a step computes."""
    at = row * H + j
    limit = tl.load(threshold + j, inside, 0)
    value = z * tl.load(h + at, inside, 0) + (1 - z) * g
    fires = value > limit
    tl.store(c + at, value, inside)
    tl.store(h_next + at, tl.where(fires, value - limit, value), inside)
    tl.store(y_next + at, tl.where(fires, value, 0.0).to(y_next.dtype.element_ty), inside)


@triton.jit
def cell_back(
    z, r, g, b_g, threshold, h, c, dy, dy_back, dfires, dh, dthreshold, d, dampening, support, row, j, H, inside
):
    """Store the gradients of a step; ``dy_back`` comes from the step after."""
    at = row * H + j
    limit = tl.load(threshold + j, inside, 0)
    value = tl.load(c + at, inside, 0)
    v = value - limit
    fires = tl.where(v > 0, 1.0, 0.0)
    dy_all = tl.load(dy + at, inside, 0).to(tl.float32) + dy_back
    dh_all = tl.load(dh + at, inside, 0)
    do = dy_all * value - dh_all * limit + tl.load(dfires + j, inside, 0)
    dv = do * dampening * tl.maximum(1 - support * tl.abs(v), 0.0)
    dc = dy_all * fires + dh_all + dv
    tl.store(dthreshold + at, tl.load(dthreshold + at, inside, 0) - dv - dh_all * fires, inside)
    dg = dc * (1 - z) * (1 - g * g)
    dz = dc * (tl.load(h + at, inside, 0) - g) * z * (1 - z)
    dr = dg * b_g * r * (1 - r)
    d += row * 4 * H + j
    kind = d.dtype.element_ty
    tl.store(d, dg.to(kind), inside)
    tl.store(d + H, dz.to(kind), inside)
    tl.store(d + 2 * H, dr.to(kind), inside)
    tl.store(d + 3 * H, (dg * r).to(kind), inside)
    tl.store(dh + at, dc * z, inside)


@triton.jit
def forward_kernel(a, b, bias, threshold, h, c, h_next, y_next, H, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < H
    b_z, b_r, b_g = products(b, row, j, H, inside)
    z, r, g, b_g = gates(a, bias, row, j, H, inside, b_z, b_r, b_g)
    cell(z, g, threshold, h, c, h_next, y_next, row, j, H, inside)


@triton.jit
def backward_kernel(
    a, b, bias, threshold, h, c, dy, dy_back, dfires, dh, dthreshold, d, dampening, support, H, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < H
    b_z, b_r, b_g = products(b, row, j, H, inside)
    z, r, g, b_g = gates(a, bias, row, j, H, inside, b_z, b_r, b_g)
    back = tl.load(dy_back + row * H + j, inside, 0).to(tl.float32)
    cell_back(
        z, r, g, b_g, threshold, h, c, dy, back, dfires, dh, dthreshold, d, dampening, support, row, j, H, inside
    )  # fmt: skip


class TritonSteps(ProductSteps):
    """Steps of one product and one kernel."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.grid = (window.batch, triton.cdiv(window.units, BLOCK))

    def cell(self, t: int) -> None:
        w = self.window
        with torch.cuda.device_of(w.a):
            forward_kernel[self.grid](
                w.a[t], w.b[t], w.bias, w.threshold, w.h[t], w.c[t], w.h[t + 1], w.y[t + 1], w.units, BLOCK=BLOCK
            )  # fmt: skip

    def cell_back(self, t: int) -> None:
        w = self.window
        with torch.cuda.device_of(w.a):
            backward_kernel[self.grid](
                w.a[t], w.b[t], w.bias, w.threshold, w.h[t], w.c[t], w.dy[t], w.dy_back, w.dfires, w.dh, w.dthreshold,
                w.d[t], w.dampening, w.support, w.units, BLOCK=BLOCK,
            )  # fmt: skip

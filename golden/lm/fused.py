"""Steps of an EGRU as one Triton kernel each, product and cell together, for CUDA.

A program computes ``UNITS`` units of up to ``ROWS`` sequences: three products with y forward, one with d on the way
back, the factors read in pieces of ``DEPTH`` or ``DEPTH_BACK``, then the pointwise arithmetic of
:mod:`golden.lm.kernels`.
"""

import torch
import triton
import triton.language as tl

from golden.lm.kernels import cell, cell_back, gates, products
from golden.lm.steps import Steps, Window

UNITS, DEPTH, DEPTH_BACK = 16, 64, 128
STAGES = 4  #: pieces on their way


@triton.jit
def forward_kernel(
    a, b, bias, threshold, h, c, h_next, y, y_next, weight, B,
    H: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(1) * ROWS + tl.arange(0, ROWS))[:, None]
    j = (tl.program_id(0) * UNITS + tl.arange(0, UNITS))[None, :]
    b_z = tl.zeros((ROWS, UNITS), tl.float32)
    b_r = tl.zeros((ROWS, UNITS), tl.float32)
    b_g = tl.zeros((ROWS, UNITS), tl.float32)
    for first in range(0, H, DEPTH):
        k = first + tl.arange(0, DEPTH)
        events = tl.load(y + row * H + k[None, :], (row < B) & (k[None, :] < H), 0)
        at = weight + k[:, None] * 3 * H + j
        here = (k[:, None] < H) & (j < H)
        b_z = tl.dot(events, tl.load(at, here, 0), b_z)
        b_r = tl.dot(events, tl.load(at + H, here, 0), b_r)
        b_g = tl.dot(events, tl.load(at + 2 * H, here, 0), b_g)
    inside = (row < B) & (j < H)
    kind = b.dtype.element_ty
    out = b + row * 3 * H + j
    tl.store(out, b_z.to(kind), inside)
    tl.store(out + H, b_r.to(kind), inside)
    tl.store(out + 2 * H, b_g.to(kind), inside)
    z, r, g, b_g = gates(a, bias, row, j, H, inside, b_z, b_r, b_g)
    cell(z, g, threshold, h, c, h_next, y_next, row, j, H, inside)


@triton.jit
def backward_kernel(
    a, b, bias, threshold, h, c, dy, d_next, weight_back, dfires, dh, dthreshold, d, dampening, support, B,
    H: tl.constexpr, LAST: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(1) * ROWS + tl.arange(0, ROWS))[:, None]
    j = (tl.program_id(0) * UNITS + tl.arange(0, UNITS))[None, :]
    back = tl.zeros((ROWS, UNITS), tl.float32)
    if not LAST:
        for first in range(0, 3 * H, DEPTH):
            k = first + tl.arange(0, DEPTH)
            after = tl.load(d_next + row * 4 * H + H + k[None, :], (row < B) & (k[None, :] < 3 * H), 0)
            back = tl.dot(after, tl.load(weight_back + k[:, None] * H + j, (k[:, None] < 3 * H) & (j < H), 0), back)
    inside = (row < B) & (j < H)
    b_z, b_r, b_g = products(b, row, j, H, inside)
    z, r, g, b_g = gates(a, bias, row, j, H, inside, b_z, b_r, b_g)
    cell_back(
        z, r, g, b_g, threshold, h, c, dy, back, dfires, dh, dthreshold, d, dampening, support, row, j, H, inside
    )  # fmt: skip


class FusedSteps(Steps):
    """Steps of one kernel, for factors of products of 16 bits."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.rows = 64 if window.batch > 32 else 32 if window.batch > 16 else 16
        self.grid = (triton.cdiv(window.units, UNITS), triton.cdiv(window.batch, self.rows))

    def forward(self, t: int) -> None:
        w = self.window
        with torch.cuda.device_of(w.a):
            forward_kernel[self.grid](
                w.a[t], w.b[t], w.bias, w.threshold, w.h[t], w.c[t], w.h[t + 1], w.y[t], w.y[t + 1], w.weight,
                w.batch, H=w.units, ROWS=self.rows, UNITS=UNITS, DEPTH=DEPTH, num_stages=STAGES,
            )  # fmt: skip

    def backward(self, t: int) -> None:
        w = self.window
        after = min(t + 1, w.steps - 1)
        with torch.cuda.device_of(w.a):
            backward_kernel[self.grid](
                w.a[t], w.b[t], w.bias, w.threshold, w.h[t], w.c[t], w.dy[t], w.d[after], w.weight_back, w.dfires,
                w.dh, w.dthreshold, w.d[t], w.dampening, w.support, w.batch,
                H=w.units, LAST=t + 1 == w.steps, ROWS=self.rows, UNITS=UNITS, DEPTH=DEPTH_BACK, num_stages=STAGES,
            )  # fmt: skip

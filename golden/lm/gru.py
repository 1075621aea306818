"""The dense counterpart of an EGRU: a layer of gated recurrent units, whose outputs are their states.

One step, ``I`` inputs, ``H`` units::

    a = x W + bx    b = y R + br     columns r, z, n; W: kernel (I, 3H), R: recurrent_kernel (H, 3H)
    n = tanh(a_n + sigmoid(a_r + b_r) * b_n)
    y = sigmoid(a_z + b_z) * y + (1 - sigmoid(a_z + b_z)) * n

Source: Cho et al., arXiv 1406.1078, in the form of cuDNN, which resets after the recurrent product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from golden.egru import State
from golden.lm.gated import Gated


class GRU(Gated):
    """A layer of ``units`` GRUs; every unit is active at every step."""

    def __init__(self, inputs: int, units: int, *, dropconnect: float = 0.0) -> None:
        super().__init__(inputs, units, 3, dropconnect)
        self.recurrent_bias = nn.Parameter(torch.zeros(3 * units))

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        """Return y (T, B, H), the count of steps in which each unit is active (H,), and the state (y, y)."""
        before = x.new_zeros(x.shape[1], self.units) if state is None else state[1]
        r = functional.dropout(self.recurrent_kernel, self.dropconnect, self.training)
        weights = [self.kernel.t().contiguous(), r.t().contiguous(), self.bias, self.recurrent_bias]
        y, last = torch.gru(x, before[None], weights, True, 1, 0.0, self.training, False, False)
        return y, y.new_full((self.units,), x.shape[0] * x.shape[1]), (last[0], last[0])

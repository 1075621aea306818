"""The baseline: a layer of long short-term memory, with the recurrent weights dropped as in AWD-LSTM.

One step, ``I`` inputs, ``H`` units::

    a = x W + y R + b                columns i, f, g, o; W: kernel (I, 4H), R: recurrent_kernel (H, 4H)
    c = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g)
    y = sigmoid(a_o) * tanh(c)

With a threshold, y of at most that magnitude is 0: such a unit is silent, and costs no product in this step.

Source: Hochreiter, Schmidhuber 1997, in the form of cuDNN; Merity et al., arXiv 1708.02182 (dropped weights).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from golden.egru import State
from golden.lm.gated import Gated
from golden.surrogate import silence


class LSTM(Gated):
    """A layer of ``units`` LSTM units; without a threshold every unit is active at every step."""

    def __init__(self, inputs: int, units: int, *, dropconnect: float = 0.0, threshold: float = 0.0) -> None:
        super().__init__(inputs, units, 4, dropconnect)
        self.threshold = threshold

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        """Return y (T, B, H), the count of steps in which each unit is active (H,), and the state (c, y)."""
        if state is None:
            zeros = x.new_zeros(x.shape[1], self.units)
            state = zeros, zeros
        r = functional.dropout(self.recurrent_kernel, self.dropconnect, self.training)
        if self.threshold:
            return self._thresholded(x, r, state)
        weights = [self.kernel.t().contiguous(), r.t().contiguous(), self.bias, torch.zeros_like(self.bias)]
        before = [state[1][None], state[0][None]]
        y, last, c = torch.lstm(x, before, weights, True, 1, 0.0, self.training, False, False)
        return y, y.new_full((self.units,), x.shape[0] * x.shape[1]), (c[0], last[0])

    def _thresholded(self, x: Tensor, r: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        c, y = state
        ys = []
        for a in x @ self.kernel + self.bias:
            i, f, g, o = (a + y @ r).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            y = silence(torch.sigmoid(o) * torch.tanh(c), self.threshold)
            ys.append(y)
        outputs = torch.stack(ys)
        return outputs, (outputs != 0).sum((0, 1), dtype=outputs.dtype), (c, y)

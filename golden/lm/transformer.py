"""A block of a small transformer whose sources can be silent, to compare sparsities with those of recurrent networks.

For x (T, B, D), F hidden units; s() sets values of at most ``threshold`` to 0, and what is 0 costs no product::

    q, k, v = s(norm(x)) W_a                            attend: kernel (D, 3D)
    x = x + s(heads of softmax(q k' / sqrt d - m |t - t'|) v) W_p    project: kernel (D, D); t' <= t, in the window
    x = x + s(relu(s(norm(x)) W_e)) W_c                 expand: kernel (D, F); contract: kernel (F, D)

Source: Vaswani et al., arXiv 1706.03762; positions as in Press et al., arXiv 2108.12409; silent sources as in Liu et
al., arXiv 2408.14690, here trained with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from golden.surrogate import silence


class Product(nn.Module):
    """A matrix, prunable as a layer's kernel is, and a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(nn.init.normal_(torch.empty(inputs, outputs), std=inputs**-0.5))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.kernel + self.bias


class Block(nn.Module):
    """Causal attention within a window and two layers at each step.

    Parameters
    ----------
    width, hidden : int
        D and F.
    heads : int
        Divides the width.
    threshold : float
        Values of at most this magnitude are silent.
    """

    def __init__(self, width: int, hidden: int, *, heads: int, threshold: float = 0.0) -> None:
        super().__init__()
        self.heads, self.threshold = heads, threshold
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attend, self.project = Product(width, 3 * width), Product(width, width)
        self.expand, self.contract = Product(width, hidden), Product(hidden, width)

    def fan_out(self) -> Tensor:
        """Return the non-zero weights of every source: D of attend, D of project, D of expand, F of contract."""
        products = (self.attend, self.project, self.expand, self.contract)
        return torch.cat([product.kernel.count_nonzero(1) for product in products])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x (T, B, D) after the block, and the values (T, B, 3D + F) of all sources."""
        first = silence(self.norms[0](x), self.threshold)
        q, k, v = (part.unflatten(2, (self.heads, -1)).permute(1, 2, 0, 3) for part in self.attend(first).chunk(3, 2))
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=self._distances(x))  # (B, heads, T, d)
        second = silence(seen.permute(2, 0, 1, 3).flatten(2), self.threshold)
        x = x + self.project(second)
        third = silence(self.norms[1](x), self.threshold)
        fourth = silence(functional.relu(self.expand(third)), self.threshold)
        return x + self.contract(fourth), torch.cat([first, second, third, fourth], dim=2)

    def _distances(self, x: Tensor) -> Tensor:
        """Return what is added to scores, (heads, T, T): slopes m of 1/4, 1/16, ... a step, and nothing from later."""
        t = torch.arange(x.shape[0], device=x.device)
        slopes = 2.0 ** (-8 / self.heads * torch.arange(1, self.heads + 1, device=x.device))
        distance = (t[:, None] - t).to(x.dtype)
        return (-slopes[:, None, None] * distance).masked_fill(distance < 0, -torch.inf)

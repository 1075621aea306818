"""Train with the weights that the integers will have: rounded in the forward pass, real in the backward pass.

The formats are those that :mod:`golden.quantize` would choose for the network as it is. A weight w of step ``2**e`` is
used as ``2**e * sat(floor(w / 2**e + 1/2))``, and its gradient is taken as if it were w itself, or 0 where it is
saturated. The weights so used can be written as they are: quantising them loses nothing.

Source: straight-through estimator, Bengio et al., arXiv 1308.3432; Jacob et al., arXiv 1712.05877.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from golden.layers import FixedNetwork, FloatLayer
from golden.quantize import Floats, sum_exponents

REFRESHES = 20  #: times that a run chooses the formats anew, as its weights grow

Exponents = tuple[int, ...]  #: of the steps of a matrix's columns, one an equal block of columns


class LayerGrid(NamedTuple):
    """Exponents of a kernel, columns z, r, g, or None where it stays real; of the recurrent kernel; bits a weight."""

    kernel: Exponents | None
    recurrent_kernel: Exponents
    bits: int


class NetworkGrid(NamedTuple):
    """Grids of all layers, the exponent of the readout's step as a tuple of one, bits of a weight."""

    layers: Sequence[LayerGrid]
    readout: Exponents | None
    bits: int

    def plain(self) -> tuple[Any, ...]:
        """Return this as plain tuples, for a checkpoint."""
        return tuple(tuple(layer) for layer in self.layers), self.readout, self.bits

    @staticmethod
    def of(plain: Any) -> NetworkGrid | None:
        """Return what :meth:`plain` made, or None of None."""
        return None if plain is None else NetworkGrid([LayerGrid(*layer) for layer in plain[0]], *plain[1:])


@functools.cache
def _steps(exponents: Exponents, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the steps of blocks, made once: a copy to a GPU waits for it."""
    return torch.tensor([2.0**exponent for exponent in exponents], dtype=dtype, device=device)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, exponents: Exponents, bits: int) -> Tensor:
        blocks = weight.unflatten(1, (len(exponents), -1))
        step = _steps(exponents, weight.dtype, weight.device)[:, None]
        limit = 1 << (bits - 1)
        integers = (blocks / step + 0.5).floor()
        saturated = integers.clamp(-limit, limit - 1)
        ctx.save_for_backward((integers == saturated).flatten(1))
        return (saturated * step).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


def fake_quantize(weight: Tensor, exponents: Exponents | None, bits: int) -> Tensor:
    """Return a matrix (rows, columns) of integers of ``bits`` times the steps; unchanged without exponents."""
    return weight if exponents is None else _Rounded.apply(weight, exponents, bits)


def refreshed(epoch: int, first: int, epochs: int) -> bool:
    """Return whether the formats are chosen anew at an epoch of a run that quantises from the ``first`` on."""
    return epoch >= first and (epoch - first) % max(1, epochs // REFRESHES) == 0


def network_grid(fixed: FixedNetwork) -> NetworkGrid:
    """Return the grids of an integer network."""
    found, e = [], fixed.input_exponent
    for layer in fixed.layers:
        gx, z, r, gh = layer.sum_exponents
        kernel, e = (z - e, r - e, gx - e), -fixed.y_bits
        found.append(LayerGrid(kernel, (z - e, r - e, gh - e), fixed.weight_bits))
    readout = None if fixed.readout is None else (fixed.readout.sum_exponent - e,)
    return NetworkGrid(found, readout, fixed.weight_bits)


def folded_grids(
    layers: Sequence[FloatLayer], powers: Sequence[Floats], weight_bits: int, y_bits: int
) -> list[LayerGrid]:
    """Return the grids of layers of which the first reads words: its kernel is folded into their rows, and stays real.

    Parameters
    ----------
    powers : sequence of float (H,)
        Mean square of each unit's y, of every layer.

    Raises
    ------
    ModelError
        If a sum would need an exponent that the hardware's shifts do not reach.
    """
    found: list[LayerGrid] = []
    for l, layer in enumerate(layers):
        below = powers[l - 1] if l else np.ones(len(layer.kernel))
        if l == 0:
            layer = replace(layer, kernel=np.zeros_like(layer.kernel))
        gx, z, r, gh = sum_exponents(f"layers.{l}", layer, -y_bits, (below, powers[l]), weight_bits, y_bits)
        kernel = (z + y_bits, r + y_bits, gx + y_bits) if l else None
        found.append(LayerGrid(kernel, (z + y_bits, r + y_bits, gh + y_bits), weight_bits))
    return found

"""Networks as data: the float network, its integer form, and the model file that holds either or both.

A network is a chain of EGRU layers, optionally followed by a linear readout. Shapes: ``I`` inputs, ``H`` units of a
layer, ``C`` outputs of the readout. Float gate order is z, r, g, as in EvNN; the four sums of a unit are gx, z, r, gh.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import fixed

FORMAT_VERSION = "1.0"


class ModelError(ValueError):
    """A model file or network that cannot be used; the message names the thing and the remedy."""


@dataclass(frozen=True)
class FloatLayer:
    """One EGRU layer in floating point.

    kernel [in, 3H], recurrent_kernel [H, 3H], bias [3H], recurrent_bias [3H], threshold [H] in [0, 1].
    """

    kernel: NDArray[Any]
    recurrent_kernel: NDArray[Any]
    bias: NDArray[Any]
    recurrent_bias: NDArray[Any]
    threshold: NDArray[Any]

    @property
    def inputs(self) -> int:
        return self.kernel.shape[0]

    @property
    def units(self) -> int:
        return self.recurrent_kernel.shape[0]


@dataclass(frozen=True)
class FloatReadout:
    """Linear readout: logits = y @ kernel + bias. kernel [H, C], bias [C]."""

    kernel: NDArray[Any]
    bias: NDArray[Any]

    @property
    def units(self) -> int:
        return self.kernel.shape[1]


@dataclass(frozen=True)
class FloatNetwork:
    layers: tuple[FloatLayer, ...]
    readout: FloatReadout | None = None

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs


@dataclass(frozen=True)
class FixedLayer:
    """One EGRU layer in integers.

    kernel int8 [in, 3H], recurrent_kernel int8 [H, 3H], columns z, r, g;
    bias int32 [4, H], rows gx, z, r, gh, in units of the sum's last bit;
    threshold int16 [H], Q0.15;
    sum_exponents: a sum times ``2**sum_exponents[gate]`` is its real value, gates gx, z, r, gh.
    """

    kernel: NDArray[np.int8]
    recurrent_kernel: NDArray[np.int8]
    bias: NDArray[np.int32]
    threshold: NDArray[np.int16]
    sum_exponents: tuple[int, int, int, int]

    @property
    def inputs(self) -> int:
        return self.kernel.shape[0]

    @property
    def units(self) -> int:
        return self.recurrent_kernel.shape[0]

    @property
    def shifts(self) -> tuple[int, int, int, int]:
        """Right shift of each sum that leaves 12 fraction bits; each in [-4, 27]."""
        gx, z, r, gh = (-(exponent + fixed.PRE_FRACTION) for exponent in self.sum_exponents)
        return gx, z, r, gh


@dataclass(frozen=True)
class FixedReadout:
    """kernel int8 [H, C], bias int32 [C]; a logit times ``2**sum_exponent`` is its real value."""

    kernel: NDArray[np.int8]
    bias: NDArray[np.int32]
    sum_exponent: int

    @property
    def units(self) -> int:
        return self.kernel.shape[1]


@dataclass(frozen=True)
class FixedNetwork:
    """The integer network, all that the oracle and the compiler need.

    input_bits: signed width of an input value, at most 17; an input times ``2**input_exponent`` is its real value;
    y_bits: width of y, 8 to 16; y times ``2**-y_bits`` is its real value; weight_bits: 8 or 4.
    """

    layers: tuple[FixedLayer, ...]
    readout: FixedReadout | None
    weight_bits: int
    y_bits: int
    input_bits: int
    input_exponent: int

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def source_count(self) -> int:
        """Inputs and units: everything that has a fan-out list."""
        return self.inputs + sum(layer.units for layer in self.layers)


def accumulator_bits(network: FixedNetwork) -> int:
    """Return the signed width that holds every sum of the network, whatever the inputs and the order of summation.

    A sum, and each of its partial sums, is at most ``|bias| + sum |w| * v`` in magnitude, with v the largest value of
    the weight's source: ``2**(input_bits - 1)`` for an input, ``2**y_bits - 1`` for a unit.
    """
    bound, largest = 0, 1 << (network.input_bits - 1)
    y_max = (1 << network.y_bits) - 1
    for layer in network.layers:
        z, r, gx = np.split(np.abs(layer.kernel.astype(np.int64)).sum(axis=0) * largest, 3)
        recurrent_z, recurrent_r, gh = np.split(np.abs(layer.recurrent_kernel.astype(np.int64)).sum(axis=0) * y_max, 3)
        sums = np.stack([gx, z + recurrent_z, r + recurrent_r, gh]) + np.abs(layer.bias.astype(np.int64))
        bound, largest = max(bound, int(sums.max())), y_max
    if network.readout is not None:
        sums = np.abs(network.readout.kernel.astype(np.int64)).sum(axis=0) * y_max
        bound = max(bound, int((sums + np.abs(network.readout.bias.astype(np.int64))).max()))
    return bound.bit_length() + 1


@dataclass(frozen=True)
class Model:
    """What a model file holds: a name, the float network, its integer form, and what made them."""

    name: str
    float_network: FloatNetwork | None = None
    fixed: FixedNetwork | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

"""Layers and networks as data, in floating point and in integers; each checks itself when it is made.

A network is a chain of EGRU layers, optionally followed by a linear readout. Shapes: ``I`` inputs, ``H`` units of a
layer, ``C`` outputs of the readout. Float gate order is z, r, g, as in EvNN; the four sums of a unit are gx, z, r, gh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import fixed

FLOATS = ("float32", "float64")
INPUT_BITS_MIN = 2
EXPONENT_MAX = 64  #: of an input or a logit, either sign; only a sanity check, the hardware never sees it


class ModelError(ValueError):
    """A model file or network that cannot be used; the message names the thing and the remedy."""


def _check(name: str, array: Any, dtypes: tuple[str, ...], shape: tuple[int | str, ...]) -> None:
    """Check an array's type, its shape (a letter stands for any size of at least 1), and that it is finite."""
    wanted = f"[{', '.join(map(str, shape))}]"
    if not isinstance(array, np.ndarray) or array.dtype.name not in dtypes:
        kind = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise ModelError(f"{name} is of type {kind}; it must be an array of {' or '.join(dtypes)}")
    fits = len(array.shape) == len(shape) and all(
        have == want if isinstance(want, int) else have > 0 for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ModelError(f"{name} has shape {list(array.shape)}; it must be {wanted}")
    if array.dtype.name in FLOATS and not np.isfinite(array).all():
        raise ModelError(f"{name} holds NaN or infinity; every value must be finite, so train or convert it again")


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        raise ModelError(f"{name} is {value!r}; it must be an integer from {low} to {high}")


def _check_exponents(name: str, exponents: Any, count: int) -> None:
    """Check exponents of sums: the shift to 12 fraction bits must be one that the hardware has."""
    low, high = (-(shift + fixed.PRE_FRACTION) for shift in (fixed.SHIFT_MAX, fixed.SHIFT_MIN))
    if not isinstance(exponents, Sequence) or len(exponents) != count:
        raise ModelError(f"{name} is {exponents!r}; it must hold {count} integers from {low} to {high}")
    for exponent in exponents:
        if not isinstance(exponent, int | np.integer) or not low <= exponent <= high:
            raise ModelError(
                f"{name} holds {exponent!r}; it must be an integer from {low} to {high}, as the shift to "
                f"{fixed.PRE_FRACTION} fraction bits is from {fixed.SHIFT_MIN} to {fixed.SHIFT_MAX}"
            )


def _check_chain(layers: Any, readout: Any, form: str) -> None:
    """Check that each layer, and the readout, reads what the layer before has; ``form`` is part of a tensor's name."""
    if not isinstance(layers, tuple) or not layers:
        raise ModelError("a network needs a tuple of at least one layer")
    for l, (before, layer) in enumerate(zip(layers, layers[1:], strict=False), 1):
        if layer.inputs != before.units:
            raise ModelError(
                f"layers.{l}.{form}kernel has {layer.inputs} rows; it must have {before.units}, one for each unit of "
                f"layer {l - 1}"
            )
    if readout is not None and readout.kernel.shape[0] != layers[-1].units:
        raise ModelError(
            f"readout.{form}kernel has {readout.kernel.shape[0]} rows; it must have {layers[-1].units}, one for each "
            "unit of the last layer"
        )


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

    def __post_init__(self) -> None:
        _check("recurrent_kernel", self.recurrent_kernel, FLOATS, ("H", "3H"))
        units = self.units
        _check("recurrent_kernel", self.recurrent_kernel, FLOATS, (units, 3 * units))
        _check("kernel", self.kernel, FLOATS, ("in", 3 * units))
        _check("bias", self.bias, FLOATS, (3 * units,))
        _check("recurrent_bias", self.recurrent_bias, FLOATS, (3 * units,))
        _check("threshold", self.threshold, FLOATS, (units,))
        low, high = self.threshold.min(), self.threshold.max()
        if low < 0 or high > 1:
            raise ModelError(f"threshold is from {low:.6g} to {high:.6g}; it must be from 0 to 1, so clamp it")

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

    def __post_init__(self) -> None:
        _check("kernel", self.kernel, FLOATS, ("H", "C"))
        _check("bias", self.bias, FLOATS, (self.units,))

    @property
    def units(self) -> int:
        return self.kernel.shape[1]


@dataclass(frozen=True)
class FloatNetwork:
    layers: tuple[FloatLayer, ...]
    readout: FloatReadout | None = None

    def __post_init__(self) -> None:
        _check_chain(self.layers, self.readout, "")

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

    def __post_init__(self) -> None:
        _check("recurrent_kernel", self.recurrent_kernel, ("int8",), ("H", "3H"))
        units = self.units
        _check("recurrent_kernel", self.recurrent_kernel, ("int8",), (units, 3 * units))
        _check("kernel", self.kernel, ("int8",), ("in", 3 * units))
        _check("bias", self.bias, ("int32",), (len(fixed.GATES), units))
        _check("threshold", self.threshold, ("int16",), (units,))
        if self.threshold.min() < 0:
            raise ModelError(f"threshold is as low as {self.threshold.min()}; it must be from 0 to {fixed.STATE_MAX}")
        _check_exponents("sum_exponents", self.sum_exponents, len(fixed.GATES))

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

    def __post_init__(self) -> None:
        _check("kernel", self.kernel, ("int8",), ("H", "C"))
        _check("bias", self.bias, ("int32",), (self.units,))
        _check_integer("sum_exponent", self.sum_exponent, -EXPONENT_MAX, EXPONENT_MAX)

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

    def __post_init__(self) -> None:
        _check_chain(self.layers, self.readout, "fixed.")
        if self.weight_bits not in (4, 8):
            raise ModelError(f"weight_bits is {self.weight_bits!r}; it must be 4 or 8")
        _check_integer("y_bits", self.y_bits, fixed.Y_BITS_MIN, fixed.Y_BITS_MAX)
        _check_integer("input_bits", self.input_bits, INPUT_BITS_MIN, fixed.VALUE_BITS_MAX)
        _check_integer("input_exponent", self.input_exponent, -EXPONENT_MAX, EXPONENT_MAX)
        kernels: dict[str, NDArray[np.int8]] = {}
        for l, layer in enumerate(self.layers):
            kernels |= {
                f"layers.{l}.fixed.kernel": layer.kernel,
                f"layers.{l}.fixed.recurrent_kernel": layer.recurrent_kernel,
            }
        if self.readout is not None:
            kernels["readout.fixed.kernel"] = self.readout.kernel
        limit = 1 << (self.weight_bits - 1)
        for name, kernel in kernels.items():
            if kernel.min() < -limit or kernel.max() >= limit:
                raise ModelError(
                    f"{name} has weights from {kernel.min()} to {kernel.max()}, which do not fit {self.weight_bits} "
                    "bits; quantise it again, or set weight_bits to 8"
                )

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def source_count(self) -> int:
        """Inputs and units: everything that has a fan-out list."""
        return self.inputs + sum(layer.units for layer in self.layers)


def accumulator_bits(network: FixedNetwork, from_inputs: NDArray[np.int64] | None = None) -> int:
    """Return the signed width that holds every sum of the network, whatever the inputs and the order of summation.

    ``from_inputs``, int64 (3H,), bounds what the inputs of one step add to each column of the first layer, where they
    are never all active together; left out, they are.

    A sum, and each of its partial sums, is at most ``|bias| + sum |w| * v`` in magnitude, with v the largest value of
    the weight's source: ``2**(input_bits - 1)`` for an input, ``2**y_bits - 1`` for a unit. What rounds it adds to it.
    """
    bound, largest = 0, 1 << (network.input_bits - 1)
    y_max = (1 << network.y_bits) - 1
    for layer in network.layers:
        below = np.abs(layer.kernel.astype(np.int64)).sum(axis=0) * largest if from_inputs is None else from_inputs
        z, r, gx = np.split(below, 3)
        recurrent_z, recurrent_r, gh = np.split(np.abs(layer.recurrent_kernel.astype(np.int64)).sum(axis=0) * y_max, 3)
        sums = np.stack([gx, z + recurrent_z, r + recurrent_r, gh]) + np.abs(layer.bias.astype(np.int64))
        bound = max(bound, int((sums + fixed.half_step(layer.shifts)[:, None]).max()))
        largest, from_inputs = y_max, None
    if network.readout is not None:
        sums = np.abs(network.readout.kernel.astype(np.int64)).sum(axis=0) * y_max
        bound = max(bound, int((sums + np.abs(network.readout.bias.astype(np.int64))).max()))
    return bound.bit_length() + 1

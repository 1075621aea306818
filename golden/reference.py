"""The integer oracle: what an EGRU network computes, to the last bit. Hardware matches it for every unit and step.

    python -m golden.reference --benchmark

Within a step the layers follow each other: layer 0 reads the step's inputs, layer l the y of layer l-1 of the same
step, the readout the y of the last layer of the same step; each layer also reads its own y of the step before.

Everything is an integer. The matrix products alone run in BLAS, on integers held in floating point, and are exact:
while every partial sum stays below ``2**24`` (``2**53``), float32 (float64) represents each of them, so nothing is
rounded, in any order of summation. A matrix takes float32 where ``max(sum |w|) * max |value| < 2**24`` over its
columns, else float64, which always suffices: 8-bit weights, 17-bit values and at most ``2**16`` of them stay below
``2**40``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import fixed
from golden.network import FixedLayer, FixedNetwork, FixedReadout

Integers = NDArray[Any]  #: of integers

PRODUCT_ELEMENTS = 1 << 24  #: results of one matrix product over many steps; bounds the memory of a long run


@dataclass(frozen=True)
class State:
    """What a network carries from step to step, one array a layer.

    h : int32 (batch, H), Q0.15
    y : int32 (batch, H), ``y_bits`` wide, unsigned
    """

    h: tuple[Integers, ...]
    y: tuple[Integers, ...]


@dataclass(frozen=True)
class Trace:
    """Everything a run computed; ``y``, ``fires``, ``h`` and ``sums`` hold one array a layer.

    y : int32 (time, batch, H)
        Event values; 0 where the unit is silent, or fires silently. An event leaves a unit where y is not 0.
    fires : int32 (time, batch, H), 0 or 1
    h : int32 (time, batch, H), Q0.15
        After the step.
    logits : int64 (time, batch, C), or None without a readout
        Times ``2**readout.sum_exponent`` they are real values.
    state : State
        After the last step: continues the sequence.
    sums : int64 (time, 4, batch, H), or None if not asked for
        gx, z, r and gh as the cell reads them, biases included.
    """

    y: tuple[Integers, ...]
    fires: tuple[Integers, ...]
    h: tuple[Integers, ...]
    logits: Integers | None
    state: State
    sums: tuple[Integers, ...] | None = None


class Product:
    """``values @ weights``, exact (module docstring); ``largest`` bounds ``|value|``."""

    def __init__(self, weights: Integers, largest: int):
        bound = int(np.abs(weights.astype(np.int64)).sum(axis=0).max(initial=0)) * largest
        assert bound < 1 << 53, "no network within the number formats gets here"
        self._dtype: type = np.float32 if bound < 1 << 24 else np.float64
        self._weights = weights.astype(self._dtype)

    def __call__(self, values: Integers) -> NDArray[np.int64]:
        return (values.astype(self._dtype) @ self._weights).astype(np.int64)


class _Layer:
    """One EGRU layer, run over a whole sequence."""

    def __init__(self, layer: FixedLayer, largest_input: int, y_bits: int):
        self._layer, self._y_bits = layer, y_bits
        self._input_product = Product(layer.kernel, largest_input)
        self._recurrent_product = Product(layer.recurrent_kernel, (1 << y_bits) - 1)
        self._bias = layer.bias.astype(np.int64)[:, None, :]  # (4, 1, H)
        self._threshold = layer.threshold.astype(np.int64)

    def run(self, x: Integers, h: Integers, y: Integers, keep_sums: bool) -> tuple[Integers, ...]:
        """Run x (time, batch, in) from h, y (batch, H); return y, fires, h, sums as in :class:`Trace`."""
        steps, batch, _ = x.shape
        units = self._layer.units
        ys, fires, hs = (np.empty((steps, batch, units), np.int32) for _ in range(3))
        all_sums = np.empty((steps if keep_sums else 0, 4, batch, units), np.int64)
        sums = np.empty((4, batch, units), np.int64)
        chunk = max(1, PRODUCT_ELEMENTS // max(1, batch * 3 * units))
        for start in range(0, steps, chunk):
            from_inputs = self._input_product(x[start : start + chunk].reshape(-1, x.shape[2]))
            from_inputs = from_inputs.reshape(-1, batch, 3 * units)
            for t, forward in enumerate(from_inputs, start):
                recurrent = self._recurrent_product(y)
                sums[0] = forward[:, 2 * units :]
                sums[1] = forward[:, :units] + recurrent[:, :units]
                sums[2] = forward[:, units : 2 * units] + recurrent[:, units : 2 * units]
                sums[3] = recurrent[:, 2 * units :]
                sums += self._bias
                h, fire, y = fixed.cell(sums, self._layer.shifts, h, self._threshold, self._y_bits)
                ys[t], fires[t], hs[t] = y, fire, h
                if keep_sums:
                    all_sums[t] = sums
        return ys, fires, hs, all_sums


class Readout:
    """The readout; ``y_bits`` is the width of the values it reads."""

    def __init__(self, readout: FixedReadout, y_bits: int):
        self._product = Product(readout.kernel, (1 << y_bits) - 1)
        self._bias = readout.bias.astype(np.int64)

    def run(self, y: Integers) -> Integers:
        """Return the logits (time, batch, C) of y (time, batch, H)."""
        return (self._product(y.reshape(-1, y.shape[2])) + self._bias).reshape(*y.shape[:2], -1)


class Oracle:
    """A network ready to run; vectorised over the batch.

    Parameters
    ----------
    network : FixedNetwork
    """

    def __init__(self, network: FixedNetwork):
        self.network = network
        y_max = (1 << network.y_bits) - 1
        largest = [1 << (network.input_bits - 1)] + [y_max] * (len(network.layers) - 1)
        self._layers = [_Layer(*pair, network.y_bits) for pair in zip(network.layers, largest, strict=True)]
        self._readout = Readout(network.readout, network.y_bits) if network.readout else None

    def initial_state(self, batch: int) -> State:
        """Return the state at the start of a sequence: h = 0, y = 0."""
        zeros = tuple(np.zeros((batch, layer.units), np.int32) for layer in self.network.layers)
        return State(zeros, zeros)

    def step(self, x: Integers, state: State) -> Trace:
        """Run one step, x int (batch, I); the trace has one step."""
        return self.run(np.asarray(x)[None], state)

    def run(self, inputs: Integers, state: State | None = None, *, keep_sums: bool = False) -> Trace:
        """Run a sequence.

        Parameters
        ----------
        inputs : int (time, batch, I)
            Within the signed ``input_bits`` of the network.
        state : State, optional
            Where to go on from; the initial state if left out. It is not changed.
        keep_sums : bool
            Whether the trace keeps the four sums of every unit and step.

        Raises
        ------
        ValueError
            If the inputs or the state are misshapen, not integers, or out of range.
        """
        x = np.asarray(inputs)
        if x.ndim != 3 or x.shape[2] != self.network.inputs:
            raise ValueError(f"inputs have shape {x.shape}; the network needs (time, batch, {self.network.inputs})")
        limit = 1 << (self.network.input_bits - 1)
        _check_range("inputs", x, -limit, limit - 1)
        state = self.initial_state(x.shape[1]) if state is None else state
        self._check_state(state, x.shape[1])

        traces = []
        for layer, h, y in zip(self._layers, state.h, state.y, strict=True):
            traces.append(layer.run(x, h, y, keep_sums))
            x = traces[-1][0]
        ys, fires, hs, sums = zip(*traces, strict=True)
        last = State(_last(hs, state.h), _last(ys, state.y))
        logits = self._readout.run(x) if self._readout else None
        return Trace(ys, fires, hs, logits, last, sums if keep_sums else None)

    def _check_state(self, state: State, batch: int) -> None:
        y_max = (1 << self.network.y_bits) - 1
        for name, arrays, low, high in (
            ("h", state.h, -fixed.STATE_MAX - 1, fixed.STATE_MAX),
            ("y", state.y, 0, y_max),
        ):
            if len(arrays) != len(self.network.layers):
                raise ValueError(f"state {name} has {len(arrays)} layers; the network has {len(self.network.layers)}")
            for l, (array, layer) in enumerate(zip(arrays, self.network.layers, strict=True)):
                if np.shape(array) != (batch, layer.units):
                    raise ValueError(
                        f"state {name} of layer {l} has shape {np.shape(array)}; it must be {(batch, layer.units)}"
                    )
                _check_range(f"state {name} of layer {l}", np.asarray(array), low, high)


def _last(arrays: Sequence[Integers], before: tuple[Integers, ...]) -> tuple[Integers, ...]:
    """State after the last step, on its own memory; the one before if there was no step."""
    return tuple((array[-1] if len(array) else old).astype(np.int32) for array, old in zip(arrays, before, strict=True))


def _check_range(name: str, array: Integers, low: int, high: int) -> None:
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} are {array.dtype}; they must be integers (see golden.quantize.quantize_inputs)")
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(f"{name} are from {array.min()} to {array.max()}; they must be from {low} to {high}")


def run(network: FixedNetwork, inputs: Integers, state: State | None = None, *, keep_sums: bool = False) -> Trace:
    """Run a network over a sequence; see :meth:`Oracle.run`."""
    return Oracle(network).run(inputs, state, keep_sums=keep_sums)


def benchmark(units: int = 1350, weight_density: float = 0.15, batch: int = 64, steps: int = 40) -> float:
    """Return the layer-steps/s (steps times batch a second) of one layer with as many inputs as units."""
    rng = np.random.default_rng(0)

    def sparse(*shape: int) -> NDArray[np.int8]:
        weights = np.clip(np.round(rng.standard_normal(shape) * 40), -127, 127)
        return (weights * (rng.random(shape) < weight_density)).astype(np.int8)

    layer = FixedLayer(
        kernel=sparse(units, 3 * units),
        recurrent_kernel=sparse(units, 3 * units),
        bias=np.zeros((4, units), np.int32),
        threshold=np.full(units, 3000, np.int16),
        sum_exponents=(-17, -17, -17, -17),
    )
    oracle = Oracle(FixedNetwork((layer,), None, weight_bits=8, y_bits=8, input_bits=9, input_exponent=-8))
    inputs = (rng.integers(0, 256, (steps, batch, units)) * (rng.random((steps, batch, units)) < 0.2)).astype(np.int32)
    oracle.run(inputs[:2])
    start = time.perf_counter()
    trace = oracle.run(inputs)
    rate = steps * batch / (time.perf_counter() - start)
    print(f"{units} units, {units} inputs, density {weight_density}, batch {batch}, {steps} steps,")
    print(f"{float((trace.y[0] != 0).mean()):.1%} of the units active: {rate:,.0f} layer-steps/s")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m golden.reference",
        description="The integer oracle. As a program it measures its own speed.",
        epilog="example: python -m golden.reference --benchmark --units 512",
    )
    parser.add_argument(
        "--benchmark", action="store_true", required=True, help="run one random layer and print its speed"
    )
    parser.add_argument("--units", type=int, default=1350, help="units and inputs of the layer (default %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="sequences side by side (default %(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="steps of a sequence (default %(default)s)")
    arguments = parser.parse_args()
    benchmark(arguments.units, batch=arguments.batch, steps=arguments.steps)


if __name__ == "__main__":
    main()

"""Quantise a float network: 8- or 4-bit weights, one power-of-two exponent for each sum of a layer.

With value exponents ``e_x`` (of the layer's sources) and ``-y_bits`` (of its own y), a sum of exponent ``s`` gets

    W_int = round(W / 2**(s - e_x))      R_int = round(R / 2**(s + y_bits))      bias_int = round(bias / 2**s)

so that ``2**s * (x_int @ W_int + y_int @ R_int + bias_int)`` is the real sum. Everything rounds half up and saturates.
As W and R share ``s``, inputs and y are best given exponents a few bits apart at most: ``input_bits`` = ``y_bits`` + 1.
A zero stays zero, and a small weight may become zero: :func:`losses` says how many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from golden import fixed
from golden.float_reference import run_float
from golden.layers import (
    EXPONENT_MAX,
    FixedLayer,
    FixedNetwork,
    FixedReadout,
    FloatLayer,
    FloatNetwork,
    FloatReadout,
    ModelError,
)

Floats = NDArray[Any]

SUM_EXPONENT_MIN = -(fixed.SHIFT_MAX + fixed.PRE_FRACTION)
SUM_EXPONENT_MAX = -(fixed.SHIFT_MIN + fixed.PRE_FRACTION)
CLIP_STEPS = 6  #: exponents tried below the one at which no weight is clipped
BIAS_BITS = 30  #: a bias keeps 2 of its 32 bits free
EMPTY_EXPONENT = -16  #: of a sum without weights: its bias to 4 bits below the 12 that the cell keeps


@dataclass(frozen=True)
class Part:
    """Weights that enter a sum: float [sources, H], the exponent of their values, mean square of each real value."""

    weights: Floats
    value_exponent: int
    power: Floats


@dataclass(frozen=True)
class WeightLoss:
    """What quantisation did to the weights of one kernel and gate.

    weight_count, clipped_count and zeroed_count count non-zero float weights: all, saturated, rounded to zero;
    ratio is signal to quantisation noise in dB, infinite where nothing was lost.
    """

    name: str
    gate: str
    weight_count: int
    clipped_count: int
    zeroed_count: int
    ratio: float


def _round(x: Floats, bits: int) -> NDArray[np.int64]:
    """Round half up and saturate to a signed integer of ``bits`` bits."""
    return fixed.saturate(
        np.clip(np.floor(np.asarray(x, np.float64) + 0.5), -(2.0**62), 2.0**62).astype(np.int64), bits
    )


def quantize_weights(weights: Floats, exponent: int, weight_bits: int) -> NDArray[Any]:
    """Return weights in units of ``2**exponent``, int8, or int16 beyond 8 bits."""
    integers = _round(np.ldexp(np.asarray(weights, np.float64), -exponent), weight_bits)
    return integers.astype(np.int8 if weight_bits <= 8 else np.int16)


def rounding_noise(part: Part, exponent: int, weight_bits: int) -> float:
    """Expected square, summed over units, of the error that quantised weights put into a sum."""
    step = exponent - part.value_exponent
    error = np.ldexp(quantize_weights(part.weights, step, weight_bits).astype(np.float64), step) - part.weights
    return float(part.power @ (error**2).sum(axis=1))


def fit_exponent(name: str, parts: list[Part], bias: Floats, weight_bits: int, low: int, high: int) -> int:
    """Return the exponent of a sum that loses least, rounding against clipping; it is from low to high.

    Candidates go from the exponent at which no weight is clipped down by :data:`CLIP_STEPS`. Where the best is just not
    possible, the next is taken: weights beyond half of the largest that it has are clipped.
    """
    largest_weight = (1 << (weight_bits - 1)) - 1
    needed = [
        math.ceil(math.log2(np.abs(part.weights).max() / largest_weight)) + part.value_exponent
        for part in parts
        if np.any(part.weights)
    ]
    largest_bias = float(np.abs(bias).max(initial=0.0))
    if largest_bias:
        low = max(low, math.ceil(math.log2(largest_bias)) - BIAS_BITS)
    unclipped = max(needed, default=EMPTY_EXPONENT)
    candidates = sorted({max(unclipped - clip, low) for clip in range(CLIP_STEPS + 1)}, reverse=True)
    best = min(candidates, key=lambda exponent: sum(rounding_noise(part, exponent, weight_bits) for part in parts))
    best = high if best == high + 1 else best
    if best > high:
        raise ModelError(
            f"the {name} sums need an exponent of {best}, and at most {high} is possible; lower input_exponent, raise "
            "y_bits, or train with smaller weights and biases"
        )
    return best


def _quantize_bias(bias: Floats, exponent: int) -> NDArray[np.int32]:
    return _round(np.ldexp(np.asarray(bias, np.float64), -exponent), 32).astype(np.int32)


def mean_squares(values: Floats) -> Floats:
    """Return the mean square of each source's value, of (time, batch, sources).

    A source that was silent here may still be active later: it counts a little.
    """
    power = np.square(values, dtype=np.float64).mean(axis=(0, 1))
    return power + max(1e-3 * float(power.mean()), 1e-12)


def _gates(layer: FloatLayer) -> tuple[dict[str, Floats], dict[str, Floats], dict[str, Floats]]:
    """Return a layer's kernel and recurrent kernel by gate z, r, g, and the biases of its sums."""
    kernels, recurrents, bias, recurrent_bias = (
        dict(zip("zrg", np.split(np.asarray(array, np.float64), 3, axis=-1), strict=True))
        for array in (layer.kernel, layer.recurrent_kernel, layer.bias, layer.recurrent_bias)
    )
    biases = {gate: bias[gate] + recurrent_bias[gate] for gate in "zr"}
    return kernels, recurrents, {"gx": bias["g"], **biases, "gh": recurrent_bias["g"]}


def sum_exponents(
    name: str, layer: FloatLayer, input_exponent: int, powers: tuple[Floats, Floats], weight_bits: int, y_bits: int
) -> tuple[int, int, int, int]:
    """Return the exponents of a layer's four sums, in the order of ``fixed.GATES``, that lose least.

    Parameters
    ----------
    name : str
        For errors.
    powers : float (I,), float (H,)
        Mean square of each input's and each unit's real value.

    Raises
    ------
    ModelError
        If a sum would need an exponent that the hardware's shifts do not reach.
    """
    kernels, recurrents, biases = _gates(layer)
    x = {gate: Part(weights, input_exponent, powers[0]) for gate, weights in kernels.items()}
    y = {gate: Part(weights, -y_bits, powers[1]) for gate, weights in recurrents.items()}
    parts = {"gx": [x["g"]], "z": [x["z"], y["z"]], "r": [x["r"], y["r"]], "gh": [y["g"]]}
    gx, z, r, gh = (
        fit_exponent(f"{name} {gate}", parts[gate], biases[gate], weight_bits, SUM_EXPONENT_MIN, SUM_EXPONENT_MAX)
        for gate in fixed.GATES
    )
    return gx, z, r, gh


def quantize_layer(
    layer: FloatLayer, exponents: tuple[int, int, int, int], input_exponent: int, weight_bits: int, y_bits: int
) -> FixedLayer:
    """Return the integer form of a layer, its sums having these exponents."""
    gx, z, r, gh = exponents
    kernels, recurrents, biases = _gates(layer)

    def kernel(gates: dict[str, Floats], exponents: tuple[int, int, int], value_exponent: int) -> NDArray[np.int8]:
        blocks = zip(gates.values(), exponents, strict=True)
        return np.hstack([quantize_weights(block, s - value_exponent, weight_bits) for block, s in blocks])

    return FixedLayer(
        kernel=kernel(kernels, (z, r, gx), input_exponent),
        recurrent_kernel=kernel(recurrents, (z, r, gh), -y_bits),
        bias=np.stack([_quantize_bias(biases[gate], s) for gate, s in zip(fixed.GATES, exponents, strict=True)]),
        threshold=_round(np.ldexp(np.asarray(layer.threshold, np.float64), fixed.STATE_FRACTION), 16).astype(np.int16),
        sum_exponents=exponents,
    )


def readout_exponent(readout: FloatReadout, y_power: Floats, weight_bits: int, y_bits: int) -> int:
    """Return the exponent of a readout's sums that loses least; ``y_power`` (H,) is each source's mean square."""
    part = Part(np.asarray(readout.kernel, np.float64), -y_bits, y_power)
    return fit_exponent("readout", [part], readout.bias, weight_bits, -EXPONENT_MAX, EXPONENT_MAX)


def quantize_readout(readout: FloatReadout, y_power: Floats, weight_bits: int, y_bits: int) -> FixedReadout:
    """Return the integer form of a readout; parameters as of :func:`readout_exponent`."""
    exponent = readout_exponent(readout, y_power, weight_bits, y_bits)
    kernel = quantize_weights(readout.kernel, exponent + y_bits, weight_bits)
    return FixedReadout(kernel, _quantize_bias(readout.bias, exponent), exponent)


def _fit_inputs(calibration: Floats, input_bits: int) -> int:
    """Return the largest exponent at which the input values lose least."""
    largest = float(np.abs(calibration).max(initial=0.0))
    if not largest:
        return 1 - input_bits
    unclipped = math.ceil(math.log2(largest / ((1 << (input_bits - 1)) - 1)))

    def noise(exponent: int) -> float:
        integers = _round(np.ldexp(calibration, -exponent), input_bits)
        return float(((np.ldexp(integers.astype(np.float64), exponent) - calibration) ** 2).sum())

    return min(range(unclipped, unclipped - CLIP_STEPS - 1, -1), key=noise)


def quantize(
    network: FloatNetwork,
    calibration: Floats | None,
    *,
    weight_bits: int = 8,
    y_bits: int = 8,
    input_bits: int = 9,
    input_exponent: int | None = None,
) -> FixedNetwork:
    """Return the integer form of a network.

    Each sum's exponent is the one with the least expected square error of the sum, taking a source's values as
    uncorrelated: from clipping no weight to clipping all beyond 1/64 of the largest.

    Parameters
    ----------
    calibration : float (time, batch, I), optional
        Real inputs as they will come. They set the input exponent, and how much each source's weights matter.
        Without them every source counts the same, and the inputs are taken to fill [-1, 1).
    input_exponent : int, optional
        An input integer times ``2**input_exponent`` is its real value; fitted to the calibration if left out.

    Raises
    ------
    ModelError
        If a sum would need an exponent that the hardware's shifts do not reach.
    """
    powers: list[Floats]
    if calibration is None:
        input_exponent = 1 - input_bits if input_exponent is None else input_exponent
        powers = [np.full(network.inputs, np.ldexp(1.0, 2 * (input_exponent + input_bits - 1)))]
        powers += [np.ones(layer.units) for layer in network.layers]
    else:
        x = np.asarray(calibration, np.float64)
        if not x.size or not np.isfinite(x).all():
            raise ModelError("the calibration inputs are empty or hold NaN or infinity; give finite inputs")
        input_exponent = _fit_inputs(x, input_bits) if input_exponent is None else input_exponent
        powers = [mean_squares(values) for values in (x, *run_float(network, x).y)]
    layers, exponent = [], input_exponent
    for l, layer in enumerate(network.layers):
        sums = sum_exponents(f"layers.{l}", layer, exponent, (powers[l], powers[l + 1]), weight_bits, y_bits)
        layers.append(quantize_layer(layer, sums, exponent, weight_bits, y_bits))
        exponent = -y_bits
    readout = None
    if network.readout is not None:
        readout = quantize_readout(network.readout, powers[-1], weight_bits, y_bits)
    return FixedNetwork(tuple(layers), readout, weight_bits, y_bits, input_bits, input_exponent)


def quantize_inputs(x: Floats, network: FixedNetwork) -> NDArray[np.int32]:
    """Return real inputs as the network's integers, rounded half up, saturated to ``input_bits``.

    Raises
    ------
    ValueError
        If an input is NaN or infinite.
    """
    values = np.asarray(x, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the inputs hold NaN or infinity; every input must be finite")
    return _round(np.ldexp(values, -network.input_exponent), network.input_bits).astype(np.int32)


def losses(network: FloatNetwork, quantized: FixedNetwork) -> list[WeightLoss]:
    """Compare every kernel and gate with its integer form."""
    rows = []
    limit = 1 << (quantized.weight_bits - 1)

    def compare(name: str, gate: str, weights: Floats, integers: NDArray[Any], step: int) -> None:
        scaled = np.floor(np.ldexp(np.asarray(weights, np.float64), -step) + 0.5)
        noise = float(((np.ldexp(integers.astype(np.float64), step) - weights) ** 2).sum())
        signal = float((np.asarray(weights, np.float64) ** 2).sum())
        rows.append(
            WeightLoss(
                name,
                gate,
                weight_count=int(np.count_nonzero(weights)),
                clipped_count=int(((scaled < -limit) | (scaled >= limit)).sum()),
                zeroed_count=int(((weights != 0) & (integers == 0)).sum()),
                ratio=10 * math.log10(signal / noise) if noise and signal else math.inf,
            )
        )

    value_exponent = quantized.input_exponent
    for l, (layer, fixed_layer) in enumerate(zip(network.layers, quantized.layers, strict=True)):
        gx, z, r, gh = fixed_layer.sum_exponents
        kernels = (("kernel", (z, r, gx), value_exponent), ("recurrent_kernel", (z, r, gh), -quantized.y_bits))
        for name, exponents, e in kernels:
            blocks = (np.split(getattr(part, name), 3, axis=1) for part in (layer, fixed_layer))
            for gate, s, weights, integers in zip("zrg", exponents, *blocks, strict=True):
                compare(f"layers.{l}.{name}", gate, weights, integers, s - e)
        value_exponent = -quantized.y_bits
    if network.readout is not None and quantized.readout is not None:
        step = quantized.readout.sum_exponent + quantized.y_bits
        compare("readout.kernel", "", network.readout.kernel, quantized.readout.kernel, step)
    return rows


def loss_table(rows: list[WeightLoss]) -> Table:
    """Return a table, for people, of what quantisation lost."""
    table = Table(title="Quantised weights")
    for column in ("kernel", "gate"):
        table.add_column(column)
    for column in ("non-zero", "clipped", "rounded to 0", "SQNR, dB"):
        table.add_column(column, justify="right")
    for row in rows:
        counts = (row.weight_count, row.clipped_count, row.zeroed_count)
        table.add_row(row.name, row.gate, *(f"{count:,}" for count in counts), f"{row.ratio:.1f}")
    return table

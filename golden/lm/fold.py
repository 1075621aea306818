"""Quantise a language model, and fold its embedding into the input weights of the first layer.

Layers are quantised as :mod:`golden.quantize` does, with formats for the values that a text brings. A word has the row
``E[t] @ W``, stored as :mod:`golden.lm.integer` says. Biases stay in the bias memory, where they are exact and cost
nothing. The sums z, r and gh of the first layer have the exponents that its recurrent weights alone would choose,
unless rows would not fit; the value ``2**k`` of a word is then the one at which the rows of z and r lose least, and the
exponent of gx, into which rows alone go, likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.layers import FixedLayer, FixedNetwork
from golden.lm.floating import FloatLanguageModel, FloatRunner
from golden.quantize import (
    CLIP_STEPS,
    SUM_EXPONENT_MAX,
    SUM_EXPONENT_MIN,
    Floats,
    Part,
    fit_exponent,
    quantize_layer,
    quantize_readout,
    quantize_weights,
    rounding_noise,
    sum_exponents,
)

VALUE_EXPONENT_MAX = 15  #: of a word's largest value: the largest power of two in 17 bits, signed
PIECE = 512  #: words run at a time

Tell = Callable[[int], None]  #: is told how many more words are done


def silent(done: int) -> None:
    """Tell nobody of progress."""


def calibrate(model: FloatLanguageModel, tokens: NDArray[np.int64], tell: Tell = silent) -> list[Floats]:
    """Return the frequency of every word of a text, float (V,), and each layer's mean squares of y, float (H,).

    What did not occur here may still occur later: it counts a little.
    """
    runner, state = FloatRunner(model), None
    powers = [np.bincount(tokens, minlength=len(model.embedding)) / len(tokens)]
    powers += [np.zeros(layer.units) for layer in model.layers]
    for start in range(0, len(tokens), PIECE):
        trace = runner.run(tokens[start : start + PIECE, None], state, readout=False)
        state = trace.state
        for power, y in zip(powers[1:], trace.y, strict=True):
            power += np.square(y).sum(axis=(0, 1)) / len(tokens)
        tell(len(trace.y[0]))
    return [power + max(1e-3 * float(power.mean()), 1e-12) for power in powers]


def quantize_model(
    model: FloatLanguageModel, powers: Sequence[Floats], *, weight_bits: int = 8, row_bits: int = 16, y_bits: int = 8
) -> FixedNetwork:
    """Return the integer form of a language model, its embedding folded into rows of 8 or 16 bits.

    ``powers`` are those of :func:`calibrate`.

    Raises
    ------
    ModelError
        If a sum would need an exponent that the hardware's shifts do not reach.
    """
    first, exponent = _fold_layer(model, powers, weight_bits, row_bits, y_bits)
    layers = [first]
    for l, layer in enumerate(model.layers[1:], 1):
        sums = sum_exponents(f"layers.{l}", layer, -y_bits, (powers[l], powers[l + 1]), weight_bits, y_bits)
        layers.append(quantize_layer(layer, sums, -y_bits, weight_bits, y_bits))
    readout = quantize_readout(model.readout, powers[-1], weight_bits, y_bits)
    input_bits = row_bits - weight_bits - exponent + 2
    return FixedNetwork(tuple(layers), readout, weight_bits, y_bits, input_bits, exponent)


def _fold_layer(
    model: FloatLanguageModel, powers: Sequence[Floats], weight_bits: int, row_bits: int, y_bits: int
) -> tuple[FixedLayer, int]:
    """Return the first layer, and the exponent of a word's value."""
    layer = model.layers[0]
    none = replace(layer, kernel=np.zeros((1, 3 * layer.units), np.float32))
    gx, z, r, gh = sum_exponents("layers.0", none, 0, (np.ones(1), powers[1]), weight_bits, y_bits)
    rows = dict(zip("zrg", np.split(model.fold().layers[0].kernel, 3, axis=1), strict=True))
    largest = _largest_row(row_bits, weight_bits)
    highest = VALUE_EXPONENT_MAX - (row_bits - weight_bits)
    z, r = (max(s, _exponent(rows[gate], largest) - highest) for gate, s in (("z", z), ("r", r)))
    needed = max(_exponent(rows["z"], largest) - z, _exponent(rows["r"], largest) - r)
    candidates = sorted({min(max(needed - clip, 0), highest) for clip in range(CLIP_STEPS + 1)}, reverse=True)

    def noise(k: int) -> float:
        gates = (("z", z), ("r", r))
        return sum(rounding_noise(Part(rows[gate], -k, powers[0]), s, row_bits) for gate, s in gates)

    exponent = -min(candidates, key=noise)
    bias = np.split(layer.bias, 3)[2]
    part = Part(rows["g"], exponent, powers[0])
    gx = fit_exponent("layers.0 gx", [part], bias, row_bits, SUM_EXPONENT_MIN, SUM_EXPONENT_MAX)
    integers = np.hstack(
        [quantize_weights(rows[gate], s - exponent, row_bits) for gate, s in (("z", z), ("r", r), ("g", gx))]
    )
    fixed_layer = quantize_layer(none, (gx, z, r, gh), exponent, weight_bits, y_bits)
    return replace(fixed_layer, kernel=split_digits(integers, row_bits, weight_bits)), exponent


def _exponent(rows: Floats, largest: int) -> int:
    """Return the least exponent at which no value is beyond ``largest``."""
    return math.ceil(math.log2(max(float(np.abs(rows).max()), 1e-12) / largest))


def _largest_row(row_bits: int, digit_bits: int) -> int:
    """Return the largest number whose digits, all signed, fit."""
    return sum(((1 << (digit_bits - 1)) - 1) << shift for shift in range(0, row_bits, digit_bits))


def split_digits(rows: NDArray[Any], row_bits: int, digit_bits: int) -> NDArray[np.int8]:
    """Return rows (V, columns) as int8 (V * row_bits / digit_bits, columns): the signed digits of a row, highest first.

    Rows beyond what digits can hold saturate.
    """
    rest = np.minimum(rows.astype(np.int32), _largest_row(row_bits, digit_bits))
    half = 1 << (digit_bits - 1)
    digits = []
    for _ in range(0, row_bits, digit_bits):
        digits.append(((rest + half) % (2 * half) - half).astype(np.int8))
        rest = (rest - digits[-1]) >> digit_bits
    return np.stack(digits[::-1], axis=1).reshape(-1, rows.shape[1])

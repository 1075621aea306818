"""Make a model file, in integers, of a trained language model.

    python -m golden.lm.convert --weights build/lm-ptb-egru/lm-*.safetensors --corpus ptb --out build/lm.safetensors

Layers are quantised as :mod:`golden.quantize` does, with formats for the values that the validation text brings. The
embedding is folded: a row ``E[t] @ W`` for each word, as :mod:`golden.lm.integer` stores it. Biases stay in the bias
memory, where they are exact and cost nothing. The sums z, r and gh of the first layer have the exponents that its
recurrent weights alone would choose, unless rows would not fit; the value ``2**k`` of a word is then the one at which
the rows of z and r lose least, and the exponent of gx, into which rows alone go, likewise.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from golden.checkpoint import TrainingError
from golden.layers import FixedLayer, FixedNetwork, FloatLayer, FloatReadout, ModelError
from golden.lm.corpus import Corpus, CorpusError, load_corpus
from golden.lm.floating import FloatLanguageModel, FloatRunner
from golden.lm.integer import IntegerModel
from golden.lm.native import CompilerError
from golden.lm.weights import load_weights
from golden.network import Model, save
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

ERRORS = (TrainingError, CorpusError, ModelError, CompilerError, OSError)  #: that end a command with one sentence
VALUE_EXPONENT_MAX = 15  #: of a word's largest value: the largest power of two in 17 bits, signed
PIECE = 512  #: words run at a time
CALIBRATION_WORDS = 10_000  #: of the validation text
TENSORS = ("kernel", "recurrent_kernel", "bias", "recurrent_bias", "threshold")

Progress = Callable[[int], None]  #: is told how many more words are done


def silent(done: int) -> None:
    """Tell nobody of progress."""


def from_state(state: Mapping[str, Any]) -> FloatLanguageModel:
    """Return the language model of a state dict of :class:`golden.lm.model.LanguageModel`.

    Raises
    ------
    ModelError
        Naming the tensor that is missing, or misshapen.
    """

    def take(name: str) -> NDArray[Any]:
        if name not in state:
            raise ModelError(f"tensor {name} is missing; give all files of a trained event-based GRU language model")
        return np.asarray(state[name], np.float32)

    layers: list[FloatLayer] = []
    while f"layers.{len(layers)}.kernel" in state or not layers:
        prefix = f"layers.{len(layers)}."
        tensors = {name: take(prefix + name) for name in TENSORS}
        tensors["threshold"] = tensors["threshold"].clip(0, 1)
        try:
            layers.append(FloatLayer(**tensors))
        except ModelError as error:
            raise ModelError(f"{prefix}{error}") from None
    embedding = take("embedding.weight")
    weight = take("readout.weight") if "readout.weight" in state else embedding
    unread = layers[-1].units - weight.shape[1]  # units after those that the decoder reads
    kernel = np.pad(weight.T, ((0, max(unread, 0)), (0, 0)))
    return FloatLanguageModel(embedding, tuple(layers), FloatReadout(kernel, take("readout.bias")))


def load_model(paths: Sequence[Path], corpus: Corpus) -> FloatLanguageModel:
    """Read trained weights, and check that their vocabulary is as large as the corpus's.

    Raises
    ------
    TrainingError, ModelError
    """
    names = ", ".join(map(str, paths))
    try:
        model = from_state(load_weights(paths))
    except ModelError as error:
        raise ModelError(f"{names}: {error}") from None
    if len(model.embedding) != len(corpus.words):
        raise ModelError(
            f"{names}: the weights know {len(model.embedding):,} words and {corpus.name} has {len(corpus.words):,}; "
            "give the corpus that they were trained on"
        )
    return model


def calibrate(model: FloatLanguageModel, tokens: NDArray[np.int64], progress: Progress = silent) -> list[Floats]:
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
        progress(len(trace.y[0]))
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


def calibration_text(corpus: Corpus) -> NDArray[np.int64]:
    """Return the part of a corpus to which formats are fitted."""
    return corpus.valid[:CALIBRATION_WORDS]


def convert(options: argparse.Namespace) -> Model:
    """Return the model that the options ask for."""
    corpus = load_corpus(options.corpus, options.data)
    model = load_model(options.weights, corpus)
    powers = calibrate(model, calibration_text(corpus))
    network = quantize_model(model, powers, weight_bits=options.weight_bits, row_bits=options.row_bits)
    provenance = {
        "command": "python -m golden.lm.convert " + " ".join(sys.argv[1:]),
        "weights_sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in options.weights},
        "corpus": corpus.name,
        "vocabulary_sha256": hashlib.sha256("\n".join(corpus.words).encode()).hexdigest(),
        "row_bits": options.row_bits,
    }
    return Model(options.out.stem, fixed=network, provenance=provenance)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which network is quantised, and how."""
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, metavar="FILE", help="lm-*.safetensors of a training run"
    )
    parser.add_argument("--corpus", default="ptb", metavar="NAME", help="that it was trained on (default ptb)")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="folder of corpora (default data)"
    )
    parser.add_argument("--weight-bits", type=int, choices=(8, 4), default=8, help="of every weight (default 8)")
    parser.add_argument(
        "--row-bits", type=int, choices=(16, 8), default=16, help="of the rows of the folded embedding (default 16)"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m golden.lm.convert",
        description="Make a model file, in integers, of a trained language model; its embedding is folded.",
        epilog="example: python -m golden.lm.convert --weights build/lm-ptb-egru/lm-*.safetensors --out lm.safetensors",
    )
    add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="model file to write")
    options = parser.parse_args(arguments)
    try:
        model = convert(options)
        save(model, options.out)
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    assert model.fixed is not None
    integer = IntegerModel(model.fixed)
    units = ", ".join(str(layer.units) for layer in model.fixed.layers)
    Console().print(
        f"{options.out}: {integer.words:,} words, {integer.lists} lists each, layers of {units} units, sums of "
        f"{integer.accumulator_bits} bits"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

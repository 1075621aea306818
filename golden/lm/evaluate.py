"""Measure what a language model keeps in integers: perplexity and multiply-accumulates (MACs) over a whole text.

    python -m golden.lm.evaluate --weights build/lm-ptb-egru/lm-*.safetensors --corpus ptb
    python -m golden.lm.evaluate --model models/ptb-char/ptb-char.safetensors --corpus ptb

The text is one sequence: the state is carried from its first word to its last, nothing is cut, and every word is
predicted. Logits are integers up to the logarithm of their softmax, which is float64. MACs are counted word by word as
:mod:`golden.macs` counts them, an entry of a word's row being one. For characters read word as character.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from golden.files import write_whole
from golden.float_reference import Floats
from golden.layers import FixedNetwork, ModelError
from golden.lm.convert import (
    WEIGHTS,
    WordProgress,
    add_arguments,
    calibration_text,
    corpus_of,
    load_model,
    make_folder,
    row_bits_of,
)
from golden.lm.corpus import Corpus, columns
from golden.lm.errors import ERRORS
from golden.lm.floating import FloatLanguageModel, FloatRunner, random_model
from golden.lm.fold import Tell, calibrate, quantize_model, silent
from golden.lm.integer import IntegerModel
from golden.lm.settings import PRESETS, Settings, preset
from golden.macs import egru_macs
from golden.network import Model, load

LOGITS = 1 << 22  #: held at a time
PIECE_MAX = 512  #: words run at a time


class Score(NamedTuple):
    """What a model achieves over a text, read in ``seconds``; activity is the share of units that send an event.

    ``macs`` of every word, int64 (words of the text, groups), are those of :meth:`IntegerModel.macs`, or None.
    """

    perplexity: float
    activity: list[float]
    seconds: float
    macs: NDArray[np.int64] | None

    @property
    def bits(self) -> float:
        """Bits a word."""
        return math.log2(self.perplexity)

    def summary(self, words: int) -> dict[str, Any]:
        return {
            "perplexity": self.perplexity,
            "bits": self.bits,
            "activity": self.activity,
            "seconds": round(self.seconds, 3),
            "words_per_second": round(words / self.seconds, 1),
        }


def surprisal(logits: Floats, targets: NDArray[np.int64]) -> Floats:
    """Return ``-log softmax(logits)[target]``, in nats, of float64 (time, batch, V); the logits are overwritten."""
    logits -= logits.max(axis=-1, keepdims=True)
    wanted = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return np.log(np.exp(logits, out=logits).sum(axis=-1)) - wanted


def score(runner: Any, inputs: NDArray[np.int64], targets: NDArray[np.int64], tell: Tell = silent) -> Score:
    """Run a :class:`FloatRunner` or an :class:`IntegerModel` over words (time, batch)."""
    integer = isinstance(runner, IntegerModel)
    exponent = runner.logit_exponent if integer else 0
    piece = max(1, min(PIECE_MAX, LOGITS // (runner.words * inputs.shape[1])))
    state, total, macs = None, 0.0, []
    active: NDArray[Any] = np.zeros(1)
    began = time.perf_counter()
    for start in range(0, len(inputs), piece):
        words = inputs[start : start + piece]
        trace = runner.run(words, state)
        state = trace.state
        real = np.ldexp(trace.logits.astype(np.float64), exponent)
        total += float(surprisal(real, targets[start : start + piece]).sum())
        active = active + [np.count_nonzero(y) / y.shape[2] for y in trace.y]
        if integer:
            macs.append(runner.macs(words, trace))
        tell(len(words))
    seconds = time.perf_counter() - began
    counts = np.concatenate(macs).reshape(-1, macs[0].shape[2]) if integer else None
    return Score(float(np.exp(total / inputs.size)), (active / inputs.size).tolist(), seconds, counts)


class Work(NamedTuple):
    """MACs a word of one way of counting, and of the dense network in which every unit is active, if it is known."""

    name: str
    counts: NDArray[np.int64]
    dense: int | None

    def summary(self) -> dict[str, Any]:
        p50, p99 = (int(np.percentile(self.counts, p, method="inverted_cdf")) for p in (50, 99))
        mean = float(self.counts.mean())
        compared = {} if self.dense is None else {"dense": self.dense, "times_fewer": self.dense / mean}
        return {"mean": mean, "p50": p50, "p99": p99, "worst": int(self.counts.max()), **compared}


def work(network: FixedNetwork, model: FloatLanguageModel | None, macs: NDArray[np.int64], unit: str) -> list[Work]:
    """Return the MACs of every word: the embedding's features as inputs, all active; then folded; then with decoder.

    A character is one input, in the dense network too, and there is nothing to fold. Integers alone do not tell how
    large the embedding was that is folded in them.
    """
    assert network.readout is not None
    rows, layers, decoder = macs[:, 0], macs[:, 1:-1].sum(axis=1), macs[:, -1]
    features = 1 if unit == "character" else None if model is None else model.embedding.shape[1]
    units = [layer.units for layer in network.layers]
    dense = None if features is None else int(egru_macs(features, units))
    both = None if dense is None else dense + network.readout.kernel.size
    found = [Work("and decoder", layers + rows + decoder, both)]
    if unit == "character":
        return [Work("recurrent layers", layers + rows, dense), *found]
    found.insert(0, Work("embedding folded", layers + rows, dense))
    if model is not None:
        kernel = int(np.count_nonzero(model.layers[0].kernel))
        found.insert(0, Work("recurrent layers", layers + kernel, dense))
    return found


def score_table(scores: dict[str, Score], words: int, unit: str, formats: str) -> Table:
    """Return perplexities as a table for people; the first row is what others are compared with."""
    table = Table(title=f"{words:,} {unit}s in one sequence; {formats}")
    table.add_column("network")
    for column in ("perplexity", "difference", f"bits a {unit}", "active units", "a second"):
        table.add_column(column, justify="right")
    first = next(iter(scores.values()))
    for name, each in scores.items():
        difference = "" if each is first else f"{each.perplexity / first.perplexity - 1:+.3%}"
        activity = " ".join(f"{share:.1%}" for share in each.activity)
        figures = f"{each.perplexity:.3f}", difference, f"{each.bits:.4f}"
        table.add_row(name, *figures, activity, f"{words / each.seconds:,.0f}")
    return table


def work_table(rows: list[Work], unit: str) -> Table:
    """Return MACs a word as a table for people."""
    table = Table(title=f"Million MACs a {unit}, counted in the integer network")
    table.add_column("counted")
    for column in ("mean", "p50", "p99", "worst", "dense, all units active", "times fewer"):
        table.add_column(column, justify="right")
    for row in rows:
        figures = row.summary()
        counts = [f"{figures[name] / 1e6:.3f}" for name in ("mean", "p50", "p99", "worst", "dense") if name in figures]
        table.add_row(row.name, *counts, f"{figures['times_fewer']:.1f}" if "dense" in figures else "")
    return table


def float_model(options: argparse.Namespace, corpus: Corpus) -> FloatLanguageModel:
    """Return the trained network that the options name, or a random one."""
    if options.random:
        shape = Settings(**preset(options.random, corpus.name, "egru"))
        return random_model(len(corpus.words), shape.embedding, shape.layers)
    return load_model(options.weights, corpus)


def integers_of(model: Model, path: Path, corpus: Corpus) -> FixedNetwork:
    """Return the integer network of a model file.

    Raises
    ------
    ModelError
        If it has none, or has not one logit for each word of the corpus.
    """
    if model.fixed is None or model.fixed.readout is None or model.fixed.readout.units != len(corpus.words):
        raise ModelError(
            f"{path} is no integer language model of the {len(corpus.words):,} {corpus.unit}s of {corpus.name}; give a "
            "file that python -m golden.lm.convert wrote, and the corpus that it is of"
        )
    return model.fixed


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure the networks, print the tables and return the figures."""
    fixed = None if options.model is None else load(options.model)
    corpus = corpus_of(options, fixed)
    inputs, targets = (text[: options.limit] for text in columns(corpus.test, 1, corpus.end))
    model, scores = None, {}
    with WordProgress(console) as progress:
        if fixed is not None:
            network = integers_of(fixed, options.model, corpus)
        else:
            model = float_model(options, corpus)
            calibration = calibration_text(corpus)
            powers = calibrate(model, calibration, progress.tell("calibration", len(calibration)))
            row_bits = row_bits_of(options, corpus)
            network = quantize_model(model, powers, weight_bits=options.weight_bits, row_bits=row_bits)
            scores["float"] = score(FloatRunner(model), inputs, targets, progress.tell("float", len(inputs)))
        integer = IntegerModel(network)
        scores["integer"] = score(integer, inputs, targets, progress.tell("integer", len(inputs)))
    macs = scores["integer"].macs
    assert macs is not None
    rows = work(network, model, macs, corpus.unit)
    formats = f"weights of {network.weight_bits} bits, rows of {integer.row_bits}"
    console.print(score_table(scores, len(inputs), corpus.unit, formats))
    console.print(work_table(rows, corpus.unit))
    perplexities = [each.perplexity for each in scores.values()]
    return {
        "command": "python -m golden.lm.evaluate " + " ".join(sys.argv[1:]),
        "corpus": corpus.name,
        f"{corpus.unit}s": len(inputs),
        "weight_bits": network.weight_bits,
        "row_bits": integer.row_bits,
        "accumulator_bits": integer.accumulator_bits,
        "sum_exponents": [list(layer.sum_exponents) for layer in network.layers],
        "logit_exponent": integer.logit_exponent,
        **{name: each.summary(len(inputs)) for name, each in scores.items()},
        **({"difference": perplexities[1] / perplexities[0] - 1} if len(scores) > 1 else {}),
        "macs": {row.name: row.summary() for row in rows},
        "versions": {"python": sys.version.split()[0], "numpy": np.__version__},
    }


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m golden.lm.evaluate",
        description="Measure what a language model keeps in integers, on the test text of a corpus.",
        epilog="example: python -m golden.lm.evaluate --weights build/lm-ptb-egru/lm-*.safetensors --row-bits 8",
    )
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--weights", **WEIGHTS)
    network.add_argument(
        "--model", type=Path, metavar="FILE", help="a model file that golden.lm.convert wrote; its integers alone"
    )
    network.add_argument(
        "--random",
        choices=tuple(name for name in PRESETS if name != "characters"),
        help="measure speed at a preset's shape, with random weights, 85 %% of them 0",
    )
    add_arguments(parser)
    parser.add_argument("--limit", type=_positive, metavar="WORDS", help="read this many words only (default all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        if options.json:
            make_folder(options.json)
        figures = run(options, Console())
        if options.json:
            write_whole(options.json, json.dumps(figures, indent=1) + "\n")
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

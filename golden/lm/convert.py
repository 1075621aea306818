"""Make a model file, in integers, of a trained language model.

    python -m golden.lm.convert --weights build/lm-ptb-egru/lm-*.safetensors --corpus ptb --out build/lm.safetensors

The embedding is folded (:mod:`golden.lm.fold`), and formats are fitted to the validation text. A network of characters
has none: its first layer's weights are the rows, and zeros among them stay zeros.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from golden.layers import FloatLayer, FloatReadout, ModelError
from golden.lm.corpus import Corpus, load_corpus
from golden.lm.errors import ERRORS
from golden.lm.floating import FloatLanguageModel
from golden.lm.fold import Tell, calibrate, quantize_model
from golden.lm.integer import IntegerModel
from golden.lm.settings import CELLS
from golden.lm.weights import load_settings, load_weights
from golden.network import Model, save

CALIBRATION_WORDS = 10_000  #: of the validation text
TENSORS = ("kernel", "recurrent_kernel", "bias", "recurrent_bias", "threshold")

#: Settings that make another cell, and the option that says so.
OTHER_CELLS = (
    ("hard_reset", True, "--hard-reset"),
    ("reset_gate", False, "--no-reset-gate"),
    ("update_gate", False, "--no-update-gate"),
    *(("cell", cell, f"--cell {cell}") for cell in CELLS if cell != "egru"),
)

WEIGHTS: dict[str, Any] = {
    "type": Path, "nargs": "+", "metavar": "FILE", "help": "all lm-*.safetensors of a training run",
}  # fmt: skip


def from_state(state: Mapping[str, Any], *, characters: bool = False) -> FloatLanguageModel:
    """Return the language model of a state dict of :class:`golden.lm.model.LanguageModel`, of words or characters.

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
    embedding = np.eye(layers[0].inputs, dtype=np.float32) if characters else take("embedding.weight")
    weight = take("readout.weight") if "readout.weight" in state else embedding
    unread = layers[-1].units - weight.shape[1]  # units after those that the decoder reads
    kernel = np.pad(weight.T, ((0, max(unread, 0)), (0, 0)))
    return FloatLanguageModel(embedding, tuple(layers), FloatReadout(kernel, take("readout.bias")))


def corpus_of(options: argparse.Namespace, model: Model | None = None) -> Corpus:
    """Read the corpus that the options name, as characters if the model, or else the weights, are of characters.

    Raises
    ------
    TrainingError, CorpusError
    """
    if model is not None:
        characters = "characters" in model.provenance
    else:
        characters = options.weights is not None and load_settings(options.weights[0]).get("characters", False)
    return load_corpus(options.corpus, options.data, characters=characters)


def load_model(paths: Sequence[Path], corpus: Corpus) -> FloatLanguageModel:
    """Read trained weights, and check that their vocabulary is as large as the corpus's.

    Raises
    ------
    TrainingError, ModelError
    """
    names = ", ".join(map(str, paths))
    state = load_weights(paths)
    settings = load_settings(paths[0])
    for name, value, option in OTHER_CELLS:
        if settings.get(name) == value:
            raise ModelError(
                f"{names}: trained with {option}, but integers are of the whole event-based GRU; train without it"
            )
    try:
        model = from_state(state, characters=settings.get("characters", False))
    except ModelError as error:
        raise ModelError(f"{names}: {error}") from None
    if len(model.embedding) != len(corpus.words):
        raise ModelError(
            f"{names}: the weights know {len(model.embedding):,} {corpus.unit}s and {corpus.name} has "
            f"{len(corpus.words):,}; give the corpus that they were trained on"
        )
    return model


def calibration_text(corpus: Corpus) -> NDArray[np.int64]:
    """Return the part of a corpus to which formats are fitted."""
    return corpus.valid[:CALIBRATION_WORDS]


class WordProgress(Progress):
    """Progress bars of runs over words."""

    def __init__(self, console: Console) -> None:
        columns = BarColumn(bar_width=24), TaskProgressColumn(), TimeRemainingColumn(compact=True)
        super().__init__(TextColumn("{task.description}"), *columns, console=console, transient=True)

    def tell(self, description: str, words: int) -> Tell:
        """Add a bar; return what moves it."""
        task = self.add_task(description, total=words)
        return lambda done: self.advance(task, done)


def convert(options: argparse.Namespace, console: Console) -> Model:
    """Return the model that the options ask for."""
    corpus = corpus_of(options)
    model = load_model(options.weights, corpus)
    text = calibration_text(corpus)
    with WordProgress(console) as progress:
        powers = calibrate(model, text, progress.tell("calibration", len(text)))
    row_bits = row_bits_of(options, corpus)
    network = quantize_model(model, powers, weight_bits=options.weight_bits, row_bits=row_bits)
    provenance = {
        "command": "python -m golden.lm.convert " + " ".join(sys.argv[1:]),
        "weights_sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in options.weights},
        "corpus": corpus.name,
        "vocabulary_sha256": hashlib.sha256("\n".join(corpus.words).encode()).hexdigest(),
        "row_bits": row_bits,
    }
    if corpus.unit == "character":
        provenance["characters"] = "".join(corpus.words)
    return Model(options.out.stem, fixed=network, provenance=provenance)


def row_bits_of(options: argparse.Namespace, corpus: Corpus) -> int:
    """Return the bits of the first layer's rows: characters', which are pruned weights, have those of all weights."""
    return options.row_bits or (options.weight_bits if corpus.unit == "character" else 16)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a network is quantised, and for which corpus."""
    parser.add_argument("--corpus", default="ptb", metavar="NAME", help="that it was trained on (default ptb)")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="folder of corpora (default data)"
    )
    parser.add_argument("--weight-bits", type=int, choices=(8, 4), default=8, help="of every weight (default 8)")
    parser.add_argument(
        "--row-bits",
        type=int,
        choices=(16, 8),
        help="of the rows of the folded embedding (default 16), or of characters (default: the weight bits)",
    )


def make_folder(file: Path) -> None:
    """Make the folder of a file that is to be written, before a long run that would end in vain.

    Raises
    ------
    ModelError
        If it cannot be made, or the file is a folder.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"cannot write {file} ({error.strerror}); choose another folder") from None
    if file.is_dir():
        raise ModelError(f"cannot write {file} (it is a folder); choose another name")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m golden.lm.convert",
        description="Make a model file, in integers, of a trained language model; its embedding is folded.",
        epilog="example: python -m golden.lm.convert --weights build/lm-ptb-egru/lm-*.safetensors --out lm.safetensors",
    )
    parser.add_argument("--weights", required=True, **WEIGHTS)
    add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="model file to write")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        make_folder(options.out)
        model = convert(options, console)
        assert model.fixed is not None
        integer = IntegerModel(model.fixed)
        save(model, options.out)
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    units = ", ".join(str(layer.units) for layer in model.fixed.layers)
    unit = "characters" if "characters" in model.provenance else "words"
    console.print(
        f"{options.out}: {integer.words:,} {unit}, {integer.lists} lists each, layers of {units} units, sums of "
        f"{integer.accumulator_bits} bits",
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

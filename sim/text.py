"""What a long run reads: a language model, and a text as sequences of tokens.

The model is a file of integers, as ``golden.lm.convert`` or ``golden.train`` writes it, or trained weights, which are
converted here by the code of ``golden.lm.convert``. Only those need torch.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
from numpy.typing import NDArray
from rich.console import Console

from golden.layers import FixedNetwork
from golden.lm.corpus import Corpus, columns, load_corpus
from golden.lm.integer import IntegerModel
from golden.network import Model, load

ACTIVITY_TOKENS = 10_000  #: of the validation text, by whose activity units are dealt to lanes
PIECE = 256  #: tokens run at a time


@dataclass(frozen=True)
class Text:
    """A language model and the text that it reads.

    activity : float64 (sources,)
        Events a step of each source, over the beginning of the validation text.
    inputs, targets : int64 (tokens, sequences)
        Tokens, and the one that follows each. Sequences are cut from the text one behind the other.
    unit : str
        What a token is: word or character.
    """

    model: Model
    corpus: str
    split: str
    unit: str
    activity: NDArray[np.float64]
    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]

    @property
    def network(self) -> FixedNetwork:
        assert self.model.fixed is not None
        return self.model.fixed


def read_text(options: argparse.Namespace, console: Console) -> Text:
    """Read what the options of ``python -m sim.run --input text`` name.

    Raises
    ------
    ValueError, OSError
        Naming what cannot be used: a model, a corpus, their vocabularies, or how much of the text is asked for.
    """
    if options.sequences < 1:
        raise ValueError(f"--sequences is {options.sequences}; it must be at least 1")
    model = _read_model(options, console)
    network = model.fixed
    if network is None:
        raise ValueError(f"{options.model[0]} holds no integer network; quantise it first (python -m golden.convert)")
    words = IntegerModel(network).words  # raises where it is no language model
    characters = model.provenance.get("characters")
    corpus = load_corpus(options.corpus, options.data, characters=bool(characters))
    _check_vocabulary(model, words, corpus)
    text = getattr(corpus, options.split)
    tokens = len(text) if options.tokens is None else options.tokens
    if not options.sequences <= tokens <= len(text):
        raise ValueError(
            f"--tokens is {tokens}; it must be from {options.sequences}, one for each sequence, to {len(text)}, as the "
            f"{options.split} text of {corpus.name} has that many {corpus.unit}s"
        )
    inputs, targets = columns(text[:tokens], options.sequences, corpus.end)
    calibration, _ = columns(corpus.valid[:ACTIVITY_TOKENS], 1, corpus.end)
    activity = measure_activity(network, calibration)
    return Text(model, corpus.name, options.split, corpus.unit, activity, inputs, targets)


def _read_model(options: argparse.Namespace, console: Console) -> Model:
    paths: Sequence[Path] = options.model
    if len(paths) == 1 and not _holds_weights(paths[0]):
        if options.weight_bits or options.row_bits:
            raise ValueError(f"{paths[0]} is in integers already; leave out --weight-bits and --row-bits")
        return load(paths[0])
    from golden.lm import convert  # needs torch

    name = paths[0].absolute().parent.name if paths[0].stem.startswith("lm-") else paths[0].stem
    wanted = argparse.Namespace(
        weights=paths, corpus=options.corpus, data=options.data, weight_bits=options.weight_bits or 8,
        row_bits=options.row_bits, out=Path(name),
    )  # fmt: skip
    return convert.convert(wanted, console)


def _holds_weights(path: Path) -> bool:
    """Return whether a file is trained weights (:mod:`golden.lm.weights`); whatever else it is, ``load`` tells."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return "shapes" in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False


def _check_vocabulary(model: Model, words: int, corpus: Corpus) -> None:
    """Raise ValueError if tokens of the corpus are not those of the model."""
    digest = hashlib.sha256("\n".join(corpus.words).encode()).hexdigest()
    wanted = model.provenance.get("vocabulary_sha256", digest)
    if words != len(corpus.words):
        raise ValueError(
            f"model {model.name} knows {words:,} {corpus.unit}s and corpus {corpus.name} has {len(corpus.words):,}; "
            "give the corpus that it was trained on with --corpus and --data"
        )
    if wanted != digest:
        raise ValueError(
            f"model {model.name} has other {corpus.unit}s than corpus {corpus.name}, or in another order; give the "
            "corpus that it was trained on with --corpus and --data"
        )


def measure_activity(network: FixedNetwork, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the events a step of each source, float64 (sources,), over tokens (time, batch)."""
    model, state = IntegerModel(network), None
    units = np.zeros(network.source_count - network.inputs)
    for start in range(0, len(tokens), PIECE):
        trace = model.run(tokens[start : start + PIECE], state)
        state = trace.state
        units += np.concatenate([np.count_nonzero(y, axis=(0, 1)) for y in trace.y])
    inputs = np.repeat(np.bincount(tokens.ravel(), minlength=model.words), model.lists)
    return np.concatenate([inputs, units]) / tokens.size

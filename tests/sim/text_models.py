"""Small language models of random weights, and texts for them to read."""

import argparse

import numpy as np
from rich.console import Console

from golden.lm.corpus import load_corpus
from golden.lm.floating import random_model
from golden.lm.fold import calibrate, quantize_model
from golden.network import Model, save
from sim.text import read_text

WORDS, LAYERS, FEATURES = 200, (24, 16), 12
LENGTHS = {"train": 300, "valid": 160, "test": 120}  #: of the texts, without ends of lines
LINE = 9  #: words of a line


def write_corpus(folder, *, words=WORDS, seed=0):
    """Write a corpus of so many words, the end of a line among them, as folder/small; return it."""
    rng = np.random.default_rng(seed)
    names = [f"word{number}" for number in range(words - 1)]
    (folder / "small").mkdir(parents=True)
    for split, length in LENGTHS.items():
        text = [*(names if split == "train" else ()), *rng.choice(names, length)]
        lines = [" ".join(text[start : start + LINE]) for start in range(0, len(text), LINE)]
        (folder / "small" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return load_corpus("small", folder)


def write_model(path, corpus, *, density=0.4, **provenance):
    """Write a model file in integers, of random weights with rows of 16 bits; return its network."""
    model = random_model(WORDS, FEATURES, LAYERS, density)
    network = quantize_model(model, calibrate(model, corpus.valid), weight_bits=8, row_bits=16)
    save(Model("small", fixed=network, provenance=provenance), path)
    return network


def read(small, *paths, **options):
    """Return what a run reads: model files instead of the fixture's, and options of the program, may be given."""
    wanted = {
        "model": list(paths or [small.model]), "corpus": "small", "data": small.folder, "split": "test",
        "tokens": None, "sequences": 1, "weight_bits": None, "row_bits": None,
    }  # fmt: skip
    return read_text(argparse.Namespace(**{**wanted, **options}), Console(quiet=True))

"""Texts as streams of words or characters: a folder with ``train.txt``, ``valid.txt`` and ``test.txt``.

As words they are separated by spaces, and every line ends with ``<eos>``, empty lines included. As characters, lines
are stripped, and the end of a line is a character too. The vocabulary holds the words, or characters, of all three
texts, in the order of their first use. No torch, so that a machine without it can run a trained network on the same
tokens.

Penn Treebank as prepared by Mikolov et al. (Interspeech 2010) and WikiText-2 (Merity et al., arXiv 1609.07843) are
known by name, and checked against their published sizes; any other folder is taken as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

END, LINE = "<eos>", "\n"  #: of a line, as a word and as a character
SPLITS = ("train", "valid", "test")

#: By name and whether as characters: size of the vocabulary, then tokens of each split.
SIZES = {
    ("ptb", False): (10_000, 929_589, 73_760, 82_430),
    ("ptb", True): (50, 5_017_482, 393_042, 442_423),
    ("wikitext-2", False): (33_278, 2_088_628, 217_646, 245_569),
}


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Corpus:
    """Tokens of the three splits, int64 (tokens,) each, and the word, or character, of every token."""

    name: str
    words: tuple[str, ...]
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]

    @cached_property
    def checksum(self) -> str:
        """First digits of the SHA-256 of words and texts, by which a run knows its corpus again."""
        digest = hashlib.sha256("\0".join(self.words).encode())
        for split in SPLITS:
            digest.update(getattr(self, split).tobytes())
        return digest.hexdigest()[:12]

    @property
    def unit(self) -> str:
        """What a token is: word or character."""
        return "character" if LINE in self.words else "word"

    @property
    def end(self) -> int:
        """Token of the end of a line, which is also what every text starts from."""
        return self.words.index(LINE if self.unit == "character" else END)


def read_tokens(path: Path, *, characters: bool = False) -> list[str]:
    """Return the words of a text, ``<eos>`` after every line; or the characters of its stripped lines, with line ends.

    Raises
    ------
    CorpusError
        If the file is missing, empty, or no UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CorpusError(f"cannot read {path} ({error.strerror}); docs/training.md says where to get it") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not UTF-8 text; get it again") from None
    if not text:
        raise CorpusError(f"{path} is empty; get it again")
    lines = text.removesuffix("\n").split("\n")  # splitlines ends them at rarer characters too
    if characters:
        return [character for line in lines for character in line.strip() + LINE]
    return [word for line in lines for word in (*line.split(), END)]


def load_corpus(name: str, data: Path, *, characters: bool = False) -> Corpus:
    """Read the corpus in the folder ``data / name``, as words or as characters.

    Raises
    ------
    CorpusError
        If a text cannot be read, or a known corpus has another size than published.
    """
    texts = [read_tokens(data / name / f"{split}.txt", characters=characters) for split in SPLITS]
    tokens: dict[str, int] = {}
    splits = [np.array([tokens.setdefault(word, len(tokens)) for word in text], np.int64) for text in texts]
    for what, have, want in zip(
        ("vocabulary", *SPLITS), (len(tokens), *map(len, splits)), SIZES.get((name, characters), ()), strict=False
    ):
        if have != want:
            kinds = ("different characters", "characters") if characters else ("words", "tokens")
            kind = kinds[0] if what == "vocabulary" else f"{kinds[1]} in {what}.txt"
            raise CorpusError(f"{data / name} has {have:,} {kind} instead of {want:,}; it is incomplete, get it again")
    return Corpus(name, tuple(tokens), *splits)


def columns(tokens: NDArray[np.int64], batch: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a text into ``batch`` runs: inputs and targets (steps, batch), a target being the input of the next step.

    The first run starts from ``end``, so that every token of the text is a target; up to ``batch - 1`` last ones are
    left out.

    Raises
    ------
    CorpusError
        If the text is shorter than ``batch``.
    """
    steps = len(tokens) // batch
    if steps == 0:
        raise CorpusError(f"a text of {len(tokens)} tokens cannot be cut into {batch} runs; choose a smaller batch")
    inputs = np.concatenate([[end], tokens[:-1]])
    cut = [stream[: steps * batch].reshape(batch, steps).T for stream in (inputs, tokens)]
    return np.ascontiguousarray(cut[0]), np.ascontiguousarray(cut[1])

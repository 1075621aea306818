"""Train what an experiment needs: each network once a seed, whoever asks for it, going on where a run was stopped.

A run lies in ``OUT/runs/NAME-sSEED`` with its log ``lm.jsonl`` and its weights. It is finished when the log ends with
the metrics; then it is only read. Experiments that name the same run share it, so ``baselines``, ``pruning`` and
``paper`` train one dense network between them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from golden.checkpoint import TrainingError
from golden.fit import Record
from golden.lm.corpus import Corpus, load_corpus
from golden.lm.logged import LoggedRun, trainer_of
from golden.lm.model import LanguageModel
from golden.lm.settings import Settings, preset
from golden.lm.steps import choose_device
from golden.lm.weights import load_weights

#: Settings to start from: a preset of :mod:`golden.lm.settings`, or ``tiny``, which only shows that everything works.
SCALES = ("tiny", "small", "medium", "flagship")
TINY = {"embedding": 32, "epochs": 2, "batch": 8}
TINY_LAYERS = {"egru": (48, 32), "gru": (48, 32), "lstm": (40, 32), "transformer": (64, 64)}
TINY_TOKENS = 20_000
WARMUP = 200  #: steps in which the learning rate of a network that was trained before rises


class TimeUpError(Exception):
    """The time limit is reached; what was done is kept."""


@dataclass(frozen=True)
class Run:
    """A finished run: its settings, the metrics at its end, the records of its epochs, its files."""

    name: str
    settings: Settings
    metrics: Record
    history: list[Record]
    directory: Path

    @property
    def weights(self) -> list[Path]:
        return sorted(self.directory.glob("lm-*.safetensors"), key=lambda path: int(path.stem.rpartition("-")[2]))


class Runner:
    """Trains and finds runs.

    Parameters
    ----------
    options : argparse.Namespace
        Of ``python -m golden.experiments``.
    console : rich.console.Console
        For progress.
    characters : bool
        Whether networks are of characters, of the preset for them, instead of words.
    """

    def __init__(self, options: argparse.Namespace, console: Console, *, characters: bool = False) -> None:
        self.options, self.console, self.began = options, console, time.monotonic()
        self.seeds = range(options.seeds)
        self.device = choose_device(options.device)
        self.characters = characters
        self.stated: list[Record] = []  #: what the runs say of how they were trained

    @cached_property
    def corpus(self) -> Corpus:
        """The text, or the first of it; read when it is first asked for."""
        options = self.options
        tokens = options.tokens or (TINY_TOKENS if options.scale == "tiny" else 0)
        whole = load_corpus(options.corpus, options.data, characters=self.characters)
        return first_tokens(whole, tokens) if 0 < tokens < len(whole.train) else whole

    def check_time(self) -> None:
        """Raise TimeUpError if the time limit is reached."""
        limit = self.options.time_limit
        if limit is not None and time.monotonic() - self.began > 60 * limit:
            raise TimeUpError

    def origin(self) -> Record:
        """Return what the results depend on, besides the settings in the logs of the runs."""
        read = "corpus" in self.__dict__
        return {
            "command": "python -m golden.experiments " + " ".join(sys.argv[1:]),
            "scale": self.options.scale,
            **({"corpus": self.corpus.name} if read else {}),
            "seeds": len(self.seeds),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "versions": {"python": sys.version.split()[0], "torch": torch.__version__},
            "trained": self.stated,
        }

    def settings(self, cell: str = "egru", **changes: Any) -> Settings:
        """Return the settings of the scale for a cell, changed."""
        scale, options = self.options.scale, self.options
        name = "characters" if self.characters else "small" if scale == "tiny" else scale
        base = preset(name, options.corpus, cell)
        if scale == "tiny":
            base |= TINY | {"layers": TINY_LAYERS[cell][: 1 if self.characters else None]}
        if options.epochs:
            base["epochs"] = options.epochs
        return Settings(**base | changes)

    def finetuned(self, settings: Settings, **changes: Any) -> Settings:
        """Return the settings to go on from trained weights: a quarter of the epochs, half of the learning rate."""
        epochs = self.options.finetune or max(1, settings.epochs // 4)
        return replace(
            settings, epochs=epochs, learning_rate=settings.learning_rate / 2, cosine_from=0.0, warmup=WARMUP, **changes
        )

    def each_seed(self, name: str, settings: Settings, start: Sequence[Run] = ()) -> list[Run]:
        """Return a run a seed, trained from the runs of ``start``, one a seed, if there are any."""
        return [
            self.run(f"{name}-s{seed}", replace(settings, seed=seed), start[n] if start else None)
            for n, seed in enumerate(self.seeds)
        ]

    def run(self, name: str, settings: Settings, start: Run | None = None) -> Run:
        """Return a finished run; train it if it is not.

        Raises
        ------
        TrainingError
            If a run of this name has other settings, or training fails.
        TimeUpError
            If there is no time left.
        """
        directory = self.options.out / "runs" / name
        found = self._read(name, settings, directory)
        if found is not None:
            return found
        self.console.print(f"[bold]{name}[/bold]")
        options = self.options
        init = None if start is None else start.weights
        trainer = trainer_of(settings, self.corpus, self.device, options.steps, options.precision, init)
        saving = argparse.Namespace(resume=True, init=init, checkpoint_every=1.0, time_limit=options.time_limit)
        logged = LoggedRun(trainer, directory, saving, self.began, "golden.experiments")
        if not logged.train(self.console):
            raise TimeUpError
        logged.checkpoint.unlink()
        found = self._read(name, settings, directory)
        assert found is not None
        return found

    def _read(self, name: str, settings: Settings, directory: Path) -> Run | None:
        """Return the run in a folder if it is finished, None if not, or if there is none."""
        path = directory / "lm.jsonl"
        try:
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            then, corpus = lines[0]["settings"], lines[0]["corpus"]
        except FileNotFoundError:
            return None
        except (ValueError, IndexError, KeyError, TypeError, OSError):
            if (directory / "lm.checkpoint").exists():  # stopped while the log was written; it is written anew
                return None
            raise TrainingError(f"{path} is damaged; remove the folder {directory}") from None
        wanted = {"corpus": self.corpus.name, **json.loads(json.dumps(asdict(settings)))}
        differ = [key for key, value in wanted.items() if {"corpus": corpus, **then}.get(key) != value]
        if differ:
            values = ", ".join(f"{key} {({'corpus': corpus, **then}).get(key)}" for key in differ)
            raise TrainingError(f"{directory} holds a run with {values}; give the same options or another --out")
        if "metrics" not in lines[-1]:
            return None
        how = {key: lines[0].get(key) for key in ("steps", "precision", "device", "threads", "versions")}
        if how not in self.stated:
            self.stated.append(how)
        return Run(name, settings, lines[-1]["metrics"], lines[1:-1], directory)

    def model(self, run: Run) -> LanguageModel:
        """Return the network of a run with its weights as they were written (matrices in float16)."""
        model = LanguageModel(len(self.corpus.words), run.settings)
        model.load_state_dict(load_weights(run.weights))
        return model.eval()


def first_tokens(corpus: Corpus, tokens: int) -> Corpus:
    """Return a corpus of the first tokens of the training text, and a fourth as many of the others, at most.

    The vocabulary is that of what is left, in the order of first use.
    """
    parts = corpus.train[:tokens], corpus.valid[: tokens // 4], corpus.test[: tokens // 4]
    whole = np.concatenate([*parts, [corpus.end]])
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    order = first.argsort()
    renumbered = order.argsort()[inverse]
    train, valid, test = np.split(renumbered[:-1], np.cumsum([len(part) for part in parts])[:-1])
    words = tuple(corpus.words[token] for token in whole[first[order]])
    return Corpus(f"{corpus.name}, {tokens} tokens", words, train, valid, test)

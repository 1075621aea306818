"""A run of training a language model with its files and its progress bar."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from golden.checkpoint import TrainingError
from golden.fit import Record
from golden.lm import distributed
from golden.lm.corpus import Corpus
from golden.lm.settings import Settings
from golden.lm.steps import check_steps, default_dtype, default_steps
from golden.lm.trainer import DivergedError, Trainer
from golden.lm.weights import load_weights, save_weights


def trainer_of(
    settings: Settings,
    corpus: Corpus,
    device: torch.device,
    steps: str | None = None,
    precision: str | None = None,
    init: Sequence[Path] | None = None,
) -> Trainer:
    """Return a trainer; who computes the steps, and in what precision, are the fastest that work if not given.

    Raises
    ------
    TrainingError
        If they do not go together, or the weights to start from do not fit.
    """
    plain = settings.cell != "egru"
    steps = steps or ("plain" if plain else default_steps(device, versatile=settings.versatile))
    dtype = getattr(torch, precision) if precision else default_dtype(device)
    check_steps(steps, device, versatile=settings.versatile)
    return Trainer(settings, corpus, device, steps, dtype, None if init is None else load_weights(init))


class LoggedRun:
    """A run of training with its files: log, checkpoint, and weights in few bytes.

    ``options`` are those of the command that say when to stop, save, resume and what to start from; ``began`` is when
    the time limit began, in seconds of ``time.monotonic``; ``program`` is what the command in the log begins with.
    """

    def __init__(
        self,
        trainer: Trainer,
        directory: Path,
        options: argparse.Namespace,
        began: float,
        program: str = "golden.train",
    ) -> None:
        self.trainer, self.directory, self.options = trainer, directory, options
        self.program, self.began, self.started = program, began, time.monotonic()
        self.saved = self.started
        self.leader = distributed.rank() == 0
        self.metrics: Record = {}
        self.checkpoint = directory / "lm.checkpoint"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"cannot write to {directory} ({error.strerror}); choose another folder") from None
        if self.checkpoint.exists():
            if not options.resume:
                raise TrainingError(
                    f"{directory} holds a run; go on with it by --resume, give another --out, or remove the folder"
                )
            trainer.load(self.checkpoint)
        self.first = len(trainer.history)
        trainer.pieces.append({"from_epoch": self.first, **self._piece()})

    def _piece(self) -> Record:
        """Return what may differ between a run and its resumption, and changes the result by rounding."""
        trainer, device = self.trainer, self.trainer.device
        return {
            "command": f"python -m {self.program} " + " ".join(sys.argv[1:]),
            "steps": trainer.steps,
            "precision": str(trainer.dtype).removeprefix("torch."),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "processes": distributed.world(),
            "threads": torch.get_num_threads(),
            "versions": {"python": sys.version.split()[0], "torch": str(torch.__version__)},
        }

    def origin(self) -> Record:
        """Return the first line of the log: everything on which the result depends, as the first piece had it.

        The pieces after it are listed if anything but the command was another for one of them.
        """
        trainer = self.trainer
        first, *others = trainer.pieces
        same = {key: value for key, value in first.items() if key not in ("command", "from_epoch")}
        other = any(each[key] != value for each in others for key, value in same.items())
        return {
            "command": first["command"],
            "corpus": trainer.corpus.name,
            "settings": asdict(trainer.settings),
            "init": [str(path) for path in self.options.init or ()],
            **same,
            "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
            **({"resumed": others} if other else {}),
        }

    def train(self, console: Console) -> bool:
        """Train up to the last epoch or the time limit, log every epoch; return whether the last epoch was reached.

        Raises
        ------
        DivergedError
            If a loss is not finite, with what is kept and how to go on.
        """
        try:
            return self._train(console)
        except DivergedError as error:
            rate = self.trainer.settings.learning_rate
            kept = f"weights of the last checkpoint are in {self.directory}: --init them in a run of another --out"
            kept = kept if self.checkpoint.exists() else "there is no checkpoint yet: start again"
            raise DivergedError(f"{error}; {kept} with a lower --learning-rate, which is {rate}") from None

    def _train(self, console: Console) -> bool:
        trainer, total = self.trainer, self.trainer.settings.epochs
        columns = BarColumn(bar_width=8), TextColumn("{task.fields[state]}"), TimeRemainingColumn(compact=True)
        bar = Progress(*columns, console=console)
        with self._log() as log, bar:

            def write(record: Record) -> None:
                if log is not None:
                    log.write(json.dumps(record) + "\n")
                    log.flush()

            write(self.origin())
            for record in trainer.history:
                write(record)
            task = bar.add_task("epochs", total=total, completed=len(trainer.history), state="")

            def progress(done: int, steps: int) -> None:
                bar.update(task, completed=len(trainer.history) + done / steps)

            while len(trainer.history) < total:
                if not self._time_for_an_epoch():
                    self._save()
                    return False
                record = trainer.epoch(progress)
                write(record)
                state = _state(record, characters=trainer.settings.characters)
                bar.update(task, completed=len(trainer.history), state=state)
                if self._due():
                    self._save()
            self._save()
            bar.update(task, state="measuring valid and test")
            self.metrics = trainer.test() | {"sparsity": trainer.history[-1]["sparsity"]}
            write({"metrics": self.metrics})
        return True

    def _due(self) -> bool:
        return time.monotonic() - self.saved > 60 * self.options.checkpoint_every

    def _log(self) -> Any:
        path = self.directory / "lm.jsonl"
        try:
            return path.open("w") if self.leader else nullcontext()
        except OSError as error:
            raise TrainingError(f"cannot write {path} ({error.strerror}); choose another folder") from None

    def _time_for_an_epoch(self) -> bool:
        limit = self.options.time_limit
        if limit is None:
            return True
        now, history = time.monotonic(), self.trainer.history
        ran = len(history) - self.first
        each = (now - self.started) / ran if ran else history[-1]["seconds"] if history else 0.0
        return distributed.agree(now - self.began + 1.2 * each < 60 * limit, self.trainer.device)

    def _save(self) -> None:
        if self.leader:
            self.trainer.save(self.checkpoint)
            save_weights(self.trainer.model.used_state(), self.directory / "lm", asdict(self.trainer.settings))
        self.saved = time.monotonic()


def _state(record: Record, *, characters: bool) -> str:
    """Return what the bar shows of an epoch; of characters, bits instead of perplexities."""
    activity = " ".join(f"{share:.0%}" for share in record["valid_activity"])
    shown, digits = ("bits", 3) if characters else ("perplexity", 1)
    return (
        f"pruned {record['sparsity']:.0%}  train {record[shown]:.{digits}f}  "
        f"valid {record[f'valid_{shown}']:.{digits}f}  active {activity}  {record['seconds']:.1f} s"
    )

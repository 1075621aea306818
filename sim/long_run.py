"""Long runs of text: chunks of it, each checked on its own, in a folder from which an interrupted run goes on.

A results folder holds ``run.json``, what is run and a digest of it; ``chunks/SSSS-CCCCCC.json``, one for each chunk
that was run, written whole or not at all; and ``result.json`` when all are there. Chunks are pure functions of the run,
so the folder is the same to the byte however often it was interrupted, and wherever its chunks were run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from golden.layers import FixedNetwork
from golden.lm.integer import IntegerModel
from golden.network import Model, save
from sim.text import Text
from sim.text_core import Chunk, Setup

FORMAT = "egret-text-run"
VERSION = 1
RUN, RESULT, CHUNKS = "run.json", "result.json", "chunks"

Record = dict[str, Any]  #: what :meth:`sim.text_core.TextCore.run` returns


def network_digest(network: FixedNetwork) -> str:
    """Return the SHA-256 of all that an integer network is, whatever file it came from."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network")
        save(Model("network", fixed=network), file)  # equal networks give equal bytes
        return hashlib.sha256(file.read_bytes()).hexdigest()


def describe(text: Text, setup: Setup, core: str, chunk: int) -> Record:
    """Return what a run is: all that decides its results, by name; ``core`` is the digest of the compiled core."""
    sha256 = {
        name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        for name, array in (("tokens", text.inputs), ("targets", text.targets), ("activity", text.activity))
    }
    steps, sequences = text.inputs.shape
    run = {
        "format": FORMAT, "version": VERSION, "model": text.model.name, "network": network_digest(text.network),
        "corpus": text.corpus, "split": text.split, "unit": text.unit, "sequences": sequences,
        "tokens": steps * sequences, "chunk": chunk, "sha256": sha256,
        "lists": "memory" if setup.config.streamed else "chip", "mode": setup.mode,
        "memory": setup.memory if setup.config.streamed else None,
        "core_mhz": setup.core_mhz, "core": core, "configuration": asdict(setup.config),
        "oracle": "golden.lm.integer, whose numbers are those of golden.reference",
    }  # fmt: skip
    return {**run, "digest": hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()}


class Folder:
    """The results folder of a run.

    Raises
    ------
    ValueError
        If it holds another run, one that is not to be resumed, or files that cannot be read.
    """

    def __init__(self, path: Path, run: Record, *, resume: bool):
        self.path, self.run = path, run
        if (path / RUN).exists():
            self._check(resume)
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{path} exists and is no results folder; choose another --out")
        self.records: dict[tuple[int, int], Record] = {}
        if path.exists():
            for file in sorted((path / CHUNKS).glob("[0-9]*.json")):
                self._keep(file, _read(file))

    def _check(self, resume: bool) -> None:
        """Raise ValueError, naming what differs, unless the folder is of this run."""
        there = _read(self.path / RUN)
        if there.get("format") != FORMAT or there.get("version") != VERSION:
            raise ValueError(f"{self.path / RUN} is of another format than {FORMAT} {VERSION}; choose another --out")
        for name, mine in self.run.items():
            if there.get(name) == mine:
                continue
            if name == "configuration" and isinstance(there.get(name), dict):
                name, mine, other = next(
                    (f"configuration {key}", value, there[name].get(key))
                    for key, value in mine.items()
                    if there[name].get(key) != value
                )
            else:
                other = there.get(name)
            raise ValueError(
                f"results folder {self.path} is of another run: its {name} is {other}, this one's {mine}; choose "
                "another --out"
            )
        if not resume:
            raise ValueError(f"results folder {self.path} is there already; give --resume to go on, or another --out")

    def _keep(self, file: Path, record: Record) -> None:
        key = record.get("sequence"), record.get("chunk")
        if record.get("run") != self.run["digest"] or file.name != _name(*key):
            raise ValueError(f"{file} is no chunk of this run; remove it, and --resume runs it again")
        self.records[key] = record

    def create(self) -> None:
        """Make the folder and write what the run is, unless it is there; remove what a killed run left half written.

        Raises
        ------
        ValueError
            If it cannot be written.
        """
        try:
            (self.path / CHUNKS).mkdir(parents=True, exist_ok=True)
            for left in (*self.path.glob(".*.new"), *(self.path / CHUNKS).glob(".*.new")):
                left.unlink()
            if not (self.path / RUN).exists():
                _write(self.path / RUN, self.run)
        except OSError as error:
            raise ValueError(f"cannot write {self.path}: {error.strerror}; choose another --out") from None

    def add(self, record: Record) -> None:
        """Write a chunk's record; one that is there already stays as it is, as nothing is counted twice.

        Raises
        ------
        ValueError
            If it cannot be written.
        """
        key = record["sequence"], record["chunk"]
        if key in self.records:
            return
        record = {"run": self.run["digest"], **record}
        try:
            _write(self.path / CHUNKS / _name(*key), record)
        except OSError as error:
            raise ValueError(f"cannot write {self.path}: {error.strerror}; make room and give --resume") from None
        self.records[key] = record

    def finish(self, figures: Record) -> None:
        """Write the result."""
        _write(self.path / RESULT, {"run": self.run, **figures})


def _name(sequence: int, chunk: int) -> str:
    try:
        return f"{sequence:04}-{chunk:06}.json"
    except (TypeError, ValueError):
        return ""


def _read(file: Path) -> Record:
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError) as error:  # what is no JSON, and what is no text
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        what = "choose another --out" if file.name == RUN else "remove it, and --resume runs its chunk again"
        raise ValueError(f"cannot read {file}: {why}; {what}") from None
    if not isinstance(value, dict):
        raise ValueError(f"cannot read {file}: it is no JSON object; remove it, or choose another --out")
    return value


def _write(file: Path, value: Record) -> None:
    write_text(file, json.dumps(value) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all, and let it outlive a loss of power."""
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(new, file)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def plan(text: Text, chunk: int) -> Iterator[Chunk]:
    """Yield all chunks of so many tokens, the first ones of all sequences first, with the oracle's states."""
    model, state = IntegerModel(text.network), None
    steps, sequences = text.inputs.shape
    read = 0  # tokens that the state follows
    for number, first in enumerate(range(0, steps, chunk)):
        start = max(first - 1, 0)
        if start > read:
            state = model.run(text.inputs[read:start], state).state
            read = start
        h, y = (None, None) if state is None else (np.concatenate(part, axis=1) for part in (state.h, state.y))
        own = slice(start, first + chunk)
        for s in range(sequences):
            before = (None, None) if h is None else (h[s], y[s])
            yield Chunk(s, number, first, text.inputs[own, s], text.targets[own, s], *before)


def run_here(core: Any, chunks: Iterator[Chunk], jobs: int, keep: Callable[[Record], None]) -> None:
    """Run chunks on this machine, ``jobs`` simulations side by side; ``keep`` gets each one's record.

    When anything goes wrong, an interruption included, what is under way is ended at once.
    """
    with ThreadPoolExecutor(jobs) as pool:
        pending: set[Future[Record]] = set()
        try:
            for chunk in chunks:
                pending.add(pool.submit(core.run, chunk))
                if len(pending) > jobs:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        keep(future.result())
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    keep(future.result())
        except BaseException:
            for future in pending:
                future.cancel()
            core.stop()
            raise

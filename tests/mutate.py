"""Seed one bug at a time in a copy of the project and show that the tests of its stage fail.

    python -m tests.mutate

Each mutant is one textual change of one file. It counts as caught when pytest reports failures, or a proof fails; as
survived when the tests pass, or the proof holds; and as broken when anything else happens. No part of the test run; see
``docs/verification.md``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[1]
BUGS = Path(__file__).with_name("mutants.toml")
COPIED = ("docs", "formal", "golden", "hw", "sim", "tests", "pyproject.toml")
TESTS_FAILED = 1  #: exit status of pytest


@dataclass(frozen=True)
class Mutant:
    """A bug of ``mutants.toml``."""

    bug: str
    file: str
    old: str
    new: str
    tests: str = ""
    proof: str = ""  #: part of the name of a proof, for a bug that ``python -m formal`` has to catch

    @property
    def by(self) -> str:
        return f"proof: {self.proof}" if self.proof else self.tests


def mutants() -> list[Mutant]:
    """Return all bugs, in the order of the file."""
    return [Mutant(**fields) for fields in tomllib.loads(BUGS.read_text())["mutant"]]


def pytest(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", *arguments]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)


def prove(copy: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "formal", "--only", name]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)


def run(mutant: Mutant, copy: Path) -> str:
    """Apply a mutant to the copy, run its tests, undo it; return ``caught``, ``survived`` or what went wrong."""
    path = copy / mutant.file
    original = path.read_text()
    if original.count(mutant.old) < 1:
        return "broken: the text to change is not there"
    path.write_text(original.replace(mutant.old, mutant.new))
    try:
        done = prove(copy, mutant.proof) if mutant.proof else pytest(copy, *mutant.tests.split())
    finally:
        path.write_text(original)
    if done.returncode == 0:
        return "survived"
    if mutant.proof:
        return f"broken: {done.stderr.splitlines()[-1]}" if "Traceback" in done.stderr else "caught"
    if done.returncode != TESTS_FAILED or "failed" not in done.stdout.splitlines()[-1]:
        return f"broken: pytest ended with {done.returncode}"
    unbuilt = any(text in done.stdout for text in ("verilator failed", "gcc cannot build"))
    return "broken: it does not build" if unbuilt else "caught"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutate",
        description="Seed one bug at a time in a copy of the project and run the tests of its stage.",
        epilog="example: python -m tests.mutate --only accumulators",
    )
    parser.add_argument("--only", default="", help="only bugs whose description or file contains this text")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in mutants() if arguments.only in mutant.bug or arguments.only in mutant.file]
    if not chosen:
        parser.error(f"no bug's description or file contains {arguments.only!r}")
    console = Console()
    table = Table(box=box.MARKDOWN)
    for column in ("bug", "file", "caught by", "result"):
        table.add_column(column)
    survivors = 0
    with tempfile.TemporaryDirectory() as folder, Progress(console=console) as progress:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        files = sorted({mutant.tests.split()[0] for mutant in chosen if mutant.tests})
        if files and pytest(copy, *files).returncode:
            sys.exit("error: the tests fail without any bug; make them pass first")
        if any(prove(copy, name).returncode for name in sorted({mutant.proof for mutant in chosen} - {""})):
            sys.exit("error: a proof fails without any bug; make it hold first")
        for mutant in progress.track(chosen, description="bugs"):
            result = run(mutant, copy)
            survivors += result != "caught"
            table.add_row(mutant.bug, mutant.file, mutant.by, result)
            if result != "caught":
                progress.console.print(f"{mutant.bug}: {result}")
    Console(width=200).print(table)
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()

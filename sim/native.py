"""Models that are compiled when first used and kept in ``build/sim``; those in C++ alone."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from golden.lm.native import CompilerError

CACHE = Path(__file__).parents[1] / "build" / "sim"
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


def kept(path: Path, build: Callable[[Path], Path]) -> Path:
    """Return a file or folder of :data:`CACHE`, built if it is not there; safe to do in two processes at once.

    ``build`` gets an empty folder, and returns what it has made in it.
    """
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as folder:
            built = build(Path(folder))
            try:
                os.replace(built, path)
            except OSError:  # a folder, and another process was faster
                if not path.is_dir():
                    raise
    return path


def load(source: Path, define: str, headers: Sequence[Path] = ()) -> ctypes.CDLL:
    """Compile a header with its C interface, which ``define`` asks for, if it is not there, and load it.

    ``headers`` are those that it includes; a change of any is a new library.

    Raises
    ------
    CompilerError
        If there is no C++ compiler, or it fails.
    """
    if shutil.which("g++") is None:
        raise CompilerError("g++ is missing; install it with your system's package manager")
    flags = (*FLAGS, f"-D{define}", "-I", str(source.parent), "-x", "c++")
    recipe = "".join(file.read_text() for file in (source, *headers)) + " ".join(flags) + platform.machine()

    def build(folder: Path) -> Path:
        built = folder / "model.so"
        done = subprocess.run(["g++", *flags, "-o", built, source], capture_output=True, text=True)
        if done.returncode:
            raise CompilerError(f"g++ cannot build {source}: {done.stderr.strip()}")
        return built

    name = f"{source.stem}-{hashlib.sha256(recipe.encode()).hexdigest()[:20]}.so"
    return ctypes.CDLL(str(kept(CACHE / name, build)))

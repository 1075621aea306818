"""Models in C++, compiled when first used and kept in ``build/sim``."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from golden.lm.native import CompilerError

CACHE = Path(__file__).parents[1] / "build" / "sim"
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


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
    path = CACHE / f"{source.stem}-{hashlib.sha256(recipe.encode()).hexdigest()[:20]}.so"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as folder:  # two processes may build at once
            built = Path(folder) / path.name
            done = subprocess.run(["g++", *flags, "-o", built, source], capture_output=True, text=True)
            if done.returncode:
                raise CompilerError(f"g++ cannot build {source}: {done.stderr.strip()}")
            os.replace(built, path)
    return ctypes.CDLL(str(path))

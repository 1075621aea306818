"""C compiled for this processor: a source of this package built with the system's C compiler, once, and kept.

The library lies in ``$XDG_CACHE_HOME/egret`` (or ``~/.cache/egret``), named by a checksum of source, flags and
processor. No torch, so that a machine without it can run a trained network.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC") + (
    ("-mprefer-vector-width=512",) if platform.machine() == "x86_64" else ()
)


class CompilerError(RuntimeError):
    """There is no C compiler, or it fails; the message says so."""


def available() -> bool:
    """Return whether there is a C compiler."""
    return shutil.which("gcc") is not None


@functools.cache
def build(name: str, definitions: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Build a source beside this file if it is not built yet, and load it.

    ``definitions`` are macros, ``NAME=VALUE``.

    Raises
    ------
    CompilerError
        If there is no compiler, or it fails.
    """
    if not available():
        raise CompilerError("gcc is missing; install it with your system's package manager")
    source = Path(__file__).with_name(name)
    flags = (*FLAGS, *(f"-D{definition}" for definition in definitions))
    cpu = Path("/proc/cpuinfo")
    about = cpu.read_text().splitlines() if cpu.is_file() else [f"model name {platform.processor()}"]
    model = "".join(sorted({line for line in about if line.startswith(("model name", "flags"))}))
    headers = "".join(header.read_text() for header in sorted(source.parent.glob("*.h")))
    recipe = source.read_text() + headers + " ".join(flags) + platform.machine() + model
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "egret"
    path = cache / f"{source.stem}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.so"
    if not path.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CompilerError(f"cannot make {cache} ({error.strerror}); set XDG_CACHE_HOME to a folder") from None
        with tempfile.TemporaryDirectory(dir=cache) as folder:  # two processes may build at once
            built = Path(folder) / path.name
            result = subprocess.run(["gcc", *flags, "-o", built, source, "-lm"], capture_output=True, text=True)
            if result.returncode:
                reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
                raise CompilerError(f"gcc cannot build {source}: {reason}; mend or update the compiler")
            os.replace(built, path)
    return ctypes.CDLL(str(path))


def call(function: Any, *arguments: Any) -> None:
    """Call a C function that returns nothing with integers, as int64, and the addresses of NumPy arrays."""
    function.restype = None
    assert all(a.flags.c_contiguous for a in arguments if isinstance(a, np.ndarray))
    function(*(ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int64(a) for a in arguments))

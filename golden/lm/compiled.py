"""Steps of an EGRU compiled for this processor: ``cell.c`` built with the system's C compiler, once, and kept.

The library lies in ``$XDG_CACHE_HOME/egret`` (or ``~/.cache/egret``), named by a checksum of source, flags and
processor.
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

from torch import Tensor

from golden.checkpoint import TrainingError
from golden.lm.steps import ProductSteps, Window

SOURCE = Path(__file__).with_name("cell.c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC") + (
    ("-mprefer-vector-width=512",) if platform.machine() == "x86_64" else ()
)


def available() -> bool:
    """Return whether there is a C compiler."""
    return shutil.which("gcc") is not None


@functools.cache
def library() -> ctypes.CDLL:
    """Build the library if it is not there, and load it.

    Raises
    ------
    TrainingError
        If there is no compiler, or it fails.
    """
    if not available():
        raise TrainingError("gcc is missing; install it, or train with --steps torch")
    cpu = Path("/proc/cpuinfo")
    model = "".join(sorted({line for line in cpu.read_text().splitlines() if line.startswith(("model name", "flags"))}))
    recipe = SOURCE.read_text() + " ".join(FLAGS) + platform.machine() + model
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "egret"
    path = cache / f"cell-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.so"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:  # two processes may build at once
            built = Path(folder) / path.name
            result = subprocess.run(["gcc", *FLAGS, "-o", built, SOURCE], capture_output=True, text=True)
            if result.returncode:
                raise TrainingError(f"gcc cannot build {SOURCE}: {result.stderr.strip().splitlines()[-1]}")
            os.replace(built, path)
    loaded = ctypes.CDLL(str(path))
    size, array, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
    loaded.egru_forward.argtypes = [size, size, *[array] * 8]
    loaded.egru_backward.argtypes = [size, size, *[array] * 9, number, number, *[array] * 3]
    loaded.egru_forward.restype = loaded.egru_backward.restype = None
    return loaded


class CompiledSteps(ProductSteps):
    """Steps in C, float32, on one thread: the products, which take most of the time, are PyTorch's on all of them."""

    def __init__(self, window: Window) -> None:
        w = window
        super().__init__(window)
        self.library = library()

        def addresses(*arrays: Tensor) -> list[int]:
            return [array.data_ptr() for array in arrays]

        size = [w.batch, w.units]
        constant = addresses(w.bias, w.threshold)
        self.arguments = [
            [*size, *constant, *addresses(w.a[t], w.b[t], w.h[t], w.c[t], w.h[t + 1], w.y[t + 1])]
            for t in range(w.steps)
        ]
        self.arguments_back = [
            [*size, *constant, *addresses(w.a[t], w.b[t], w.h[t], w.c[t], w.dy[t], w.dy_back, w.dfires)]
            for t in range(w.steps)
        ]
        self.results_back = [addresses(w.dh, w.dthreshold, w.d[t]) for t in range(w.steps)]

    def cell(self, t: int) -> None:
        self.library.egru_forward(*self.arguments[t])

    def cell_back(self, t: int) -> None:
        w = self.window
        self.library.egru_backward(*self.arguments_back[t], w.dampening, w.support, *self.results_back[t])

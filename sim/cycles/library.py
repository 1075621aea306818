"""The cycle model of ``sim/harness/cycles.h``, compiled when first used and kept in ``build/sim``."""

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

from golden.lm.native import CompilerError
from sim.memory_model import Counts

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "sim"
SOURCE = ROOT / "sim" / "harness" / "cycles.h"
HEADERS = (SOURCE.with_name("memory.h"), *sorted(SOURCE.with_suffix("").glob("*.h")))
FLAGS = (
    "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-DEGRET_CYCLES_LIBRARY", "-shared", "-fPIC",
    "-I", str(SOURCE.parent), "-x", "c++",
)  # fmt: skip
GROUPS_MAX = 17  #: kGroupsMax: inputs and layers
#: The fields of ``CycleNetwork``, ``StepCycles`` and ``CycleTotals``, in their order.
NETWORK = (
    "layer_base", "layer_rows", "unit_at", "beats", "first", "count", "start", "forward", "whole", "entries",
    "entries_of",
)  # fmt: skip
STEP = ("first_input", "last_input", "output", "beats", "outputs")
TOTALS = ("cycles", "beats", "held", "starved", "events", "updates", "slots", "hazards", "drains")
REST = ("memory", "lookup", "tail", "cells", "output", "rest")
TOTAL_COUNT = len(TOTALS) + GROUPS_MAX + len(REST) + len(Counts._fields)


@functools.cache
def build() -> ctypes.CDLL:
    """Compile the model if it is not there, and load it.

    Raises
    ------
    CompilerError
        If there is no C++ compiler, or it fails.
    """
    if shutil.which("g++") is None:
        raise CompilerError("g++ is missing; install it with your system's package manager")
    recipe = "".join(file.read_text() for file in (SOURCE, *HEADERS)) + " ".join(FLAGS) + platform.machine()
    path = CACHE / f"cycles-{hashlib.sha256(recipe.encode()).hexdigest()[:20]}.so"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as folder:  # two processes may build at once
            built = Path(folder) / path.name
            done = subprocess.run(["g++", *FLAGS, "-o", built, SOURCE], capture_output=True, text=True)
            if done.returncode:
                raise CompilerError(f"g++ cannot build {SOURCE}: {done.stderr.strip()}")
            os.replace(built, path)
    library = ctypes.CDLL(str(path))
    library.egret_cycles_run.restype = ctypes.c_char_p
    library.egret_cycles_run.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_uint64] + [ctypes.c_void_p] * 2
    return library

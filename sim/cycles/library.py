"""The cycle model of ``sim/harness/cycles.h``, compiled when first used and kept in ``build/sim``."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from sim.memory_model import Counts
from sim.native import load

SOURCE = Path(__file__).parents[1] / "harness" / "cycles.h"
HEADERS = (SOURCE.with_name("memory.h"), *sorted(SOURCE.with_suffix("").glob("*.h")))
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
        See :func:`sim.native.load`.
    """
    library = load(SOURCE, "EGRET_CYCLES_LIBRARY", HEADERS)
    library.egret_cycles_run.restype = ctypes.c_char_p
    library.egret_cycles_run.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_uint64] + [ctypes.c_void_p] * 2
    return library

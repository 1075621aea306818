"""What the C tests and fuzz targets of the driver read: a core's description, seven words, and an image for it."""

from __future__ import annotations

import numpy as np

from golden.fanout import Compiled
from golden.streamed import CompiledStream
from hw.bus.registers import registers
from hw.config import CoreConfig
from hw.counters import counter_map
from tests.networks import random_fixed_network

#: Registers of a description, in its order.
DESCRIBED = ("config_id", "lanes", "rows", "entries", "widths", "lists", "counter_select")
#: Small networks and their cores, each with something that the others do not have.
CASES = {
    "chip": (dict(inputs=3, layers=[5, 4], outputs=3, weight_density=0.4), dict(lanes=3, cell_units=1)),
    "streamed": (dict(inputs=3, layers=[5, 4], outputs=3, weight_density=0.4),
                 dict(lanes=3, cell_units=1, streamed=True)),
    "cells": (dict(inputs=2, layers=[6], outputs=None, weight_density=0.5), dict(lanes=4, cell_units=2)),
    "dense": (dict(inputs=4, layers=[4], outputs=9, weight_density=1.0), dict(lanes=2, cell_units=2, streamed=True)),
    "compact": (dict(inputs=2, layers=[3], outputs=2, weight_density=0.6),
                dict(lanes=2, cell_units=1, compact=True, counters=False)),
}  # fmt: skip


def describe(config: CoreConfig) -> np.ndarray:
    """Return a core's registers of :data:`DESCRIBED`, uint32."""
    known = {"config_id": config.config_id, "count": len(counter_map(config)) if config.counters else 0, "selected": 0}
    fields = {register.name: register.fields for register in registers()}
    words = []
    for name in DESCRIBED:
        values = ((field, known.get(field.name, getattr(config, field.name, None))) for field in fields[name])
        words.append(sum((value & ((1 << field.width) - 1)) << field.low for field, value in values))
    return np.array(words, np.uint32)


def compile_case(name: str) -> tuple[CoreConfig, Compiled | CompiledStream]:
    """Return the core of a case, and its network compiled for it."""
    network, core = CASES[name]
    drawn = random_fixed_network(np.random.default_rng(3), **network)
    config = CoreConfig.fitting(drawn, **core)
    return config, config.compile(drawn)


def case_bytes(name: str) -> bytes:
    """Return a case as the C programs read it."""
    config, compiled = compile_case(name)
    return np.concatenate([describe(config), compiled.words]).astype("<u4").tobytes()

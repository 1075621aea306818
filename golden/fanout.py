"""Compile a network into fan-out lists, dealt to lanes, and a memory image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Capacity:
    """What a core can hold, and its widths: all that the compiler has to know of a configuration."""

    lanes: int
    cell_units: int
    rows: int
    entries: int
    sources: int
    layers: int
    weight_bits: int
    y_bits: int
    value_bits: int
    acc_bits: int
    config_id: int

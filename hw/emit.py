"""Emit a component as Verilog."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from amaranth.back import rtlil, verilog
from amaranth.lib.wiring import Component


class _ModuleEmitter(rtlil.ModuleEmitter):
    """Leave out the initial content of memories that start with zeros only: they are cleared or loaded before use.

    Amaranth would write it one row a line, a million lines for a large network.
    """

    def emit_memory(self, cell_idx, cell):
        if any(cell.init):
            super().emit_memory(cell_idx, cell)


@contextlib.contextmanager
def without_zeros() -> Iterator[None]:
    """Emit, within this context, memories that start with zeros only without initial content."""
    original = rtlil.ModuleEmitter
    rtlil.ModuleEmitter = _ModuleEmitter
    try:
        yield
    finally:
        rtlil.ModuleEmitter = original


def emit(component: Component, name: str, platform: Any = None) -> str:
    """Return the Verilog of a component as a module ``name``; the same component gives the same text.

    With a platform (a :class:`hw.vendor.Device` or one of Amaranth's) memories and multipliers are instances of the
    blocks of its device; without one they are plain HDL.

    Port names join the members' names with two underscores (``i__payload``); inside, fields of a structure have
    wires of their own (``structure.field``).
    """
    with without_zeros():
        return verilog.convert(component, name=name, platform=platform, emit_src=False, strip_internal_attrs=True)

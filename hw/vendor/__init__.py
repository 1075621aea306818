"""Memories, multipliers, registers and multiplexers, as plain HDL or as a device's own blocks.

Components use what :mod:`hw.vendor.generic` offers; what it becomes depends on the platform that they are elaborated
for.
"""

from types import ModuleType
from typing import Any

from hw.vendor import ecp5, gowin, ice40
from hw.vendor.device import DEVICES, Device, family

__all__ = ["DEVICES", "Device", "primitives"]

_FAMILIES = {"ecp5": ecp5, "gowin": gowin, "ice40": ice40}


def primitives(platform: Any) -> ModuleType | None:
    """Return the module that builds with the blocks of a platform's device, or None for plain HDL.

    Each has ``memory(ports)``, ``single_port_memory(ports)``, ``parted_memory(ports)``, ``multiplier(ports)`` and
    ``choice(ports)``, which return a module connected to a component's ports, or None where the plain HDL does as well;
    and ``register(i, o)``, which returns the instance of one flip-flop.
    """
    return _FAMILIES.get(family(platform))


def rules(family: str) -> ModuleType:
    """Return the module of a family: its ``RULES`` for memories and ``is_block_product(a, b)`` for multipliers."""
    return _FAMILIES[family]

"""Devices that the tools can place for, and the family that a platform belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device without a board; hand it to ``emit`` and to :mod:`hw.flow` as the platform.

    Parameters
    ----------
    name : str
        As users type it, the speed grade last where there is a choice.
    family : str
        ``ecp5``, ``ice40`` (UltraPlus) or ``gowin`` (GW2A).
    options : tuple of str
        What tells nextpnr the die, the package and the speed grade.
    has : mapping
        LUT, FF, RAM (blocks), SPRAM and multiplier: how many there are of each, as nextpnr counts.
    pins : tuple of str
        Pins for designs without constraints, where nextpnr does not choose any itself.
    """

    name: str
    family: str
    options: tuple[str, ...]
    has: Mapping[str, int]
    pins: tuple[str, ...] = ()


_ECP5 = {
    25: {"LUT": 24288, "FF": 24288, "RAM": 56, "multiplier": 28},
    45: {"LUT": 43848, "FF": 43848, "RAM": 108, "multiplier": 72},
    85: {"LUT": 83640, "FF": 83640, "RAM": 208, "multiplier": 156},
}  # fmt: skip
#: A logic cell has a LUT and a flip-flop; they count as one.
_UP5K = {"LUT": 5280, "RAM": 30, "SPRAM": 4, "multiplier": 8}
_GW2A = {"LUT": 20736, "FF": 15552, "RAM": 46, "multiplier": 48}

DEVICES = {
    device.name: device
    for device in (
        *(
            Device(
                name=f"lfe5u-{size}f{'' if speed == 6 else f'-{speed}'}", family="ecp5",
                options=(f"--{size}k", "--package", package, "--speed", str(speed)), has=_ECP5[size],
            )
            for size, package in ((25, "CABGA381"), (45, "CABGA381"), (85, "CABGA756")) for speed in (6, 7, 8)
        ),
        # The packages of boards.
        Device(
            name="lfe5u-85f-bg381", family="ecp5", options=("--85k", "--package", "CABGA381", "--speed", "6"),
            has=_ECP5[85],
        ),
        Device(
            name="lfe5u-85f-mg285-8", family="ecp5", options=("--85k", "--package", "CSFBGA285", "--speed", "8"),
            has=_ECP5[85],
        ),
        Device(name="up5k", family="ice40", options=("--up5k", "--package", "sg48"), has=_UP5K),
        Device(
            name="gw2ar-18", family="gowin",
            options=("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"),
            has=_GW2A,
            pins=("4", "15", "16", "17", "18", "19", "20", "25", "26", "27", "28", "29", "30", "31"),
        ),
        Device(
            name="gw2a-18", family="gowin", options=("--device", "GW2A-LV18PG256C8/I7", "--vopt", "family=GW2A-18C"),
            has=_GW2A,
            pins=("H11", "T13", "M11", "N16", "N14", "L14", "L16", "T10", "P6", "T6", "T7", "P8", "T8", "P9"),
        ),
    )
}  # fmt: skip


def family(platform: Any) -> str | None:
    """Return the family of a :class:`Device` or of an Amaranth platform; None where plain HDL is to be used."""
    if platform is None:
        return None
    if isinstance(platform, Device):
        return platform.family
    from amaranth.vendor import GowinPlatform, LatticePlatform, SiliconBluePlatform  # slow to import

    if isinstance(platform, LatticePlatform) and platform.family == "ecp5":
        return "ecp5"
    if isinstance(platform, SiliconBluePlatform) and platform.device.startswith("iCE40UP"):
        return "ice40"
    if isinstance(platform, GowinPlatform) and platform.family.startswith("GW2A"):
        return "gowin"
    return None

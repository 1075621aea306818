"""What is built from which block: dispatch by platform, cutting of memories, what a platform's device lacks."""

from __future__ import annotations

import re

import pytest
from amaranth import signed, unsigned
from amaranth.vendor import GowinPlatform, LatticePlatform, SiliconBluePlatform

from hw.emit import emit
from hw.vendor import DEVICES, primitives
from hw.vendor.blocks import columns
from hw.vendor.device import family
from hw.vendor.ecp5 import RULES
from hw.vendor.generic import Multiplier, PartedMemory, PipelinedMemory, SinglePortMemory


def platform(base, **attributes):
    """Return a board of one of Amaranth's platforms that tells nothing of itself but what is given."""
    board = type("Board", (base,), dict.fromkeys(base.__abstractmethods__) | attributes)
    return object.__new__(board)


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        (None, None),
        (object(), None),
        (platform(LatticePlatform, family="ecp5"), "ecp5"),
        (platform(LatticePlatform, family="nexus"), None),
        (platform(SiliconBluePlatform, device="iCE40UP5K"), "ice40"),
        (platform(SiliconBluePlatform, device="iCE40HX8K"), None),
        (platform(GowinPlatform, family="GW2AR-18C"), "gowin"),
        (platform(GowinPlatform, family="GW1NR-9C"), None),
        *((device, device.family) for device in DEVICES.values()),
    ],
)
def test_family_of_a_platform(board, expected):
    assert family(board) == expected
    assert (primitives(board) is None) == (expected is None)


@pytest.mark.parametrize(
    ("width", "depth", "stacks"),
    [
        (36, 512, [1]),
        (24, 512, [1]),
        (24, 600, [1, 1]),
        (40, 512, [1, 1]),
        (16, 20000, [5, 5, 5, 5]),  # 20 blocks whichever way: these need the smallest selector
        (24, 2048, [1] * 3),
        (15, 8192, [4, 1, 1, 1]),  # 8 without a selector
        (16, 4100, [5]),  # 8 without one
        (1, 1, [1]),
    ],
)
def test_columns(width, depth, stacks):
    cut = columns(width, depth, RULES.geometries)
    assert [column.stack for column in cut] == stacks
    assert all(RULES.geometries[column.width] * column.stack >= depth for column in cut)
    assert [bit for column in cut for bit in range(column.start, column.stop)] == list(range(width))


def test_no_way_to_cut_takes_many_fewer_blocks():
    """Against every way to choose the columns' widths: those with a selector take the fewest, others an eighth more."""

    def fewest(width: int, depth: int) -> int:
        if width <= 0:
            return 0
        return min(-(-depth // rows) + fewest(width - each, depth) for each, rows in RULES.geometries.items())

    for width in range(1, 20):
        for depth in (16, 513, 3000):
            cut = columns(width, depth, RULES.geometries)
            blocks = sum(column.stack for column in cut)
            assert fewest(width, depth) <= blocks <= fewest(width, depth) * (1.125 if len(cut) == blocks else 1)


def instances(component, device: str) -> list[str]:
    return re.findall(
        r"^  (DP16KD|MULT18X18D?|SB_\w+|SDPX?9?B) ", emit(component, "top", DEVICES[device]), re.MULTILINE
    )


@pytest.mark.parametrize(
    ("component", "device", "expected"),
    [
        (lambda: PipelinedMemory(shape=24, depth=512), "lfe5u-85f", ["DP16KD"]),
        (lambda: PipelinedMemory(shape=24, depth=16), "lfe5u-85f", []),
        (lambda: PipelinedMemory(shape=24, depth=17), "lfe5u-85f", ["DP16KD"]),
        (lambda: PipelinedMemory(shape=24, depth=16, init=[1]), "lfe5u-85f", ["DP16KD"]),
        (lambda: PipelinedMemory(shape=24, depth=256), "up5k", ["SB_RAM40_4K"] * 2),
        (lambda: PartedMemory(shape=24, parts=4, depth=512), "lfe5u-85f", ["DP16KD"] * 3),
        (lambda: PartedMemory(shape=24, parts=4, depth=600), "lfe5u-85f", ["DP16KD"] * 8),
        (lambda: PartedMemory(shape=24, parts=4, depth=16), "lfe5u-85f", []),
        (lambda: PartedMemory(shape=24, parts=4, depth=256), "up5k", ["SB_RAM40_4K"] * 6),
        (lambda: PartedMemory(shape=20, parts=4, depth=512), "gw2ar-18", ["SDPX9B"] * 3),
        (lambda: SinglePortMemory(shape=16, depth=20000), "up5k", ["SB_SPRAM256KA"] * 2),
        (lambda: SinglePortMemory(shape=36, depth=512), "gw2ar-18", ["SDPX9B"]),
        (lambda: PipelinedMemory(shape=4, depth=4096), "gw2ar-18", ["SDPB"]),
        (lambda: Multiplier(unsigned(11), unsigned(7)), "lfe5u-85f", ["MULT18X18D"]),
        (lambda: Multiplier(unsigned(11), unsigned(7)), "up5k", []),
        (lambda: Multiplier(unsigned(15), signed(18)), "up5k", ["SB_MAC16"]),
        (lambda: Multiplier(signed(19), signed(8)), "lfe5u-85f", []),
        (lambda: Multiplier(signed(8), signed(17)), "gw2ar-18", ["MULT18X18"]),
    ],
)
def test_blocks_chosen(component, device, expected):
    assert instances(component(), device) == expected

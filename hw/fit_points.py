"""The cores that the estimate of :mod:`hw.fit` is fitted to, and those that it is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hw.boards import BOARDS
from hw.config import CoreConfig
from hw.fit import model_name
from hw.implement import Design, board_design, device_design
from hw.vendor import DEVICES, Device


@dataclass(frozen=True)
class Point:
    """A core to measure: on a board behind its host link, or alone on a device.

    ``held_out`` ones are never fitted: they tell how good the estimate is. ``routed`` ones tell about clocks.
    """

    target: str
    config: CoreConfig
    held_out: bool = False
    routed: bool = False

    @property
    def name(self) -> str:
        return f"{self.target}-{self.config.lanes}-{self.config.config_id:08x}"

    @property
    def host_link(self) -> bool:
        return self.target in BOARDS

    @property
    def model(self) -> str:
        """Name of the coefficients."""
        return model_name(self.config, self.device.family)

    @property
    def device(self) -> Device:
        return BOARDS[self.target].device if self.host_link else DEVICES[self.target]

    def design(self) -> Design:
        """Return what the tools are given."""
        if self.host_link:
            return board_design(self.config, BOARDS[self.target])
        return device_design(self.config, self.device)


def _points(target: str, *cases: dict[str, Any], **marks: bool) -> list[Point]:
    """Return points by what differs from the default configuration."""
    return [Point(target, CoreConfig(**case), **marks) for case in cases]


def _streamed(target: str, *cases: dict[str, Any], **marks: bool) -> list[Point]:
    """As :func:`_points`, of cores with lists in external memory."""
    return _points(target, *({"gap_bits": 5, "layers": 2} | case for case in cases), **marks)


def _compact(target: str, *cases: dict[str, Any], **marks: bool) -> list[Point]:
    """As :func:`_points`, of compact cores."""
    common = {"compact": True, "counters": False, "cell_units": 1}
    return _points(target, *(common | case for case in cases), **marks)


#: Small cores, in which everything is varied at once, and a few large ones, which take longest, at the end.
POINTS = (
    *_points(
        "lfe5u-85f",
        {"lanes": 1, "cell_units": 1},
        {"lanes": 1, "cell_units": 1, "rows": 64, "entries": 8192, "sources": 512, "acc_bits": 32, "value_bits": 17,
         "y_bits": 16, "layers": 2, "split_banks": True, "counters": False},
        {"lanes": 2, "cell_units": 1, "rows": 16, "entries": 1024, "sources": 64, "acc_bits": 16, "layers": 2,
         "weight_bits": 4, "queue_depth": 8, "split_banks": True, "forwarding": True},
        {"lanes": 4, "cell_units": 4, "rows": 8, "entries": 1024, "sources": 128, "layers": 3, "split_banks": True},
        {"lanes": 1, "cell_units": 1, "rows": 16, "entries": 4096, "sources": 128, "acc_bits": 20, "layers": 12,
         "queue_depth": 32, "hops": 2, "split_banks": True, "forwarding": True, "counters": False},
        {"lanes": 4, "cell_units": 1, "rows": 32, "entries": 2048, "sources": 512, "acc_bits": 20, "layers": 2,
         "hops": 2, "split_banks": True},
        {"lanes": 4, "cell_units": 1, "rows": 16, "entries": 1024, "sources": 128, "acc_bits": 20, "layers": 2,
         "weight_bits": 4, "hops": 3, "split_banks": True, "distributed_cells": True},
    ),
    *_points("ulx3s-85f", {"lanes": 1, "cell_units": 1, "layers": 2}),
    *_compact(
        "up5k",
        {"lanes": 4, "rows": 16, "entries": 1024, "sources": 128, "layers": 2, "acc_bits": 20},
        {"lanes": 1, "rows": 64, "entries": 4096, "sources": 256, "layers": 3, "y_bits": 11, "value_bits": 12},
        {"lanes": 7, "rows": 32, "entries": 2048, "sources": 256, "layers": 2, "acc_bits": 16},
        {"lanes": 2, "rows": 32, "entries": 8192, "sources": 512, "layers": 4, "acc_bits": 24},
    ),
    *_compact("icebreaker", {"lanes": 3, "rows": 32, "entries": 2048, "sources": 256, "layers": 2, "acc_bits": 20}),
    *_compact(
        "icebreaker",
        {"lanes": 4, "rows": 64, "entries": 2048, "sources": 256, "layers": 3, "acc_bits": 20},
        held_out=True,
    ),
    *_points(
        "gw2a-18",
        {"lanes": 2, "cell_units": 1, "rows": 16, "entries": 1024, "sources": 64, "acc_bits": 16, "layers": 2,
         "weight_bits": 4, "split_banks": True, "forwarding": True},
        {"lanes": 1, "cell_units": 1, "rows": 64, "entries": 8192, "sources": 512, "acc_bits": 32, "value_bits": 17,
         "y_bits": 16, "layers": 2, "hops": 2, "counters": False},
        {"lanes": 1, "cell_units": 1, "rows": 16, "entries": 2048, "sources": 128, "acc_bits": 20, "layers": 12,
         "queue_depth": 32, "hops": 2, "forwarding": True, "counters": False},
        {"lanes": 4, "cell_units": 4, "rows": 8, "entries": 1024, "sources": 128, "layers": 3, "counters": False},
        {"lanes": 4, "cell_units": 1, "rows": 8, "entries": 1024, "sources": 128, "layers": 2, "weight_bits": 4,
         "hops": 3, "split_banks": True, "distributed_cells": True},
        {"lanes": 8, "cell_units": 1, "rows": 16, "entries": 1024, "sources": 128, "acc_bits": 16, "counters": False},
        {"lanes": 6, "cell_units": 2, "rows": 8, "entries": 1024, "sources": 256, "layers": 2, "hops": 2,
         "queue_depth": 8},
    ),
    *_points("tang-primer-20k", {"lanes": 1, "cell_units": 1, "layers": 2}),
    *_points(
        "gw2a-18",
        {"lanes": 2, "cell_units": 2, "rows": 32, "entries": 4096, "layers": 3, "acc_bits": 20, "split_banks": True},
        held_out=True,
    ),
    *_points(
        "gw2ar-18",
        {"lanes": 8, "cell_units": 1, "rows": 8, "entries": 2048, "sources": 256, "acc_bits": 20, "counters": False},
        held_out=True,
        routed=True,
    ),
    *_points(
        "tang-primer-20k",
        {"lanes": 2, "cell_units": 2, "rows": 128, "entries": 4096, "layers": 2, "acc_bits": 20, "split_banks": True},
        held_out=True,
        routed=True,
    ),
    *_points("up5k", {"lanes": 1, "cell_units": 1, "layers": 2, "acc_bits": 20}),
    *_compact(
        "up5k",
        {"lanes": 4, "rows": 32, "entries": 4096, "sources": 128, "layers": 2, "acc_bits": 24},
        held_out=True,
        routed=True,
    ),
    *_points(
        "lfe5u-85f",
        {"lanes": 2, "cell_units": 2, "rows": 32, "entries": 4096, "layers": 3, "acc_bits": 20, "split_banks": True},
        held_out=True,
        routed=True,
    ),
    *_points(
        "lfe5u-85f",
        {"lanes": 4, "cell_units": 2, "rows": 64, "entries": 6144, "sources": 1024, "layers": 2, "queue_depth": 32,
         "split_banks": True, "forwarding": True},
        {"lanes": 1, "cell_units": 1, "rows": 16, "entries": 2048, "layers": 2, "value_bits": 16, "counters": False},
        held_out=True,
    ),
    *_points(
        "lfe5u-85f",
        {"lanes": 2, "cell_units": 2, "rows": 128, "entries": 4096, "sources": 1024, "acc_bits": 28, "layers": 7,
         "forwarding": True},
        {"lanes": 3, "cell_units": 1, "rows": 512, "entries": 20480, "sources": 4096, "acc_bits": 32, "layers": 2,
         "value_bits": 12, "split_banks": True, "counters": False},
        {"lanes": 4, "cell_units": 2, "rows": 256, "entries": 16384, "sources": 2048, "acc_bits": 28, "layers": 2,
         "y_bits": 12, "value_bits": 13, "queue_depth": 64},
        {"lanes": 8, "cell_units": 2, "rows": 32, "entries": 2048, "sources": 256},
        {"lanes": 8, "cell_units": 1, "rows": 16, "entries": 1024, "sources": 256, "layers": 2, "hops": 2,
         "split_banks": True, "forwarding": True},
    ),
    *_points(
        "lfe5u-25f",
        {"lanes": 4, "cell_units": 2, "rows": 32, "entries": 2048, "layers": 2, "split_banks": True},
        held_out=True,
    ),
    *_points(
        "ulx3s-85f",
        {"lanes": 4, "cell_units": 4, "rows": 64, "entries": 4096, "layers": 2, "acc_bits": 20, "split_banks": True},
        held_out=True,
        routed=True,
    ),
    *_points(
        "lfe5u-85f",
        {"lanes": 8, "cell_units": 8, "rows": 32, "entries": 3072, "sources": 256, "layers": 3, "acc_bits": 20,
         "split_banks": True},
    ),
    *_points(
        "lfe5u-85f",
        {"lanes": 8, "cell_units": 4, "rows": 16, "entries": 2048, "layers": 4, "hops": 2, "split_banks": True},
        {"lanes": 16, "cell_units": 2, "rows": 32, "entries": 7168, "sources": 512, "hops": 3},
        held_out=True,
        routed=True,
    ),
    *_points(
        "lfe5u-85f",
        {"lanes": 16, "cell_units": 2, "rows": 32, "entries": 7168, "sources": 512, "layers": 2, "hops": 2},
    ),
    *_streamed(
        "lfe5u-85f",
        {"lanes": 1, "cell_units": 1, "rows": 64, "lists": 128, "gap_bits": 4, "counters": False},
        {"lanes": 2, "cell_units": 1, "rows": 128, "sources": 1024, "lists": 700, "layers": 3, "acc_bits": 20,
         "queue_depth": 8, "hops": 2, "split_banks": True, "port_bits": 64},
        {"lanes": 4, "cell_units": 1, "rows": 512, "sources": 4096, "lists": 4096, "layers": 4, "acc_bits": 28,
         "value_bits": 12, "queue_depth": 32, "hops": 3, "counters": False},
        {"lanes": 3, "cell_units": 1, "rows": 128, "sources": 2048, "lists": 1024, "acc_bits": 20, "queue_depth": 64,
         "counters": False, "port_bits": 512},
        {"lanes": 4, "cell_units": 2, "rows": 256, "sources": 512, "lists": 512, "layers": 7, "gap_bits": 4, "hops": 2,
         "split_banks": True, "port_bits": 256},
    ),
    *_streamed(
        "lfe5u-85f",
        {"lanes": 2, "cell_units": 2, "rows": 32, "lists": 256, "gap_bits": 6, "weight_bits": 4, "split_banks": True,
         "counters": False, "port_bits": 256},
        routed=True,
    ),
    *_streamed(
        "lfe5u-85f",
        {"lanes": 8, "cell_units": 2, "rows": 256, "sources": 8192, "lists": 2048, "layers": 3, "hops": 2,
         "split_banks": True},
        held_out=True,
        routed=True,
    ),
    *_streamed(
        "lfe5u-85f",
        # ecp5-16-streamed of hw.bench
        {"lanes": 16, "cell_units": 2, "rows": 376, "sources": 16384, "lists": 3456, "layers": 4, "acc_bits": 28,
         "counters": False, "hops": 3},
        held_out=True,
    ),
    *_points(
        "ulx3s-85f",
        {"lanes": 1, "cell_units": 1, "layers": 2, "ranked": 4},
        {"lanes": 1, "cell_units": 1, "rows": 16, "entries": 1024, "layers": 2, "acc_bits": 16, "value_bits": 12,
         "counters": False, "ranked": 12},
    ),
    *_points(
        "ulx3s-85f",
        {"lanes": 2, "cell_units": 1, "rows": 64, "layers": 3, "acc_bits": 28, "split_banks": True, "ranked": 8},
        held_out=True,
    ),
)  # fmt: skip

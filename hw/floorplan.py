"""Generate placement constraints: the block RAMs of each lane side by side, each cell unit's amid its lanes, and the
multipliers next to them.

A core fills its device's block RAMs long before its logic, and a placer that legalises them one by one tears lanes
apart.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hw.area import top_module
from hw.vendor import Device

#: The block RAMs of a device: its halves, as first and last column, and its rows, those together that are no further
#: apart than their sites. Project Trellis' database has them.
SITES = {"lfe5u-85f": (((4, 64), (69, 120)), ((22,), (46,), (70, 82)))}
PERIOD = 9  #: columns after which sites repeat
COLUMNS = (0, 2, 4, 6)  #: of four block RAMs
MULTIPLIER_ROWS = (10, 34, 58)
#: Which are their numbers, too. Four share four enables, and a lane's has one of its own and one that is always on: so
#: three of the four.
MULTIPLIER_COLUMNS = (0, 1, 4)
BLOCK, MULTIPLIER = "DP16KD", "MULT18X18D"
ORDER = ("directory", "entries", "sums")  #: of a lane's memories, as data passes them


class Site(NamedTuple):
    """Where a block RAM can be: column, row, and the name that nextpnr gives it."""

    x: int
    y: int
    name: str

    def distance(self, other: Site) -> int:
        return abs(self.x - other.x) + abs(self.y - other.y)


def sites(device: Device) -> list[list[Site]]:
    """Return the sites of a device's block RAMs in runs of neighbours, the runs of one half after those of the other.

    The last run of each half is told from the device's edge on.
    Empty where no list of sites is known.
    """
    halves, bands = _layout(device)
    return [
        [
            Site(first + column, row, f"X{first + column}/Y{row}/EBR{k}")
            for first in range(start, stop + 1, PERIOD)
            for k, column in enumerate(COLUMNS)
            if first + column <= stop
            for row in rows
        ][:: -1 if rows == bands[-1] and start > halves[0][0] else 1]
        for start, stop in halves
        for rows in bands
    ]


def multiplier_sites(device: Device) -> list[Site]:
    """Return the sites of a device's multipliers, none where no list of them is known."""
    return [
        Site(first + column, row, f"X{first + column}/Y{row}/MULT18_{column}")
        for start, stop in _layout(device)[0]
        for first in range(start, stop, PERIOD)
        for column in MULTIPLIER_COLUMNS
        if first + column <= stop
        for row in MULTIPLIER_ROWS
    ]


def _layout(device: Device):
    # Whatever package and speed grade follow in its name.
    return next((layout for name, layout in SITES.items() if device.name.startswith(name)), ((), ()))


def assign(
    rooms: Mapping[str, Sequence[str]], groups: Sequence[Sequence[str]], runs: Sequence[Sequence[Site]]
) -> dict[str, Site]:
    """Return a site for each block of each room, as far as there are sites.

    Parameters
    ----------
    rooms : mapping
        The blocks of each lane and cell unit.
    groups : sequence of sequences
        Rooms that belong together, the one first that all others are joined to; each group has its share of the runs,
        and beyond that what others leave.
    runs : sequence of sequences
        Sites, neighbours in one run. A room that fits a run is not divided.
    """
    free = [list(run) for run in runs]
    taken: dict[str, list[Site]] = {}

    def take(room, run):
        taken[room] = run[: len(rooms[room])]
        del run[: len(rooms[room])]

    left, everywhere = [], [site for run in runs for site in run]
    centre = sum(site.x for site in everywhere) / max(1, len(everywhere))
    for number, (hub, *others) in enumerate(groups):
        first, last = (len(runs) * k // len(groups) for k in (number, number + 1))
        share = free[first:last]
        for run in share:
            # The hub in the middle run, behind another room or at the end that is nearest to all.
            if run is share[len(share) // 2]:
                outwards = run and abs(run[0].x - centre) < abs(run[-1].x - centre)
                if not outwards and others and fits(rooms[others[0]], run):
                    take(others.pop(0), run)
                if fits(rooms[hub], run):
                    take(hub, run)
            while others and fits(rooms[others[0]], run):
                take(others.pop(0), run)
        left += [(room, hub) for room in ([hub] if hub not in taken else []) + others]

    for room, hub in left:
        from_hub = taken[hub][:1] if hub in taken else []

        def cost(chosen, from_hub=from_hub):
            return sum(site.distance(chosen[0]) for site in (*chosen, *from_hub))

        if whole := [run for run in free if fits(rooms[room], run)]:
            take(room, min(whole, key=cost))
            continue
        # Nothing holds it whole: the sites that are nearest together.
        unused = [site for run in free for site in run]
        together = (sorted(unused, key=seed.distance)[: len(rooms[room])] for seed in unused)
        taken[room] = min(together, key=cost, default=[])
        for run in free:
            run[:] = [site for site in run if site not in taken[room]]
    return {block: site for room, chosen in taken.items() for block, site in zip(rooms[room], chosen, strict=False)}


def fits(blocks: Sequence[str], run: Sequence[Site]) -> bool:
    return len(blocks) <= len(run)


def nearest(multipliers: Mapping[str, Sequence[Site]], free: Sequence[Site]) -> dict[str, Site]:
    """Return a site for each multiplier, one after the other, as near as may be to the sites of its block RAMs."""
    placed, left = {}, list(free)
    for name, around in multipliers.items():
        if left and around:
            placed[name] = min(left, key=lambda site, around=around: sum(map(site.distance, around)))
            left.remove(placed[name])
    return placed


def floorplan(netlist: Path, device: Device) -> int:
    """Write sites for block RAMs and multipliers of lanes and cell units into a synthesised netlist; return how many.

    None where the device has no list of sites, or twice as many as are needed: then any placement will do.
    """
    runs = sites(device)
    design = json.loads(netlist.read_text())
    top = top_module(design)
    rooms, multipliers, last = defaultdict(list), {}, {"lane": -1, "cell": -1}
    for name, cell in top["cells"].items():
        if room := re.search(r"\b(lane|cell)_(\d+)\b", name):
            last[room[1]] = max(last[room[1]], int(room[2]))
            if cell["type"] == BLOCK:
                rooms[room[0]].append(name)
            elif cell["type"] == MULTIPLIER:
                multipliers[name] = room[0]
    if 2 * sum(map(len, rooms.values())) <= sum(map(len, runs)):
        return 0
    for blocks in rooms.values():
        blocks.sort(key=lambda name: ([stage in name for stage in ORDER], name), reverse=True)
    each = (last["lane"] + 1) // (last["cell"] + 1)
    groups = [
        [f"cell_{unit}", *(f"lane_{lane}" for lane in range(unit * each, (unit + 1) * each))]
        for unit in range(last["cell"] + 1)
    ]
    placed = assign(rooms, groups, runs)
    around = {}
    for name, room in multipliers.items():
        blocks = [block for block in rooms[room] if block in placed]
        # A lane's products go to its sums, of which distributed RAM may be amid its other memories.
        sums = [block for block in blocks if ORDER[-1] in block]
        around[name] = [placed[block] for block in sums or blocks]
    placed |= nearest(around, multiplier_sites(device))
    for name, site in placed.items():
        top["cells"][name]["attributes"]["BEL"] = site.name
    netlist.write_text(json.dumps(design))
    return len(placed)

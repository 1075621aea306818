"""Generate placement constraints: the block RAMs of each lane side by side, each cell unit's near its lanes.

A core fills its device's block RAMs long before its logic, and a placer that legalises them one by one tears lanes
apart.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from hw.vendor import Device

#: The block RAMs of a device: its halves, as first and last column, and its rows. Project Trellis' database has them.
SITES = {"lfe5u-85f": (((4, 64), (69, 120)), (22, 46, 70, 82))}
COLUMNS = (0, 2, 4, 6)  #: of four sites, which repeat every nine columns
BLOCK = "DP16KD"
ORDER = ("directory", "entries", "sums")  #: of a lane's memories, as data passes them


def sites(device: Device) -> list[list[str]]:
    """Return the sites of a device's block RAMs in runs of neighbours, the runs of one half after those of the other.

    Empty where no list of sites is known.
    """
    # Whatever package and speed grade follow in its name.
    halves, rows = next((layout for name, layout in SITES.items() if device.name.startswith(name)), ((), ()))
    return [
        [
            f"X{first + column}/Y{row}/EBR{k}"
            for first in range(start, stop + 1, 9)
            for k, column in enumerate(COLUMNS)
            if first + column <= stop
        ]
        for start, stop in halves
        for row in rows
    ]


def assign(
    rooms: Mapping[str, Sequence[str]], groups: Sequence[Sequence[str]], runs: Sequence[Sequence[str]]
) -> dict[str, str]:
    """Return a site for each block of each room, as far as there are sites.

    Parameters
    ----------
    rooms : mapping
        The blocks of each lane and cell unit.
    groups : sequence of sequences
        Rooms that belong together, in the order in which they are served; each group has its share of the runs.
    runs : sequence of sequences
        Sites, neighbours in one run. A room that fits a run is not divided.
    """
    placed: dict[str, str] = {}
    for number, group in enumerate(groups):
        first, last = (len(runs) * k // len(groups) for k in (number, number + 1))
        free = [list(run) for run in runs[first:last]]
        for room in group:
            blocks = rooms[room]
            whole = [run for run in free if len(run) >= len(blocks)]
            for run in whole[:1] or free:
                here, blocks = blocks[: len(run)], blocks[len(run) :]
                placed |= zip(here, run, strict=False)
                del run[: len(here)]
    return placed


def floorplan(netlist: Path, device: Device) -> int:
    """Write sites for the block RAMs of lanes and cell units into a synthesised netlist; return for how many.

    None where the device has no list of sites, or twice as many as are needed: then any placement will do.
    """
    runs = sites(device)
    design = json.loads(netlist.read_text())
    (top,) = (module for module in design["modules"].values() if int(module["attributes"].get("top", "0"), 2))
    rooms, last = defaultdict(list), {"lane": -1, "cell": -1}
    for name, cell in top["cells"].items():
        if room := re.search(r"\b(lane|cell)_(\d+)\b", name):
            last[room[1]] = max(last[room[1]], int(room[2]))
            if cell["type"] == BLOCK:
                rooms[room[0]].append(name)
    if 2 * sum(map(len, rooms.values())) <= sum(map(len, runs)):
        return 0
    for blocks in rooms.values():
        blocks.sort(key=lambda name: ([stage in name for stage in ORDER], name), reverse=True)
    each = (last["lane"] + 1) // (last["cell"] + 1)
    groups = [
        [
            room
            for room in (*(f"lane_{lane}" for lane in range(unit * each, (unit + 1) * each)), f"cell_{unit}")
            if rooms[room]
        ]
        for unit in range(last["cell"] + 1)
    ]
    placed = assign(rooms, groups, runs)
    for name, site in placed.items():
        top["cells"][name]["attributes"]["BEL"] = site
    netlist.write_text(json.dumps(design))
    return len(placed)

"""Generate placement constraints: the block RAMs of each lane side by side, each cell unit's amid its lanes.

A core fills its device's block RAMs before its logic, and a placer that legalises them one by one tears lanes apart:
the wires of 16 lanes with 192 of 208 blocks grow to four times their length.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from hw.vendor import Device

#: Columns of an ECP5's block RAMs, in runs that no other column interrupts, and rows; four sites in every nine columns.
SITES = {
    "lfe5u-85f": (((4, 64), (69, 120)), (22, 46, 70, 82)),
}
_BLOCK = "DP16KD"
_STAGES = ("directory", "entries", "sums")  #: of a lane, in the order in which data passes them


def sites(device: Device) -> list[list[str]]:
    """Return the sites of a device's block RAMs in runs of neighbours, those of one half after the other."""
    name = re.sub(r"-\d$", "", device.name)  # whatever its speed grade
    if name not in SITES:
        return []
    halves, rows = SITES[name]
    steps = (0, 2, 4, 6)
    return [
        [
            f"X{column + step}/Y{row}/EBR{k}"
            for column in range(first, last + 1, 9)
            for k, step in enumerate(steps)
            if column + step <= last
        ]
        for first, last in halves
        for row in rows
    ]


def assign(rooms: Mapping[str, Sequence[str]], groups: Sequence[Sequence[str]], runs: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return a site for each block of each room.

    Parameters
    ----------
    rooms : mapping
        Blocks of each lane and cell unit.
    groups : sequence of sequences
        Rooms that belong together, in the order in which they are served; each takes its share of the runs.
    runs : sequence of sequences
        Sites, neighbours in one run.
    """
    placed = {}
    share = len(runs) / len(groups)
    for number, group in enumerate(groups):
        free = [list(run) for run in runs[round(number * share) : round((number + 1) * share)]]
        for room in group:
            blocks = rooms[room]
            run = next((run for run in free if len(run) >= len(blocks)), None)
            if run is None:  # what no run holds in one piece is left to the placer
                continue
            placed |= dict(zip(blocks, run, strict=False))
            del run[: len(blocks)]
    return placed


def floorplan(netlist: Path, device: Device, lanes: int, cell_units: int) -> int:
    """Constrain the block RAMs in a synthesised netlist, which is changed; return how many.

    None are where the device has no list of sites, or room enough for any placement.
    """
    runs = sites(device)
    if not runs:
        return 0
    design = json.loads(netlist.read_text())
    (top,) = (module for module in design["modules"].values() if int(module["attributes"].get("top", "0"), 2))
    rooms = defaultdict(list)
    for name, cell in top["cells"].items():
        if cell["type"] == _BLOCK and (room := re.search(r"\b(lane|cell)_\d+\b", name)):
            rooms[room[0]].append(name)
    for blocks in rooms.values():
        blocks.sort(key=lambda name: ([stage in name for stage in _STAGES].index(True) if any(stage in name for stage in _STAGES) else -1, name))
    each = lanes // cell_units
    groups = []
    for unit in range(cell_units):
        members = [f"lane_{lane}" for lane in range(unit * each, (unit + 1) * each)]
        groups.append([room for room in [*members, f"cell_{unit}"] if room in rooms])
    placed = assign(rooms, groups, runs)
    for name, site in placed.items():
        top["cells"][name]["attributes"]["BEL"] = site
    netlist.write_text(json.dumps(design))
    return len(placed)

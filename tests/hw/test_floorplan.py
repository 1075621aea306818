"""Floorplan: every block RAM on a site of its own, no lane torn apart."""

import json
import re
from itertools import chain

import pytest

from hw.floorplan import BLOCK, MULTIPLIER, Site, assign, floorplan, multiplier_sites, nearest, sites
from hw.vendor import DEVICES

DEVICE = DEVICES["lfe5u-85f"]


def test_sites_of_the_85f():
    """All 208, and three in four of 156, each once."""
    runs, multipliers = sites(DEVICE), multiplier_sites(DEVICE)
    assert len({site for run in runs for site in run}) == sum(map(len, runs)) == 208
    assert len(set(multipliers)) == len(multipliers) == 3 * 156 // 4
    assert sites(DEVICES["lfe5u-85f-8"]) == runs
    assert not sites(DEVICES["up5k"]) and not multiplier_sites(DEVICES["up5k"])


def line(*columns, y=0):
    return [Site(x, y, f"X{x}/Y{y}") for x in columns]


def test_rooms_stay_whole_where_they_fit():
    rooms = {"a": ["a0", "a1", "a2"], "b": ["b0", "b1"], "c": ["c0", "c1", "c2"], "d": ["d0"]}
    runs = [line(0, 1), line(0, 1, 2, y=1), line(5, 6, 7, 8), line(5, y=1)]
    placed = assign(rooms, [["b", "a"], ["d", "c"]], runs)
    assert {block: (site.x, site.y) for block, site in placed.items()} == {
        "a0": (0, 1), "a1": (1, 1), "a2": (2, 1), "b0": (0, 0), "b1": (1, 0),
        "d0": (5, 1), "c0": (5, 0), "c1": (6, 0), "c2": (7, 0),
    }  # fmt: skip


def test_the_hub_lies_in_the_middle_run_and_towards_the_centre():
    rooms = {name: [f"{name}0", f"{name}1"] for name in "abcdef"} | {"left": ["l"], "right": ["r"]}
    runs = [
        *(line(0, 1), line(0, 1, 2, 3, 4, y=1), line(0, 1, y=2)),
        *(line(8, 9), line(8, 9, 10, 11, 12, y=1), line(8, 9, y=2)),
    ]
    placed = assign(rooms, [["left", *"abc"], ["right", *"def"]], runs)
    assert (placed["l"].x, placed["l"].y) == (2, 1) and [placed[f"{room}0"].y for room in "abc"] == [0, 1, 1]
    assert (placed["r"].x, placed["r"].y) == (8, 1) and [placed[f"{room}0"].y for room in "def"] == [0, 1, 1]


def test_a_room_in_two_runs_has_the_sites_that_are_nearest_together():
    rooms = {"hub": ["h"], "a": ["a0", "a1", "a2"]}
    runs = [line(0, 9), line(0, 50, y=1), line(90, y=2)]
    placed = assign(rooms, [["hub", "a"]], runs)
    assert {placed[block].name for block in rooms["a"]} == {"X0/Y0", "X9/Y0", "X50/Y1"} and placed["h"].name == "X0/Y1"


def test_what_has_no_site_is_left_to_the_placer():
    placed = assign({"hub": [], "a": ["a0", "a1", "a2"]}, [["hub", "a"]], [line(0), line(1)])
    assert {block: site.x for block, site in placed.items()} == {"a0": 0, "a1": 1}


def test_multipliers_lie_near_what_they_are_joined_to():
    placed = nearest({"a": line(8), "b": line(9), "c": [], "d": line(0)}, line(0, 4, 10))
    assert {name: site.x for name, site in placed.items()} == {"a": 10, "b": 4, "d": 0}


def test_a_small_core_is_left_to_the_placer(tmp_path):
    cells = {f"core.lane_{lane}.fanout.words": {"type": "DP16KD", "attributes": {}} for lane in range(4)}
    cells["core.cell_0.states"] = {"type": "DP16KD", "attributes": {}}
    netlist = tmp_path / "top.json"
    netlist.write_text(json.dumps({"modules": {"top": {"attributes": {"top": "1"}, "cells": cells}}}))
    before = netlist.read_bytes()
    assert floorplan(netlist, DEVICE) == 0 and netlist.read_bytes() == before
    assert floorplan(netlist, DEVICES["up5k"]) == 0


@pytest.mark.parametrize(("lanes", "cell_units", "blocks"), [(16, 2, 11), (8, 8, 13), (8, 1, 14), (64, 4, 3)])
def test_netlist(tmp_path, lanes, cell_units, blocks):
    kinds = [
        "fanout.directory.words",
        *(f"fanout.walker.entries.bits_{k}" for k in range(9)),
        "accumulators.sums.units",  # not of a lane of few blocks
        *(f"fanout.walker.entries.bits_{k}" for k in range(9, 20)),
    ]
    cells = {
        f"core.lane_{lane}.{kind}": {"type": "DP16KD", "attributes": {}}
        for lane in range(lanes) for kind in kinds[:blocks]
    }  # fmt: skip
    cells |= {f"core.cell_{unit}.states.bits": {"type": BLOCK, "attributes": {}} for unit in range(cell_units)}
    cells |= {f"core.lane_{lane}.multiplier.dsp": {"type": MULTIPLIER, "attributes": {}} for lane in range(lanes)}
    cells |= {"core.lane_0.fanout.lut": {"type": "LUT4", "attributes": {}}, "ram": {"type": "DP16KD", "attributes": {}}}
    netlist = tmp_path / "top.json"
    netlist.write_text(json.dumps({"modules": {"top": {"attributes": {"top": "1"}, "cells": cells}}}))
    assert floorplan(netlist, DEVICE) == lanes * (blocks + 1) + cell_units
    placed = json.loads(netlist.read_text())["modules"]["top"]["cells"]
    where = {name: cell["attributes"].get("BEL") for name, cell in placed.items()}
    assert where.pop("core.lane_0.fanout.lut") is where.pop("ram") is None
    known = {site.name for site in [*chain(*sites(DEVICE)), *multiplier_sites(DEVICE)]}
    assert len(set(where.values())) == len(where) and set(where.values()) <= known

    def column(site):
        return int(re.match(r"X(\d+)/", site)[1])

    torn = 0
    for lane in range(lanes):
        product = place(where.pop(f"core.lane_{lane}.multiplier.dsp"))
        own = [place(site) for name, site in where.items() if f".lane_{lane}." in name]
        columns, rows = ({position[axis] for position in own} for axis in range(2))
        # A row of sites is as far from the next as eleven are wide, but for the two highest.
        torn += max(columns) - min(columns) > 2.5 * blocks or not (len(rows) == 1 or rows == {70, 82})
        assert min(abs(product[0] - x) + abs(product[1] - y) for x, y in own) <= 24
    assert torn <= lanes // 16, "a lane's blocks lie side by side"


def place(site):
    return tuple(map(int, re.match(r"X(\d+)/Y(\d+)/", site).groups()))

"""Floorplan: every block RAM on a site of its own, no lane torn apart."""

import json
import re
from itertools import pairwise

import pytest

from hw.floorplan import assign, floorplan, sites
from hw.vendor import DEVICES

DEVICE = DEVICES["lfe5u-85f"]


def test_sites_of_the_85f():
    """All 208, each once."""
    runs = sites(DEVICE)
    assert len({site for run in runs for site in run}) == sum(map(len, runs)) == 208
    assert sites(DEVICES["lfe5u-85f-8"]) == runs and not sites(DEVICES["up5k"])


def test_rooms_stay_whole_where_they_fit():
    rooms = {"a": ["a0", "a1", "a2"], "b": ["b0", "b1"], "c": ["c0", "c1", "c2"], "d": ["d0"]}
    runs = [["0", "1", "2", "3"], ["4", "5"], ["6", "7"], ["8", "9"]]
    placed = assign(rooms, [["a", "b"], ["c", "d"]], runs)
    assert placed == {
        "a0": "0", "a1": "1", "a2": "2", "b0": "4", "b1": "5", "c0": "6", "c1": "7", "c2": "8", "d0": "9",
    }  # fmt: skip


def test_what_has_no_site_is_left_to_the_placer():
    assert assign({"a": ["a0", "a1", "a2"]}, [["a"]], [["0"], ["1"]]) == {"a0": "0", "a1": "1"}


def test_a_small_core_is_left_to_the_placer(tmp_path):
    cells = {f"core.lane_{lane}.fanout.words": {"type": "DP16KD", "attributes": {}} for lane in range(4)}
    cells["core.cell_0.states"] = {"type": "DP16KD", "attributes": {}}
    netlist = tmp_path / "top.json"
    netlist.write_text(json.dumps({"modules": {"top": {"attributes": {"top": "1"}, "cells": cells}}}))
    before = netlist.read_bytes()
    assert floorplan(netlist, DEVICE) == 0 and netlist.read_bytes() == before
    assert floorplan(netlist, DEVICES["up5k"]) == 0


@pytest.mark.parametrize(("lanes", "cell_units", "blocks"), [(16, 2, 11), (8, 8, 13), (8, 1, 14)])
def test_netlist(tmp_path, lanes, cell_units, blocks):
    kinds = [
        "fanout.directory.words",
        "accumulators.sums.units",
        *(f"fanout.walker.entries.bits_{k}" for k in range(20)),
    ]
    cells = {
        f"core.lane_{lane}.{kind}": {"type": "DP16KD", "attributes": {}}
        for lane in range(lanes) for kind in kinds[:blocks]
    }  # fmt: skip
    cells |= {f"core.cell_{unit}.states.bits": {"type": "DP16KD", "attributes": {}} for unit in range(cell_units)}
    cells |= {"core.lane_0.fanout.lut": {"type": "LUT4", "attributes": {}}, "ram": {"type": "DP16KD", "attributes": {}}}
    netlist = tmp_path / "top.json"
    netlist.write_text(json.dumps({"modules": {"top": {"attributes": {"top": "1"}, "cells": cells}}}))
    assert floorplan(netlist, DEVICE) == lanes * blocks + cell_units
    placed = json.loads(netlist.read_text())["modules"]["top"]["cells"]
    where = {name: cell["attributes"].get("BEL") for name, cell in placed.items()}
    assert where.pop("core.lane_0.fanout.lut") is where.pop("ram") is None
    known = {site for run in sites(DEVICE) for site in run}
    assert len(set(where.values())) == len(where) and set(where.values()) <= known

    def column(site):
        return int(re.match(r"X(\d+)/", site)[1])

    for lane in range(lanes):
        own = [site for name, site in where.items() if f".lane_{lane}." in name]
        assert len({site.split("/")[1] for site in own}) == 1, "a lane lies in one row"
        columns = sorted(map(column, own))
        assert all(after - before <= 3 for before, after in pairwise(columns)), "without a gap"
        directory, entries, sums = (
            [column(site) for name, site in where.items() if f".lane_{lane}." in name and kind in name]
            for kind in ("directory", "entries", "sums")
        )
        assert max(directory) < min(entries) and max(entries) < min(sums)

"""Reports: speed of seeds, the critical path and the area by module names, as a table and as a dictionary."""

import io
import json

import pytest
from rich.console import Console

from hw.area import Component, components, module_of, module_paths, short_path
from hw.flow import Report, Step
from hw.report import critical_path, describe, print_report
from hw.vendor import DEVICES
from hw.watch import Display, last_line
from tests.hw.fake_tools import NETLIST, VERILOG

PATHS = module_paths(VERILOG)
STEPS = (
    Step("core.loader.crc.checksum_TRELLIS_FF_Q", "", 0.5),
    Step("core.lane_1.sum_CCU2C_S", "core.loader.data", 2.25),
    Step("core.lane_1.sum_CCU2C_S", "", 0.25),
    Step("link.sender.busy_FF", "core.lane_1.sum", 1.0),
    Step("link.sender.busy_FF", "", 0.125),
)


def report(seed, fmax, tmp_path) -> Report:
    utilisation = {"TRELLIS_COMB": (1000, 83640), "TBUF": (4, 0), "DTR": (0, 1)}
    paths = {"clk -> clk": STEPS, "fast -> fast": STEPS[:1], "clk -> fast": STEPS[:2]}
    return Report("lfe5u-85f", seed, fmax, utilisation, paths, tmp_path / "log", tmp_path / "routed")


@pytest.fixture
def described(tmp_path):
    reports = [
        report(1, {"clk": 70.0, "fast": 300.0}, tmp_path),
        report(2, {"clk": 90.125, "fast": 89.0}, tmp_path),
        report(4, {"clk": 85.0, "fast": 200.0}, tmp_path),
    ]
    return describe(
        {"board": "ulx3s-85f", "device": "lfe5u-85f-bg381"}, 75.0, reports, seeds=range(1, 5), paths=PATHS,
        parts=[Component("cell unit", 2, {"LUT": 1234.5, "FF": 3.0}), Component("loader", 1, {"multiplier": 1.0})],
        options=["--router", "router2"], tools={"yosys": "0.70"}, seconds={"synthesis": 12.34},
    )  # fmt: skip


def test_module_paths():
    assert sorted(PATHS) == [
        "", "core", "core.lane_0", "core.lane_0.fanout.queue", "core.lane_1", "core.lane_1.multiplier",
        "core.loader.crc", "link.sender",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "module", "short"),
    [
        ("core.lane_1.multiplier.a.b_LUT4_Z", "core.lane_1.multiplier", "lane_1.multiplier"),
        ("core.lane_10.x", "core", "core"),
        ("core.idle_LUT4_Z", "core", "core"),
        ("link.sender.field.x", "link.sender", "link.sender"),
        ("clk_IB", "", "top"),
    ],
)
def test_module_of(cell, module, short):
    assert module_of(cell, PATHS) == module
    assert short_path(module) == short
    assert short_path(f"design.top.system.{module}") == short or not module.startswith("core")


def test_components(tmp_path):
    netlist = tmp_path / "egret.json"
    netlist.write_text(json.dumps(NETLIST))
    assert components(netlist, "egret", "ecp5", PATHS) == [
        Component("queue of a lane", 1, {"LUT": 5}),
        Component("lane without its queue", 2, {"FF": 0.5, "LUT": 2, "multiplier": 0.5}),
        Component("loader", 1, {"LUT": 1}),
        Component("between them", 1, {"LUT": 1}),
        Component("host link", 1, {"LUT": 1}),
        Component("around it", 1, {"FF": 1}),
    ]


def test_speed_of_seeds(described):
    assert described["fmax_mhz"] == {
        "best": 89.0, "best_seed": 2, "median": 85.0, "margin": 14.0, "seeds": {1: 70.0, 2: 89.0, 4: 85.0},
        "not_routed": [3],
    }  # fmt: skip
    assert described["utilisation"] == {
        "TRELLIS_COMB": {"used": 1000, "available": 83640}, "TBUF": {"used": 4, "available": 0},
    }  # fmt: skip
    assert described["seconds"] == {"synthesis": 12.3}
    assert json.loads(json.dumps(described))["format_version"] == "1.0"


def test_critical_path(tmp_path):
    assert critical_path(report(1, {"clk": 70.0, "fast": 300.0}, tmp_path), PATHS) == {
        "clock": "clk", "from": "loader.crc", "to": "link.sender", "logic": 0.875, "routing": 3.25,
        "steps": [
            {"module": "loader.crc", "logic": 0.5, "routing": 0.0},
            {"module": "lane_1", "logic": 0.25, "routing": 2.25},
            {"module": "link.sender", "logic": 0.125, "routing": 1.0},
        ],
    }  # fmt: skip


def test_table(described):
    console = Console(width=120, record=True, file=io.StringIO())
    print_report(described, console)
    text = console.export_text()
    for words in (
        "ulx3s-85f (lfe5u-85f-bg381)",
        "75 wanted, 89.0 reached (+14.0)",
        "1: 70.0, 2: 89.0, 4: 85.0; best 2, median 85.0 MHz; not routed: 3",
        "1,000 of 83,640 (1%)",
        "4 of 0",
        "2 x 1,234 LUT, 3 FF",
        "1 multiplier",
        "yosys 0.70",
        "synthesis 12 s",
    ):
        assert words in text, words


def test_every_family_counts_its_cells(tmp_path):
    """Types as synthesis names them; what is not counted is wiring, carry or pins."""
    counted = {
        "ice40": {"SB_LUT4": "LUT", "SB_DFFESR": "FF", "SB_RAM40_4K": "RAM", "SB_SPRAM256KA": "SPRAM",
                  "SB_MAC16": "multiplier", "SB_CARRY": None},
        "gowin": {"LUT2": "LUT", "ALU": "LUT", "DFFRE": "FF", "SDPX9B": "RAM", "DPB": "RAM", "MULT18X18": "multiplier",
                  "MUX2_LUT5": None, "IBUF": None},
        "ecp5": {"LUT4": "LUT", "TRELLIS_FF": "FF", "DP16KD": "RAM", "MULT18X18D": "multiplier", "L6MUX21": None},
    }  # fmt: skip
    assert counted.keys() == {device.family for device in DEVICES.values()}
    netlist = tmp_path / "top.json"
    for family, kinds in counted.items():
        for kind, resource in kinds.items():
            netlist.write_text(json.dumps({"modules": {"top": {"cells": {"x": {"type": kind}}}}}))
            found = [part.takes for part in components(netlist, "top", family, {""})]
            assert found == ([{resource: 1}] if resource else []), (family, kind)


class TestDisplay:
    def test_last_line(self, tmp_path):
        log = tmp_path / "log"
        assert last_line(log) == ""
        log.write_text("x" * 10_000 + "\nInfo: 42 %\n\n  \n")
        assert last_line(log) == "Info: 42 %"

    def test_stages(self, tmp_path):
        log = tmp_path / "log"
        console = Console(width=100, force_terminal=True, record=True, file=io.StringIO())
        with Display(console) as display:
            with display.watch("synthesis", log):
                pass
            with display.watch("place and route, seed 1", log):
                log.write_text("Info: at iteration #5\n")
                console.print(display._table())
                assert display.seconds().keys() == {"synthesis"}
        shown = console.export_text()
        assert "synthesis" in shown and "done" in shown and "Info: at iteration #5" in shown
        assert display.seconds().keys() == {"synthesis", "place and route, seed 1"}

"""Reports: speed of seeds, the critical path and the area by module names, as a table and as a dictionary."""

import io
import json

import pytest
from rich.console import Console

from hw.area import Component, components, module_of, module_paths, passed_through, short_path
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


@pytest.mark.parametrize(
    ("path", "component"),
    [
        ("top.core.lists", "list fetch"),
        ("top.core.lists.fetch.events", "list fetch"),
        ("core.lists.contexts", "list fetch"),
        ("core.lists.read.bursts", "read master"),
        ("core.lists.spreader", "beat spreader"),
        ("core.lists_restart", "between them"),
        ("core.beat_0_0_hop_1", "between them"),
        ("core.lane_3.fanout.queue", "queue of a lane"),
        ("top.system.ranking.top", "ranking"),
        ("top.system.registers", "bus and registers"),
    ],
)
def test_component_of_a_module(path, component, tmp_path):
    netlist = tmp_path / "egret.json"
    netlist.write_text(json.dumps({"modules": {"egret": {"cells": {f"{path}.x_LUT4_Z": {"type": "LUT4"}}}}}))
    assert components(netlist, "egret", "ecp5", {"", path}) == [Component(component, 1, {"LUT": 1})]


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
        "ice40": {"SB_LUT4": {"LUT": 1}, "SB_DFFESR": {"FF": 1}, "SB_RAM40_4K": {"RAM": 1},
                  "SB_SPRAM256KA": {"SPRAM": 1}, "SB_MAC16": {"multiplier": 1}, "SB_CARRY": {}},
        "gowin": {"LUT2": {"LUT": 1}, "ALU": {"LUT": 1}, "RAM16SDP4": {"LUT": 8, "FF": 6}, "SDPX9B": {"RAM": 1},
                  "DPB": {"RAM": 1}, "MULT18X18": {"multiplier": 1}, "MUX2_LUT5": {}, "IBUF": {}},
        "ecp5": {"LUT4": {"LUT": 1}, "TRELLIS_FF": {"FF": 1}, "DP16KD": {"RAM": 1}, "MULT18X18D": {"multiplier": 1},
                 "L6MUX21": {}},
    }  # fmt: skip
    assert counted.keys() == {device.family for device in DEVICES.values()}
    netlist = tmp_path / "top.json"
    for family, kinds in counted.items():
        for kind, takes in kinds.items():
            cell = {"type": kind, "port_directions": {}, "connections": {}}
            netlist.write_text(json.dumps({"modules": {"top": {"cells": {"x": cell}}}}))
            found = [part.takes for part in components(netlist, "top", family, {""})]
            assert found == ([takes] if takes else []), (family, kind)


def test_flip_flops_that_take_a_lut(tmp_path):
    """On a Gowin device: all but those that a LUT or an adder drives and drives alone."""
    inputs, outputs = {"I0", "I1", "D"}, {"F", "SUM", "O", "Q"}

    def cell(kind, **ports):
        directions = dict.fromkeys(ports.keys() & inputs, "input") | dict.fromkeys(ports.keys() & outputs, "output")
        return {
            "type": kind,
            "port_directions": directions,
            "connections": {port: [bit] for port, bit in ports.items()},
        }

    cells = {
        "lut": cell("LUT2", I0=1, F=2), "driven by it alone": cell("DFFE", D=2, Q=3),
        "adder": cell("ALU", I0=3, I1=3, SUM=4), "driven by the sum": cell("DFF", D=4, Q=5),
        "shared": cell("LUT3", I0=5, F=6), "beside another reader": cell("DFFR", D=6, Q=7),
        "reader": cell("LUT1", I0=6, F=8), "after a flip-flop": cell("DFF", D=7, Q=9),
        "of two LUTs": cell("MUX2_LUT5", I0=8, I1=9, O=10), "after it": cell("DFF", D=10, Q=11),
    }  # fmt: skip
    expected = {"beside another reader", "after a flip-flop", "after it"}
    assert passed_through(cells, "gowin") == expected
    assert not passed_through(cells, "ecp5")
    netlist = tmp_path / "top.json"
    netlist.write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    (found,) = components(netlist, "top", "gowin", {""})
    assert found.takes == {"LUT": 4 + len(expected), "FF": 5}


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

"""Fitting the estimate's coefficients to measured cores, and measuring each once."""

import json
from dataclasses import replace

import pytest

from hw import calibrate, fit
from hw.config import CoreConfig
from hw.fit_blocks import inventory
from hw.fit_logic import sizes
from hw.fit_points import POINTS, Point
from hw.fit_regression import clock_classes, fit_logic, scale_logic
from hw.implement import Design
from hw.vendor import DEVICES
from tests.hw.fake_tools import VERILOG, FakeTools


def measured_cores(factor=1.0, target="lfe5u-85f"):
    """Return cores that take exactly what made-up coefficients say."""
    points = [point for point in POINTS if point.target == target]
    for point in points:
        blocks = inventory(point.config, point.device.family, host_link=point.host_link)
        measures = sizes(point.config, blocks, host_link=point.host_link)
        takes = {component: {"LUT": factor * 3 * sum(each.values())} for component, each in measures.items()}
        yield point, {"components": takes}


def test_least_squares():
    """Cores that were fitted to are told again, by coefficients that are not negative."""
    measured = list(measured_cores())
    found = fit_logic(measured, "LUT")
    for point, figures in measured:
        blocks = inventory(point.config, "ecp5", host_link=False)
        for component, measures in sizes(point.config, blocks, host_link=False).items():
            total = sum(found[component][name] * size for name, size in measures.items())
            assert total == pytest.approx(figures["components"][component]["LUT"], rel=0.02, abs=1), component
    assert min(value for each in found.values() for value in each.values()) >= 0


def test_another_family():
    base = fit_logic(list(measured_cores()), "LUT")
    scaled = scale_logic(base, list(measured_cores(2.0)), "LUT")
    for component, each in base.items():
        assert scaled[component] == pytest.approx({name: 2 * value for name, value in each.items()}, rel=0.02)


def test_what_is_measured_goes_before_what_is_expected():
    """Sizes that no core tells about are as expected; those that cores tell are as told."""
    measured = list(measured_cores())
    told = fit_logic(measured, "LUT")
    expected = {component: {name: value + 1 for name, value in each.items()} for component, each in told.items()}
    expected["host link"] = {"one": 7.0}  # there is none in these cores,
    expected["around it"]["board"] = 5.0  # nor any board
    found = fit_logic(measured, "LUT", expected)
    assert found["host link"] == {"one": 7.0} and found["around it"]["board"] == 5.0
    for point, figures in measured:
        blocks = inventory(point.config, "ecp5", host_link=False)
        for component, measures in sizes(point.config, blocks, host_link=False).items():
            total = sum(found[component][name] * size for name, size in measures.items())
            assert total == pytest.approx(figures["components"][component]["LUT"], rel=0.05, abs=2), component
    assert fit_logic([], "LUT", expected) == expected


def test_clock_classes():
    assert clock_classes([(0.6, 100.0)]) == [(0.25, 90), (0.5, 90), (0.75, 90), (1.0, 90)]
    routes = [(0.1, 110.0), (0.2, 120.0), (0.25, 90.0), (0.5, 130.0), (0.9, 70.0)]
    assert clock_classes(routes) == [(0.25, 95), (0.5, 95), (0.75, 95), (1.0, 60)]


def test_what_packing_counts_of_a_gowin_device(tmp_path, monkeypatch):
    """What adders and memories hold is among the LUTs there; LUTs that pass a signal through are not yet."""
    flip_flop = {"type": "DFF", "port_directions": {"D": "input"}, "connections": {"D": [2]}}
    netlist = tmp_path / "egret.json"
    netlist.write_text(json.dumps({"modules": {"egret": {"cells": {"x": flip_flop}}}}))
    packed = "Info:  LUT4: 20/ 20736 0%\nInfo:  ALU: 3/ 15552 0%\nInfo:  DFF: 7/ 15552 0%\nInfo:  RAM16SDP4: 1/ 648 0%"
    FakeTools(tmp_path / "bin", monkeypatch).add("nextpnr-himbaechel-gowin", f"cat <<'END'\n{packed}\nEND")
    design = Design({}, DEVICES["gw2a-18"], 75.0, "", constraints=("egret.cst", ""))
    assert calibrate.packed(netlist, design) == {"LUT": 21, "FF": 7, "RAM": 0, "multiplier": 0}
    routed = {"LUT4": (14, 20736), "ALU": (3, 15552), "DFF": (1, 15552), "RAM16SDP4": (1, 648)}
    assert fit.counted(routed, "gowin") == {"LUT": 21, "FF": 7, "RAM": 0, "multiplier": 0}


def test_a_core_is_measured_once(tmp_path, monkeypatch):
    design = Design({}, DEVICES["lfe5u-85f"], 75.0, VERILOG)
    monkeypatch.setattr(Point, "design", lambda self: design)
    fakes = FakeTools(tmp_path / "bin", monkeypatch)
    fakes.add_flow({})
    packed = "Info:  TRELLIS_COMB: 12/ 83640 0%\nInfo:  DP16KD: 3/ 208 1%\nInfo:  DTR: 0/ 1 0%"
    fakes.add("nextpnr-ecp5", f"cat <<'END'\n{packed}\nEND")
    point = Point("lfe5u-85f", CoreConfig())
    found = calibrate.measure(point, tmp_path, tmp_path / "work")
    assert found["packed"] == {"LUT": 12, "FF": 0, "RAM": 3, "multiplier": 0}
    assert found["components"]["lane without its queue"] == {"FF": 1, "LUT": 4, "multiplier": 1}
    fakes.add("yosys", "exit 1")
    assert calibrate.measure(point, tmp_path, tmp_path / "work") == found
    design = replace(design, verilog=VERILOG + "// changed")
    with pytest.raises(calibrate.FlowError, match="yosys failed"):
        calibrate.measure(point, tmp_path, tmp_path / "work")

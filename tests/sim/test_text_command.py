"""What long runs of text refuse in one sentence, and what ``--help`` teaches."""

import re
import socket
import sys

import pytest

from hw.config import CoreConfig
from sim.run import main
from sim.verilate import SimulationError
from tests.sim.text_models import write_corpus, write_model


def refused(capsys, arguments):
    """Run the program; return the one sentence that it refuses with."""
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1, told
    return told[len("error: ") : -1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "no/file"], "model file no/file: there is no such file; train or convert a model, or correct"),
        (["--model", "text.safetensors"], "model file text.safetensors: it is cut short, damaged or no safetensors"),
        (["--corpus", "nothing"], r"cannot read .*/nothing/train.txt \(No such file or directory\); docs/training.md"),
        (["--tokens", "0"], "--tokens is 0; it must be from 1, one for each sequence, to 134, as the test text of"),
        (["--tokens", "135"], "--tokens is 135; it must be from 1, one for each sequence, to 134"),
        (["--tokens", "3", "--sequences", "4"], "--tokens is 3; it must be from 4, one for each sequence, to 134"),
        (["--sequences", "0"], "--sequences is 0; it must be at least 1"),
        (["--chunk", "1"], "--chunk is 1; it must be at least 2"),
        (["--jobs", "0"], "--jobs is 0; it must be at least 1"),
        (["--core-mhz", "0"], "core_mhz is 0.0; it must be more than 0"),
        (["--lanes", "0"], "lanes is 0; it must be from 1 to 64"),
        (["--cell-units", "3"], "cell_units is 3; it must divide lanes, which is 8"),
        (["--weight-bits", "8"], ".*small.safetensors is in integers already; leave out --weight-bits and --row-bits"),
        (["--json", "no/x.json"], "cannot write no/x.json: there is no folder no; make it first"),
        (["--lists", "chip", "--lanes", "1"], "entries is [0-9]+; .*; --lists memory puts the lists into external"),
    ],
)  # fmt: skip
def test_bad_input(small, more, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.safetensors").write_text("hello")
    if "chip" in more:
        monkeypatch.setattr("hw.config.CoreConfig.fitting", lambda *a, **k: CoreConfig(entries=1 << 20))
    assert re.match(message, refused(capsys, [*small.given, "--out", "run", *more]))
    assert [path.name for path in tmp_path.iterdir()] == ["text.safetensors"]


def test_models_that_do_not_fit_the_text(small, tmp_path, capsys):
    write_corpus(tmp_path, words=190)
    given = [*small.given, "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert refused(capsys, given).startswith("model small knows 200 words and corpus small has 190; give the corpus")
    (tmp_path / "other").mkdir()
    write_corpus(tmp_path / "other", seed=1)
    write_model(tmp_path / "other.safetensors", small.corpus, vocabulary_sha256="0" * 64)
    told = refused(
        capsys, [*small.given, "--model", str(tmp_path / "other.safetensors"), "--out", str(tmp_path / "run")]
    )
    assert told.startswith("model small has other words than corpus small, or in another order; give the corpus")
    digits = "models/digits/digits.safetensors"
    told = refused(capsys, [*small.given, "--model", digits, "--out", str(tmp_path / "run")])
    assert told.startswith("a network of 8 inputs and 10 outputs is no language model with a folded embedding")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def uncompiled(monkeypatch):
    """Let cores be compiled without Verilator, to what no chunk can run on."""
    monkeypatch.setattr("sim.text_core.TextCore.build", lambda self: "nothing")

    def run(self, chunk):
        raise SimulationError("there is no core")

    monkeypatch.setattr("sim.text_core.TextCore.run", run)


def test_results_folders_of_other_runs(small, uncompiled, tmp_path, capsys):
    out = tmp_path / "run"
    given = [*small.given, "--tokens", "20", "--out", str(out)]
    assert refused(capsys, given) == "there is no core"
    before = (out / "run.json").read_bytes()
    for more, message in (
        ([], f"results folder {out} is there already; give --resume to go on, or another --out"),
        (
            ["--resume", "--tokens", "21"],
            f"results folder {out} is of another run: its tokens is 20, this one's 21; choose",
        ),
        (
            ["--resume", "--chunk", "9"],
            f"results folder {out} is of another run: its chunk is 50, this one's 9; choose",
        ),
        (
            ["--resume", "--lanes", "4"],
            f"results folder {out} is of another run: its configuration lanes is 8, this one's 4;",
        ),
        (
            ["--resume", "--split", "valid"],
            f"results folder {out} is of another run: its split is test, this one's valid;",
        ),
    ):
        assert refused(capsys, [*given, *more]).startswith(message)
    write_model(tmp_path / "other.safetensors", small.corpus, density=0.5)
    told = refused(capsys, [*given, "--resume", "--model", str(tmp_path / "other.safetensors")])
    assert told.startswith(f"results folder {out} is of another run: its network is ")
    assert (out / "run.json").read_bytes() == before

    chunk = out / "chunks" / "0000-000000.json"
    for text, message in (
        ("{", f"cannot read {chunk}: it is no JSON; remove it, and --resume runs its chunk again"),
        ("[]", f"cannot read {chunk}: it is no JSON object; remove it, or choose another --out"),
        (
            '{"run": "other", "sequence": 0, "chunk": 0}',
            f"{chunk} is no chunk of this run; remove it, and --resume runs",
        ),
    ):
        chunk.write_text(text)
        assert refused(capsys, [*given, "--resume"]).startswith(message)
        assert chunk.read_text() == text
    (out / "run.json").write_text("{")
    assert (
        refused(capsys, [*given, "--resume"]) == f"cannot read {out / 'run.json'}: it is no JSON; choose another --out"
    )
    (out / "run.json").write_text('{"format": "another"}')
    assert refused(capsys, [*given, "--resume"]).startswith(
        f"{out / 'run.json'} is of another format than egret-text-run 1"
    )
    assert (
        refused(capsys, [*given, "--out", str(tmp_path)])
        == f"{tmp_path} exists and is no results folder; choose another --out"
    )
    assert refused(capsys, [*given, "--out", str(small.model)]).endswith(
        "exists and is no results folder; choose another --out"
    )


def test_a_scheduler_that_does_not_answer(small, uncompiled, tmp_path, monkeypatch, capsys):
    pytest.importorskip("distributed", reason="dask is not installed (extra distributed)")
    monkeypatch.setattr("sim.distributed.PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and says nothing
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        given = [*small.given, "--out", str(tmp_path / "run"), "--scheduler"]
        for wrong in (address, "tcp://127.0.0.1:1", "nonsense://x"):
            told = refused(capsys, [*given, wrong])
            assert told == f"no scheduler answers at {wrong}; start one with dask scheduler, or correct --scheduler"
    assert not (tmp_path / "run").exists()


def test_dask_is_asked_for_by_name(small, uncompiled, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    told = refused(capsys, [*small.given, "--out", str(tmp_path / "run"), "--scheduler", "tcp://127.0.0.1:1"])
    assert told == "--scheduler needs dask; install it with pip install -e .[distributed]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "text", "--trace", "x.vcd"], "--trace does not go with --input text"),
        (["--input", "digits:1", "--resume"], "--resume goes with --input text"),
        (["--input", "digits:1", "--core-mhz", "50"], "--core-mhz goes with --input text"),
        (["--input", "digits:1", "--model", "a", "b"], "several --model files are the weights of a language model"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "--model models/ptb-char/ptb-char.safetensors --input text --tokens 1000" in told
    assert "a run that is stopped goes on from them with --resume" in told

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from golden import train as program
from golden.lm import benchmark, logged, plot, trainer
from golden.lm.steps import default_dtype
from golden.lm.weights import load_weights

REPOSITORY = Path(__file__).parents[3]
OPTIONS = [
    *("--corpus", "tiny", "--embedding", "8", "--layers", "10,8", "--epochs", "4", "--batch", "4", "--bptt", "18"),
    *("--learning-rate", "0.03", "--sparsity", "0.6", "--prune-from", "0", "--prune-to", "0.5"),
    *("--device", "cpu", "--threads", "1", "--seed", "3"),
]


def run(data, out, *more):
    return program.main(["lm", "--data", str(data), *OPTIONS, "--out", str(out), *more])


def lines(out):
    records = [json.loads(line) for line in (out / "lm.jsonl").read_text().splitlines()]
    for record in records:
        record.pop("seconds", None)
        record.pop("command", None)
    return records


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    assert run(data, out) == 0
    return out


def test_writes_log_checkpoint_and_weights(trained):
    assert {path.name for path in trained.iterdir()} == {"lm.jsonl", "lm.checkpoint", "lm-1.safetensors"}
    records = lines(trained)
    assert [record.get("epoch") for record in records] == [None, 0, 1, 2, 3, None]
    assert records[0]["settings"]["layers"] == [10, 8] and records[0]["device"] == "cpu"
    assert records[-1]["metrics"]["sparsity"] == pytest.approx(0.6, abs=1e-3)
    assert records[-1]["metrics"]["test"]["macs"] < 0.4 * (3 * 18 * 10 + 3 * 18 * 8)
    model = torch.load(trained / "lm.checkpoint", weights_only=True)["model"]
    weights = load_weights([trained / "lm-1.safetensors"])
    for name, value in model.items():
        assert torch.equal(weights[name], value.half().float() if value.dim() > 1 else value)


def test_time_limit_stops_and_resume_goes_on_as_if_unbroken(data, trained, tmp_path, capsys):
    assert run(data, tmp_path, "--time-limit", "1e-9") == 0
    assert "stopped at the time limit after epoch -1; --resume goes on" in capsys.readouterr().out
    epochs = []
    for _ in range(10):
        if (tmp_path / "done").exists() or len(epochs) > 4:
            break
        clock = Clock()
        with pytest.MonkeyPatch.context() as patch:
            for module in ("command", "logged"):  # not of time itself: progress bars look at it whenever they like
                patch.setattr(f"golden.lm.{module}.time", SimpleNamespace(monotonic=clock))
            assert run(data, tmp_path, "--time-limit", "0.5", "--resume") == 0
        epochs.append(len(lines(tmp_path)))
    assert len(set(epochs)) > 2  # it took several pieces
    assert lines(tmp_path) == lines(trained)
    assert (tmp_path / "lm-1.safetensors").read_bytes() == (trained / "lm-1.safetensors").read_bytes()


class Clock:
    """Seconds that pass by asking for them."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 5
        return self.now


def test_starts_from_weights(data, trained, tmp_path):
    assert run(data, tmp_path, "--init", str(trained / "lm-1.safetensors"), "--epochs", "1", "--warmup", "5") == 0
    first = lines(tmp_path)[1]
    assert first["loss"] < lines(trained)[1]["loss"] and first["sparsity"] == pytest.approx(0.6, abs=2e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--corpus", "none"],
            "cannot read {data}/none/train.txt (No such file or directory); docs/training.md says where ",
        ),
        (["--layers", "10,9"], "the last layer has 9 units and the embedding 8 features; a tied decoder needs as many"),
        (["--init", "none"], "cannot read weights from none (No such file); give files that training wrote"),
        (["--steps", "triton-graph"], "triton-graph steps need a CUDA device; choose torch or compiled"),
        (["--threads", "0"], "--threads is 0; it must be at least 1"),
        (["--device", "cuda"], "there is no CUDA device that this PyTorch can use; choose --device cpu"),
        (["--batch", "1000"], "a text of 534 tokens cannot be cut into 1000 runs; choose a smaller batch"),
    ],
)
def test_bad_options_end_the_program(options, message, data, tmp_path, capsys):
    assert run(data, tmp_path / "out", *options) == 2
    assert capsys.readouterr().err.startswith("error: " + message.format(data=data))
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_overwritten(data, trained, capsys):
    before = {path: path.read_bytes() for path in trained.iterdir()}
    assert run(data, trained) == 2
    want = f"error: {trained} holds a run; go on with it by --resume, give another --out, or remove the folder\n"
    assert capsys.readouterr().err == want
    assert {path: path.read_bytes() for path in trained.iterdir()} == before


def test_divergence_says_what_is_kept_and_how_to_go_on(data, trained, tmp_path, capsys, monkeypatch):
    losses = iter([1.0, math.nan])
    measure = trainer.measure

    def diverging(*arguments):
        return measure(*arguments) | {"loss": next(losses)}

    monkeypatch.setattr(trainer, "measure", diverging)
    monkeypatch.setattr(logged.LoggedRun, "_due", lambda self: True)
    kept = tmp_path / "kept"
    assert run(data, kept) == 2
    assert capsys.readouterr().err == (
        f"error: the validation loss became nan after epoch 1; weights of the last checkpoint are in {kept}: "
        "--init them in a run of another --out with a lower --learning-rate, which is 0.03\n"
    )
    monkeypatch.undo()
    init = ["--init", str(kept / "lm-1.safetensors"), "--learning-rate", "0.003"]
    assert run(data, tmp_path / "again", *init) == 0
    losses = iter([math.nan])
    monkeypatch.setattr(trainer, "measure", diverging)
    assert run(data, tmp_path / "none") == 2
    assert "; there is no checkpoint yet: start again with a lower --learning-rate, which" in capsys.readouterr().err


def test_log_lists_pieces_that_were_run_in_another_way(data, tmp_path):
    assert run(data, tmp_path, "--time-limit", "1e-9", "--steps", "torch", "--precision", "float32") == 0
    assert run(data, tmp_path, "--resume", "--steps", "plain", "--precision", "float32") == 0
    origin = lines(tmp_path)[0]
    assert origin["steps"] == "torch" and [piece["steps"] for piece in origin["resumed"]] == ["plain"]
    assert origin["resumed"][0]["from_epoch"] == 0


def test_a_folder_that_cannot_be_written_ends_the_program(data, tmp_path, capsys, monkeypatch):
    (tmp_path / "lm.jsonl").mkdir()
    assert run(data, tmp_path) == 2
    want = f"error: cannot write {tmp_path / 'lm.jsonl'} (Is a directory); choose another folder\n"
    assert capsys.readouterr().err == want
    (tmp_path / "lm.jsonl").rmdir()

    def full(content, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("golden.checkpoint.torch.save", full)
    assert run(data, tmp_path) == 2
    want = f"cannot write {tmp_path / 'lm.checkpoint'} (No space left on device); make room, or choose another folder"
    assert capsys.readouterr().err == f"error: {want}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["lm.jsonl"]


def test_two_processes_read_half_the_runs_each(data, trained, tmp_path):
    drops = [f"--dropout-{where}=0" for where in ("word", "embedding", "layer", "output")]
    options = [*OPTIONS, *drops, "--dropconnect=0", "--epochs=1"]
    assert program.main(["lm", "--data", str(data), *options, "--out", str(tmp_path / "one")]) == 0
    command = [
        sys.executable,
        "-m",
        "golden.train",
        "lm",
        "--data",
        str(data),
        *options,
        "--out",
        str(tmp_path / "two"),
    ]
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    with socket.create_server(("localhost", 0)) as free:
        shared["MASTER_PORT"] = str(free.getsockname()[1])
    environments = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]  # as torchrun sets them
    processes = [subprocess.Popen(command, cwd=REPOSITORY, env=environment) for environment in environments]
    assert [process.wait() for process in processes] == [0, 0]
    one, two = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert (one[0]["processes"], two[0]["processes"]) == (1, 2)
    for have, want in zip(two[1:2], one[1:2], strict=True):  # the same gradients, summed in another order
        assert have["loss"] == pytest.approx(want["loss"], rel=1e-3)
        assert have["valid_loss"] == pytest.approx(want["valid_loss"], rel=1e-2)


def test_plots_logs(trained, tmp_path, capsys):
    assert plot.main([str(trained / "lm.jsonl"), "--out", str(tmp_path / "p.png")]) == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    perplexity = plot.draw({"run": plot.read_log(trained / "lm.jsonl")}).axes[0]
    (bits,) = perplexity.child_axes
    bits.figure.draw_without_rendering()
    assert bits.get_ylabel() == "bits a token"
    assert bits.get_ylim() == pytest.approx([math.log2(limit) for limit in perplexity.get_ylim()])
    assert plot.main([str(trained / "lm.jsonl"), "--out", str(tmp_path / "p.pdf")]) == 0
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")
    paths = [Path(name) for name in ("a/lm.jsonl", "b/lm.jsonl")]
    assert plot.names(paths) == ["a", "b"] and plot.names([Path("a/x.jsonl"), Path("a/y.jsonl")]) == ["x", "y"]
    assert plot.names([*paths, Path("a/y.jsonl")]) == ["a/lm.jsonl", "b/lm.jsonl", "a/y.jsonl"]
    (tmp_path / "bad").write_text("{")
    assert plot.main([str(tmp_path / "bad"), "--out", str(tmp_path / "q.png")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'bad'} is no log of a language model")
    assert not (tmp_path / "q.png").exists()


def test_benchmark_prints_ratios(capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "SIZES", {("ptb", False): (30, 1000), ("ptb", True): (20, 1000)})
    options = ["--preset", "small", "--device", "cpu", "--batch", "2", "--bptt", "4", "--windows", "1", "--turns", "1"]
    assert benchmark.main([*options, "--threads", "1"]) == 0
    head, titles, plain, *fast = capsys.readouterr().out.splitlines()
    assert head.startswith("256-512-256, batch 2, 4 steps, 30 words; cpu, 1 threads")
    assert plain.split()[:2] == ["plain,", "float32"] and plain.split()[-2:] == ["1.00", "1.00"]
    assert [line.split()[1].rstrip(",") for line in fast] == ["float32", *["bfloat16"] * (len(fast) - 1)]
    assert len(fast) == 1 + (default_dtype(torch.device("cpu")) == torch.bfloat16)
    assert all(float(line.split()[-1]) > 0 for line in fast)
    options[1] = "characters"
    assert benchmark.main([*options, "--layers", "9", "--threads", "1"]) == 0
    assert capsys.readouterr().out.startswith("20-9, batch 2, 4 steps, 20 characters; cpu, 1 threads")


def test_trains_the_baseline(data, tmp_path):
    assert run(data, tmp_path, "--cell", "lstm", "--levels", "0.3,0.5", "--epochs", "3", "--prune-to", "0.9") == 0
    records = lines(tmp_path)
    assert [round(record["sparsity"], 2) for record in records[1:4]] == [0.3, 0.5, 0.5]
    assert records[0]["steps"] == "plain" and records[3]["valid_activity"] == [1.0, 1.0]
    metrics = records[-1]["metrics"]["test"]
    dense = 4 * 18 * 10 + 4 * 18 * 8
    assert metrics["macs"] == round(0.5 * dense) and metrics["macs_with_decoder"] == metrics["macs"] + 13 * 8

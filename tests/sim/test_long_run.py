"""Long runs of text through the RTL: what is counted against the oracle, differences, interruption, other machines."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden import reference
from golden.lm.corpus import columns
from golden.lm.evaluate import score
from golden.lm.integer import IntegerModel
from golden.macs import theoretical_events, theoretical_macs
from hw.config import CoreConfig
from sim import text_core
from sim.long_run import Folder
from sim.run import main
from sim.simulator import Simulator
from sim.text_core import TextCore, compile_text
from sim.verilate import SimulationError

ROOT = Path(__file__).parents[2]
DEADLINE = 600  #: seconds for what another process does, compiling the core included
#: Options of a small core, and of one with lists in external memory.
CORE = ("--lanes", "2", "--cell-units", "1")
STREAMED = (*CORE, "--lists", "memory")


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """The results folder of an unbroken run, of 60 chunks."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main([*small.given, *STREAMED, "--tokens", "120", "--chunk", "2", "--out", str(out)]) == 0
    return out


def files(folder):
    """Return all files of a folder, and what is in them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def spread(values):
    ordered = sorted(np.asarray(values).ravel().tolist())
    rank = lambda share: ordered[int(np.ceil(share * len(ordered))) - 1]  # noqa: E731
    return {"mean": pytest.approx(np.mean(ordered)), "p50": rank(0.5), "p99": rank(0.99), "worst": ordered[-1]}


@pytest.mark.parametrize(("lists", "chunk"), [("memory", 7), ("chip", 16), ("chip", 2)])
def test_figures_are_those_of_the_oracle_and_of_a_run_without_chunks(small, lists, chunk, tmp_path, capsys):
    out = tmp_path / "run"
    options = f"--lists {lists} --tokens 40 --sequences 2 --chunk {chunk} --jobs 2".split()
    assert main([*small.given, *CORE, *options, "--json", str(tmp_path / "j"), "--out", str(out)]) == 0
    done = json.loads((out / "result.json").read_text())
    assert json.loads((tmp_path / "j").read_text()) == done

    network, model = small.network, IntegerModel(small.network)
    tokens, targets = columns(small.corpus.test[:40], 2, small.corpus.end)
    inputs = model.inputs(tokens)
    trace = reference.run(network, inputs)
    macs, events = theoretical_macs(network, trace, inputs), theoretical_events(trace, inputs)
    assert done["tokens"] == 40
    assert done["macs"] == spread(macs.sum(axis=2))
    assert list(done["macs_by_group"].values()) == pytest.approx(macs.mean(axis=(0, 1)).tolist())
    assert done["events"] == spread(events.sum(axis=2))
    assert list(done["events_by_group"].values()) == pytest.approx(events.mean(axis=(0, 1)).tolist())
    assert done["perplexity"] == pytest.approx(score(model, tokens, targets).perplexity, rel=1e-12)
    assert done["bits"] == pytest.approx(np.log2(done["perplexity"]))
    assert done["compared"] == {
        "updates": 40 * 40, "logits": 40 * 200, "counts": 40 * 6, "reads": 2 * -(-20 // chunk),
    }  # fmt: skip
    assert done["differences"] == {"updates": 0, "logits": 0, "counts": 0, "reads": 0}
    assert done["first_difference"] is None

    # Each sequence at once, from the beginning to the end, from dense inputs.
    config = CoreConfig(**done["run"]["configuration"])
    assert config.streamed == (lists == "memory")
    valid, _ = columns(small.corpus.valid, 1, small.corpus.end)
    run = reference.run(network, model.inputs(valid))
    activity = np.concatenate([np.count_nonzero(part, axis=(0, 1)) for part in (model.inputs(valid), *run.y)]) / len(
        valid
    )
    compiled = compile_text(network, config, activity)
    cycles, sizes = [], 0
    for s in range(2):
        result = Simulator(config).run(
            compiled.words, [inputs[:, s]], ends=False, lists=compiled.lists.beats if config.streamed else None
        )
        cycles += np.diff(result.steps["output"], prepend=result.steps["first_input"][0] - 1).tolist()
        sizes += result.memory["bytes"]
    assert done["cycles"] == spread(cycles)
    assert done["lane_efficiency"] == pytest.approx(macs.sum() / (2 * sum(cycles)))
    assert done["tokens_a_second"] == pytest.approx(100e6 * 40 / sum(cycles))
    if config.streamed:
        assert done["external_memory"]["bytes"]["mean"] == pytest.approx(sizes / 40)
        assert done["external_memory"]["port_utilisation"] == pytest.approx(sizes / (16 * sum(cycles)))
    else:
        assert done["external_memory"] is None and sizes == 0
    printed = capsys.readouterr().out
    for text in ("small reads 40 words of small, test", f"{done['perplexity']:.3f}; ", "0 of 1,600", "0 of 8,000"):
        assert text in printed


def changed(network):
    """Return the network with another weight of a unit that fires often, of the first layer to itself."""
    first = network.layers[0]
    kernel = first.recurrent_kernel.copy()
    tokens = np.arange(16)[:, None]
    unit = int(np.argmax((IntegerModel(network).run(tokens).y[0] != 0).sum(axis=(0, 1))))
    target = int(np.flatnonzero(kernel[unit])[0])
    kernel[unit, target] = -kernel[unit, target] if kernel[unit, target] > -128 else 127
    return replace(network, layers=(replace(first, recurrent_kernel=kernel), *network.layers[1:]))


@pytest.mark.parametrize("lists", ["memory", "chip"])
def test_a_weight_that_is_another_one_is_found_and_named(small, lists, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        text_core,
        "compile_text",
        lambda network, *rest: replace(compile_text(changed(network), *rest), network=network),
    )
    out = tmp_path / "run"
    assert main([*small.given, *CORE, "--lists", lists, "--tokens", "32", "--chunk", "16", "--out", str(out)]) == 1
    tokens, _ = columns(small.corpus.test[:16], 1, small.corpus.end)
    right, wrong = (
        reference.run(network, IntegerModel(network).inputs(tokens))
        for network in (small.network, changed(small.network))
    )
    values = [
        np.stack([np.concatenate([part[:, 0] for part in kind], axis=1) for kind in (run.h, run.fires, run.y)], axis=2)
        for run in (right, wrong)
    ]
    token, unit = np.argwhere((values[0] != values[1]).any(axis=2))[0].tolist()
    layer, number = (0, unit) if unit < 24 else (1, unit - 24)
    done = json.loads((out / "result.json").read_text())
    assert done["first_difference"] == {
        "sequence": 0, "token": token, "what": "h, fires, y", "layer": layer, "unit": number,
        "expected": values[0][token, unit].tolist(), "got": values[1][token, unit].tolist(),
    }  # fmt: skip
    assert done["differences"]["updates"] > 0
    output = capsys.readouterr()
    expected = (
        f"difference: sequence 0 word {token} layer {layer} unit {number}, h, fires, y: "
        f"{values[1][token, unit].tolist()}, expected {values[0][token, unit].tolist()}"
    )
    assert f"first {expected}" in output.out
    assert expected in output.err  # at once


def test_an_interrupted_run_goes_on_and_gives_the_same_files(small, whole, tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "sim.run", *small.given, *STREAMED, "--tokens", "120", "--chunk", "2", "--jobs", "1",
        "--out", str(out),
    ]  # fmt: skip
    there = 0
    for stop in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [*command, "--resume"], cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
        )
        wait_for_chunks(out, process, there + 1)
        process.send_signal(stop)
        _, told = process.communicate(timeout=DEADLINE)
        assert process.returncode == 130, told
        there = len(list((out / "chunks").iterdir()))
        assert 0 < there < 60
        assert told.strip() == f"stopped; {there} chunks are in {out}, --resume goes on"
    (out / "chunks" / ".0000-000059.json.new").write_text("{")  # as a power cut leaves it
    assert main([*command[3:], "--resume"]) == 0
    assert files(out) == files(whole)


def heed_interrupts():
    """A shell has what it starts in the background ignore them, and whatever that starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for_chunks(out, process, count):
    end = time.monotonic() + DEADLINE
    while len(list(out.glob("chunks/[0-9]*.json"))) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_there_is_not_run_again(small, whole, monkeypatch):
    before = files(whole)
    monkeypatch.setattr(TextCore, "run", None)
    arguments = [*small.given, *STREAMED, "--tokens", "120", "--chunk", "2", "--out", str(whole), "--resume"]
    assert main(arguments) == 0
    assert files(whole) == before


def test_a_record_that_comes_twice_counts_once(tmp_path):
    folder = Folder(tmp_path / "run", {"digest": "d"}, resume=False)
    folder.create()
    for macs in (1, 2):
        folder.add({"sequence": 0, "chunk": 3, "macs": macs})
    assert [path.name for path in (tmp_path / "run" / "chunks").iterdir()] == ["0000-000003.json"]
    assert folder.records[0, 3]["macs"] == 1


def test_a_core_that_fails_names_the_chunk(small, tmp_path, monkeypatch, capsys):
    def failing(self, *arguments, **options):
        raise SimulationError("the core hangs")

    monkeypatch.setattr(Simulator, "run", failing)
    assert main([*small.given, *STREAMED, "--tokens", "8", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.strip() == "error: sequence 0, chunk 0: the core hangs"
    assert not list((tmp_path / "run" / "chunks").iterdir())


def test_simulations_that_are_stopped_end_at_once(small, whole):
    core = Simulator(CoreConfig(**json.loads((whole / "run.json").read_text())["configuration"]))
    core.stop()
    with pytest.raises(SimulationError, match="^the compiled model was stopped$"):
        core.run(np.zeros(3, np.uint32), [np.zeros((1, 4), int)], lists=np.zeros((1, 2), np.uint64))


def start_dask(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments, "--no-dashboard"], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_workers_of_which_one_dies_give_the_same_files(small, whole, tmp_path):
    pytest.importorskip("distributed", reason="dask is not installed (extra distributed)")
    told, out = tmp_path / "scheduler.json", tmp_path / "run"
    processes = [start_dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told))]
    worker = ("--scheduler-file", str(told), "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")
    try:
        end = time.monotonic() + 60
        while not told.exists() or not told.read_text().strip():
            assert time.monotonic() < end
            time.sleep(0.1)
        address = json.loads(told.read_text())["address"]
        processes += [start_dask("worker", *worker, "--local-directory", str(tmp_path / name)) for name in "ab"]
        run = subprocess.Popen(
            [
                sys.executable, "-m", "sim.run", *small.given, *STREAMED, "--tokens", "120", "--chunk", "2",
                "--out", str(out), "--scheduler", address,
            ], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(run)
        wait_for_chunks(out, run, 2)
        os.kill(processes[1].pid, signal.SIGKILL)
        assert len(list((out / "chunks").iterdir())) < 60
        _, stderr = run.communicate(timeout=DEADLINE)
        assert run.returncode == 0, stderr
        assert processes[2].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert files(out) == files(whole)

"""What long runs read, how a chunk of it is compared, and what is refused in one sentence."""

import argparse
import dataclasses
import hashlib
import json
import re
import socket
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from golden.lm.corpus import columns, load_corpus
from golden.lm.floating import FloatLanguageModel, random_model
from golden.lm.fold import calibrate, quantize_model
from golden.lm.integer import IntegerModel
from golden.network import Model, save
from hw.config import CoreConfig
from hw.event import RESTORE_FLAG
from sim.events import Events, pack_beats
from sim.long_run import network_digest, plan
from sim.run import main
from sim.simulator import RunResult
from sim.text import measure_activity, read_text
from sim.text_check import Theory, compare, nats
from sim.text_core import configure
from sim.verilate import SimulationError
from tests.sim.text_models import LAYERS, WORDS, write_corpus, write_model

CONFIG = CoreConfig(lanes=4, cell_units=2, rows=32, entries=2048, sources=256, layers=4)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    corpus = write_corpus(folder)
    model = folder / "small.safetensors"
    network = write_model(model, corpus)
    given = ["--model", str(model), "--input", "text", "--corpus", "small", "--data", str(folder)]
    return SimpleNamespace(corpus=corpus, network=network, model=model, folder=folder, given=given)


def read(small, *paths, **options):
    wanted = {
        "model": list(paths or [small.model]), "corpus": "small", "data": small.folder, "split": "test",
        "tokens": None, "sequences": 1, "weight_bits": None, "row_bits": None,
    }  # fmt: skip
    return read_text(argparse.Namespace(**{**wanted, **options}), Console(quiet=True))


# Beats.


def test_events_are_the_beats_of_a_dense_sequence():
    rng = np.random.default_rng(0)
    dense = rng.integers(-256, 256, (30, 7)) * (rng.random((30, 7)) < 0.2)
    assert (dense == 0).all(axis=1).any()  # some steps are silent
    step, index = np.nonzero(dense)
    value = dense[step, index]
    for ends in (True, False):
        beats, steps = pack_beats(CONFIG, [Events(30, step, index, value), dense], ends=ends)
        assert steps == 60
        assert np.array_equal(*np.split(beats, 2))
        assert np.array_equal(beats[: len(beats) // 2], pack_beats(CONFIG, [dense], ends=ends)[0])
    zeros = np.insert(value, 3, 0)
    some = Events(30, np.insert(step, 3, step[3]), np.insert(index, 3, 6), zeros)
    assert np.array_equal(pack_beats(CONFIG, [some])[0], pack_beats(CONFIG, [dense])[0])


def test_restored_units_come_before_the_first_step():
    events = Events(1, np.array([0]), np.array([2]), np.array([5]), np.array([[9, 200], [11, 3]]))
    beats, steps = pack_beats(CONFIG, [events])
    assert steps == 1
    expected = [9 | RESTORE_FLAG | 200 << 16, 11 | RESTORE_FLAG | 3 << 16, 2 | 5 << 16 | 3 << 25]
    assert beats.tolist() == expected


@pytest.mark.parametrize(
    ("steps", "step", "index"),
    [(0, [], []), (2, [0, 2], [0, 0]), (2, [1, 0], [0, 0]), (2, [0], [-1]), (2, [-1], [0]), (2, [0], [1 << 15])],
)
def test_bad_events(steps, step, index):
    message = (
        rf"^sequence 0 has events outside its {steps} steps, out of their order, or of inputs outside \[0, 32767\]"
    )
    with pytest.raises(ValueError, match=message):
        pack_beats(CONFIG, [Events(steps, np.array(step, int), np.array(index, int), np.ones(len(step), int))])
    with pytest.raises(ValueError, match=r"^sequence 0 has values outside \[-256, 255\], which the core takes$"):
        pack_beats(CONFIG, [Events(1, np.array([0]), np.array([0]), np.array([256]))])


# Reading.


def test_text_in_sequences_and_activity(small):
    text = read(small, tokens=101, sequences=4, split="valid")
    assert (text.unit, text.corpus, text.split) == ("word", "small", "valid")
    whole = np.concatenate([[small.corpus.end], small.corpus.valid])
    for s in range(4):
        assert text.inputs[:, s].tolist() == whole[25 * s : 25 * s + 25].tolist()
        assert text.targets[:, s].tolist() == whole[25 * s + 1 : 25 * s + 26].tolist()
    valid, _ = columns(small.corpus.valid, 1, small.corpus.end)
    model = IntegerModel(small.network)
    trace = model.run(valid)
    parts = (model.inputs(valid), *trace.y)
    expected = np.concatenate([(part != 0).mean(axis=(0, 1)) for part in parts])
    assert text.activity == pytest.approx(expected)
    assert measure_activity(small.network, valid[:3]).sum() == pytest.approx(
        2 + sum((y[:3] != 0).sum() for y in trace.y) / 3
    )


def test_trained_weights_are_converted_as_by_the_other_programs(small, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra train)")
    from golden.lm.convert import from_state
    from golden.lm.convert import main as convert
    from golden.lm.model import LanguageModel
    from golden.lm.settings import Settings
    from golden.lm.weights import save_weights

    torch.manual_seed(0)
    model = LanguageModel(WORDS, Settings(embedding=LAYERS[-1], layers=LAYERS))
    paths = save_weights(model.state_dict(), tmp_path / "lm", {})
    text = read(small, *paths, row_bits=8)
    halves = {name: value.half().float() if value.dim() > 1 else value for name, value in model.state_dict().items()}
    wanted = from_state(halves)
    powers = calibrate(wanted, small.corpus.valid)
    assert network_digest(text.network) == network_digest(quantize_model(wanted, powers, weight_bits=8, row_bits=8))
    given = ["--corpus", "small", "--data", str(small.folder), "--out", str(tmp_path / "integers.safetensors")]
    assert convert(["--weights", *map(str, paths), "--row-bits", "8", *given]) == 0
    again = read(small, tmp_path / "integers.safetensors")
    assert network_digest(again.network) == network_digest(text.network)
    assert network_digest(again.network) != network_digest(small.network)


def test_characters_are_known_by_the_model(small, tmp_path):
    corpus = load_corpus("small", small.folder, characters=True)
    count = len(corpus.words)
    model = random_model(count, count, LAYERS, 0.4)
    model = FloatLanguageModel(np.eye(count, dtype=np.float32), model.layers, model.readout)
    network = quantize_model(model, calibrate(model, corpus.valid), weight_bits=8, row_bits=8)
    for characters, fits in (("".join(corpus.words), True), ("".join(corpus.words)[::-1], False)):
        digest = hashlib.sha256("\n".join(characters).encode()).hexdigest()
        told = {"characters": characters, "vocabulary_sha256": digest}
        save(Model("characters", fixed=network, provenance=told), tmp_path / "characters.safetensors")
        if fits:
            text = read(small, tmp_path / "characters.safetensors")
            assert text.unit == "character" and text.inputs.size == len(corpus.test)
        else:
            with pytest.raises(ValueError, match="has other characters than corpus small, or in another order"):
                read(small, tmp_path / "characters.safetensors")


def test_chunks_begin_where_the_oracle_is(small):
    text = read(small, tokens=40, sequences=2)
    model = IntegerModel(small.network)
    chunks = list(plan(text, 6))
    assert [(chunk.number, chunk.sequence) for chunk in chunks] == [(n, s) for n in range(4) for s in range(2)]
    for s in range(2):
        own = [chunk for chunk in chunks if chunk.sequence == s]
        assert np.concatenate([chunk.tokens[chunk.before :] for chunk in own]).tolist() == text.inputs[:, s].tolist()
        assert np.concatenate([chunk.targets[chunk.before :] for chunk in own]).tolist() == text.targets[:, s].tolist()
        assert own[0].h is None and own[0].before == 0
        for chunk in own[1:]:
            state = model.run(text.inputs[: chunk.first - 1, s : s + 1]).state
            assert chunk.h.tolist() == np.concatenate(state.h, axis=1)[0].tolist()
            assert chunk.y.tolist() == np.concatenate(state.y, axis=1)[0].tolist()
            assert chunk.tokens[0] == text.inputs[chunk.first - 1, s]


@pytest.mark.parametrize(("lists", "streamed"), [("auto", False), ("chip", False), ("memory", True)])
def test_where_lists_are(small, lists, streamed, monkeypatch):
    activity = np.ones(small.network.source_count)
    config = configure(small.network, activity, lanes=4, cell_units=2, lists=lists)
    assert config.streamed == streamed
    assert config.acc_bits >= IntegerModel(small.network).accumulator_bits > config.acc_bits - 4
    assert config.value_bits == max(small.network.input_bits, small.network.y_bits + 1)
    monkeypatch.setattr("sim.text_core.ENTRIES_ON_CHIP", 1000)
    again = configure(small.network, activity, lanes=4, cell_units=2, lists=lists)
    assert again.streamed == (lists != "chip")


# Comparing.


@pytest.fixture(scope="module")
def right(small):
    """A chunk with a token before it, what is expected of it, and a core's result that is just that."""
    text = read(small, tokens=12)
    chunk = list(plan(text, 6))[1]
    model = IntegerModel(small.network)
    trace = model.run(chunk.tokens[:, None])
    beats = np.arange(small.network.source_count) % 5
    expected = Theory(small.network, beats).expect(chunk.tokens, trace)
    steps, units = len(chunk.tokens), sum(LAYERS)
    updates = np.zeros(steps * units, [(name, np.int64) for name in ("source", "h", "fires", "y", "cycle")])
    updates["source"] = small.network.inputs + np.tile(np.arange(units), steps)
    for number, name in enumerate(("h", "fires", "y")):
        updates[name] = expected.updates[:, :, number].ravel()
    outputs = np.zeros(steps * WORDS, [(name, np.int64) for name in ("index", "value", "last", "user", "cycle")])
    outputs["index"], outputs["value"] = np.tile(np.arange(WORDS), steps), expected.logits.ravel()
    outputs["last"][WORDS - 1 :: WORDS] = 1
    table = np.zeros(
        steps, [("events", np.int64, 4), ("macs", np.int64, 4), ("output", np.int64), ("first_input", np.int64)]
    )
    table["events"][:, :3], table["macs"][:, :3] = expected.events, expected.macs
    table["output"] = 100 + 10 * np.arange(steps) ** 2
    table["first_input"] = 3
    result = RunResult(outputs, table, updates, {}, 900, 1.0, None, 0, {"bytes": 77})
    return chunk, trace, beats, expected, result


def test_what_is_expected(small, right):
    chunk, trace, beats, expected, _ = right
    for t, token in enumerate(chunk.tokens.tolist()):
        active = [np.flatnonzero(y[t, 0]) for y in trace.y]
        sources = [2 * token, 2 * token + 1, *(400 + active[0]), *(424 + active[1])]
        assert expected.bytes[t] == 16 * beats[sources].sum()
        assert expected.events[t].tolist() == [2, *map(len, active)]


def test_no_difference(small, right):
    chunk, _, _, expected, result = right
    record = compare(small.network, expected, result, chunk, 77)
    assert json.loads(json.dumps(record)) == record
    assert record["first_difference"] is None and not any(record["differences"].values())
    assert record["compared"] == {"updates": 6 * 40, "logits": 6 * 200, "counts": 6 * 6, "reads": 1}
    assert record["cycles"] == [10, 30, 50, 70, 90, 110]
    assert record["macs"] == expected.macs[1:].tolist()
    assert record["bytes"] == expected.bytes[1:].tolist()
    logits = np.ldexp(expected.logits.astype(float), small.network.readout.sum_exponent)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert record["nats"] == pytest.approx(-np.log(probabilities[np.arange(7), chunk.targets])[1:])


@pytest.mark.parametrize(
    ("table", "field", "place", "kind", "named"),
    [
        ("updates", "h", 3 * 40 + 30, "updates", {"token": 8, "layer": 1, "unit": 6, "what": "h, fires, y"}),
        ("updates", "y", 5, "updates", {"token": 5, "layer": 0, "unit": 5, "what": "h, fires, y"}),
        ("outputs", "value", 2 * 200 + 17, "logits", {"token": 7, "layer": "readout", "unit": 17, "what": "logit"}),
        ("steps", "macs", (4, 0), "counts", {"token": 9, "layer": "inputs", "what": "macs"}),
        ("steps", "events", (6, 2), "counts", {"token": 11, "layer": 1, "what": "events"}),
        ("steps", "events", (6, 3), "counts", {"token": 11, "layer": 2, "what": "events"}),
    ],
)  # fmt: skip
def test_each_difference_is_named(small, right, table, field, place, kind, named):
    chunk, _, _, expected, result = right
    wrong = getattr(result, table).copy()
    wrong[field][place] += 1
    record = compare(small.network, expected, dataclasses.replace(result, **{table: wrong}), chunk, 77)
    assert record["differences"] == {"updates": 0, "logits": 0, "counts": 0, "reads": 0, kind: 1}
    found = record["first_difference"]
    assert {name: found[name] for name in named} == named
    assert found["sequence"] == 0
    assert np.abs(np.subtract(found["got"], found["expected"])).sum() == 1


def test_missing_updates_and_other_bytes(small, right):
    chunk, _, _, expected, result = right
    record = compare(small.network, expected, dataclasses.replace(result, updates=result.updates[1:]), chunk, 77)
    assert record["differences"]["updates"] == 280
    assert record["first_difference"] == {"sequence": 0, "token": 5, "what": "updates", "expected": 280, "got": 279}
    record = compare(small.network, expected, result, chunk, 78)
    assert record["differences"] == {"updates": 0, "logits": 0, "counts": 0, "reads": 1}
    assert record["first_difference"] == {
        "sequence": 0, "token": 11, "what": "bytes read in the chunk", "expected": 78, "got": 77,
    }  # fmt: skip


def test_a_logit_that_is_missing_or_comes_twice(small, right):
    chunk, _, _, expected, result = right
    twice = np.insert(result.outputs, 3, result.outputs[3])
    zero = np.flatnonzero(expected.logits == 0)
    for outputs in (twice, *(np.delete(result.outputs, place) for place in zero[:1])):
        record = compare(small.network, expected, dataclasses.replace(result, outputs=outputs), chunk, 77)
        assert record["differences"] == {"updates": 0, "logits": 1, "counts": 0, "reads": 0}
        assert record["first_difference"] == {
            "sequence": 0, "token": 11, "what": "logits", "expected": 1400, "got": len(outputs),
        }  # fmt: skip


def test_the_first_difference_is_the_earliest(small, right):
    chunk, _, _, expected, result = right
    steps, outputs = result.steps.copy(), result.outputs.copy()
    steps["macs"][2, 1] += 1
    outputs["value"][2 * 200 + 3] -= 1
    outputs["value"][5 * 200] -= 1
    wrong = dataclasses.replace(result, steps=steps, outputs=outputs)
    record = compare(small.network, expected, wrong, chunk, 77)
    assert record["differences"] == {"updates": 0, "logits": 2, "counts": 1, "reads": 0}
    assert (record["first_difference"]["token"], record["first_difference"]["unit"]) == (7, 3)


def test_nats_of_large_logits():
    assert nats(np.array([[40000, 0, 0]]), 0, np.array([1])).tolist() == [40000.0]


# Bad input.


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

import argparse
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from golden.checkpoint import TrainingError
from golden.experiments import digits_decay
from golden.experiments import runner as module
from golden.experiments.__main__ import main
from golden.experiments.report import number, spread
from golden.experiments.runner import Runner, TimeUpError, first_tokens
from golden.lm.corpus import Corpus, load_corpus
from golden.lm.trainer import Trainer

OPTIONS = dict(
    scale="tiny", corpus="steps", seeds=2, epochs=3, finetune=None, tokens=None, time_limit=None, device="cpu",
    steps=None, precision=None,
)  # fmt: skip


def a_runner(data, out, **changes):
    return Runner(argparse.Namespace(data=data, out=out, **{**OPTIONS, **changes}), Console(quiet=True))


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    runner = a_runner(data, tmp_path_factory.mktemp("runs"))
    return runner, runner.each_seed("a", runner.settings())


def test_trains_one_run_a_seed(runs):
    runner, (first, second) = runs
    assert [first.settings.seed, second.settings.seed] == [0, 1] and [first.name, second.name] == ["a-s0", "a-s1"]
    assert first.metrics["test"]["perplexity"] != second.metrics["test"]["perplexity"]
    assert [record["epoch"] for record in first.history] == [0, 1, 2]
    assert [path.name for path in first.weights] == ["lm-1.safetensors"]
    assert not (first.directory / "lm.checkpoint").exists()  # weights are enough
    assert runner.model(first).layers[0].kernel.shape == (32, 3 * 48)


def test_a_finished_run_is_read_not_trained_again(runs, monkeypatch):
    runner, (first, _) = runs
    monkeypatch.setattr(module, "trainer_of", None)
    again = runner.each_seed("a", runner.settings())[0]
    assert again == first


def test_a_stopped_run_goes_on_as_if_unbroken(runs, data, tmp_path, monkeypatch):
    _, (unbroken, _) = runs
    stopping = a_runner(data, tmp_path, time_limit=0.5)
    ticks = iter(range(0, 10_000, 7))  # every look at the clock takes 7 s
    clock = SimpleNamespace(monotonic=lambda: stopping.began + next(ticks))
    monkeypatch.setattr("golden.lm.logged.time", clock)
    with pytest.raises(TimeUpError):
        stopping.run("a-s0", stopping.settings())
    assert 0 < len((tmp_path / "runs" / "a-s0" / "lm.jsonl").read_text().splitlines()) - 1 < 3
    monkeypatch.undo()
    trained, epoch = [], Trainer.epoch
    monkeypatch.setattr(Trainer, "epoch", lambda self, *rest: trained.append(1) or epoch(self, *rest))
    runner = a_runner(data, tmp_path)
    assert runner.run("a-s0", runner.settings()).metrics == unbroken.metrics
    assert 0 < len(trained) < 3


def test_starts_from_the_runs_of_the_same_seed(runs):
    runner, starts = runs
    settings = runner.finetuned(runner.settings(), sparsity=0.5, prune_from=0.0, prune_to=0.0)
    assert (settings.epochs, settings.learning_rate) == (1, runner.settings().learning_rate / 2)
    pruned = runner.each_seed("a-50", settings, starts)
    for run, start in zip(pruned, starts, strict=True):
        origin = json.loads((run.directory / "lm.jsonl").read_text().splitlines()[0])
        assert origin["init"] == [str(path) for path in start.weights]
        assert run.metrics["sparsity"] == pytest.approx(0.5, abs=1e-3)
        assert run.history[0]["loss"] < start.history[0]["loss"]


def test_other_settings_or_damage_are_refused(runs, data):
    runner, (first, _) = runs
    with pytest.raises(TrainingError) as error:
        runner.run("a-s0", runner.settings(bptt=9))
    assert str(error.value) == (f"{first.directory} holds a run with bptt 35; give the same options or another --out")
    with pytest.raises(TrainingError, match="holds a run with corpus steps; give the same options or another --out$"):
        a_runner(data, runner.options.out, tokens=200).run("a-s0", runner.settings())
    directory = runner.options.out / "runs" / "b"
    directory.mkdir()
    (directory / "lm.jsonl").write_text("{")
    with pytest.raises(TrainingError, match=rf"^{directory / 'lm.jsonl'} is damaged; remove the folder {directory}$"):
        runner.run("b", runner.settings())


def test_a_log_cut_short_beside_a_checkpoint_is_written_anew(runs, data, tmp_path):
    _, (unbroken, _) = runs
    runner = a_runner(data, tmp_path, time_limit=1e-9)
    with pytest.raises(TimeUpError):
        runner.run("a-s0", runner.settings())
    log = tmp_path / "runs" / "a-s0" / "lm.jsonl"
    for cut in ("", log.read_text()[:20]):
        log.write_text(cut)
        with pytest.raises(TimeUpError):
            runner.run("a-s0", runner.settings())
    runner = a_runner(data, tmp_path)
    assert runner.run("a-s0", runner.settings()).metrics == unbroken.metrics


def test_says_how_its_runs_were_trained(runs, data):
    runner, _ = runs
    again = a_runner(data, runner.options.out)
    again.each_seed("a", again.settings())
    (how,) = again.origin()["trained"]
    assert how["device"] == "cpu" and how["steps"] and how["precision"]


def test_digits_need_no_corpus(tmp_path):
    runner = a_runner(tmp_path / "nowhere", tmp_path, time_limit=1e-9)
    with pytest.raises(TimeUpError):
        digits_decay.run(runner)
    assert "corpus" not in runner.origin()


def test_first_tokens_have_a_vocabulary_of_their_own():
    tokens = [np.array(text) for text in ([5, 3, 5, 9, 1, 1], [3, 7, 7], [5, 3, 8])]
    whole = Corpus("c", tuple(f"w{n}" if n != 9 else "<eos>" for n in range(10)), *tokens)
    part = first_tokens(whole, 4)
    assert part.words == ("w5", "w3", "<eos>") and part.name == "c, 4 tokens"
    assert [part.train.tolist(), part.valid.tolist(), part.test.tolist()] == [[0, 1, 0, 2], [1], [0]]
    assert part.end == 2 and first_tokens(whole, 2).words == ("w5", "w3", "<eos>")


def test_first_tokens_of_a_text_are_its_words(data):
    whole = load_corpus("steps", data)
    part = first_tokens(whole, 100)
    assert [part.words[token] for token in part.valid] == [whole.words[token] for token in whole.valid[:25]]


def test_spread_is_mean_and_sample_deviation():
    assert spread([1, 2, 6]) == {"mean": 3, "deviation": pytest.approx(7**0.5), "values": [1, 2, 6]}
    assert number("x", 1)({"x": spread([1, 2, 6])}) == "3.0 ± 2.6"
    assert number("x", 1, 10, " %")({"x": spread([1])}) == "10.0 %" and number("y")({"x": 1}) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["pruning", "--seeds", "0"], "--seeds is 0; it must be at least 1"),
        (["nothing"], "argument NAME: invalid choice: 'nothing'"),
    ],
)
def test_bad_options_end_the_program(options, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(options)
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_a_missing_corpus_ends_the_program(tmp_path, capsys):
    assert main(["pruning", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot read {tmp_path}/ptb/train.txt (No such file")
    assert os.listdir(tmp_path) == []

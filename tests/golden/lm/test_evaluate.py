"""Perplexities and counts of a whole text, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from golden.lm import convert, evaluate
from golden.lm.convert import calibration_text, load_model
from golden.lm.corpus import columns, load_corpus
from golden.lm.fold import calibrate, quantize_model
from golden.lm.integer import IntegerModel
from golden.lm.model import LanguageModel
from golden.lm.settings import Settings
from golden.lm.weights import save_weights
from golden.macs import theoretical_macs
from golden.reference import run

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "digits.safetensors"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    model = LanguageModel(13, Settings(embedding=8, layers=(10, 8), threshold_mean=0.1))
    with torch.no_grad():
        model.embedding.weight *= 10
        for layer in model.layers:
            for kernel in (layer.kernel, layer.recurrent_kernel):
                kernel *= 2 * (torch.rand_like(kernel) < 0.5)
    return save_weights(model.state_dict(), tmp_path_factory.mktemp("weights") / "lm")


def call(data, *options):
    return evaluate.main(["--corpus", "tiny", "--data", str(data), *map(str, options)])


def test_surprisal_is_that_of_softmax():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 300, (3, 2, 5)), rng.integers(0, 5, (3, 2))
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits.reshape(6, 5)), torch.from_numpy(targets.ravel()), reduction="none"
    )
    have = evaluate.surprisal(logits.copy(), targets)
    assert have.max() > 100
    np.testing.assert_allclose(have.ravel(), expected.numpy(), atol=1e-10)


def test_measures_every_word_in_one_sequence(weights, data, tmp_path, capsys, monkeypatch):
    """The figures are those of one run of the oracle over the whole text, though the program reads it in pieces."""
    monkeypatch.setattr(evaluate, "PIECE_MAX", 37)
    assert call(data, "--weights", *weights, "--json", tmp_path / "new" / "lm.json") == 0
    figures = json.loads((tmp_path / "new" / "lm.json").read_text())

    corpus = load_corpus("tiny", data)
    model = load_model(weights, corpus)
    network = quantize_model(model, calibrate(model, calibration_text(corpus)))
    inputs, targets = columns(corpus.test, 1, corpus.end)
    assert figures["words"] == len(corpus.test) == len(inputs)
    trace = run(network, IntegerModel(network).inputs(inputs))
    real = torch.from_numpy(np.ldexp(trace.logits.astype(float), network.readout.sum_exponent))
    nats = torch.nn.functional.cross_entropy(real[:, 0], torch.from_numpy(targets[:, 0]))
    assert figures["integer"]["perplexity"] == pytest.approx(float(nats.exp()), rel=1e-12)
    assert figures["integer"]["activity"] == pytest.approx([float((y != 0).mean()) for y in trace.y])
    assert figures["difference"] == figures["integer"]["perplexity"] / figures["float"]["perplexity"] - 1
    assert 0 < abs(figures["difference"]) < 0.03

    macs = theoretical_macs(network, trace, IntegerModel(network).inputs(inputs), readout=False)[:, 0]
    folded, whole = (figures["macs"][name] for name in ("embedding folded", "and decoder"))
    assert folded["mean"] == pytest.approx(macs.sum(axis=1).mean())
    assert folded["worst"] == macs.sum(axis=1).max()
    assert folded["p50"] == np.sort(macs.sum(axis=1))[(len(macs) + 1) // 2 - 1]
    both = theoretical_macs(network, trace, IntegerModel(network).inputs(inputs))[:, 0].sum(axis=1)
    assert (whole["mean"], whole["worst"]) == (pytest.approx(both.mean()), both.max())
    unfolded = macs[:, 1:].sum(axis=1).mean() + np.count_nonzero(model.layers[0].kernel)
    assert figures["macs"]["recurrent layers"]["mean"] == pytest.approx(unfolded)
    assert (folded["dense"], whole["dense"]) == (3 * (18 * 10 + 18 * 8), 3 * (18 * 10 + 18 * 8) + 8 * 13)

    printed = capsys.readouterr().out
    for text in ("words in one sequence; weights of 8 bits, rows of 16", f"{figures['integer']['perplexity']:.3f}"):
        assert text in printed
    assert f"{folded['mean'] / 1e6:.3f}" in printed


def test_percentiles_are_words_of_the_text():
    counts = np.random.default_rng(0).permutation(np.arange(1, 201))
    summary = evaluate.Work("", counts, 402).summary()
    assert summary == {"mean": 100.5, "p50": 100, "p99": 198, "worst": 200, "dense": 402, "times_fewer": 4.0}


def test_formats_and_length_are_options(weights, data, tmp_path):
    file = tmp_path / "lm.json"
    assert call(data, "--weights", *weights, "--weight-bits", 4, "--row-bits", 8, "--limit", 20, "--json", file) == 0
    figures = json.loads(file.read_text())
    assert (figures["words"], figures["weight_bits"], figures["row_bits"]) == (20, 4, 8)


def test_a_model_file_gives_the_same_integers(weights, data, tmp_path, capsys):
    path = tmp_path / "tiny.safetensors"
    options = ["--corpus", "tiny", "--data", str(data), "--weights", *map(str, weights), "--out", str(path)]
    assert convert.main(options) == 0
    figures = {}
    for name, source in (("weights", ("--weights", *weights)), ("model", ("--model", path))):
        assert call(data, *source, "--json", tmp_path / name) == 0
        figures[name] = json.loads((tmp_path / name).read_text())
    for each in figures.values():
        each["integer"].pop("seconds")
        each["integer"].pop("words_per_second")
    have, want = figures["model"], figures["weights"]
    assert have["integer"] == want["integer"] and "float" not in have and "difference" not in have
    assert list(have["macs"]) == ["embedding folded", "and decoder"]
    for name, row in have["macs"].items():
        assert row == {key: want["macs"][name][key] for key in ("mean", "p50", "p99", "worst")}
    capsys.readouterr()
    assert call(data, "--model", tmp_path / "none") == 2
    assert "there is no such file" in capsys.readouterr().err
    assert call(data, "--model", DIGITS) == 2
    wanted = "is no integer language model of the 13 words of tiny; give a file that python -m golden.lm.convert wrote"
    assert wanted in capsys.readouterr().err


def test_random_weights_show_the_speed(data, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "preset", lambda *names: {"embedding": 12, "layers": (16, 12)})
    assert call(data, "--random", "flagship", "--limit", 30) == 0
    assert "30 words in one sequence" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--weights", "none"],
            "cannot read weights from none (No such file); give files that training wrote",
        ),
        (["--random", "small", "--corpus", "none"], "cannot read {data}/none/train.txt (No such file or directory); "),
        (["--random", "small", "--json", "{data}/tiny/test.txt/x"], "cannot write {data}/tiny/test.txt/x (File exi"),
        (["--random", "small", "--json", "{data}"], "cannot write {data} (it is a folder); choose another name"),
    ],
)
def test_bad_options_end_the_program(options, message, data, capsys):
    assert call(data, *(option.format(data=data) for option in options)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: " + message.format(data=data)) and error.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--random", "small", "--limit", "0"]])
def test_bad_usage_is_refused(options, data, capsys):
    with pytest.raises(SystemExit, match="^2$"):
        call(data, *options)
    assert "usage: python -m golden.lm.evaluate" in capsys.readouterr().err

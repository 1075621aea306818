"""Networks of characters: trained, measured, made integers, and run as any other network."""

import json

import numpy as np
import pytest
import torch

from golden import reference
from golden import train as program
from golden.lm import convert, evaluate
from golden.lm.corpus import columns, load_corpus
from golden.lm.fold import calibrate, quantize_model
from golden.lm.integer import IntegerModel
from golden.lm.measure import fan_outs
from golden.lm.model import LanguageModel
from golden.lm.settings import Settings
from golden.lm.trainer import Trainer
from golden.lm.weights import load_weights
from golden.network import load

CPU = torch.device("cpu")
OPTIONS = [
    *("--corpus", "tiny", "--preset", "characters", "--layers", "24", "--epochs", "3", "--batch", "8", "--bptt", "20"),
    *("--levels", "0.3,0.6", "--prune-to", "0.5", "--device", "cpu", "--threads", "1"),
]


def run(data, out, *more):
    return program.main(["lm", "--data", str(data), *OPTIONS, "--out", str(out), *more])


def log(out):
    return [json.loads(line) for line in (out / "lm.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("characters")
    assert run(data, out) == 0
    return out


@pytest.fixture(scope="module")
def model_file(data, trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    weights = str(trained / "lm-1.safetensors")
    options = ["--weights", weights, "--corpus", "tiny", "--data", str(data), "--out", str(path)]
    assert convert.main(options) == 0
    return path


def test_learns_and_prunes_all_matrices(data, trained):
    records = log(trained)
    assert records[0]["settings"]["characters"] is True
    epochs, metrics = records[1:-1], records[-1]["metrics"]
    assert epochs[-1]["valid_bits"] < epochs[0]["valid_bits"] < np.log2(13)
    assert epochs[-1]["valid_bits"] == pytest.approx(epochs[-1]["valid_loss"] / np.log(2))
    assert metrics["sparsity"] == pytest.approx(0.6, abs=1e-3)
    weights = load_weights([trained / "lm-1.safetensors"])
    assert {name for name, value in weights.items() if value.dim() > 1} == {
        "layers.0.kernel", "layers.0.recurrent_kernel", "readout.weight"
    }  # fmt: skip
    assert all((value == 0).any() for value in weights.values() if value.dim() > 1)
    symbols = len(load_corpus("tiny", data, characters=True).words)
    assert weights["layers.0.kernel"].shape == (symbols, 3 * 24) and weights["readout.weight"].shape == (symbols, 24)


@pytest.mark.parametrize("cell", ["egru", "gru", "lstm"])
@pytest.mark.parametrize("steps", ["plain", "torch", "compiled"])
def test_all_cells_and_steps_read_characters(data, tmp_path, cell, steps):
    if cell != "egru" and steps != "plain":
        pytest.skip("of EGRUs alone")
    assert run(data, tmp_path, "--cell", cell, "--epochs", "1", "--steps", steps) == 0
    if cell == "egru" and steps != "plain":
        (tmp_path / "plain").mkdir()
        assert run(data, tmp_path / "plain", "--epochs", "1", "--steps", "plain") == 0
        assert log(tmp_path)[1]["loss"] == pytest.approx(log(tmp_path / "plain")[1]["loss"], rel=1e-3)


def test_a_character_costs_its_own_row(data):
    settings = Settings(characters=True, tied=False, layers=(6,), batch=2, bptt=5, epochs=1)
    corpus = load_corpus("tiny", data, characters=True)
    model = LanguageModel(len(corpus.words), settings)
    with torch.no_grad():
        model.layers[0].kernel[3] = 0
    costs = [18] * len(corpus.words)
    costs[3] = 0
    assert fan_outs(model).inputs.tolist() == costs
    measured = Trainer(settings, corpus, CPU, "plain").test()["test"]
    assert measured["macs_of_inputs"] == 18


def test_integers_are_an_ordinary_network(data, trained, model_file):
    model = load(model_file)
    corpus = load_corpus("tiny", data, characters=True)
    symbols, network = len(corpus.words), model.fixed
    assert model.provenance["characters"] == "".join(corpus.words)
    assert (network.inputs, network.readout.units, network.weight_bits) == (symbols, symbols, 8)
    pruned = load_weights([trained / "lm-1.safetensors"])["layers.0.kernel"].numpy() == 0
    assert not network.layers[0].kernel[pruned].any()
    inputs, _ = columns(corpus.test, 1, corpus.end)
    one = 1 << -network.input_exponent  # a character is one event, of 1.0
    trace = reference.run(network, np.eye(symbols, dtype=int)[inputs] * one)
    figures = measured(data, trained)
    assert figures["integer"]["activity"] == pytest.approx([float((trace.y[0] != 0).mean())])
    assert figures["characters"] == len(corpus.test)


def test_four_bits_are_for_characters_too(data, trained, tmp_path):
    options = ["--weights", str(trained / "lm-1.safetensors"), "--corpus", "tiny", "--data", str(data)]
    assert convert.main([*options, "--weight-bits", "4", "--out", str(tmp_path / "four")]) == 0
    network = load(tmp_path / "four").fixed
    assert (network.weight_bits, IntegerModel(network).lists) == (4, 1) and network.layers[0].kernel.max() <= 7
    figures = tmp_path / "figures"
    assert evaluate.main([*options, "--weight-bits", "4", "--limit", "40", "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["row_bits"] == 4


def measured(data, trained):
    path = trained / "figures.json"
    weights = str(trained / "lm-1.safetensors")
    options = ["--weights", weights, "--corpus", "tiny", "--data", str(data), "--json", str(path)]
    assert evaluate.main(options) == 0
    return json.loads(path.read_text())


def test_a_model_file_gives_the_same_integers(data, trained, model_file, tmp_path):
    options = ["--model", str(model_file), "--corpus", "tiny", "--data", str(data), "--json", str(tmp_path / "f")]
    assert evaluate.main(options) == 0
    have, want = json.loads((tmp_path / "f").read_text()), measured(data, trained)
    assert have["macs"] == want["macs"] and have["integer"]["bits"] == want["integer"]["bits"]


def test_evaluation_gives_bits(data, trained, capsys):
    figures = measured(data, trained)
    assert figures["integer"]["bits"] == pytest.approx(np.log2(figures["integer"]["perplexity"]))
    assert figures["float"]["bits"] == pytest.approx(log(trained)[-1]["metrics"]["test"]["bits"], rel=2e-3)
    assert abs(figures["difference"]) < 0.03
    assert list(figures["macs"]) == ["recurrent layers", "and decoder"]
    symbols = len(load_corpus("tiny", data, characters=True).words)
    assert figures["macs"]["and decoder"]["dense"] == 3 * 24 + 3 * 24 * 24 + 24 * symbols
    printed = capsys.readouterr().out
    assert "characters in one sequence; weights of 8 bits, rows of 8" in printed
    assert f"{figures['integer']['bits']:.4f}" in printed


def test_quantised_training_leaves_little_to_lose(data, tmp_path):
    assert run(data, tmp_path, "--quantise-weights", "8", "--quantise-from", "0.5", "--prune-to", "0.3") == 0
    corpus = load_corpus("tiny", data, characters=True)
    model = convert.load_model([tmp_path / "lm-1.safetensors"], corpus)
    network = quantize_model(model, calibrate(model, convert.calibration_text(corpus)), row_bits=8)
    for real, fixed in (
        (model.layers[0].recurrent_kernel, network.layers[0].recurrent_kernel),
        (model.readout.kernel, network.readout.kernel),
    ):
        steps = (real != 0) & (fixed != 0)
        ratio = real[steps] / fixed[steps]
        assert np.array_equal(real != 0, fixed != 0) and np.array_equal(ratio, np.exp2(np.log2(ratio).round()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tied", "--no-prune-readout"], "characters have no embedding that a decoder could be tied to; choose --no"),
        (["--cell", "transformer"], "a transformer needs an embedding, which characters do not have; choose another"),
        (
            ["--cell", "gru", "--output-threshold", "0.1"],
            "output_threshold is 0.1; a layer of kind gru has none, leave",
        ),
        (["--corpus", "none"], "cannot read {data}/none/train.txt (No such file or directory); docs/training.md says"),
    ],
)
def test_bad_options_end_the_program(options, message, data, tmp_path, capsys):
    assert run(data, tmp_path / "out", *options) == 2
    assert capsys.readouterr().err.startswith("error: " + message.format(data=data))
    assert not (tmp_path / "out").exists()

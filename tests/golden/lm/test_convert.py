"""Folding and quantising language models; the float model that runs beside the integers."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from golden import float_reference
from golden.layers import FloatNetwork, ModelError
from golden.lm import convert as program
from golden.lm.convert import from_state
from golden.lm.corpus import columns, load_corpus
from golden.lm.evaluate import score
from golden.lm.floating import FloatLanguageModel, FloatRunner, random_model
from golden.lm.fold import calibrate, quantize_model, split_digits
from golden.lm.integer import IntegerModel
from golden.lm.measure import measure
from golden.lm.model import LanguageModel
from golden.lm.settings import Settings
from golden.lm.weights import save_weights
from golden.network import load
from golden.quantize import sum_exponents

WORDS = 13


def language_model(seed=0, **settings):
    """A model with weights large enough that its units fire and its words differ."""
    torch.manual_seed(seed)
    model = LanguageModel(WORDS, Settings(**({"embedding": 8, "layers": (10, 8), "threshold_mean": 0.1} | settings)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "threshold" not in name:
                parameter.copy_((parameter + 0.1 * torch.randn_like(parameter)) * (5 if "embedding" in name else 1.5))
    return model.eval()


def text(seed=1, steps=60, batch=2):
    return np.random.default_rng(seed).integers(0, WORDS, (steps, batch))


def test_float_model_equals_the_float_reference():
    model, words = random_model(20, 6, (9, 7, 5), 0.5), text()
    trace = FloatRunner(model).run(words)
    expected = float_reference.run_float(FloatNetwork(model.layers, model.readout), model.embedding[words])
    assert 0.05 < np.mean([fires.mean() for fires in trace.fires]) < 0.7
    for name in ("y", "h"):
        for have, want in zip(getattr(trace, name), getattr(expected, name), strict=True):
            np.testing.assert_allclose(have, want, atol=1e-5)
    np.testing.assert_allclose(trace.logits, expected.logits, atol=1e-5)
    first = FloatRunner(model).run(words[:9], readout=False)
    assert first.logits is None
    np.testing.assert_allclose(FloatRunner(model).run(words[9:], first.state).logits, trace.logits[9:], atol=1e-5)


def test_folding_changes_nothing():
    model, words = random_model(20, 6, (9, 7), 0.5), text()
    folded = float_reference.run_float(model.fold(), np.eye(20)[words])
    np.testing.assert_allclose(folded.logits, FloatRunner(model).run(words).logits, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"tied": False}, {"tied": False, "decoded": 5}])
def test_a_trained_model_comes_over(settings):
    model, words = language_model(**settings), text()
    output = model(torch.from_numpy(words))
    trace = FloatRunner(from_state(model.state_dict())).run(words)
    np.testing.assert_allclose(trace.logits, model.logits(output.y).detach().numpy(), atol=1e-5)


def test_calibration_measures_the_text():
    model, words = from_state(language_model().state_dict()), text(steps=1100, batch=1)
    frequency, *powers = calibrate(model, words[:, 0])
    counts = np.bincount(words[:, 0], minlength=WORDS) / len(words)
    np.testing.assert_allclose(frequency, counts + 1e-3 / WORDS)
    for power, y in zip(powers, FloatRunner(model).run(words).y, strict=True):
        mean = np.square(y).mean(axis=(0, 1))
        np.testing.assert_allclose(power, mean + 1e-3 * mean.mean())


def quantized(model, **bits):
    return quantize_model(model, calibrate(model, text(steps=300, batch=1)[:, 0]), **bits)


@pytest.mark.parametrize("row_bits", [8, 16])
@pytest.mark.parametrize("weight_bits", [8, 4])
def test_rows_are_within_half_a_step_of_the_folded_embedding(row_bits, weight_bits):
    model = from_state(language_model().state_dict())
    network = quantized(model, row_bits=row_bits, weight_bits=weight_bits)
    integer, first = IntegerModel(network), network.layers[0]
    assert (integer.row_bits, network.weight_bits) == (row_bits, weight_bits)
    rows = np.tensordot(integer.values, first.kernel.reshape(WORDS, integer.lists, -1).astype(float), axes=(0, 1))
    gx, z, r, _ = first.sum_exponents
    real = np.hsplit(model.fold().layers[0].kernel, 3)
    limit = integer.values[-1] * ((1 << (row_bits - 1)) - 1)
    inside = 0
    for block, exponent, want in zip(np.hsplit(rows, 3), (z, r, gx), real, strict=True):
        within = np.abs(want) < 0.85 * math.ldexp(limit, exponent)  # 4-bit digits end at 0.93
        assert (np.abs(np.ldexp(block, exponent) - want)[within] <= math.ldexp(integer.values[-1], exponent) / 2).all()
        inside += within.mean() / 3
    assert inside > 0.95
    assert 1 << (network.input_bits - 2) == integer.values[0]


def test_other_layers_are_quantised_as_any_network():
    model = from_state(language_model().state_dict())
    powers = calibrate(model, text(steps=300, batch=1)[:, 0])
    second = quantize_model(model, powers).layers[1]
    assert second.sum_exponents == sum_exponents("", model.layers[1], -8, (powers[1], powers[2]), 8, 8)
    _, z, r, _ = second.sum_exponents
    assert np.abs(second.kernel[:, :8] * 2.0 ** (z + 8) - model.layers[1].kernel[:, :8]).max() <= 2.0 ** (z + 7)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("digit_bits", [8, 4])
def test_digits_make_up_rows(bits, digit_bits):
    rows = np.arange(-(1 << (bits - 1)), 1 << (bits - 1)).reshape(2, -1)
    digits = split_digits(rows, bits, digit_bits).reshape(2, bits // digit_bits, -1).astype(int)
    half = 1 << (digit_bits - 1)
    assert digits.min() == -half and digits.max() == half - 1
    weights = 1 << (digit_bits * np.arange(bits // digit_bits)[::-1])
    largest = (half - 1) * weights.sum()
    np.testing.assert_array_equal(np.tensordot(weights, digits, axes=(0, 1)), np.minimum(rows, largest))


@pytest.mark.parametrize(
    ("bits", "tolerance"),
    [({}, 0.04), ({"row_bits": 8}, 0.1), ({"y_bits": 16}, 0.03), ({"weight_bits": 4}, 0.4)],
)
def test_integer_logits_follow_the_float_logits(bits, tolerance):
    """Thresholds of 0 make no jumps: the error is that of the formats."""
    state = language_model().state_dict()
    state |= {name: torch.zeros_like(value) for name, value in state.items() if "threshold" in name}
    model, words = from_state(state), text()
    network = quantized(model, **bits)
    logits = np.ldexp(IntegerModel(network).run(words).logits.astype(float), network.readout.sum_exponent)
    exact = FloatRunner(model).run(words).logits
    assert np.abs(logits - exact).max() < tolerance * np.abs(exact).max()


def test_perplexity_is_what_training_measures(data):
    corpus = load_corpus("tiny", data)
    model = language_model()
    inputs, targets = columns(corpus.test, 1, corpus.end)
    want = measure(model, torch.from_numpy(inputs), torch.from_numpy(targets), 35)
    have = score(FloatRunner(from_state(model.state_dict())), inputs, targets)
    assert have.perplexity == pytest.approx(want["perplexity"], rel=1e-5)
    assert have.activity == pytest.approx(want["activity"], abs=1e-6)


def test_misshapen_models_are_refused():
    model = random_model(20, 6, (9,), 0.5)
    with pytest.raises(
        ModelError, match=r"^the embedding has shape \[20, 5\]; it must be \[words, 6\], as the first l"
    ):
        FloatLanguageModel(model.embedding[:, :5], model.layers, model.readout)
    with pytest.raises(ModelError, match="^the embedding holds NaN or infinity; every value must be finite, so train "):
        FloatLanguageModel(model.embedding * np.float32(np.inf), model.layers, model.readout)
    with pytest.raises(ModelError, match="^the readout has 20 outputs; it must have 19, one for each word$"):
        FloatLanguageModel(model.embedding[:19], model.layers, model.readout)


def call(weights, data, out, *more):
    return program.main(
        ["--weights", *map(str, weights), "--corpus", "tiny", "--data", str(data), "--out", str(out), *more]
    )


def test_writes_a_model_file(data, tmp_path, capsys):
    weights = save_weights(language_model().state_dict(), tmp_path / "lm")
    out = tmp_path / "new" / "m.safetensors"
    assert call(weights, data, out, "--row-bits", "8") == 0
    assert "13 words, 1 lists each, layers of 10, 8 units, sums of " in capsys.readouterr().out
    model = load(out)
    network = model.fixed
    assert (network.inputs, network.readout.units, network.weight_bits) == (WORDS, WORDS, 8)
    assert IntegerModel(network).row_bits == 8
    assert model.provenance["corpus"] == "tiny" and list(model.provenance["weights_sha256"]) == ["lm-1.safetensors"]


@pytest.mark.parametrize(
    ("made", "option"),
    [
        ({"hard_reset": True}, "--hard-reset"),
        ({"reset_gate": False}, "--no-reset-gate"),
        ({"update_gate": False}, "--no-update-gate"),
        ({"cell": "lstm"}, "--cell lstm"),
    ],
)
def test_another_cell_is_refused(made, option, data, tmp_path, capsys):
    model = language_model(**made)
    (file,) = save_weights(model.state_dict(), tmp_path / "lm", asdict(model.settings))
    assert call([file], data, tmp_path / "m.safetensors") == 2
    assert capsys.readouterr().err == (
        f"error: {file}: trained with {option}, but integers are of the whole event-based GRU; train without it\n"
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "cannot read weights from {file} (No such file); give files that training wrote"),
        (
            lambda: language_model(cell="lstm").state_dict(),
            "{file}: tensor layers.0.recurrent_bias is missing; give all ",  # a file without settings
        ),
        (
            lambda: {"bias": torch.zeros(3)},
            "{file}: tensor layers.0.kernel is missing; give all files of a trained event",
        ),
        (
            lambda: language_model(update_gate=False).state_dict(),
            "{file}: layers.0.recurrent_kernel has shape [10, 20]; ",
        ),
        (
            lambda: LanguageModel(9, Settings(embedding=8, layers=(8,))).state_dict(),
            "{file}: the weights know 9 words and tiny has 13; give the corpus that they were trained on",
        ),
    ],
)
def test_bad_weights_end_the_program(state, message, data, tmp_path, capsys):
    file = tmp_path / "lm-1.safetensors"
    if state is not None:
        save_weights(state(), tmp_path / "lm")
    assert call([file], data, tmp_path / "m.safetensors") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: " + message.format(file=file)) and error.count("\n") == 1
    assert not (tmp_path / "m.safetensors").exists()

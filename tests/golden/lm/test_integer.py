"""The integer language model against the oracle, bit for bit: every unit, step, logit and count."""

import dataclasses

import numpy as np
import pytest

from golden import macs, reference
from golden.layers import FixedLayer, FixedNetwork, FixedReadout, ModelError, accumulator_bits
from golden.lm import native
from golden.lm.integer import IntegerModel
from golden.lm.native import CompilerError
from tests.networks import random_fixed_network

INPUT_BITS = 12  # for which random networks get their exponents; words then have values up to 2**13


def draw(seed, *, words=None, layers=None, **options):
    """A small random language model and words (time, batch); sizes and widths vary with the seed."""
    rng = np.random.default_rng(seed)
    words = words or int(rng.integers(2, 12))
    weight_bits, row_bits = [8, 4][seed % 2], [16, 8][seed // 2 % 2]
    made = {
        "layers": layers or [int(n) for n in rng.integers(1, 24, rng.integers(1, 4))],
        "weight_density": [0.15, 0.5, 1.0][seed % 3], "y_bits": int(rng.integers(8, 17)),
        "extremes": seed % 5 == 4, "uneven": seed % 7 == 6,
    } | options  # fmt: skip
    network = random_fixed_network(
        rng,
        inputs=words * row_bits // weight_bits,
        outputs=words,
        weight_bits=weight_bits,
        input_bits=INPUT_BITS,
        **made,
    )
    low = 13 - (row_bits - weight_bits)
    network = dataclasses.replace(network, input_bits=15, input_exponent=-low)
    return network, rng.integers(0, words, (20, 3))


def assert_equal(trace, expected):
    for name in ("y", "fires", "h"):
        for have, want in zip(getattr(trace, name), getattr(expected, name), strict=True):
            np.testing.assert_array_equal(have, want)
    np.testing.assert_array_equal(trace.logits, expected.logits)
    for have, want in zip(trace.state.h + trace.state.y, expected.state.h + expected.state.y, strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("seed", range(30))
def test_equals_the_oracle(seed):
    network, words = draw(seed)
    model = IntegerModel(network)
    inputs = model.inputs(words)
    assert (np.count_nonzero(inputs, axis=2) == network.inputs // model.words).all()
    expected = reference.run(network, inputs)
    assert_equal(model.run(words), expected)
    counts = model.macs(words, model.run(words))
    grouped = np.concatenate([counts[..., :-2], counts[..., -2:].sum(axis=2, keepdims=True)], axis=2)
    np.testing.assert_array_equal(grouped, macs.theoretical_macs(network, expected, inputs))
    without = macs.theoretical_macs(network, expected, inputs, readout=False)
    np.testing.assert_array_equal(counts[..., :-1], without)


def test_the_random_networks_are_lively():
    """The test above means little if nothing happens: units fire, some of them silently, and some sums saturate."""
    runs = [IntegerModel(network).run(words) for network, words in map(draw, range(30))]
    active = [float(np.mean([(y != 0).mean() for y in trace.y])) for trace in runs]
    assert np.median(active) > 0.1 and max(active) < 0.9
    assert any((f.astype(bool) & (y == 0)).any() for trace in runs for f, y in zip(trace.fires, trace.y, strict=True))


def test_pieces_of_a_text_equal_the_whole():
    network, words = draw(3)
    model = IntegerModel(network)
    whole, first = model.run(words), model.run(words[:7])
    before = [array.copy() for array in first.state.h + first.state.y]
    second = model.run(words[7:], first.state)
    np.testing.assert_array_equal(np.concatenate([first.logits, second.logits]), whole.logits)
    for have, want in zip(second.state.h + second.state.y, whole.state.h + whole.state.y, strict=True):
        np.testing.assert_array_equal(have, want)
    for have, want in zip(first.state.h + first.state.y, before, strict=True):
        np.testing.assert_array_equal(have, want)


def test_sums_beyond_32_bits_are_exact():
    network, words = draw(4, layers=[300], weight_density=1.0, y_bits=16, extremes=True)
    state = reference.State((np.full((3, 300), 32000, np.int32),), (np.full((3, 300), 65535, np.int32),))
    model = IntegerModel(network)
    trace = reference.run(network, model.inputs(words), state, keep_sums=True)
    assert np.abs(trace.sums[0][0]).max() >= 1 << 31
    assert_equal(model.run(words, state), trace)


def test_sums_at_the_edges_of_saturation_are_exact():
    """No weights: biases, in steps of the formats, are the arguments of the nonlinearities and the addends."""
    edges = np.concatenate([near + np.arange(-2, 3) for near in (-(1 << 17), -(1 << 15), 0, 1 << 15, 1 << 17)])
    bias = np.random.default_rng(0).choice(edges, (4, 2000)).astype(np.int32)
    none = np.zeros((2, 6000), np.int8), np.zeros((2000, 6000), np.int8)
    layer = FixedLayer(*none, bias, np.zeros(2000, np.int16), (-12, -12, -12, -12))
    readout = FixedReadout(np.ones((2000, 2), np.int8), np.zeros(2, np.int32), 0)
    model = IntegerModel(FixedNetwork((layer,), readout, weight_bits=8, y_bits=8, input_bits=12, input_exponent=-3))
    words = np.zeros((3, 1), np.int64)
    assert_equal(model.run(words), reference.run(model.network, model.inputs(words)))


@pytest.mark.parametrize("seed", range(8))
def test_accumulators_are_as_wide_as_one_word_a_step_needs(seed):
    network, words = draw(seed)
    model = IntegerModel(network)
    assert model.accumulator_bits <= accumulator_bits(network)
    rows = network.layers[0].kernel.reshape(model.words, model.lists, -1).astype(np.int64)
    summed = [np.abs(row * model.values[:, None]).sum(axis=0) for row in rows]
    assert model.accumulator_bits == accumulator_bits(network, np.max(summed, axis=0))
    sums = reference.run(network, model.inputs(words), keep_sums=True).sums
    assert max(int(np.abs(each).max()) for each in sums) < 1 << (model.accumulator_bits - 1)


def test_a_network_without_a_folded_embedding_is_refused():
    network, _ = draw(0, words=6)
    for other in (random_fixed_network(np.random.default_rng(0), inputs=18, layers=[4], outputs=6, weight_density=1.0),
                  dataclasses.replace(network, readout=None)):  # fmt: skip
        with pytest.raises(
            ModelError, match="is no language model with a folded embedding, which has 1 or 2 inputs for "
        ):
            IntegerModel(other)
    with pytest.raises(
        ModelError, match=r"^values of words are from 2\*\*6 to 2\*\*14, which do not fit inputs of 15 b"
    ):
        IntegerModel(dataclasses.replace(network, input_exponent=-6))


def test_a_word_that_is_not_there_is_refused():
    network, words = draw(0, words=6)
    with pytest.raises(ValueError, match="^words are from 0 to 6; they must be from 0 to 5$"):
        IntegerModel(network).run(np.array([[0], [6]]))


def test_a_state_of_another_batch_is_refused():
    network, words = draw(0, words=6, layers=[5])
    state = IntegerModel(network).run(words).state
    with pytest.raises(ValueError, match=r"^a layer's state has shapes \(3, 5\) and \(3, 5\); both must be \(1, 5\)$"):
        IntegerModel(network).run(words[:, :1], state)


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    with pytest.raises(CompilerError, match="^gcc is missing; install it with your system's package manager$"):
        native.build.__wrapped__("layer.c")
    monkeypatch.undo()
    with pytest.raises(CompilerError, match=r"^gcc cannot build .*layer.c: "):
        native.build.__wrapped__("layer.c", ("SHIFT_GUARD=(",))

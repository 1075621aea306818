"""Operation counts against direct enumeration, closed forms and the published figures."""

import subprocess
import sys

import numpy as np
import pytest

from golden import macs, reference
from golden.network import Model, save
from tests.networks import random_fixed_network, random_inputs


def draw(*, layers=(9, 7), outputs=4, density=0.4, seed=0, steps=6, activity=0.4):
    rng = np.random.default_rng(seed)
    network = random_fixed_network(
        rng, inputs=5, layers=list(layers), outputs=outputs, weight_density=density, uneven=seed % 2 == 1
    )
    inputs = random_inputs(rng, network, steps, 3, activity)
    return network, inputs, reference.run(network, inputs)


def enumerate_macs(network, trace, inputs, sequence_end=None):
    """Walk every active source, every step, every weight; recurrent ones only where a step follows."""
    steps, batch, _ = inputs.shape
    macs_seen = np.zeros((steps, batch, 1 + len(network.layers)), np.int64)
    events = np.zeros_like(macs_seen)
    for t in range(steps):
        for b in range(batch):
            for i, value in enumerate(inputs[t, b]):
                if value:
                    events[t, b, 0] += 1
                    macs_seen[t, b, 0] += sum(1 for w in network.layers[0].kernel[i] if w)
            for l, layer in enumerate(network.layers):
                above = network.layers[l + 1] if l + 1 < len(network.layers) else network.readout
                for j, value in enumerate(trace.y[l][t, b]):
                    if value:
                        events[t, b, 1 + l] += 1
                        if sequence_end is None or not sequence_end[t, b]:
                            macs_seen[t, b, 1 + l] += sum(1 for w in layer.recurrent_kernel[j] if w)
                        if above is not None:
                            macs_seen[t, b, 1 + l] += sum(1 for w in above.kernel[j] if w)
    return events, macs_seen


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("outputs", [None, 4])
def test_counts_equal_enumeration(seed, outputs):
    network, inputs, trace = draw(seed=seed, layers=(9, 7, 3)[: 1 + seed % 3], outputs=outputs)
    events, enumerated = enumerate_macs(network, trace, inputs)
    assert events.sum() > 0
    np.testing.assert_array_equal(macs.theoretical_events(trace, inputs), events)
    np.testing.assert_array_equal(macs.theoretical_macs(network, trace, inputs), enumerated)


@pytest.mark.parametrize("outputs", [None, 4])
def test_the_end_of_a_sequence_walks_forward_entries_only(outputs):
    network, inputs, trace = draw(seed=3, layers=(9, 7), outputs=outputs)
    sequence_end = np.zeros(inputs.shape[:2], bool)
    sequence_end[-1] = sequence_end[2, 1] = True
    _, enumerated = enumerate_macs(network, trace, inputs, sequence_end)
    counted = macs.theoretical_macs(network, trace, inputs, sequence_end=sequence_end)
    np.testing.assert_array_equal(counted, enumerated)
    assert counted.sum() < macs.theoretical_macs(network, trace, inputs).sum()


def test_a_silent_fire_costs_nothing():
    network, inputs, trace = draw(density=1.0)
    silent = reference.Trace(
        tuple(np.zeros_like(y) for y in trace.y),
        tuple(np.ones_like(f) for f in trace.fires),
        trace.h,
        None,
        trace.state,
    )
    assert not macs.theoretical_macs(network, silent, inputs)[..., 1:].any()
    assert not macs.theoretical_events(silent, inputs)[..., 1:].any()


def test_dense_counts_are_the_closed_forms():
    network, inputs, trace = draw()
    without, whole = (macs.count(network, trace, inputs, readout=readout)[-1] for readout in (False, True))
    assert without.dense == macs.egru_macs(5, (9, 7)) == 3 * ((5 + 9) * 9 + (9 + 7) * 7)
    assert whole.dense - without.dense == 7 * 4


def test_dense_weights_count_activity_only_and_full_activity_counts_weights_only():
    network, inputs, trace = draw(density=1.0)
    for row in macs.count(network, trace, inputs):
        np.testing.assert_array_equal(row.both, row.activity_sparse)
        assert row.weight_sparse == row.dense
        assert row.product == pytest.approx(row.both.mean()) and row.deviation == pytest.approx(0)
    network, inputs, trace = draw(density=0.4)
    everywhere = reference.Trace(
        tuple(np.ones_like(y) for y in trace.y), trace.fires, trace.h, trace.logits, trace.state
    )
    for row in macs.count(network, everywhere, np.ones_like(inputs)):
        assert (row.both == row.weight_sparse).all() and (row.activity_sparse == row.dense).all()


def test_deviation_shows_sources_whose_length_follows_their_activity():
    """Only input 0 is ever active, and only its list is not empty: twice the halves' product."""
    network, inputs, trace = draw(density=1.0, outputs=None)
    for kernel in [layer.recurrent_kernel for layer in network.layers] + [network.layers[1].kernel]:
        kernel[:] = 0
    network.layers[0].kernel[1:] = 0
    inputs = np.zeros_like(inputs)
    inputs[..., 0] = 1
    row = macs.count(network, reference.run(network, inputs), inputs)[0]
    assert row.product == row.dense / 25
    assert row.both.mean() == row.dense / 5
    assert row.deviation == pytest.approx(4)


def test_the_total_is_the_sum_of_the_groups():
    network, inputs, trace = draw()
    *groups, total = macs.count(network, trace, inputs)
    assert [row.name for row in groups] == ["inputs", "layer 0", "layer 1"]
    for name in ("dense", "weight_sparse", "activity_sparse", "both"):
        np.testing.assert_array_equal(sum(getattr(row, name) for row in groups), getattr(total, name))


def test_empty_network_and_silence_deviate_by_nothing():
    network, inputs, trace = draw(density=0.0)
    for row in macs.count(network, trace, np.zeros_like(inputs)):
        assert (row.weight_sparse, row.both.sum(), row.deviation) == (0, 0, 0.0)


def test_published_counts():
    assert macs.lstm_macs(400, (1150, 1150, 400)) == 20_190_000
    assert macs.egru_macs(750, (1350, 1350, 750)) == 24_165_000


@pytest.mark.parametrize("density", [0.05, 0.15, 1.0])
@pytest.mark.parametrize("a", [(0.0, 0.0, 0.0), (0.2, 0.3, 0.5), (1.0, 1.0, 1.0)])
def test_formula_with_densities(density, a):
    millions = density * (3.0375 + a[0] * (5.4675 + 5.4675) + a[1] * (5.4675 + 3.0375) + a[2] * 1.6875)
    assert macs.egru_macs(750, (1350, 1350, 750), density, a) == pytest.approx(millions * 1e6, rel=1e-12)


def test_expected_macs_agree_with_a_random_network():
    network, inputs, trace = draw(layers=(96, 64), outputs=None, density=0.3, steps=50, activity=1.0)
    activity = [float((y != 0).mean()) for y in trace.y]
    counted = macs.count(network, trace, inputs)[-1].both.mean()
    assert counted == pytest.approx(macs.egru_macs(5, (96, 64), 0.3, activity), rel=0.05)


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "golden.macs", *arguments], capture_output=True, text=True, check=False
    )


def test_paper_command():
    result = call("--paper")
    assert result.returncode == 0
    for figure in ("20.190", "24.165", "0.456", "1.200", "0.235", "20.1 times", "16.8 times"):
        assert figure in result.stdout


def test_model_command(tmp_path):
    network, inputs, trace = draw()
    save(Model("drawn", fixed=network), tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", inputs)
    result = call(str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy"))
    assert result.returncode == 0, result.stderr
    total = macs.count(network, trace, inputs)[-1]
    assert f"{total.both.mean():,.0f}" in result.stdout and "without the readout" in result.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read (No such file or directory)"), (b"no array", "is no NumPy array file")],
)
def test_model_command_names_a_bad_input(tmp_path, content, message):
    save(Model("drawn", fixed=draw()[0]), tmp_path / "m.safetensors")
    path = tmp_path / "x.npy"
    if content is not None:
        path.write_bytes(content)
    result = call(str(tmp_path / "m.safetensors"), "--input", str(path))
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: input file {path} {message}") and result.stderr.count("\n") == 1

"""The benchmark's networks are what they say: sizes, sparsity, activity at each step, balance."""

import sys

import numpy as np
import pytest

import sim.workloads
from golden.lanes import deal
from golden.reference import Oracle
from sim.workloads import WORKLOADS

STEPS, BATCH, SETTLING = 40, 4, 5


@pytest.fixture(scope="module")
def workloads():
    return {name: make() for name, make in WORKLOADS.items()}


@pytest.fixture(scope="module")
def events(workloads):
    """Of a fresh run of each: whether each source is active, a list of bool (steps, batch, sources), inputs first."""
    runs = {}
    for name, workload in workloads.items():
        inputs = np.stack([workload.inputs(STEPS, seed=100 + sequence) for sequence in range(BATCH)], axis=1)
        trace = Oracle(workload.network).run(inputs)
        runs[name] = [values[SETTLING:] != 0 for values in (inputs, *trace.y)]
    return runs


@pytest.mark.parametrize(
    ("name", "sizes", "activity", "lanes"),
    [
        ("wide", [1350, 1350], 0.20, (16,)),
        ("square", [512, 512], 0.15, (32, 64)),
        ("stack", [256, 256, 256, 256], 0.15, (16,)),
        ("banked", [512, 512], 0.15, (64,)),
    ],
)
def test_sizes(workloads, name, sizes, activity, lanes):
    workload = workloads[name]
    assert [workload.network.inputs, *(layer.units for layer in workload.network.layers)] == sizes
    assert (workload.name, workload.activity, workload.lanes) == (name, activity, lanes)
    assert workload.network.readout is None


@pytest.mark.parametrize("name", WORKLOADS)
def test_sparsity_is_unstructured_and_rows_are_uneven(workloads, name):
    for layer in workloads[name].network.layers:
        for matrix in (layer.kernel, layer.recurrent_kernel):
            density = (matrix != 0).mean()
            assert density == pytest.approx(4 / 24 if name == "banked" else 0.15, abs=0.003)
        row = (layer.recurrent_kernel != 0).mean(axis=0).reshape(3, -1).mean(axis=0)
        assert row.std() > (0.005 if name == "banked" else 0.05)


@pytest.mark.parametrize("name", WORKLOADS)
def test_activity_is_as_stated(workloads, events, name):
    """On inputs it was not calibrated on, each group of sources is within a point of its activity."""
    workload = workloads[name]
    for group in events[name]:
        assert group.mean() == pytest.approx(workload.activity, abs=0.01)
    assert workload.rates.shape == (workload.network.source_count,)
    assert workload.rates.mean() == pytest.approx(workload.activity, abs=0.01)


@pytest.mark.parametrize("name", WORKLOADS)
def test_activity_is_drawn_anew_at_each_step(workloads, events, name):
    """No unit is always or never active, and who fired says little about who fires next."""
    activity = workloads[name].activity
    for group in events[name]:
        rate = group.mean(axis=(0, 1))
        assert rate.max() < 4 * activity and (rate > 0).mean() > 0.99
        again = (group[1:] & group[:-1]).mean() / group.mean()
        assert again < 1.5 * activity
        assert 0.3 * activity < group.mean(axis=2).min() < group.mean(axis=2).max() < 2.5 * activity


def test_banks_are_equal_and_kept(workloads):
    """Every source has four weights in each lane for each kernel, where the compiler puts the units."""
    workload = workloads["banked"]
    layer = workload.network.layers[0]
    lane = deal(workload.network, 64, workload.rates).lane[0]
    for matrix in (layer.kernel, layer.recurrent_kernel):
        count = np.zeros((512, 64), int)
        np.add.at(count.T, np.tile(lane, 3), (matrix != 0).T)
        assert (count == 4).all()


def test_inputs_are_reproducible_and_differ_by_seed(workloads):
    workload = workloads["square"]
    assert np.array_equal(workload.inputs(5), workload.inputs(5))
    assert not np.array_equal(workload.inputs(5), workload.inputs(5, seed=1))
    limit = 1 << (workload.network.input_bits - 1)
    assert np.abs(workload.inputs(20)).max() < limit


def test_command(workloads, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sim.workloads"])
    monkeypatch.setattr(sim.workloads, "WORKLOADS", {name: lambda w=w: w for name, w in workloads.items()})
    sim.workloads.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if any(n in line for n in WORKLOADS)]
    assert [line[0] for line in lines] == ["wide", "square", "square", "stack", "banked"]
    for line in lines:
        in_turn, dealt = float(line[-2]), float(line[-1])
        assert dealt < 1.01
        assert in_turn > (1.1 if line[0] != "banked" else 0.9999)

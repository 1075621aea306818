"""The deal of units to lanes: complete, within its rows, and level in every phase."""

import time

import numpy as np
import pytest

from golden.lanes import deal, unit_work
from tests.networks import random_fixed_network


def lane_load(network, placement, activity):
    """Expected entries of each lane in each phase, weight by weight."""
    load = np.zeros((placement.lanes, len(network.layers) + 1))
    first = 0
    matrices = []
    for phase, layer in enumerate(network.layers):
        matrices += [(phase, phase, layer.kernel), (phase, phase + 1, layer.recurrent_kernel)]
    if network.readout is not None:
        matrices.append((len(network.layers), len(network.layers), network.readout.kernel))
    firsts = [0, network.inputs]
    for layer in network.layers:
        firsts.append(firsts[-1] + layer.units)
    for l, phase, matrix in matrices:
        first, units = firsts[phase], len(placement.lane[l])
        for source, column in zip(*np.nonzero(matrix), strict=True):
            load[placement.lane[l][column % units], phase] += activity[first + source]
    return load


def excess(load):
    """Busiest lane relative to the mean, by phase and for the whole step."""
    return load.max(axis=0) / load.mean(axis=0), load.sum(axis=1).max() / load.sum(axis=1).mean()


def check_places(network, placement):
    """Every unit has a place of its own, within the rows of its layer; rows are as few as can be."""
    units = [layer.units for layer in network.layers] + ([network.readout.units] if network.readout else [])
    assert [len(lane) for lane in placement.lane] == units
    assert list(placement.rows) == [-(-count // placement.lanes) for count in units]
    assert list(placement.base) == np.cumsum([0, *placement.rows[:-1]]).tolist()
    for lane, row, base, rows in zip(placement.lane, placement.row, placement.base, placement.rows, strict=True):
        assert len(set(zip(lane.tolist(), row.tolist(), strict=True))) == len(lane)
        assert lane.min() >= 0 and lane.max() < placement.lanes
        assert base <= row.min() and row.max() < base + rows


@pytest.mark.parametrize("seed", range(40))
def test_places_of_random_networks(seed):
    rng = np.random.default_rng(seed)
    network = random_fixed_network(
        rng,
        inputs=int(rng.integers(1, 129)),
        layers=rng.integers(1, 129, rng.integers(1, 4)).tolist(),
        outputs=int(rng.integers(1, 40)) if rng.random() < 0.5 else None,
        weight_density=float(rng.choice([0, 0.02, 0.15, 0.5, 1])),
        uneven=bool(rng.random() < 0.5),
    )
    lanes = int(rng.integers(1, 65))
    placement = deal(network, lanes, rng.random(network.source_count))
    check_places(network, placement)
    assert placement.row_count == sum(placement.rows)


def test_unit_work_is_counted_weight_by_weight():
    rng = np.random.default_rng(0)
    network = random_fixed_network(rng, inputs=7, layers=[9, 5], outputs=3, weight_density=0.4)
    activity = rng.random(network.source_count)
    placement = deal(network, 4, activity)
    load = np.zeros((4, 3))
    for lane, work in zip(placement.lane, unit_work(network, activity), strict=True):
        np.add.at(load, lane, work)
    np.testing.assert_allclose(load, lane_load(network, placement, activity))


def test_the_same_network_gets_the_same_deal():
    network = random_fixed_network(np.random.default_rng(1), inputs=40, layers=[60, 50], outputs=9, weight_density=0.3)
    activity = np.ones(network.source_count)
    for one, other in zip(deal(network, 8, activity).lane, deal(network, 8, activity).lane, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("inputs", "layers", "outputs", "lanes"),
    [(512, [512], None, 64), (512, [512], None, 32), (256, [256] * 3, None, 16), (200, [300, 200], 100, 10)],
)
def test_uneven_networks_are_level(inputs, layers, outputs, lanes):
    """Rows and columns of very different density, activity too: every phase within 1 %, unlike round robin."""
    rng = np.random.default_rng(2)
    network = random_fixed_network(rng, inputs=inputs, layers=layers, outputs=outputs, weight_density=0.15, uneven=True)
    activity = rng.beta(0.5, 2, network.source_count)
    placement = deal(network, lanes, activity)
    by_phase, whole = excess(lane_load(network, placement, activity))
    assert by_phase.max() < 1.01
    assert whole < 1.01

    round_robin = np.zeros((lanes, len(layers) + 1))
    for work in unit_work(network, activity):
        np.add.at(round_robin, np.arange(len(work)) % lanes, work)
    assert excess(round_robin)[1] > 1.05


def test_phases_are_level_each_by_itself():
    """Units with only input work, and units with only recurrent work: equal totals do not make equal phases."""
    network = random_fixed_network(np.random.default_rng(3), inputs=64, layers=[64], outputs=None, weight_density=1)
    kernel, recurrent = network.layers[0].kernel, network.layers[0].recurrent_kernel
    half = np.tile(np.arange(64) < 32, 3)
    kernel[:, half] = 0
    recurrent[:, ~half] = 0
    activity = np.ones(network.source_count)
    by_phase, _ = excess(lane_load(network, deal(network, 8, activity), activity))
    assert by_phase.max() == 1


def test_work_that_cannot_be_level_keeps_to_its_rows():
    """One unit has nearly all the work: it stays alone with as little else as the rows allow."""
    network = random_fixed_network(np.random.default_rng(4), inputs=100, layers=[8], outputs=None, weight_density=0)
    network.layers[0].kernel[:, 3] = 1
    network.layers[0].kernel[:5, [0, 1, 2, 4, 5, 6, 7]] = 1
    placement = deal(network, 4, np.ones(network.source_count))
    check_places(network, placement)
    load = lane_load(network, placement, np.ones(network.source_count))
    assert sorted(load[:, 0]) == [10, 10, 10, 105]


def test_a_layer_that_is_level_in_turn_is_dealt_in_turn():
    """Pruned so that every source has three weights in every bank of units u, u + 8, u + 16...: banks are lanes."""
    network = random_fixed_network(np.random.default_rng(5), inputs=20, layers=[32], outputs=None, weight_density=1)
    rng = np.random.default_rng(6)
    for matrix in (network.layers[0].kernel, network.layers[0].recurrent_kernel):
        slots = rng.random((len(matrix), 8, 12)).argsort(axis=2) < 3  # of 4 units and 3 gates in each bank
        matrix *= slots.reshape(-1, 8, 4, 3).transpose(0, 3, 2, 1).reshape(len(matrix), 96)
    placement = deal(network, 8, rng.random(network.source_count))
    assert placement.lane[0].tolist() == [unit % 8 for unit in range(32)]
    assert deal(network, 4, np.ones(network.source_count)).lane[0].tolist() == [unit % 4 for unit in range(32)]
    assert deal(network, 5, np.ones(network.source_count)).lane[0].tolist() != [unit % 5 for unit in range(32)]


def test_long_layers_are_dealt_quickly():
    network = random_fixed_network(
        np.random.default_rng(7), inputs=1, layers=[30], outputs=10000, weight_density=0.3, uneven=True
    )
    activity = np.ones(network.source_count)
    start = time.process_time()
    placement = deal(network, 16, activity)
    assert time.process_time() - start < 2
    check_places(network, placement)
    assert excess(lane_load(network, placement, activity))[1] < 1.001

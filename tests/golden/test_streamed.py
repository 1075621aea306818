"""The bound of the cycles of a step whose lists are in external memory."""

import numpy as np
import pytest

from golden.lists import entries_per_lane, matrices
from golden.streamed import predict_cycles_streamed
from hw.config import CoreConfig
from tests.networks import random_fixed_network


@pytest.fixture(scope="module")
def compiled():
    network = random_fixed_network(np.random.default_rng(0), inputs=20, layers=[24, 16], outputs=9, weight_density=0.3)
    return CoreConfig.fitting(network, 3, cell_units=1, streamed=True).compile(network)


def test_all_active(compiled):
    """What is scarce decides: lanes, memory, or lookups."""
    active = np.ones(compiled.network.source_count)
    beats, walk = len(compiled.lists.beats), entries_per_lane(compiled.network, compiled.placement).max()
    assert beats < walk
    assert predict_cycles_streamed(compiled, active) == walk
    assert predict_cycles_streamed(compiled, active, beats_a_cycle=0.125) == 8 * beats > walk
    assert predict_cycles_streamed(compiled, active, lookup=100) == 100 * len(active)


def test_one_source(compiled):
    """An event walks its list alone: here of a unit of the first layer, whose list has two parts."""
    active = np.zeros(compiled.network.source_count)
    source = compiled.network.inputs + 5
    active[source] = 0.5
    weights = np.zeros(3)
    for matrix in matrices(compiled.network):
        if matrix.first_source <= source < matrix.first_source + len(matrix.weights):
            of_source = matrix.weights[source - matrix.first_source].reshape(len(matrix.gates), -1)
            np.add.at(weights, compiled.placement.lane[matrix.layer], np.count_nonzero(of_source, axis=0))
    assert predict_cycles_streamed(compiled, active) == 0.5 * weights.max() > 0
    slow = predict_cycles_streamed(compiled, active, beats_a_cycle=0.01)
    assert slow == pytest.approx(50 * compiled.lists.count[source])

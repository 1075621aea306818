"""The compact core against the oracle: random networks, loaded at run time into a few configurations.

Every unit at every step, and every output; streams stall at random.
"""

import pytest

from hw.config import CoreConfig
from tests.hw.volume import check_values, run_networks

CASES = 30  #: networks for each configuration
VARIED = ("lanes", "rows", "entries", "sources", "weight_bits", "y_bits", "value_bits", "acc_bits")
CONFIGS = [
    CoreConfig(**dict(zip(VARIED, values, strict=True)), cell_units=1, layers=4, counters=False, compact=True)
    for values in (
        (4, 64, 15360, 256, 8, 8, 9, 24),
        (3, 40, 4096, 512, 4, 15, 16, 28),
    )
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.lanes}-lanes")
def test_random_networks(config, request):
    run_networks(config, CASES, request.config.getoption("--seed"), check_values)

"""The compact core against the oracle: random networks, loaded at run time into a few configurations.

Every unit at every step, and every output; streams stall at random.
"""

import numpy as np
import pytest

from hw.config import CoreConfig
from hw.errors import Error
from hw.event import NULL_INDEX
from sim.simulator import Simulator
from tests.hw.oracle import draw_case, expect

CASES = 30  #: networks for each configuration
VARIED = ("lanes", "rows", "entries", "sources", "weight_bits", "y_bits", "value_bits", "acc_bits")
CONFIGS = [
    CoreConfig(**dict(zip(VARIED, values, strict=True)), cell_units=1, layers=4, counters=False, compact=True)
    for values in (
        (4, 64, 15360, 256, 8, 8, 9, 24),
        (3, 40, 4096, 512, 4, 15, 16, 28),
    )
]


def check(case, result):
    """Compare a run with the oracle."""
    steps = expect(case.network, case.sequences)
    assert result.error == Error.NONE, f"error {result.error}, detail {result.detail:#x}"
    updates, at = result.updates, 0
    assert len(updates) == sum(len(layer) for step in steps for layer in step.units)
    beats = np.split(result.outputs, np.flatnonzero(result.outputs["last"])[:-1] + 1)
    assert len(beats) == len(steps)
    for number, (step, outputs) in enumerate(zip(steps, beats, strict=True)):
        for l, expected in enumerate(step.units):
            rows = updates[at : at + len(expected)]
            units = {int(row["source"]): (int(row["h"]), int(row["fires"]), int(row["y"])) for row in rows}
            assert units == expected, f"step {number}, layer {l}"
            at += len(expected)
        values = [(int(beat["index"]), int(beat["value"])) for beat in outputs]
        assert sorted(values) == (sorted(step.outputs.items()) or [(NULL_INDEX, 0)]), f"step {number}"
        assert outputs["user"].tolist() == [0] * (len(outputs) - 1) + [step.ending], f"step {number}"
        assert result.steps["best"][number] == (step.best[0] if step.best else -1), f"step {number}"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.lanes}-lanes")
def test_random_networks(config, request):
    seed = request.config.getoption("--seed")
    simulator = Simulator(config)
    for number in range(CASES):
        rng = np.random.default_rng([seed, config.lanes, number])
        case = draw_case(rng, config)
        stalls = rng.choice((0.0, 0.0, 0.3, 0.9), 2)
        mode = str(rng.choice(("stream", "stream", "stepwise")))
        result = simulator.run(
            case.compiled.words, case.sequences, mode=mode, trace_updates=True,
            input_stall=float(stalls[0]), output_stall=float(stalls[1]),
        )  # fmt: skip
        try:
            check(case, result)
        except AssertionError as error:
            sizes = [case.network.inputs, *(layer.units for layer in case.network.layers)]
            raise AssertionError(f"network {number} {sizes}, {mode}, stalls {stalls}: {error}") from error

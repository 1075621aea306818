"""Random networks in volume through the compiled model of a core: every unit at every step, and every output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hw.config import CoreConfig
from hw.errors import Error
from hw.event import NULL_INDEX
from sim.simulator import RunResult, Simulator
from tests.hw.oracle import Case, Step, draw_case, expect


def run_networks(
    config: CoreConfig,
    count: int,
    seed: int,
    check: Callable[[Case, RunResult], Any],
    external: Callable[[np.random.Generator, Case], dict[str, Any]] = lambda rng, case: {},
) -> None:
    """Draw networks and sequences, run them with streams that stall at random, and check each run.

    ``external`` draws what :meth:`sim.simulator.Simulator.run` is told of external memory.
    """
    simulator = Simulator(config)
    for number in range(count):
        rng = np.random.default_rng([seed, config.lanes, number])
        case = draw_case(rng, config)
        stalls = rng.choice((0.0, 0.0, 0.3, 0.9), 2)
        mode = str(rng.choice(("stream", "stream", "stepwise")))
        result = simulator.run(
            case.compiled.words, case.sequences, mode=mode, trace_updates=True,
            input_stall=float(stalls[0]), output_stall=float(stalls[1]), **external(rng, case),
        )  # fmt: skip
        try:
            check(case, result)
        except AssertionError as error:
            sizes = [case.network.inputs, *(layer.units for layer in case.network.layers)]
            raise AssertionError(f"network {number} {sizes}, {mode}, stalls {stalls}: {error}") from error


def check_values(case: Case, result: RunResult) -> list[Step]:
    """Compare units and outputs of a run with the oracle; return the steps that it expects."""
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
    return steps

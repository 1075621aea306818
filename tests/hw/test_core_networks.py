"""The core against the oracle in volume: random networks, loaded at run time into a few compiled configurations.

Every unit at every step, every output, the counts of every step and all totals. Streams stall at random; inputs come as
early as the core takes them, or each step after the one before. Directed cases are in ``test_core.py``.
"""

from dataclasses import replace

import numpy as np
import pytest

from hw.config import CoreConfig
from hw.errors import Error
from hw.event import NULL_INDEX
from sim.memories import DDR3_800, IDEAL, SDR_133, ideal
from sim.simulator import Simulator
from tests.hw.oracle import draw_case, expect

CASES = 45  #: networks for each configuration

# With the two of test_core.py and those of test_cell_egru.py every width of y, both widths of a weight, narrow and wide
# inputs, and every queue depth but the largest.
CONFIGS = [
    CoreConfig(
        lanes=lanes,
        cell_units=cell_units,
        queue_depth=depth,
        rows=rows,
        entries=entries,
        sources=512,
        layers=4,
        weight_bits=weight_bits,
        y_bits=y_bits,
        value_bits=value_bits,
        acc_bits=acc_bits,
        split_banks=split,
        forwarding=forwarding,
        hops=hops,
    )  # fmt: skip
    for lanes, cell_units, depth, rows, entries, weight_bits, y_bits, value_bits, acc_bits, split, forwarding, hops in (
        (1, 1, 8, 160, 8192, 8, 8, 9, 24, False, False, 1),
        (3, 1, 16, 96, 4096, 8, 11, 12, 27, True, False, 1),
        (4, 2, 8, 96, 4096, 4, 16, 17, 26, False, True, 2),
        (5, 5, 32, 64, 2048, 8, 14, 15, 30, False, False, 3),
        (8, 2, 16, 48, 2048, 8, 10, 17, 30, True, True, 1),
        (16, 4, 16, 32, 2048, 4, 15, 16, 26, False, False, 3),
    )
]
#: The same with lists in external memory.
STREAMED = [
    replace(CONFIGS[base], queue_depth=depth, rows=rows, forwarding=False, hops=hops, gap_bits=gap_bits, lists=512,
            port_bits=port_bits)  # fmt: skip
    for base, depth, rows, hops, gap_bits, port_bits in (
        (0, 16, 200, 1, 6, 64), (3, 32, 96, 2, 4, 128), (4, 8, 96, 2, 5, 512), (5, 16, 48, 3, 5, 64),
        (5, 8, 48, 1, 5, 256),
    )
]  # fmt: skip
MEMORIES = (ideal(1), IDEAL, DDR3_800, SDR_133)


def check(case, result):
    """Compare a run with the oracle."""
    network = case.network
    steps = expect(network, case.sequences)
    assert result.error == Error.NONE, f"error {result.error}, detail {result.detail:#x}"
    groups = 1 + len(network.layers)

    updates, at = result.updates, 0
    assert len(updates) == sum(len(layer) for step in steps for layer in step.units)
    beats = np.split(result.outputs, np.flatnonzero(result.outputs["last"])[:-1] + 1)
    assert len(beats) == len(steps)
    for number, (step, outputs) in enumerate(zip(steps, beats, strict=True)):
        where = f"step {number}"
        for l, expected in enumerate(step.units):
            rows = updates[at : at + len(expected)]
            units = {int(row["source"]): (int(row["h"]), int(row["fires"]), int(row["y"])) for row in rows}
            assert units == expected, f"{where}, layer {l}"
            at += len(expected)
        values = [(int(beat["index"]), int(beat["value"])) for beat in outputs]
        assert sorted(values) == (sorted(step.outputs.items()) or [(NULL_INDEX, 0)]), where
        assert outputs["user"].tolist() == [0] * (len(outputs) - 1) + [step.ending], where
        assert result.steps["best"][number] == (step.best[0] if step.best else -1), where
        for name, counts in (("events", step.events), ("macs", step.macs)):
            counted = result.steps[name][number].tolist()
            assert counted == counts + [0] * (len(counted) - groups), f"{name} of {where}"

    counters = result.counters
    for group in range(groups):
        for name in ("events", "macs"):
            assert counters[f"{name}_{group}"] == sum(getattr(step, name)[group] for step in steps)
            assert counters[f"step_{name}_{group}"] == getattr(steps[-1], name)[group]
    lanes = case.compiled.placement.lanes
    assert sum(counters[f"lane_{lane}_busy"] for lane in range(lanes)) == sum(sum(step.macs) for step in steps)
    assert counters["steps"] == len(steps)
    assert counters["silent_fires"] == sum(step.silent_fires for step in steps)


@pytest.mark.parametrize(
    "config",
    CONFIGS + STREAMED,
    ids=lambda config: (
        f"{config.lanes}-lanes-{config.cell_units}-cells" + f"-port-{config.port_bits}" * config.streamed
    ),
)
def test_random_networks(config, request):
    seed = request.config.getoption("--seed")
    simulator = Simulator(config)
    for number in range(CASES):
        rng = np.random.default_rng([seed, config.lanes, number])
        case = draw_case(rng, config)
        stalls = rng.choice((0.0, 0.0, 0.3, 0.9), 2)
        mode = str(rng.choice(("stream", "stream", "stepwise")))
        external = {}
        if config.streamed:
            memory = MEMORIES[rng.integers(2 if config.port_bits > 128 else len(MEMORIES))]
            external = {"lists": case.compiled.lists.beats, "memory": memory, "core_mhz": int(rng.integers(20, 300))}
        result = simulator.run(
            case.compiled.words, case.sequences, mode=mode, trace_updates=True,
            input_stall=float(stalls[0]), output_stall=float(stalls[1]), **external,
        )  # fmt: skip
        try:
            check(case, result)
        except AssertionError as error:
            sizes = [case.network.inputs, *(layer.units for layer in case.network.layers)]
            raise AssertionError(f"network {number} {sizes}, {mode}, stalls {stalls}: {error}") from error

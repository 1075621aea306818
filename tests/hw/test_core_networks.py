"""The core against the oracle in volume: random networks, loaded at run time into a few compiled configurations.

Every unit at every step, every output, the counts of every step and all totals. Streams stall at random; inputs come as
early as the core takes them, or each step after the one before. Directed cases are in ``test_core.py``.
"""

from dataclasses import replace

import pytest

from hw.config import CoreConfig
from sim.memories import DDR3_800, IDEAL, SDR_133, ideal
from tests.hw.volume import check_values, run_networks

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
    """Compare a run with the oracle, and what was counted in it."""
    steps = check_values(case, result)
    groups = 1 + len(case.network.layers)
    for number, step in enumerate(steps):
        for name, counts in (("events", step.events), ("macs", step.macs)):
            counted = result.steps[name][number].tolist()
            assert counted == counts + [0] * (len(counted) - groups), f"{name} of step {number}"

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
    def external(rng, case):
        if not config.streamed:
            return {}
        memory = MEMORIES[rng.integers(2 if config.port_bits > 128 else len(MEMORIES))]
        return {"lists": case.compiled.lists.beats, "memory": memory, "core_mhz": int(rng.integers(20, 300))}

    run_networks(config, CASES, request.config.getoption("--seed"), check, external)

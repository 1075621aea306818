"""The cycle model against the RTL: random networks on the cores of ``tests/hw/test_core_networks.py``, every step.

    python -m tests.sim.test_cycle_model

prints the errors as a table. The model is told who is active by the oracle, never by the RTL.
"""

import dataclasses
import re

import numpy as np
import pytest

from golden.layers import FixedLayer
from golden.network import FixedNetwork
from hw.config import CoreConfig
from sim.cycle_model import Activity, CycleModel, record
from sim.cycles.command import main as command
from sim.cycles.command import rtl_cycles
from sim.memories import DDR3_800, IDEAL, SDR_133, ideal
from sim.simulator import Simulator
from tests.hw.oracle import draw_case
from tests.hw.test_core_networks import CONFIGS, STREAMED
from tests.networks import random_fixed_network, random_inputs

SHORT = 6  #: networks on each core, a few steps each
LONG_CYCLES = 20_000  #: of the run after them, at least
MEMORIES = (ideal(1), DDR3_800, SDR_133, IDEAL)
WIDE = (ideal(1), IDEAL)  #: that have a port of 256 bits, or more
CORES = [*CONFIGS, *STREAMED, dataclasses.replace(STREAMED[2], port_bits=128)]


def name(config):
    where = f"port of {config.port_bits}" if config.streamed else "on chip"
    return f"{config.lanes} lanes, {config.cell_units} cell units, {config.hops} hops, {where}"


def runs(config, seed):
    """Yield, of each random network, the mode, the prediction and what the RTL did; the last run is a long one."""
    simulator = Simulator(config)
    for number in range(SHORT + 1):
        rng = np.random.default_rng([seed, config.lanes, config.streamed, number])
        case = draw_case(rng, config)
        mode = ("stream", "stepwise")[number % 2]
        memories = WIDE if config.port_bits > 128 else MEMORIES
        setup = {"memory": memories[number % len(memories)], "core_mhz": int(rng.integers(20, 300))}
        model, sequences = CycleModel(config, case.compiled, **setup), case.sequences
        prediction = model.predict(record(case.network, sequences), mode=mode)
        while number == SHORT and prediction.cycles <= LONG_CYCLES:
            sequences = sequences * (1 + LONG_CYCLES // prediction.cycles)
            prediction = model.predict(record(case.network, sequences), mode=mode)
        external = setup | {"lists": case.compiled.lists.beats} if config.streamed else {}
        yield mode, prediction, simulator.run(case.compiled.words, sequences, mode=mode, **external)


def errors(config, prediction, result):
    """Return by how much a prediction is off: cycles of the run, cycles of the worst step, bytes, lost lane-cycles."""
    lost = {
        what: sum(result.counters[f"lane_{lane}_{what}"] for lane in range(config.lanes))
        for what in ("hazard", "drain")
    }
    return {
        "cycles": prediction.cycles - rtl_cycles(config, result),
        "worst step": max(
            int(np.abs(prediction.steps[when] - result.steps[when]).max())
            for when in ("first_input", "last_input", "output")
        ),
        "bytes": prediction.memory["bytes"] - result.memory["bytes"],
        "bursts": prediction.memory["bursts"] - result.memory["bursts"],
        "output beats": int(prediction.steps["outputs"].sum()) - len(result.outputs),
        "hazards": prediction.totals["hazards"] - lost["hazard"],
        "drains": prediction.totals["drains"] - lost["drain"],
    }


@pytest.mark.parametrize("config", CORES, ids=name)
def test_is_what_the_rtl_does(config, request):
    for number, (mode, prediction, result) in enumerate(runs(config, request.config.getoption("--seed"))):
        assert not any(errors(config, prediction, result).values()), (number, mode, errors(config, prediction, result))
        events = result.steps["events"].sum()
        assert prediction.totals["events"] == events
        assert sum(prediction.split.values()) == prediction.cycles
        if config.streamed:
            assert prediction.steps["beats"].sum() * 16 == prediction.memory["bytes"]
            assert prediction.totals["beats"] * 16 == prediction.memory["bytes"]
    assert prediction.cycles > LONG_CYCLES


# Parts, on a core of one lane or two, by hand.

LANE = CoreConfig(lanes=1, cell_units=1, rows=64, entries=8192, sources=128, layers=2)
STREAM = dataclasses.replace(LANE, gap_bits=5, lists=128)


def one_list(weights, *, units=32):
    """Return a network with one input, whose weights to gx of the units are given, and silent units."""
    kernel = np.zeros((1, 3 * units), np.int8)
    kernel[0, 2 * units :][: len(weights)] = weights
    layer = FixedLayer(
        kernel, np.zeros((units, 3 * units), np.int8), np.zeros((4, units), np.int32),
        np.full(units, (1 << 15) - 1, np.int16), (-12, -12, -12, -12),
    )  # fmt: skip
    return FixedNetwork((layer,), None, weight_bits=8, y_bits=8, input_bits=9, input_exponent=-8)


def output_of(config, network, **setup):
    """Return the cycle of the only output."""
    model = CycleModel(config, config.compile(network), **setup)
    return int(model.predict(Activity.sparse(network, [0], [0], [True])).steps["output"][0])


def test_an_entry_is_a_cycle():
    at = [output_of(LANE, one_list([1] * count)) for count in range(1, 8)]
    assert np.diff(at).tolist() == [1] * 6


def test_slots_of_a_dense_beat_are_walked_up_to_the_last_that_is_not_0():
    """A dense list of 96 places, z, r and gx of each unit: what is behind the last weight of a beat costs nothing."""
    network = one_list([1] * 32)
    kernel = np.ones((1, 96), np.int8)
    full = dataclasses.replace(network, layers=(dataclasses.replace(network.layers[0], kernel=kernel),))
    emptier = kernel.copy()
    emptier[0, [31, 63, 95]] = 0  # of the last unit
    holes = kernel.copy()
    holes[0, [10, 42, 74]] = 0
    at = {}
    for key, each in (("full", kernel), ("end", emptier), ("holes", holes)):
        network = dataclasses.replace(full, layers=(dataclasses.replace(full.layers[0], kernel=each),))
        assert STREAM.compile(network).lists.format.dense_inputs
        at[key] = output_of(STREAM, network)
    assert at["full"] == at["holes"] > at["end"]


def test_a_latency_of_memory_is_waited_for_once():
    network = one_list([1] * 32)
    at = [output_of(STREAM, network, memory=ideal(latency)) for latency in (1, 2, 50)]
    assert np.diff(at).tolist() == [1, 48]


def test_two_lists_to_one_sum_meet():
    """Lists of one entry each, for the same sum: each waits until the sum of the one before is in memory."""
    layer = one_list([1]).layers[0]
    kernel = np.repeat(layer.kernel, 6, axis=0)
    network = dataclasses.replace(one_list([1]), layers=(dataclasses.replace(layer, kernel=kernel),))
    model = CycleModel(LANE, LANE.compile(network))
    prediction = model.predict(Activity.sparse(network, [0] * 6, range(6), [True]))
    assert prediction.totals["hazards"] == 5 * 4
    forwarding = dataclasses.replace(LANE, forwarding=True)
    model = CycleModel(forwarding, forwarding.compile(network))
    assert model.predict(Activity.sparse(network, [0] * 6, range(6), [True])).totals["hazards"] == 0


def test_argmax_only_sends_one_beat_and_changes_no_cycle():
    rng = np.random.default_rng(1)
    network = random_fixed_network(rng, inputs=20, layers=[30], outputs=40, weight_density=0.3)
    config = CoreConfig.fitting(network, 4, streamed=True)
    model = CycleModel(config, config.compile(network))
    activity = record(network, [random_inputs(rng, network, 4, 1, 0.3)[:, 0]])
    every, best = (model.predict(activity, argmax_only=argmax) for argmax in (False, True))
    assert every.steps["outputs"].tolist() == [40] * 4 and best.steps["outputs"].tolist() == [1] * 4
    assert (every.steps["output"] == best.steps["output"]).all() and every.cycles == best.cycles


# Activity, and what is refused.


def test_sparse_and_dense_activity_are_the_same():
    rng = np.random.default_rng(2)
    network = random_fixed_network(rng, inputs=9, layers=[5, 7], outputs=None, weight_density=0.5)
    groups = [rng.random((4, size)) < 0.5 for size in (9, 5, 7)]
    step, source = np.nonzero(np.hstack(groups))
    order = rng.permutation(len(step))
    ending = [False, True, False, True]
    dense, sparse = (
        Activity.dense(network, groups, ending), Activity.sparse(network, step[order], source[order], ending)
    )  # fmt: skip
    assert (dense.offsets == sparse.offsets).all() and (dense.sources == sparse.sources).all()
    assert dense.steps == 4 and dense.offsets[-1] == len(step)


@pytest.mark.parametrize(
    ("steps", "sources", "message"),
    [
        ([0, 3], [0, 1], "an event has step 3; there are 3"),
        ([0, 1], [0, 33], "an event has source 33; there are 33"),
        ([1, 1], [5, 5], "source 5 has two events at step 1"),
        ([1, 1], [5], "sources are (1,); steps and sources must both be (events,)"),
    ],
)
def test_events_that_cannot_be(steps, sources, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Activity.sparse(one_list([1]), steps, sources, [False, False, True])


def test_what_is_refused():
    network = one_list([1])
    compiled = LANE.compile(network)
    with pytest.raises(ValueError, match="^compiled is a Compiled; the core's lists are in external memory$"):
        CycleModel(STREAM, compiled)
    with pytest.raises(ValueError, match=r"^config.compact is True; there is no cycle model of compact cores$"):
        CycleModel(CoreConfig(lanes=1, cell_units=1, compact=True, counters=False, entries=12288), compiled)
    model = CycleModel(LANE, compiled)
    with pytest.raises(ValueError, match="^mode is 'isolated'; it must be one of stream, stepwise$"):
        model.predict(Activity.sparse(network, [0], [0], [True]), mode="isolated")
    other = random_fixed_network(np.random.default_rng(0), inputs=1, layers=[2, 2], outputs=None, weight_density=1.0)
    message = "the activity has 3 groups of events; 1 steps of this network have 2"
    with pytest.raises(ValueError, match=f"^{message}$"):
        model.predict(Activity.sparse(other, [0], [0], [True]))


def test_command(capsys):
    small = ["--inputs", "40", "--layers", "30", "--outputs", "20", "--lanes", "4", "--steps", "3"]
    assert command(small) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("a step, mean", "port busy", "time: memory", "time: layer 0"))
    assert command([*small, "--on-chip", "--mode", "stepwise", "--one-input"]) == 0
    assert "port busy" not in capsys.readouterr().out
    assert command(["--lanes", "3", "--cell-units", "2"]) == 2
    assert capsys.readouterr().err == "sim.cycle_model: cell_units is 2; it must divide lanes, which is 3\n"


def main():
    kinds = ("cycles", "worst step", "bytes", "bursts", "output beats", "hazards", "drains")
    print("| core | runs | steps | cycles | longest |", *(f"{kind} |" for kind in kinds))
    print("|---|" + "---:|" * (4 + len(kinds)))
    for config in CORES:
        found, cycles, steps = dict.fromkeys(kinds, 0), [], 0
        for _, prediction, result in runs(config, 1):
            for kind, error in errors(config, prediction, result).items():
                found[kind] = max(found[kind], abs(error))
            cycles.append(prediction.cycles)
            steps += len(prediction.steps)
        figures = (len(cycles), steps, f"{sum(cycles):,}", f"{max(cycles):,}", *found.values())
        print("|", name(config), "|", *(f"{figure} |" for figure in figures), flush=True)


if __name__ == "__main__":
    main()

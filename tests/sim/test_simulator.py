"""The core's Verilog against the oracle: every unit, every step, every count."""

import dataclasses
import re
import resource

import numpy as np
import pytest

from golden.fanout import compile
from golden.reference import run
from hw.config import CoreConfig
from sim import simulator
from sim.report import compare
from sim.simulator import Simulator
from sim.verilate import SimulationError
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(lanes=4, cell_units=2, rows=32, entries=2048, sources=256, layers=4, acc_bits=26)
SIMULATOR = Simulator(CONFIG)


def draw(seed, steps=5, batch=3, activity=0.5, **shape):
    """Return a network, its image for CONFIG, inputs (time, batch, I) and the oracle's trace."""
    rng = np.random.default_rng(seed)
    network = random_fixed_network(rng, **{"weight_density": 0.3, **shape})
    inputs = random_inputs(rng, network, steps, batch, activity)
    return network, compile(network, CONFIG.capacity).words, inputs, run(network, inputs)


def sequences(inputs):
    return [inputs[:, b] for b in range(inputs.shape[1])]


NETWORKS = {
    "one layer": {"inputs": 6, "layers": [20], "outputs": 3},
    "no readout": {"inputs": 6, "layers": [20], "outputs": None},
    "three layers": {"inputs": 5, "layers": [9, 14, 6], "outputs": 4},
    "one unit": {"inputs": 1, "layers": [1], "outputs": None, "weight_density": 1.0},
    "dense": {"inputs": 12, "layers": [24], "outputs": 10, "weight_density": 1.0},
    "no weights": {"inputs": 4, "layers": [7, 5], "outputs": 2, "weight_density": 0.0},
    "extremes": {"inputs": 8, "layers": [16], "outputs": 2, "weight_density": 1.0, "extremes": True},
    "four-bit weights": {"inputs": 8, "layers": [16], "outputs": 2, "weight_bits": 4},
}


@pytest.mark.parametrize("mode", ["stream", "stepwise"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_unit_and_count(name, mode):
    network, image, inputs, trace = draw(1, **NETWORKS[name])
    result = SIMULATOR.run(image, sequences(inputs), mode=mode, trace_updates=True)
    comparison = compare(network, trace, inputs, result)
    assert comparison.first == ()
    assert comparison.exact
    assert comparison.updates == 15 * sum(NETWORKS[name]["layers"])
    assert result.error.name == "NONE"


@pytest.mark.parametrize(
    ("table", "field", "differences", "message"),
    [
        ("updates", "h", (1, 0, 0), "unit [0-9]+: h, fires, y .*, expected "),
        ("updates", "y", (1, 0, 0), "unit [0-9]+: h, fires, y .*, expected "),
        ("updates", "source", (15, 0, 0), "unit [0-9]+: h, fires, y .*, expected "),
        ("outputs", "value", (0, 1, 0), "output [0-9]: .*, expected "),
        ("steps", "events", (0, 0, 1), "events: .*, expected "),
        ("steps", "macs", (0, 0, 1), "macs: .*, expected "),
    ],
)
def test_a_difference_is_counted_and_described(table, field, differences, message):
    network, image, inputs, trace = draw(1, **NETWORKS["one layer"])
    result = SIMULATOR.run(image, sequences(inputs), trace_updates=True)
    wrong = getattr(result, table).copy()
    last_unit = np.flatnonzero(result.updates["source"] == result.updates["source"].max())[-1]
    wrong[field][last_unit if field == "source" else len(wrong) // 2] += 1
    comparison = compare(network, trace, inputs, dataclasses.replace(result, **{table: wrong}))
    counted = comparison.update_differences, comparison.output_differences, comparison.count_differences
    assert counted == differences
    assert not comparison.exact
    assert len(comparison.first) == 1
    assert re.search(message, comparison.first[0])


def test_a_missing_update_is_a_difference():
    network, image, inputs, trace = draw(1, **NETWORKS["one layer"])
    result = SIMULATOR.run(image, sequences(inputs), trace_updates=True)
    comparison = compare(network, trace, inputs, dataclasses.replace(result, updates=result.updates[1:]))
    assert comparison.update_differences == comparison.updates == 300
    assert comparison.first == ("299 unit updates, 300 expected",)


@pytest.mark.parametrize("stalls", [{"input_stall": 0.95}, {"output_stall": 0.7}, {"output_stall": [1] * 1000 + [0]}])
def test_stalls_change_nothing_but_time(stalls):
    network, image, inputs, trace = draw(2, **NETWORKS["three layers"])
    free = SIMULATOR.run(image, sequences(inputs))
    stalled = SIMULATOR.run(image, sequences(inputs), trace_updates=True, **stalls)
    assert compare(network, trace, inputs, stalled).first == ()
    assert stalled.cycles > free.cycles
    assert (stalled.counters["output_stalls"] > 0) == ("output_stall" in stalls)


def test_silent_steps_and_uneven_sequences():
    network, image, inputs, _ = draw(3, **NETWORKS["one layer"])
    uneven = [np.zeros((4, 6), int), inputs[:1, 0], inputs[:, 1]]
    result = SIMULATOR.run(image, uneven, trace_updates=True)
    logits = np.concatenate([run(network, sequence[:, None]).logits[:, 0] for sequence in uneven])
    assert (result.dense_outputs(3) == logits).all()
    assert (result.steps["best"] == logits.argmax(axis=1)).all()
    assert np.flatnonzero(result.outputs["user"]).tolist() == [11, 14, 29]
    assert (np.diff(result.steps["output"]) > 0).all()
    assert (result.steps["first_input"] <= result.steps["last_input"]).all()
    assert (result.steps["last_input"] < result.steps["output"]).all()


def test_stepwise_input_waits_for_the_output():
    _, image, inputs, _ = draw(4, **NETWORKS["one layer"])
    steps = SIMULATOR.run(image, sequences(inputs), mode="stepwise").steps
    assert (steps["first_input"][1:] > steps["output"][:-1]).all()
    steps = SIMULATOR.run(image, sequences(inputs), mode="stream").steps
    assert (steps["first_input"][1:] < steps["output"][:-1]).any()


def test_counters_are_the_sums_of_the_steps():
    _, image, inputs, trace = draw(5, **NETWORKS["three layers"])
    result = SIMULATOR.run(image, sequences(inputs))
    for group in range(CONFIG.groups):
        for name in ("events", "macs"):
            assert result.counters[f"{name}_{group}"] == result.steps[name][:, group].sum()
            assert result.counters[f"step_{name}_{group}"] == result.steps[name][-1, group]
    busy = sum(result.counters[f"lane_{lane}_busy"] for lane in range(CONFIG.lanes))
    assert busy == result.steps["macs"].sum()
    assert result.counters["steps"] == 15
    silent = sum(((f == 1) & (y == 0)).sum() for f, y in zip(trace.fires, trace.y, strict=True))
    assert result.counters["silent_fires"] == silent


def test_progress_is_reported():
    _, image, inputs, _ = draw(6, **NETWORKS["one layer"])
    seen = []
    SIMULATOR.run(image, sequences(inputs) * 500, progress=lambda steps, cycles: seen.append((steps, cycles)))
    assert seen
    assert all(0 <= steps <= 7500 and cycles > 0 for steps, cycles in seen)


def test_seconds_are_the_processor_time_of_the_cycles():
    _, image, inputs, _ = draw(6, **NETWORKS["one layer"])

    def children():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    SIMULATOR.run(image, sequences(inputs))  # compiles
    begin = children()
    result = SIMULATOR.run(image, sequences(inputs) * 300)
    spent = children() - begin
    assert 0.5 * spent < result.seconds < spent
    assert result.speed == result.cycles / result.seconds


def test_a_hang_is_an_error(monkeypatch):
    monkeypatch.setattr(simulator, "PATIENCE", 2000)
    _, image, inputs, _ = draw(7, **NETWORKS["one layer"])
    with pytest.raises(SimulationError, match=r"the core hangs: nothing moved for 2,000 cycles, .* 0 of 15 steps out"):
        SIMULATOR.run(image, sequences(inputs), output_stall=[True])


def test_the_limit_of_cycles_is_an_error():
    _, image, inputs, _ = draw(7, **NETWORKS["one layer"])
    with pytest.raises(SimulationError, match="the limit of cycles was reached, after 20 cycles"):
        SIMULATOR.run(image, sequences(inputs), max_cycles=19)


def test_a_damaged_image_is_an_error():
    _, image, inputs, _ = draw(8, **NETWORKS["one layer"])
    image = image.copy()
    image[-20] ^= 4
    with pytest.raises(SimulationError, match="the core did not accept the image: error LOAD_CHECKSUM"):
        SIMULATOR.run(image, sequences(inputs))


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (np.zeros((2, 6)), r"sequence 0 is float64 \(2, 6\); it must be integers \(steps, inputs\)"),
        (np.zeros((0, 6), int), r"sequence 0 is int64 \(0, 6\); it must be integers \(steps, inputs\)"),
        (np.full((1, 6), 256), r"sequence 0 has values outside \[-256, 255\], which the core takes"),
    ],
)
def test_bad_sequences(sequence, message):
    with pytest.raises(ValueError, match=message):
        SIMULATOR.run(np.zeros(1, np.uint32), [sequence])


def test_bad_arguments():
    with pytest.raises(ValueError, match="mode is 'fast'; it must be one of stream, stepwise, isolated"):
        SIMULATOR.run(np.zeros(1, np.uint32), [np.zeros((1, 6), int)], mode="fast")
    with pytest.raises(
        ValueError, match="stall is 1.0; as a share of the cycles it must be at least 0 and less than 1"
    ):
        SIMULATOR.run(np.zeros(1, np.uint32), [np.zeros((1, 6), int)], input_stall=1.0)

"""The core, case by case, with cocotb: what random networks seldom meet, and everything a host may do between steps."""

import random
from dataclasses import replace

import cocotb
import numpy as np
import pytest

from golden import fixed
from golden.network import FixedLayer, FixedNetwork, FixedReadout
from golden.reference import Oracle
from hw.core import Core
from hw.errors import Error
from hw.event import NULL_INDEX, RESTORE_FLAG
from hw.load_bus import LoadKind
from tests.hw.bench import wait_until
from tests.hw.core_bench import CONFIGS, SETTLE, CoreBench, beat, beats
from tests.hw.oracle import draw_case, expect
from tests.networks import random_fixed_network, random_inputs

ONE = 1 << fixed.PRE_FRACTION  #: a sum of 1.0 where the exponents are EXPONENTS
EXPONENTS = (-fixed.PRE_FRACTION,) * 4


def rng():
    return np.random.default_rng(random.getrandbits(32))


def draw_network(config, *, layers=(9, 7), outputs=5, inputs=6, density=0.4, **options):
    return random_fixed_network(
        rng(), inputs=inputs, layers=list(layers), outputs=outputs, weight_density=density,
        weight_bits=config.weight_bits, y_bits=config.y_bits, input_bits=config.value_bits, **options,
    )  # fmt: skip


def draw_inputs(network, steps, activity=0.5):
    return random_inputs(rng(), network, steps, 1, activity)[:, 0]


def craft(config, kernel, bias, *, recurrent=None, threshold=0, readout=None):
    """Return a network of one layer: kernel (inputs, 3H), bias (4, H), one threshold for all units."""
    kernel, bias = np.asarray(kernel, np.int8), np.asarray(bias, np.int32)
    units = bias.shape[1]
    layer = FixedLayer(
        kernel,
        np.zeros((units, 3 * units), np.int8) if recurrent is None else recurrent,
        bias,
        np.full(units, threshold, np.int16),
        EXPONENTS,
    )
    return FixedNetwork(
        (layer,), readout, weight_bits=config.weight_bits, y_bits=config.y_bits, input_bits=9, input_exponent=-8
    )


async def begin(dut, network=None, **stalls):
    """Start a bench; load a network if one is given, made of its configuration."""
    bench = CoreBench(dut, **stalls)
    await bench.start()
    if network is None:
        return bench
    compiled = bench.config.compile(network(bench.config))
    await bench.load(compiled)
    return bench, compiled.network, compiled


@cocotb.test()
@cocotb.parametrize(input_stall=(0.0, 0.7), output_stall=(0.0, 0.7), number=(0, 1, 2))
async def random_networks(dut, input_stall, output_stall, number):
    """Loaded one after the other without a reset, with gaps between the words."""
    bench = await begin(dut, input_stall=input_stall, output_stall=output_stall)
    for _ in range(2):
        case = draw_case(rng(), bench.config, units_max=20, steps_max=3, sequences=3)
        await bench.load(case.compiled, gaps=0.3 * number)
        steps = expect(case.network, case.sequences)
        await bench.run(case.sequences, steps)
        counters = await bench.counters()
        if not counters:
            continue
        assert counters["steps"] == len(steps)
        assert counters["silent_fires"] == sum(step.silent_fires for step in steps)
        for group in range(1 + len(case.network.layers)):
            assert counters[f"macs_{group}"] == sum(step.macs[group] for step in steps)
            assert counters[f"events_{group}"] == sum(step.events[group] for step in steps)


@cocotb.test()
async def silent_and_full_steps(dut):
    """No input at all, every input, the same again; null beats and events of value 0 alone."""
    bench, network, _ = await begin(dut, draw_network)
    full = draw_inputs(network, 1, activity=1.0)
    silent = np.zeros_like(full)
    sequence = np.concatenate([silent, silent, full, full, silent, full, silent])
    assert (sequence[2] != 0).all()
    await bench.run([sequence], expect(network, [sequence]))


@cocotb.test()
async def every_unit_fires_at_every_step(dut):
    def build(config):
        units = 12
        recurrent = np.ones((units, 3 * units), np.int8)
        bias = [[2 * ONE] * units, [-ONE] * units, [0] * units, [0] * units]
        readout = FixedReadout(np.ones((units, 4), np.int8), np.arange(4, dtype=np.int32), 0)
        return craft(config, np.ones((3, 3 * units)), bias, recurrent=recurrent, readout=readout)

    bench, network, _ = await begin(dut, build)
    sequence = np.full((5, 3), 200)
    steps = expect(network, [sequence])
    assert all(fires and y for step in steps for _, fires, y in step.units[0].values())
    await bench.run([sequence], steps)


@cocotb.test()
async def empty_lists(dut):
    """Without weights events still count, and biases alone move the units."""
    bench, network, _ = await begin(dut, lambda config: draw_network(config, density=0.0))
    sequence = draw_inputs(network, 4, activity=1.0)
    steps = expect(network, [sequence])
    assert all(sum(step.macs) == 0 and sum(step.events) for step in steps)
    await bench.run([sequence], steps)


@cocotb.test()
async def a_state_equal_to_its_threshold_does_not_fire(dut):
    """Thresholds at the very c of the first step, one below and one above."""

    def build(config):
        network = draw_network(config, layers=(24,), outputs=None)
        build.inputs = draw_inputs(network, 1)
        layer = network.layers[0]
        never = replace(layer, threshold=np.full(24, fixed.STATE_MAX, np.int16))
        c = Oracle(replace(network, layers=(never,))).run(build.inputs[:, None]).h[0][0, 0]
        build.equal = np.flatnonzero((np.arange(24) % 3 == 0) & (c > 0))
        threshold = np.clip(c + np.arange(24) % 3 * np.array([1, -1, 1] * 8), 0, fixed.STATE_MAX)
        threshold = np.where(np.arange(24) % 3 == 1, np.maximum(c - 1, 0), threshold)
        return replace(network, layers=(replace(layer, threshold=threshold.astype(np.int16)),))

    bench, network, _ = await begin(dut, build)
    steps = expect(network, [build.inputs])
    fires = [unit[1] for unit in steps[0].units[0].values()]
    assert len(build.equal) and not any(fires[unit] for unit in build.equal) and any(fires)
    await bench.run([build.inputs], steps)


@cocotb.test()
async def one_target_back_to_back(dut):
    """Lists of one entry each, all to one sum."""

    def build(config):
        kernel = np.zeros((30, 3), np.int8)
        kernel[:, 2] = 3
        return craft(config, kernel, [[5], [0], [0], [0]])

    bench, network, _ = await begin(dut, build)
    sequence = np.arange(1, 61).reshape(2, 30)
    await bench.run([sequence], expect(network, [sequence]))
    if not (counters := await bench.counters()):
        return
    waits = sum(counters[f"lane_{lane}_hazard"] for lane in range(bench.config.lanes))
    each = 2 if bench.config.streamed else 3  # lists in external memory come a cycle further apart
    assert waits == 0 if bench.config.forwarding else waits > 2 * each * 25


@cocotb.test()
async def largest_magnitudes_everywhere(dut):
    """Inputs, weights and sums at their limits, of one sign and of both."""
    bench, network, _ = await begin(dut, lambda config: draw_network(config, density=1.0, extremes=True))
    low, high = -(1 << network.input_bits - 1), (1 << network.input_bits - 1) - 1
    shape = 3, network.inputs
    sequences = [np.full(shape, low), np.full(shape, high), rng().choice([low, high], shape)]
    await bench.run(sequences, expect(network, sequences))


@cocotb.test()
async def a_fire_whose_value_rounds_to_nothing(dut):
    """The unit resets and is counted as a silent fire; no event leaves it, though its neighbours' do."""

    def build(config):
        tiny = 1 if config.y_bits > 10 else 2
        bias = [[tiny, ONE, tiny, -ONE], [-8 * ONE] * 4, [0] * 4, [0] * 4]
        return craft(config, np.ones((2, 12)), bias, recurrent=np.ones((4, 12), np.int8))

    bench, network, _ = await begin(dut, build)
    sequence = np.zeros((2, 2), int)
    steps = expect(network, [sequence])
    tiny = [steps[0].units[0][2 + unit] for unit in (0, 2)]
    silent = bench.config.y_bits < 13
    assert all(fires and (y == 0) == silent for _, fires, y in tiny)
    await bench.run([sequence], steps)
    if counters := await bench.counters():
        assert counters["silent_fires"] == sum(step.silent_fires for step in steps)


@cocotb.test()
@cocotb.parametrize(after=(0, 1, 2, 3, 7, 9, 17, 32, 38, 40, 80, 150))
async def reset_in_mid_step(dut, after):
    """Whatever was under way leaves no trace in the next run."""
    bench, network, _ = await begin(dut, draw_network)
    sequence = draw_inputs(network, 3, activity=0.9)
    steps = expect(network, [sequence])
    bench.source.send(*beats(sequence)[:-1])
    await bench.source.wait()
    for _ in range(after):
        await bench.pins.cycle()
    await bench.reset()
    await bench.wait_idle()
    assert bench.pins.get("loaded") and not bench.sink.received
    await bench.run([sequence], steps)
    if counters := await bench.counters():
        assert counters["steps"] == len(steps)


@cocotb.test()
async def output_held_back_for_a_thousand_cycles(dut):
    """Everything waits, nothing is lost, and the stall is counted."""
    bench, network, _ = await begin(dut, draw_network)
    sequences = [draw_inputs(network, 6) for _ in range(2)]
    steps = expect(network, sequences)
    for sequence in sequences:
        bench.source.send(*beats(sequence))
    await wait_until(dut.clk, lambda: len(bench.sink.received) > 4)
    bench.sink.stall = 1.0
    for _ in range(1000):
        await bench.pins.cycle()
    assert not bench.pins.get("idle") and not bench.source.sent_all
    bench.sink.stall = 0.0
    await bench.finish(steps)
    if counters := await bench.counters():
        assert counters["output_stalls"] > 700


@cocotb.test()
@cocotb.parametrize(reset=(False, True))
async def a_restored_state_continues_a_sequence(dut, reset):
    """States read after some steps and written back later, with another sequence in between, go on from there."""
    bench, network, compiled = await begin(dut, draw_network)
    sequence, other = draw_inputs(network, 6), draw_inputs(network, 2)
    steps = expect(network, [sequence])
    await bench.run([sequence[:3]], steps[:3], ends=False)
    states = await bench.read_states(compiled)
    values = {source: unit for layer in steps[2].units for source, unit in layer.items()}
    exp = {source: (h, fires) for source, (h, fires, _) in values.items()}
    assert states == exp

    await bench.reset()  # the sequence has not ended
    await bench.run([other], expect(network, [other]))
    if reset:
        await bench.reset()
        await bench.wait_idle()
    await bench.restore(
        compiled, {source: h for source, (h, _) in states.items()}, {source: y for source, (_, _, y) in values.items()}
    )
    await bench.run([sequence[3:]], steps[3:])
    await bench.run([sequence], steps)  # and the next one starts from 0
    assert bench.error() == Error.NONE


@cocotb.test()
@cocotb.parametrize(outputs=(5, None))
async def only_the_largest_value(dut, outputs):
    bench, network, _ = await begin(dut, lambda config: draw_network(config, outputs=outputs))
    bench.pins.set(argmax_only=1)
    sequence = draw_inputs(network, 8)
    steps = expect(network, [sequence])
    best = [dict([step.best]) if step.best else {} for step in steps]
    await bench.run([sequence], [replace(step, outputs=only) for step, only in zip(steps, best, strict=True)])
    assert bench.pins.get("best_valid") == bool(steps[-1].best)
    if steps[-1].best:
        assert (bench.pins.get("best_index"), bench.pins.get("best_value")) == steps[-1].best


@cocotb.test()
async def sequences_back_to_back(dut):
    """The state is 0 again after each, and a sequence that was cut off by none goes on."""
    bench, network, _ = await begin(dut, draw_network)
    sequences = [draw_inputs(network, steps) for steps in (1, 1, 3, 1, 2)]
    await bench.run(sequences, expect(network, sequences))
    whole = draw_inputs(network, 4)
    steps = expect(network, [whole])
    await bench.run([whole[:1]], steps[:1], ends=False)
    await bench.run([whole[1:3]], steps[1:3], ends=False)
    await bench.run([whole[3:]], steps[3:])


@cocotb.test()
async def input_that_is_wrong_is_reported_and_dropped(dut):
    """The first error is kept; the step goes on without the event."""
    bench = await begin(dut)
    bench.source.send(beat(3, 1))
    await bench.source.wait()
    for _ in range(SETTLE):
        await bench.pins.cycle()
    assert (bench.error(), bench.pins.get("detail")) == (Error.NOT_LOADED, 3)
    await bench.pins.cycle(clear_error=1)
    await bench.pins.cycle(clear_error=0)

    network = draw_network(bench.config)
    await bench.load(bench.config.compile(network))
    sequence = draw_inputs(network, 2)
    steps = expect(network, [sequence])
    units = sum(layer.units for layer in network.layers)
    wrong = [network.inputs, network.inputs + 50, NULL_INDEX - 1, RESTORE_FLAG, RESTORE_FLAG | network.inputs + units]
    for index in wrong:
        good = beats(sequence)
        bench.source.send(beat(index, 7), *good)
        await bench.finish(steps)
        assert (bench.error(), bench.pins.get("detail")) == (Error.INDEX, index)
        bench.source.send(beat(network.inputs + 1, 7), *good)
        await bench.finish(steps)
        assert bench.pins.get("detail") == index
        await bench.pins.cycle(clear_error=1)
        await bench.pins.cycle(clear_error=0)


@cocotb.test()
@cocotb.parametrize(port=("stream", "load"))
async def a_state_written_in_mid_step_is_refused(dut, port):
    """The step is not disturbed."""
    bench, network, _ = await begin(dut, draw_network)
    sequence = draw_inputs(network, 2)
    steps = expect(network, [sequence])
    good = beats(sequence)
    first = next(at for at, item in enumerate(good) if item["last"]) + 1
    bench.source.send(*good[:first])
    if port == "stream":
        detail = RESTORE_FLAG | network.inputs
        bench.source.send(beat(detail, 100))
    else:
        await bench.source.wait()
        detail = LoadKind.STATE.value << 24 | 1
        await bench.write([detail, 0, 100])
    bench.source.send(*good[first:])
    await bench.finish(steps)
    assert (bench.error(), bench.pins.get("detail")) == (Error.BUSY, detail)


@cocotb.test()
@cocotb.parametrize(outputs=(5, None), output_stall=(0.0, 0.9))
async def is_idle_only_when_everything_is_out(dut, outputs, output_stall):
    bench, network, _ = await begin(
        dut, lambda config: draw_network(config, outputs=outputs), output_stall=output_stall
    )
    sequence = draw_inputs(network, 4)
    units = sum(layer.units for layer in network.layers)
    for t in range(len(sequence)):
        bench.source.send(*beats(sequence[t : t + 1], ends=False))
        await bench.source.wait()
        for _ in range(8):  # ``idle`` tells of a beat some cycles after it was taken
            await bench.pins.cycle()
        while not bench.pins.get("idle"):
            await bench.pins.cycle()
        assert len(bench.updates) == (t + 1) * units
        assert sum(item.last for item in bench.sink.received) == t + 1
        for _ in range(100):
            await bench.pins.cycle()
            assert bench.pins.get("idle")


@cocotb.test()
async def counters_start_again_when_cleared(dut):
    bench, network, _ = await begin(dut, draw_network)
    sequence = draw_inputs(network, 3)
    steps = expect(network, [sequence])
    await bench.run([sequence], steps)
    await bench.pins.cycle(clear_counters=1)
    await bench.pins.cycle(clear_counters=0)
    if not (cleared := await bench.counters()):
        return
    assert not any(value for name, value in cleared.items() if name != "cycles")
    assert cleared["cycles"] < 2 * len(cleared)
    await bench.run([sequence], steps)
    counters = await bench.counters()
    assert counters["steps"] == len(steps) and counters["macs_0"] == sum(step.macs[0] for step in steps)


@pytest.mark.parametrize("name", CONFIGS)
def test_core(simulate, name):
    simulate(Core(CONFIGS[name]), parameters={"config": name})

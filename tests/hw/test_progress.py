"""Progress: closes each input and layer once all lanes have passed it, in order, whatever their order."""

import random

import cocotb
import pytest

from hw.config import CoreConfig
from hw.progress import Progress
from tests.hw.bench import start
from tests.hw.pins import Pins

LATENCY = {3: 3, 36: 4}  #: by the number of lanes


def config_of(lanes):
    return CoreConfig(lanes=lanes, cell_units=1, rows=4, entries=16, sources=16, layers=4)


def setting():
    """Return the configuration under test, and the latency."""
    lanes = int(cocotb.plusargs["lanes"])
    return config_of(lanes), LATENCY[lanes]


@cocotb.test()
@cocotb.parametrize(egru_count=(1, 2, 4))
async def closes_what_all_lanes_have_passed(dut, egru_count):
    """A model of what the rest of the core allows: at most two inputs and one step's layers are open."""
    config, latency = setting()
    pins = Pins(dut, Progress(config))
    await start(dut)
    pins.set(egru_count=egru_count)
    modulo = {"inputs": 4, "layers": 1 << config.marker_bits}
    sent = dict.fromkeys(modulo, 0)
    closed = dict.fromkeys(modulo, 0)
    passed = [dict.fromkeys(modulo, 0) for _ in range(config.lanes)]
    due = {name: [] for name in modulo}  # cycles at which the slowest lane passed each marker
    open_limit = {"inputs": 2, "layers": egru_count}
    steps_out, idle_cycles, settled = 0, 0, True
    for cycle in range(3000):
        ends = {name: sent[name] - closed[name] < open_limit[name] and random.random() < 0.1 for name in modulo}
        ends["inputs"] &= sent["inputs"] - steps_out < 2
        ends["layers"] &= sent["layers"] < egru_count * sent["inputs"]
        step_end = steps_out < sent["layers"] // egru_count and random.random() < 0.1
        lanes = {
            f"lanes__{lane}": {name: count % modulo[name] for name, count in counts.items()}
            for lane, counts in enumerate(passed)
        }
        await pins.cycle(input_end=ends["inputs"], layer_end=ends["layers"], step_end=step_end, **lanes)
        for name in modulo:
            slowest = min(counts[name] for counts in passed)
            due[name] += [cycle] * (slowest - len(due[name]))
        for name, port in (("inputs", "input_closed"), ("layers", "layer_closed")):
            if pins.get(port):
                assert len(due[name]) > closed[name], f"{name} closed before all lanes passed"
                if name == "layers":
                    layer = closed[name] % egru_count
                    assert (pins.get("layer"), pins.get("last_layer")) == (layer, layer == egru_count - 1)
                closed[name] += 1
            # One that has waited longer than the latency, and for none before it, must have closed.
            assert len(due[name]) <= closed[name] or cycle - due[name][closed[name]] < latency * open_limit[name]
        # ``idle`` tells of the cycle before.
        assert not pins.get("idle") or settled
        idle_cycles += pins.get("idle")
        settled = sent == closed and sent["inputs"] == steps_out and not step_end and not any(ends.values())
        steps_out += step_end
        for name in modulo:
            sent[name] += ends[name]
        for counts in passed:
            for name in modulo:
                if counts[name] < sent[name] and random.random() < 0.2:
                    counts[name] += 1
    assert closed["inputs"] > 20 and closed["layers"] > 20 and idle_cycles


@cocotb.test()
async def is_idle_when_everything_sent_has_passed_and_is_out(dut):
    config, latency = setting()
    pins = Pins(dut, Progress(config))
    await start(dut)
    pins.set(egru_count=1)
    for _ in range(latency + 1):
        await pins.cycle()
    assert pins.get("idle")
    await pins.cycle(input_end=1)
    await pins.cycle(input_end=0)
    assert not pins.get("idle")
    for lane in range(config.lanes):
        for _ in range(5):
            await pins.cycle()
            assert not pins.get("idle") and not pins.get("input_closed")
        pins.set(**{f"lanes__{lane}": {"inputs": 1, "layers": 0}})
    closed = []
    for _ in range(8):
        await pins.cycle()
        closed.append(pins.get("input_closed"))
    assert closed == [int(cycle == latency - 1) for cycle in range(8)] and not pins.get("idle")
    await pins.cycle(step_end=1)
    await pins.cycle(step_end=0)
    assert not pins.get("idle")
    await pins.cycle()
    assert pins.get("idle")


@pytest.mark.parametrize("lanes", LATENCY)
def test_progress(simulate, lanes):
    simulate(Progress(config_of(lanes)), parameters={"lanes": lanes})

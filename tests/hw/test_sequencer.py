"""Sequencer: which job comes when and what it says, how far the input may run ahead, the first clearing of all sums."""

import random

import cocotb

from hw.config import CoreConfig
from hw.sequencer import Sequencer
from tests.hw.bench import start
from tests.hw.pins import Pins

CONFIG = CoreConfig(lanes=2, cell_units=1, rows=12, entries=64, sources=64, layers=4)
MARKERS = 1 << CONFIG.marker_bits


def network(layers, readout):
    """Return a description of ``layers`` EGRU layers with made-up places, and of a readout after them."""
    count = layers + readout
    places = [{"base": 2 * l, "rows": l + 1, "source": 5 + l, "units": l + 2} for l in range(count)]
    return {
        "inputs": 5, "layer_count": count, "readout": readout, "rows": 9, "output_base": 7, "outputs": 3,
        "layers": places,
    }  # fmt: skip


def expected_job(description, job, endings):
    """Return what the ``job``-th job must say; ``endings``: whether each step ends its sequence."""
    count, readout = description["layer_count"], description["readout"]
    t, layer = divmod(job, count)
    egru = count - readout
    is_readout = bool(readout and layer == count - 1)
    given = t * egru + layer
    place = description["layers"][layer]
    return {
        "base": place["base"], "rows": place["rows"], "bank": (t + layer) & 1, "first_layer": layer == 0,
        "need_inputs": (t + 1) % 4, "need_layers": (given - (egru - 1 if layer == 0 else 0)) % MARKERS,
        "readout": is_readout, "layer": layer, "tag_bank": (t + layer + 1) & 1, "fresh": t == 0 or endings[t - 1],
        "output": not readout and layer == count - 1, "ending": endings[t],
    }  # fmt: skip


def job_fields(job):
    names = ("base", "rows", "bank", "first_layer", "need_inputs", "need_layers")
    tags = ("readout", "layer", "fresh", "output", "ending")
    return {**{n: job[n] for n in names}, **{n: job.tag[n] for n in tags}, "tag_bank": job.tag.bank}


async def sweep(pins):
    """Wait for the end of the sweep; return the rows cleared."""
    cleared = []
    while True:
        await pins.cycle()
        drain = pins.get("sweep")
        if drain.valid:
            assert not pins.get("input_ready") and not pins.get("start")
            cleared.append((drain.bank, drain.row))
        elif cleared:
            return cleared


@cocotb.test()
async def clears_every_sum_first(dut):
    pins = Pins(dut, Sequencer(CONFIG))
    pins.set(network=network(1, 0))
    await start(dut)
    cleared = await sweep(pins)
    assert sorted(cleared) == [(bank, row) for bank in range(2) for row in range(CONFIG.rows)]


@cocotb.test()
@cocotb.parametrize(layers=(1, 2, 3), readout=(0, 1))
async def gives_the_jobs_of_each_step_in_order(dut, layers, readout):
    """A rest of the core that takes any time: input as far ahead as it may, jobs granted, ends of layers broadcast."""
    pins = Pins(dut, Sequencer(CONFIG))
    description = network(layers, readout)
    pins.set(network=description)
    await start(dut)
    await sweep(pins)
    count = layers + readout
    steps = 20
    endings = [random.random() < 0.4 for _ in range(steps + 3)]
    inputs_ended = jobs_done = layers_ended = since_start = 0
    allowed, just_ended = True, False
    while jobs_done < steps * count:
        step, layer = divmod(jobs_done, count)
        # A job is done only after the input that it needs; an end of a layer is broadcast after its job was done.
        done = inputs_ended > step and random.random() < 0.3
        egru_done = step * layers + min(layer, layers)
        layer_end = layers_ended < egru_done and random.random() < 0.3
        input_end = allowed and not just_ended and random.random() < 0.2
        await pins.cycle(cells_idle=done, layer_end=layer_end, input_end=input_end, input_ending=endings[inputs_ended])
        assert pins.get("input_ready") == allowed
        assert pins.get("input_bank") == inputs_ended & 1
        if inputs_ended > step:
            assert not pins.get("between_steps")
        # Cell units seem to be idle for some cycles from the start of a job on.
        since_start = 0 if pins.get("start") else since_start + 1
        if done and since_start >= Sequencer(CONFIG).job_latency:
            assert job_fields(pins.get("job")) == expected_job(description, jobs_done, endings)
            jobs_done += 1
        allowed, just_ended = inputs_ended - layers_ended // layers <= 1, input_end
        inputs_ended, layers_ended = inputs_ended + input_end, layers_ended + layer_end


@cocotb.test()
@cocotb.parametrize(layers=(1, 3))
async def starts_a_job_as_soon_as_the_one_before_can_be_known_to_be_done(dut, layers):
    pins = Pins(dut, Sequencer(CONFIG))
    pins.set(network=network(layers, 1))
    await start(dut)
    await sweep(pins)
    starts = []
    pins.set(input_end=1)
    await pins.cycle()
    pins.set(input_end=0, cells_idle=1)
    for _ in range(20):
        await pins.cycle()
        starts.append(pins.get("start"))
    period = Sequencer(CONFIG).job_latency + 1
    first = starts.index(1)
    assert first < period and [cycle for cycle, starting in enumerate(starts) if starting] == list(
        range(first, 20, period)
    )


@cocotb.test()
async def a_written_state_is_no_fresh_start(dut):
    pins = Pins(dut, Sequencer(CONFIG))
    pins.set(network=network(1, 0))
    await start(dut)
    await sweep(pins)
    await pins.cycle()
    assert pins.get("job").tag.fresh
    await pins.cycle(state_written=1)
    await pins.cycle(state_written=0)
    assert not pins.get("job").tag.fresh
    # The step that follows ends the sequence: the one after it is fresh again.
    await pins.cycle(input_end=1, input_ending=1)
    await pins.cycle(input_end=0, cells_idle=1)
    while not pins.get("start"):
        await pins.cycle()
    await pins.cycle(cells_idle=0)
    assert pins.get("job").tag.fresh


def test_sequencer(simulate):
    simulate(Sequencer(CONFIG))

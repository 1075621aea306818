"""What a core with lists in external memory does where these are not as they should be, and where memory is not."""

import random

import cocotb
import numpy as np
import pytest

from golden.image import Kind, encode
from hw.bus.axi4_read import BEAT_BYTES
from hw.config import LIST_COUNT_BITS
from hw.core import Core
from hw.errors import Error
from tests.hw.core_bench import CONFIGS, LIST_BASE, CoreBench, beats
from tests.hw.oracle import expect
from tests.hw.test_core import draw_inputs, draw_network

NAMES = [name for name, config in CONFIGS.items() if config.streamed]
TIMEOUT = 4096  #: of the read master, in cycles


async def begin(dut, **memory):
    """Return a bench with a network loaded, some input for it, and what comes of that."""
    bench = CoreBench(dut, **memory)
    await bench.start()
    network = draw_network(bench.config, layers=(30, 20), outputs=60, density=0.3)
    compiled = bench.config.compile(network)
    await bench.load(compiled)
    sequence = draw_inputs(network, 3, activity=0.9)
    return bench, compiled, sequence, expect(network, [sequence])


async def meets(bench, sequence, error):
    """Send input; return the detail of the error that the core stops with, and keeps."""
    bench.source.send(*beats(sequence))
    await bench.wait_for(lambda: bench.error() != Error.NONE, timeout=3 * TIMEOUT)
    assert bench.error() == error
    detail = bench.pins.get("detail")
    for _ in range(300):
        await bench.pins.cycle()
    assert (bench.error(), bench.pins.get("detail")) == (error, detail) and not bench.pins.get("idle")
    return detail


async def recovers(bench, sequence, steps):
    """A reset, and all is as if nothing had been."""
    await bench.source.drop()
    await bench.reset()
    await bench.wait_idle()
    assert bench.error() == Error.NONE and bench.pins.get("loaded")
    await bench.run([sequence], steps)
    assert bench.error() == Error.NONE


def list_of(compiled, source):
    """Return the beats of a list."""
    first = int(compiled.lists.first[source])
    return first, first + int(compiled.lists.count[source])


def an_active_input(compiled, sequence):
    """Return an input that has a value at the first step, and a list."""
    return random.choice([
        source for source in np.flatnonzero(sequence[0]).tolist() if compiled.lists.count[source]
    ])  # fmt: skip


@cocotb.test()
async def a_list_outside_the_window(dut):
    """The window ends before the lists do; nothing beyond it is read, which the memory would tell."""
    bench, compiled, sequence, steps = await begin(dut)
    source = an_active_input(compiled, sequence)
    first, _ = list_of(compiled, source)
    size = len(compiled.lists.beats)
    bench.memory.window = range(LIST_BASE, LIST_BASE + first * BEAT_BYTES)
    bench.pins.set(list_size=first)
    detail = await meets(bench, sequence, Error.LIST_RANGE)
    assert first <= detail < size
    bench.memory.window = range(LIST_BASE, LIST_BASE + size * BEAT_BYTES)
    bench.pins.set(list_size=size)
    await recovers(bench, sequence, steps)


@cocotb.test()
@cocotb.parametrize(response=(2, 3))
async def memory_answers_with_an_error(dut, response):
    bench, compiled, sequence, steps = await begin(dut)
    first, end = list_of(compiled, an_active_input(compiled, sequence))
    bad = random.randrange(first, end)

    def spoil(address, transfer):
        return transfer | {"resp": response} if (address - LIST_BASE) // BEAT_BYTES == bad else transfer

    bench.memory.spoil = spoil
    assert await meets(bench, sequence, Error.LIST_READ) == bad
    bench.memory.spoil = lambda address, transfer: transfer
    await recovers(bench, sequence, steps)


@cocotb.test()
async def memory_never_answers(dut):
    """And goes on not to after a first reset; once it does, another reset is enough."""
    bench, compiled, sequence, steps = await begin(dut)
    bench.memory.silent = True
    await meets(bench, sequence, Error.LIST_TIMEOUT)
    await bench.source.drop()
    await bench.reset()
    bench.source.send(*beats(sequence))
    await bench.wait_for(lambda: bench.error() == Error.LIST_TIMEOUT, timeout=3 * TIMEOUT)
    bench.memory.silent = False
    await recovers(bench, sequence, steps)


@cocotb.test()
async def a_beat_for_a_row_that_there_is_not(dut):
    bench, compiled, sequence, steps = await begin(dut)
    first, end = list_of(compiled, an_active_input(compiled, sequence))
    spoilt = compiled.lists.beats.copy()
    lane_bits = (bench.config.lanes - 1).bit_length()
    spoilt[random.randrange(first, end), 0] |= np.uint64(0xFFFF >> 3 + lane_bits << 3 + lane_bits)
    bench.place_lists(spoilt)
    assert await meets(bench, sequence, Error.LIST_TARGET) == first
    bench.place_lists(compiled.lists.beats)
    await recovers(bench, sequence, steps)


@cocotb.test()
async def a_beat_with_both_halves_for_one_lane(dut):
    """No list needs such a beat, and a lane takes one in a cycle."""
    bench, compiled, sequence, steps = await begin(dut)
    first, end = list_of(compiled, an_active_input(compiled, sequence))
    spoilt, beat = compiled.lists.beats.copy(), random.randrange(first, end)
    spoilt[beat] = spoilt[beat, 0] | np.uint64(1)
    bench.place_lists(spoilt)
    assert await meets(bench, sequence, Error.LIST_TARGET) == first
    bench.place_lists(compiled.lists.beats)
    await recovers(bench, sequence, steps)


@cocotb.test()
@cocotb.parametrize(after=(0, 3, 11, 40, 90))
async def a_reset_while_memory_is_slow(dut, after):
    """What it still answers is not taken for what is asked next."""
    bench, _, sequence, steps = await begin(dut, memory_latency=200)
    bench.source.send(*beats(sequence)[:-1])
    await bench.source.wait()
    for _ in range(after):
        await bench.pins.cycle()
    await recovers(bench, sequence, steps)


@cocotb.test()
@cocotb.parametrize(
    wrong=("entry", "lane", "beyond the directory", "many beats", "far address", "beats of inputs", "dense")
)
async def an_image_that_does_not_fit(dut, wrong):
    """It is refused, and the right one is loaded after it."""
    bench, compiled, sequence, steps = await begin(dut)
    words, lists = encode(compiled.image).copy(), bench.config.lists
    error = Error.LOAD_RANGE

    def find(kind):
        at = 0
        while words[at] >> 24 != kind:
            at += 2 + int(words[at] & 0xFFFF)
        return at

    if wrong == "entry":
        words[find(Kind.DIRECTORY)] ^= (Kind.DIRECTORY ^ Kind.ENTRY) << 24
        error = Error.LOAD_KIND
    elif wrong == "lane":
        words[find(Kind.DIRECTORY)] |= 1 << 16
    elif wrong == "beyond the directory":
        words[find(Kind.DIRECTORY) + 1] = lists
    elif wrong == "many beats":
        words[find(Kind.DIRECTORY) + 3] = 1 << LIST_COUNT_BITS
    elif wrong == "far address":
        words[find(Kind.DIRECTORY) + 2] = 1 << 24
    else:
        words[find(Kind.NETWORK) + (8 if wrong == "beats of inputs" else 9)] = 1 << LIST_COUNT_BITS
        error = Error.LOAD_CAPACITY
    await bench.write(words)
    for _ in range(10):
        await bench.pins.cycle()
    assert bench.error() == error and not bench.pins.get("loaded")
    await bench.reset()
    await bench.load(compiled)
    await bench.run([sequence], steps)


@pytest.mark.parametrize("name", NAMES)
def test_core_streamed(simulate, name):
    simulate(Core(CONFIGS[name]), parameters={"config": name})

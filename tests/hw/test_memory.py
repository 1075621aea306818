"""Memory and multiplier of the generic target: latency, enable, exactness."""

import itertools
import random
from collections import deque

import cocotb
from amaranth import Shape, signed, unsigned

from hw.vendor.generic import MEMORY_LATENCY, MULTIPLIER_LATENCY, Multiplier, PipelinedMemory
from tests.hw.bench import start
from tests.hw.pins import Pins, Together

DEPTH = 13
MULTIPLIERS = {
    "lane": (signed(8), signed(17)),
    "narrow": (signed(4), signed(9)),
    "reset": (unsigned(15), signed(18)),
    "segment": (unsigned(11), unsigned(7)),
}


def memory():
    return PipelinedMemory(shape=signed(24), depth=DEPTH)


def parts():
    return Together(memory=memory(), **{name: Multiplier(*shapes) for name, shapes in MULTIPLIERS.items()})


@cocotb.test()
@cocotb.parametrize(enabled=(1.0, 0.6))
async def reads_what_was_written(dut, enabled):
    """Against a model: two stages that move while enabled; a row under way is as it was when it was read."""
    assert MEMORY_LATENCY == 2
    pins = Pins(dut, memory(), "memory__")
    await start(dut)
    rows: list[int | None] = [None] * DEPTH
    reading = output = None
    for _ in range(2000):
        write, enable = random.random() < 0.5, random.random() < enabled
        write_addr, read_addr = random.sample(range(DEPTH), 2)
        value = random.randrange(-(1 << 23), 1 << 23)
        await pins.cycle(read_en=enable, read_addr=read_addr, write_en=write, write_addr=write_addr, write_data=value)
        if output is not None:
            assert pins.get("read_data") == output
        if enable:
            reading, output = rows[read_addr], reading
        if write:
            rows[write_addr] = value


@cocotb.test()
@cocotb.parametrize(name=list(MULTIPLIERS))
async def multiplies_exactly_after_three_cycles(dut, name):
    assert MULTIPLIER_LATENCY == 3
    pins = Pins(dut, Multiplier(*MULTIPLIERS[name]), f"{name}__")
    await start(dut)

    def ends(shape):
        low = -(1 << shape.width - 1) if shape.signed else 0
        return low, low + (1 << shape.width) - 1

    (a_low, a_high), (b_low, b_high) = (ends(Shape.cast(shape)) for shape in MULTIPLIERS[name])
    corners = itertools.product((a_low, a_low + 1, 0, 1, a_high), (b_low, b_low + 1, 0, 1, b_high))
    pairs = [*corners, *((random.randint(a_low, a_high), random.randint(b_low, b_high)) for _ in range(1000))]
    for cycle in range(len(pairs) + MULTIPLIER_LATENCY):
        a, b = pairs[cycle] if cycle < len(pairs) else (0, 0)
        await pins.cycle(a=a, b=b)
        if cycle >= MULTIPLIER_LATENCY:
            a, b = pairs[cycle - MULTIPLIER_LATENCY]
            assert pins.get("product") == a * b


@cocotb.test()
@cocotb.parametrize(name=list(MULTIPLIERS))
async def operands_wait_while_not_enabled(dut, name):
    """The product is that of the operands last taken, 2 cycles after they were in their register."""
    pins = Pins(dut, Multiplier(*MULTIPLIERS[name]), f"{name}__")
    await start(dut)
    held, products = None, deque([None] * (MULTIPLIER_LATENCY - 1))
    for _ in range(300):
        a, b, en = random.randint(0, 7), random.randint(0, 7), random.random() < 0.6
        await pins.cycle(a=a, b=b, en=en)
        if (product := products.popleft()) is not None:
            assert pins.get("product") == product
        products.append(held)
        held = a * b if en else held
    pins.set(en=1)


def test_memory_and_multiplier(simulate):
    simulate(parts())

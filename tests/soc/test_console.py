"""The console: bytes out and in, and lights, against an independent UART."""

import random

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.uart import UartSink, UartSource

from hw.soc.console import Console, Word
from tests.hw.bench import PERIOD, start
from tests.hw.wishbone_manager import manager

DIVISOR = 8
BAUD = round(1e9 / (PERIOD * DIVISOR))


async def access(bus, write, number, content=0):
    ((accepted, read),) = await bus.access((write, number, content, 15))
    assert accepted
    return read


@cocotb.test()
async def carries_bytes(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    source, sink = UartSource(dut.rx, baud=BAUD), UartSink(dut.tx, baud=BAUD)
    bus = manager(dut, stall=0.2, rng=rng)
    await start(dut)
    data = rng.randbytes(20)
    source.write_nowait(data)
    received = bytearray()
    for byte in data:
        while not await access(bus, 0, Word.SEND) & 1:
            pass
        await access(bus, 1, Word.SEND, byte)
        assert not await access(bus, 0, Word.SEND) & 1, "it would take another one at once"
        while not (word := await access(bus, 0, Word.RECEIVED)) & 0x100:
            pass
        received.append(word & 0xFF)
    assert received == data
    await ClockCycles(dut.clk, 12 * DIVISOR)
    assert sink.read_nowait() == data
    assert not await access(bus, 0, Word.RECEIVED) & 0x100
    source.write_nowait(b"x")
    await ClockCycles(dut.clk, 12 * DIVISOR)
    assert await access(bus, 0, Word.SEND) & 1
    assert await access(bus, 0, Word.RECEIVED) == 0x100 | ord("x"), "a look at the other side took it"


@cocotb.test()
async def shows_lights(dut):
    bus = manager(dut)
    dut.rx.value = 1
    await start(dut)
    for lights in (1, 2, 3, 0):
        await access(bus, 1, Word.LIGHTS, lights)
        await ClockCycles(dut.clk, 1)
        assert (int(dut.loaded.value), int(dut.error.value)) == (lights & 1, lights >> 1)
        assert not await access(bus, 0, Word.RECEIVED) & 0x100


def test_console(simulate):
    simulate(Console(divisor=DIVISOR))

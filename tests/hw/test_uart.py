"""UART: every byte, at the edges of the rate; disturbances and broken bytes; exact timing of what is sent."""

import gc
import random

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge, Timer

from hw.bus.uart import UartReceiver, UartTransmitter, divisor
from tests.hw.bench import PERIOD, STALLS, StreamSink, StreamSource, start
from tests.hw.pins import Pins, Together
from tests.hw.serial_line import BITS, ByteMonitor, send_bytes

DIVISORS = (4, 5, 16, 43)


def parts():
    receivers = {f"receiver_{n}": UartReceiver(divisor=n) for n in DIVISORS}
    return Together(**receivers, **{f"transmitter_{n}": UartTransmitter(divisor=n) for n in DIVISORS})


class Receiver:
    """One of the receivers, its line and what it receives and loses."""

    def __init__(self, dut, n, *, stall=0.0):
        self.pins = Pins(dut, UartReceiver(divisor=n), f"receiver_{n}__")
        self.wire = getattr(dut, f"receiver_{n}__rx")
        self.sink = StreamSink(dut, f"receiver_{n}__o", 8, stall=stall)
        self.lost = 0
        self._clock = dut.clk
        cocotb.start_soon(self._count())

    async def _count(self):
        while True:
            await RisingEdge(self._clock)
            self.lost += self.pins.get("lost")


def random_bytes(count):
    return [random.randrange(256) for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(n=DIVISORS, slow=(0.98, 1.0, 1.02), pause=(0, 3))
async def receives_at_the_edges_of_the_rate(dut, n, slow, pause):
    receiver = Receiver(dut, n)
    await start(dut)
    data = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *random_bytes(40)]
    await Timer(random.randrange(PERIOD * 1000), "ps")
    for byte in data:
        await send_bytes(receiver.wire, [byte], n * slow)
        await Timer(1 + round(random.random() * pause * n * PERIOD * 1000), "ps")
    await ClockCycles(dut.clk, BITS * n)
    assert receiver.sink.received == data
    assert receiver.lost == 0


@cocotb.test()
@cocotb.parametrize(n=DIVISORS)
async def ignores_what_is_too_short_for_a_byte(dut, n):
    """A disturbance of a cycle, and a start bit that is gone before its middle."""
    receiver = Receiver(dut, n)
    await start(dut)
    for low in (1, 1, 1, *([n // 2 - 4] if n >= 16 else [])):
        receiver.wire.value = 0
        await ClockCycles(dut.clk, low)
        receiver.wire.value = 1
        await ClockCycles(dut.clk, 3 * n)
    await ClockCycles(dut.clk, BITS * n)
    assert not receiver.sink.received and not receiver.lost


@cocotb.test()
@cocotb.parametrize(n=[n for n in DIVISORS if n >= 16])
async def receives_through_disturbances(dut, n):
    """One cycle of every bit is turned over, and every cycle of a bit has its turn."""
    receiver = Receiver(dut, n)
    await start(dut)
    data = random_bytes(n)
    for k, byte in enumerate(data):
        levels = [bit for bit in (0, *(byte >> shift & 1 for shift in range(8)), 1) for _ in range(n)]
        for at in range(n + k, (BITS - 1) * n, n + 1):
            levels[at] ^= 1
        for level in levels:
            receiver.wire.value = level
            await RisingEdge(dut.clk)
    await ClockCycles(dut.clk, BITS)
    assert receiver.sink.received == data and not receiver.lost


@cocotb.test()
@cocotb.parametrize(n=DIVISORS)
async def loses_a_byte_without_stop_bit(dut, n):
    receiver = Receiver(dut, n)
    await start(dut)
    await send_bytes(receiver.wire, [0x31], n)
    await send_bytes(receiver.wire, [0x32], n, stop=0)
    await ClockCycles(dut.clk, 2 * n)
    receiver.wire.value = 0  # a break, much longer than a byte
    await ClockCycles(dut.clk, 35 * n)
    receiver.wire.value = 1
    await ClockCycles(dut.clk, n)
    await send_bytes(receiver.wire, [0x33], n)
    await ClockCycles(dut.clk, 2 * n)
    assert receiver.sink.received == [0x31, 0x33]
    assert receiver.lost == 2


@cocotb.test()
async def loses_a_byte_that_nobody_takes(dut):
    receiver = Receiver(dut, 4, stall=1.0)
    await start(dut)
    await send_bytes(receiver.wire, [0x41, 0x42, 0x43], 4)
    await ClockCycles(dut.clk, 10)
    receiver.sink.stall = 0.0
    await ClockCycles(dut.clk, 10)
    await send_bytes(receiver.wire, [0x44], 4)
    await ClockCycles(dut.clk, 50)
    assert receiver.sink.received == [0x41, 0x44]
    assert receiver.lost == 2


@cocotb.test()
@cocotb.parametrize(n=DIVISORS, stall=STALLS)
async def sends_every_byte(dut, n, stall):
    source = StreamSource(dut, f"transmitter_{n}__i", 8, stall=stall)
    await start(dut)
    monitor = ByteMonitor(getattr(dut, f"transmitter_{n}__tx"), n)
    data = random_bytes(30)
    source.send(*data)
    await source.wait()
    await ClockCycles(dut.clk, (BITS + 1) * n)
    assert list(monitor.received) == data


@cocotb.test()
@cocotb.parametrize(n=DIVISORS)
async def keeps_its_rate(dut, n):
    """Every bit takes exactly as long as it should, and a byte follows another after one cycle more than its bits."""
    pins = Pins(dut, UartTransmitter(divisor=n), f"transmitter_{n}__")
    await start(dut)
    data = [0x55, 0x00, 0xFF, 0xA6]
    levels = []
    pins.set(i__valid=1, i__payload=data[0])
    sent = 0
    while len(levels) < (len(data) + 1) * BITS * n:
        await pins.cycle()
        levels.append(pins.get("tx"))
        if pins.get("i__valid") and pins.get("i__ready"):
            sent += 1
            pins.set(i__valid=sent < len(data), i__payload=data[min(sent, len(data) - 1)])
    wanted = []
    for byte in data:
        wanted += [1]  # the line idles
        for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
            wanted += [bit] * n
    assert levels[: len(wanted)] == wanted
    assert all(levels[len(wanted) :])


def test_uart(simulate):
    simulate(parts())


def test_divisor():
    assert divisor(25e6, 115200) == 217
    assert divisor(12e6, 1_000_000) == 12
    assert divisor(4e6, 1_000_000) == 4
    with pytest.raises(ValueError, match="^baud is 1000000; at a clock of 3e\\+06 Hz it must be at most 750000$"):
        divisor(3e6, 1_000_000)
    with pytest.raises(
        ValueError, match="^baud is 3000000; a clock of 5e\\+07 Hz divides to 2941176 or 3125000, both too far from it$"
    ):
        divisor(50e6, 3_000_000)


@pytest.mark.parametrize("component", [UartReceiver, UartTransmitter])
def test_a_bit_takes_some_cycles(component):
    with pytest.raises(ValueError, match="^divisor is 3; it must be at least 4$"):
        component(divisor=3)
    gc.collect()  # the half-made component goes now, while the warning about it is ignored

"""UART: every byte, at the edges of the rate; disturbances and broken bytes; exact timing of what is sent."""

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge, Timer

from hw.bus.uart import UartReceiver, UartTransmitter
from tests.hw.bench import PERIOD, StreamSink, start
from tests.hw.pins import Pins, Together
from tests.hw.serial_line import BITS, send_bytes

DIVISORS = (4, 5, 16, 87)


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


def test_uart(simulate):
    simulate(parts())

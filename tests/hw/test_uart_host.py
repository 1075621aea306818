"""The host's driver in front of the whole device: UART, host link and core, wires and all; the shipped self-test."""

import cocotb
from cocotb.task import bridge

from firmware.host.device import Device
from firmware.host.selftest import self_test
from firmware.link import Link
from hw.config import CoreConfig
from hw.uart_top import UartTop
from tests.hw.bench import start
from tests.hw.serial_line import SimulatedPort

CONFIG = CoreConfig(lanes=2, cell_units=1, queue_depth=8, rows=16, entries=512, sources=32, layers=2, acc_bits=16)
DIVISOR = 4
TIMEOUT = 1e-3  # of simulated time: longer than any request here takes


@bridge
def replay(port):
    with Device(Link(port, timeout=TIMEOUT)) as device:
        assert device.identity.config_id == CONFIG.config_id
        return self_test(device)


@cocotb.test()
async def replays_the_vectors(dut):
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR)
    await start(dut)
    compared = await replay(port)
    assert sum(row.compared for row in compared) > 300 and not any(row.differ for row in compared)


def test_uart_host(simulate):
    simulate(UartTop(CONFIG, clock_hz=DIVISOR * 1_000_000, baud=1_000_000))

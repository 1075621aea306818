"""Inside the simulator: clock, reset, and a serial line's other end, whose bytes go to a file."""

from __future__ import annotations

import logging
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.uart import UartSink, UartSource

from sim.soc.model import BIT_CYCLES, CYCLES_MAX, END_OF_RUN, PERIOD

RESET_CYCLES = 4


@cocotb.test()
async def listen(dut):
    """Write what the SoC says to the file ``said`` until it has come to the end ``runs`` times; then its lights."""
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    baud = round(1e9 / (PERIOD * BIT_CYCLES))
    source, sink = UartSource(dut.rx, baud=baud), UartSink(dut.tx, baud=baud)
    cocotb.start_soon(Clock(dut.clk, PERIOD, "ns").start())
    dut.rst.value = 1
    for _ in range(RESET_CYCLES):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    with Path(cocotb.plusargs["said"]).open("wb", buffering=0) as said:
        for run in range(int(cocotb.plusargs["runs"])):
            if run:
                source.write_nowait(b"\r")
            await with_timeout(_write(sink, said), CYCLES_MAX * PERIOD, "ns")
        said.write(f"lights {int(dut.loaded.value)} {int(dut.error.value)}\n".encode())


async def _write(sink, said):
    """Write bytes as they come, up to the end of a run."""
    while True:
        data = bytes(await sink.read())
        said.write(data.replace(bytes([END_OF_RUN]), b""))
        if END_OF_RUN in data:
            return

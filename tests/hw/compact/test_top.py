"""A compact core behind AXI4-Lite: it takes an image as fast as the bus gives words, though not one a cycle."""

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from golden.fanout import compile
from hw.config import CoreConfig
from hw.top import Top
from tests.hw.bench import PERIOD
from tests.hw.top_bench import REGISTERS
from tests.networks import random_fixed_network

CONFIG = CoreConfig(lanes=2, cell_units=1, rows=16, entries=256, sources=64, layers=3, counters=False, compact=True)
GAP = 2  #: cycles from one word to the next, by which the loader counts on the bus


async def write_at_full_speed(dut, address, words):
    """Offer address and data of every word at once and take every response; return the cycles it took."""
    dut.s_axi_awaddr.value, dut.s_axi_wstrb.value, dut.s_axi_bready.value = address, 0b1111, 1
    addresses = data = cycles = 0
    while data < len(words):
        dut.s_axi_awvalid.value = int(addresses < len(words))
        dut.s_axi_wvalid.value, dut.s_axi_wdata.value = 1, words[data]
        await RisingEdge(dut.aclk)
        cycles += 1
        addresses += bool(dut.s_axi_awvalid.value and dut.s_axi_awready.value)
        data += bool(dut.s_axi_wready.value)
    dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = 0
    return cycles


async def read(dut, address):
    dut.s_axi_araddr.value, dut.s_axi_arvalid.value, dut.s_axi_rready.value = address, 1, 1
    while not dut.s_axi_rvalid.value:
        await RisingEdge(dut.aclk)
    return int(dut.s_axi_rdata.value)


@cocotb.test()
async def takes_an_image_at_full_speed(dut):
    network = random_fixed_network(
        np.random.default_rng(cocotb.RANDOM_SEED), inputs=5, layers=[9, 6], outputs=3, weight_density=0.5
    )
    words = [int(word) for word in compile(network, CONFIG.capacity).words]
    for port in dut:
        if port._name.startswith("s_axi") and port._name.endswith("valid"):
            port.value = 0
    cocotb.start_soon(Clock(dut.aclk, PERIOD, "ns").start())
    dut.aresetn.value = 0
    for _ in range(4):
        await RisingEdge(dut.aclk)
    dut.aresetn.value = 1
    await RisingEdge(dut.aclk)
    cycles = await write_at_full_speed(dut, REGISTERS["load_data"].address, words)
    assert cycles < GAP * len(words) + 4
    for _ in range(8):
        await RisingEdge(dut.aclk)
    assert await read(dut, REGISTERS["status"].address) & 1, "the image was not loaded"


def test_top(simulate):
    simulate(Top(CONFIG))

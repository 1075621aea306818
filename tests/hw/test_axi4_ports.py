"""The names of the standard: addresses and answers pass as they are, and what never changes is as AXI4 wants it."""

import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ReadOnly, RisingEdge

from hw.bus.axi4_ports import connect_read, read_ports
from tests.hw.bench import start
from tests.hw.pins import Pins, Together

ADDRESS = data.StructLayout({"addr": 32, "len": 8})
SIZES = {"wide": 128, "narrow": 64}


class Ports(wiring.Component):
    """The ports of a top, and the streams of a master that are connected to them."""

    def __init__(self, data_bits):
        answer = data.StructLayout({"data": data_bits, "resp": 2, "last": 1})
        super().__init__({
            "ar": In(stream.Signature(ADDRESS)), "r": Out(stream.Signature(answer)),
            **read_ports(data_bits), "cycle": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        connect_read(m, self, self.ar, self.r)
        m.d.sync += self.cycle.eq(~self.cycle)  # so that there is a clock
        return m


@cocotb.test()
@cocotb.parametrize(kind=list(SIZES))
async def passes_both_ways(dut, kind):
    pins = Pins(dut, Ports(SIZES[kind]), f"{kind}__")
    await start(dut)
    fixed = {"arid": 0, "arsize": {128: 4, 64: 3}[SIZES[kind]], "arburst": 1, "arlock": 0, "arcache": 3, "arprot": 0}
    for _ in range(200):
        address = {"addr": random.getrandbits(32), "len": random.getrandbits(8)}
        answer = {"data": random.getrandbits(SIZES[kind]), "resp": random.getrandbits(2), "last": random.getrandbits(1)}
        asks, accepts, comes, takes = (random.getrandbits(1) for _ in range(4))
        pins.set(ar__payload=address, ar__valid=asks, r__ready=takes, m_axi_arready=accepts, m_axi_rvalid=comes)
        pins.set(m_axi_rid=random.getrandbits(1), **{f"m_axi_r{name}": value for name, value in answer.items()})
        await RisingEdge(dut.clk)
        await ReadOnly()
        assert pins.get("m_axi_araddr") == address["addr"] and pins.get("m_axi_arlen") == address["len"]
        assert (pins.get("m_axi_arvalid"), pins.get("ar__ready")) == (asks, accepts)
        assert (pins.get("r__valid"), pins.get("m_axi_rready")) == (comes, takes)
        got = pins.get("r__payload")
        assert (got.data, got.resp, got.last) == tuple(answer.values())
        assert {name: pins.get(f"m_axi_{name}") for name in fixed} == fixed and pins.get("m_axi_arqos") == 0
        await RisingEdge(dut.clk)


def test_axi4_ports(simulate):
    simulate(Together(**{kind: Ports(data_bits) for kind, data_bits in SIZES.items()}))


@pytest.mark.parametrize("data_bits", SIZES.values())
def test_names(data_bits):
    """Beside the clock and the reset, a top has these and no others, with any prefix."""
    ports = read_ports(data_bits, "mem")
    assert all(name.startswith(("mem_ar", "mem_r")) for name in ports) and len(ports) == 17
    assert ports["mem_rdata"] == In(data_bits) and ports["mem_araddr"] == Out(32)

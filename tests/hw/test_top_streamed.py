"""The top with lists in external memory: window and lists by registers, reads by an AXI4 memory that is not ours."""

import random

import cocotb
import numpy as np
from cocotbext.axi import AxiRamRead, AxiReadBus

from hw.config import CoreConfig
from hw.errors import Error
from hw.top import Top
from tests.hw.oracle import expect
from tests.hw.top_bench import Host, events
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(
    lanes=4, cell_units=2, rows=64, sources=128, layers=4, acc_bits=24, gap_bits=5, lists=128, port_bits=64,
)  # fmt: skip
BASE = 0x0123_4000
MEMORY_BYTES = 1 << 25


class Setup:
    """A host, and a memory that stalls, with a network's lists in it."""

    def __init__(self, host):
        dut, rng = host.dut, np.random.default_rng(random.randrange(1 << 32))
        self.host = host
        self.network = random_fixed_network(rng, inputs=9, layers=[30, 20], outputs=50, weight_density=0.3)
        self.compiled = CONFIG.compile(self.network)
        self.memory = AxiRamRead(
            AxiReadBus.from_prefix(dut, "m_axi"), dut.aclk, dut.aresetn, False, size=MEMORY_BYTES
        )  # fmt: skip
        pauses = random.Random(random.random())
        for channel in (self.memory.ar_channel, self.memory.r_channel):
            channel.set_pause_generator(iter(lambda: pauses.random() < 0.3, None))
        self.memory.write(BASE, self.compiled.lists.beats.astype("<u8").tobytes())
        self.inputs = random_inputs(rng, self.network, 4, 1, 0.7)[:, 0]

    async def load(self, beats):
        await self.host.write("list_base", base=BASE >> 12)
        await self.host.write("list_size", size=beats)
        await self.host.load(self.compiled.words)
        assert (await self.host.read("status"))["loaded"] and await self.host.error() == (0, 0)

    async def runs(self):
        """Send a sequence, and compare each step."""
        steps = expect(self.network, [self.inputs])
        for number, (values, step) in enumerate(zip(self.inputs, steps, strict=True)):
            self.host.send(events(values), ending=number == len(steps) - 1)
            packet = await self.host.receive()
            assert packet.values == step.outputs and packet.ending == step.ending
            assert await self.host.best() == step.best
        assert await self.host.error() == (0, 0)


@cocotb.test()
async def tells_what_it_is(dut):
    host = await Host.start(dut)
    assert await host.read("lists") == {"gap_bits": 5, "port_bits": 64, "lists": 128}
    assert await host.read("list_base") == {"base": 0} and await host.read("list_size") == {"size": 0}


@cocotb.test()
async def runs_a_network_from_memory(dut):
    setup = Setup(await Host.start(dut, stall=0.2))
    await setup.load(len(setup.compiled.lists.beats))
    await setup.runs()


@cocotb.test()
async def reads_nothing_outside_the_window(dut):
    """And goes on behind a reset, once the window is right."""
    host = await Host.start(dut)
    setup = Setup(host)
    await setup.load(1)
    assert len(setup.compiled.lists.beats) > 50
    host.send(events(np.full(9, 3)))
    for _ in range(100):
        if (await host.read("status"))["error"]:
            break
    assert (await host.error())[0] == Error.LIST_RANGE.value
    await host.write("list_size", size=len(setup.compiled.lists.beats))
    await host.write("control", reset=1)
    await host.wait_idle()
    await setup.runs()


def test_top_streamed(simulate):
    simulate(Top(CONFIG))

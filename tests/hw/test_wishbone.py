"""Wishbone in front of a small register file, and in front of a core: every request answered once, whoever asks."""

import gc
import random

import cocotb
import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from golden import reference
from golden.fanout import compile
from hw.bus.registers import ADDRESS_BITS, registers
from hw.bus.wishbone import Wishbone, WishboneBus
from hw.config import CoreConfig
from hw.errors import Error
from hw.wishbone_top import WishboneTop
from tests.hw.bench import PERIOD, start
from tests.hw.register_file import WORDS, RegisterFile
from tests.hw.top_bench import events, signed32
from tests.hw.wishbone_manager import Manager, manager
from tests.networks import random_fixed_network, random_inputs

READ_WAIT = 3
CONFIG = CoreConfig(
    lanes=2, cell_units=1, queue_depth=8, rows=16, entries=1024, sources=32, layers=2, counters=False
)  # fmt: skip


class WishboneRegisterFile(wiring.Component):
    """A :class:`RegisterFile` behind :class:`Wishbone`; the ports of both, but for those between."""

    def __init__(self):
        super().__init__({
            "bus": In(WishboneBus()),
            "reads": Out(16), "writes": Out(16), "refused": Out(1), "refused_address": Out(ADDRESS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.wishbone = wishbone = Wishbone(read_wait=READ_WAIT)
        m.submodules.file = file = RegisterFile()
        wiring.connect(m, wiring.flipped(self.bus), wishbone.bus)
        wiring.connect(m, wishbone.registers, file.bus)
        m.d.comb += [
            self.reads.eq(file.reads),
            self.writes.eq(file.writes),
            self.refused.eq(wishbone.refused),
            self.refused_address.eq(wishbone.refused_address),
        ]
        return m


def random_request(rng):
    """Draw a request; a third of them will be refused."""
    word = rng.choice([rng.randrange(WORDS), rng.randrange(WORDS), rng.randrange(WORDS, 4 * WORDS)])
    return rng.randrange(2), word, rng.getrandbits(32), rng.choice([15, 15, 15, rng.randrange(16)])


@cocotb.test()
@cocotb.parametrize(pipelined=[False, True], stall=[0.0, 0.3, 0.7])
async def answers_every_request(dut, pipelined, stall):
    rng = random.Random(f"{cocotb.RANDOM_SEED} {pipelined} {stall}")
    bus = manager(dut, pipelined=pipelined, stall=stall, rng=rng)
    await start(dut)
    refused = []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            if dut.refused.value:
                refused.append(int(dut.refused_address.value))

    cocotb.start_soon(watch())
    filling = [(1, word, rng.getrandbits(32), 15) for word in range(WORDS)]
    requests = filling + [random_request(rng) for _ in range(300)]
    memory, wanted, wrong = {}, [], []
    for write, word, data, select in requests:
        if not write:
            value = memory[word] if word < WORDS else word if word < 2 * WORDS else 0
            wanted.append((word < 2 * WORDS, value))
        elif select == 15 and word < WORDS:
            memory[word] = data
            wanted.append((True, None))
        else:
            wrong.append(word << 2)
            wanted.append((False, None))
    answers = await bus.access(*requests)
    for (good, value), (ok, expected) in zip(answers, wanted, strict=True):
        assert good == ok and (expected is None or value == expected)
    assert refused == wrong
    assert int(dut.reads.value) == sum(not write for write, *_ in requests)


@cocotb.test()
async def takes_as_long_as_it_says(dut):
    bus = manager(dut)
    await start(dut)
    for write, cycles in ((1, 3), (0, READ_WAIT + 3)):
        before = cocotb.utils.get_sim_time("ns")
        await bus.access((write, 5, 77, 15))
        assert cocotb.utils.get_sim_time("ns") - before == cycles * PERIOD


@cocotb.test()
@cocotb.parametrize(cycles=range(1, READ_WAIT + 4))
async def forgets_a_request_that_is_given_up(dut, cycles):
    bus = manager(dut)
    await start(dut)
    await bus.access((1, 3, 33, 15), (1, 4, 44, 15))
    await bus.give_up((0, 3, 0, 15), cycles)
    assert await bus.access((0, 4, 0, 15), (0, 3, 0, 15)) == [(True, 44), (True, 33)]
    await bus.give_up((1, 3, 99, 15), 1)
    assert await bus.access((0, 3, 0, 15)) == [(True, 33)], "given up before it was executed"


def test_wishbone(simulate):
    simulate(WishboneRegisterFile(), only="answers|takes|forgets")


# The whole core.


class Host:
    """Registers over Wishbone, steps over AXI4-Stream."""

    def __init__(self, dut, *, pipelined):
        names = {name: f"wb_{name}_i" for name in ("cyc", "stb", "we", "adr", "sel")}
        names |= {"dat_w": "wb_dat_i", "dat_r": "wb_dat_o"} | {name: f"wb_{name}_o" for name in ("ack", "err", "stall")}
        self.bus = Manager(dut, names, dut.clk_i, pipelined=pipelined)
        source, sink = (AxiStreamBus.from_prefix(dut, name) for name in ("s_axis", "m_axis"))
        self.source = AxiStreamSource(source, dut.clk_i, dut.rst_i, byte_lanes=1)
        self.sink = AxiStreamSink(sink, dut.clk_i, dut.rst_i, byte_lanes=1)
        self._registers = {register.name: register for register in registers()}

    async def read(self, register: str) -> dict[str, int]:
        """Read the fields of a register."""
        described = self._registers[register]
        ((good, word),) = await self.bus.access((0, described.address >> 2, 0, 15))
        assert good
        return {field.name: word >> field.low & ((1 << field.width) - 1) for field in described.fields}

    async def write(self, register: str, *words: int) -> None:
        """Write words to a register, one after the other."""
        address = self._registers[register].address >> 2
        answers = await self.bus.access(*((1, address, word, 15) for word in words))
        assert all(good for good, _ in answers)


@cocotb.test()
@cocotb.parametrize(pipelined=[False, True])
async def runs_a_network(dut, pipelined):
    rng = np.random.default_rng((cocotb.RANDOM_SEED, pipelined))
    network = random_fixed_network(rng, inputs=8, layers=[12], outputs=5, weight_density=0.4)
    compiled = compile(network, CONFIG.capacity)
    inputs = random_inputs(rng, network, 4, 1, 0.5)
    trace = reference.run(network, inputs)
    cocotb.start_soon(Clock(dut.clk_i, PERIOD, "ns").start())
    host = Host(dut, pipelined=pipelined)
    dut.rst_i.value = 1
    await ClockCycles(dut.clk_i, 3)
    dut.rst_i.value = 0
    await RisingEdge(dut.clk_i)

    assert (await host.read("config_id"))["config_id"] == CONFIG.config_id
    ((good, _),) = await host.bus.access((1, 0x08 >> 2, 1, 15))
    assert not good, "the register is read-only"
    assert await host.read("error") == {"code": Error.REGISTER.value}
    assert await host.read("error_detail") == {"detail": 0x08}
    await host.write("control", 1 << 1)  # clear the error
    await host.write("load_data", *(int(word) for word in compiled.words))
    assert (await host.read("status")) == {"loaded": 1, "idle": 1, "error": 0}
    await host.write("interrupt_enable", 1)
    for step in range(4):
        beats = events(inputs[step, 0])
        await host.source.send(AxiStreamFrame(beats, tuser=[0] * (len(beats) - 1) + [int(step == 3)]))
        frame = await with_timeout(host.sink.recv(compact=False), 1, "ms")
        logits = {data & 0xFFFFFFFF: signed32(data >> 32) for data in frame.tdata}
        assert logits == dict(enumerate(trace.logits[step, 0].tolist()))
        best = (await host.read("best_index"))["index"]
        assert signed32((await host.read("best_value"))["value"]) == logits[best] == max(logits.values())
        assert dut.irq_o.value
        await host.write("interrupt_pending", 1)
        assert not dut.irq_o.value


def test_wishbone_top(simulate):
    simulate(WishboneTop(CONFIG), only="runs")


def test_a_read_waits_at_least_a_cycle():
    with pytest.raises(ValueError, match="^read_wait is 0; it must be at least 1$"):
        Wishbone(read_wait=0)
    gc.collect()  # the half-made component goes now, while the warning about it is ignored

"""A host in front of the top: registers by name over AXI4-Lite, steps as packets over AXI4-Stream."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from golden.fanout import Compiled
from hw.bus.axi4stream import BUS_NULL_INDEX, BUS_RESTORE_FLAG
from hw.bus.registers import registers
from hw.load_bus import LoadKind
from tests.hw.bench import PERIOD

REGISTERS = {register.name: register for register in registers()}
STATE_FIRES = 1 << 16
CYCLES_MAX = 2_000_000  #: of a test


def signed32(bits: int) -> int:
    return bits - (1 << 32) if bits >> 31 else bits


def beat(index: int, value: int) -> int:
    """Return TDATA."""
    return index | (value & 0xFFFFFFFF) << 32


def events(values: Iterable[int]) -> list[int]:
    """Return the beats of one step's inputs, int (I,): those that are not 0, or one null beat."""
    return [beat(index, int(value)) for index, value in enumerate(values) if value] or [beat(BUS_NULL_INDEX, 0)]


@dataclass(frozen=True)
class Packet:
    """One step of output: values by index, and whether it ends a sequence."""

    values: dict[int, int]
    ending: bool


async def _give_up() -> None:
    """Fail the test if it goes on for too long: a top that never answers would stop it for ever."""
    await Timer(CYCLES_MAX * PERIOD, "ns")
    raise AssertionError(f"the test has not ended after {CYCLES_MAX:,} cycles")


class Host:
    """Drive a top named ``dut``; ``await Host.start(dut)`` makes one, with the clock running and out of reset."""

    def __init__(self, dut, *, stall: float = 0.0):
        logging.getLogger("cocotb.dut").setLevel(logging.WARNING)
        self.dut = dut
        self.axi = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, False)
        source, sink = (AxiStreamBus.from_prefix(dut, name) for name in ("s_axis", "m_axis"))
        self.source = AxiStreamSource(source, dut.aclk, dut.aresetn, False, byte_lanes=1)
        self.sink = AxiStreamSink(sink, dut.aclk, dut.aresetn, False, byte_lanes=1)
        if stall:
            write, read = self.axi.write_if, self.axi.read_if
            channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
            for part in (self.source, self.sink, *channels):
                part.set_pause_generator(_pauses(random.Random(random.random()), stall))

    @classmethod
    async def start(cls, dut, *, stall: float = 0.0) -> Host:
        cocotb.start_soon(Clock(dut.aclk, PERIOD, "ns").start())
        dut.aresetn.value = 0
        cocotb.start_soon(_give_up())
        host = cls(dut, stall=stall)
        await ClockCycles(dut.aclk, 3)
        dut.aresetn.value = 1
        await RisingEdge(dut.aclk)
        return host

    # Registers.

    async def write_word(self, address: int, word: int) -> AxiResp:
        return (await self.axi.write(address, word.to_bytes(4, "little"))).resp

    async def read_word(self, address: int) -> tuple[int, AxiResp]:
        answer = await self.axi.read(address, 4)
        return int.from_bytes(answer.data, "little"), answer.resp

    async def write(self, register: str, **fields: int) -> None:
        """Write fields of a register, 0 to all others."""
        described = {field.name: field for field in REGISTERS[register].fields}
        word = 0
        for name, value in fields.items():
            word |= value << described[name].low
        assert await self.write_word(REGISTERS[register].address, word) == AxiResp.OKAY

    async def read(self, register: str) -> dict[str, int]:
        """Read the fields of a register."""
        word, response = await self.read_word(REGISTERS[register].address)
        assert response == AxiResp.OKAY
        return {field.name: word >> field.low & ((1 << field.width) - 1) for field in REGISTERS[register].fields}

    async def load(self, words: Iterable[int]) -> None:
        for word in words:
            await self.write("load_data", word=int(word))

    async def error(self) -> tuple[int, int]:
        return (await self.read("error"))["code"], (await self.read("error_detail"))["detail"]

    async def wait_idle(self) -> None:
        for _ in range(1000):
            if (await self.read("status"))["idle"]:
                return
        raise AssertionError("the core never became idle")

    async def counter(self, number: int) -> int:
        await self.write("counter_select", selected=number)
        low = (await self.read("counter_low"))["low"]
        return low | (await self.read("counter_high"))["high"] << 32

    async def best(self) -> tuple[int, int] | None:
        """Return index and value of the largest output, or None after a step without."""
        index = await self.read("best_index")
        value = await self.read("best_value")
        return (index["index"], signed32(value["value"])) if index["valid"] else None

    # States, one array a layer: h (H,) and whether the unit fired (H,).

    async def read_states(self, compiled: Compiled) -> list[tuple[np.ndarray, np.ndarray]]:
        states = [(np.zeros(layer.units, int), np.zeros(layer.units, int)) for layer in compiled.network.layers]
        for cell, address, layer, unit in units(compiled):
            await self.write("state_select", cell=cell, unit=address)
            state = await self.read("state_data")
            states[layer][0][unit] = state["h"] - (1 << 16) * (state["h"] >> 15)
            states[layer][1][unit] = state["fires"]
        return states

    async def write_states(self, compiled: Compiled, states: list[tuple[np.ndarray, np.ndarray]]) -> None:
        for cell, address, layer, unit in units(compiled):
            h, fires = (int(values[unit]) for values in states[layer])
            header = LoadKind.STATE.value << 24 | cell << 16 | 1
            await self.load((header, address, h & 0xFFFF | STATE_FIRES * fires))

    # Steps.

    def send(self, beats: list[int], *, ending: bool = False) -> None:
        """Queue one step; TLAST and TUSER come with its last beat."""
        self.source.send_nowait(AxiStreamFrame(beats, tuser=[0] * (len(beats) - 1) + [int(ending)]))

    async def receive(self) -> Packet:
        """Take one step of output."""
        frame = await cocotb.triggers.with_timeout(self.sink.recv(compact=False), 1, "ms")
        assert not any(frame.tuser[:-1]), "TUSER before the end of the step"
        pairs = [(data & 0xFFFFFFFF, signed32(data >> 32)) for data in frame.tdata]
        values = dict(pair for pair in pairs if pair[0] != BUS_NULL_INDEX)
        assert len(values) == len(pairs) or len(pairs) == 1, "an index twice, or a null beat beside events"
        return Packet(values, bool(frame.tuser[-1]))


def restores(compiled: Compiled, ys: list[np.ndarray]) -> list[int]:
    """Return the beats that restore the y of every unit that fired, one array a layer."""
    sources = enumerate(np.concatenate(ys), compiled.network.inputs)
    return [beat(source | BUS_RESTORE_FLAG, int(y)) for source, y in sources if y]


def units(compiled: Compiled) -> Iterator[tuple[int, int, int, int]]:
    """Yield cell unit, unit address, layer and unit of every EGRU unit."""
    image, network = compiled.image, compiled.network
    first, layer_of = network.inputs, []
    for layer, described in enumerate(network.layers):
        layer_of += [(layer, unit) for unit in range(described.units)]
    lane_bits = (image.present.shape[1] // image.row_count - 1).bit_length()
    readout_row = image.layers[-1].base if image.readout else image.row_count
    for cell, address in zip(*np.nonzero(image.present), strict=True):
        if address >> lane_bits < readout_row:
            yield int(cell), int(address), *layer_of[image.identity[cell, address] - first]


def _pauses(rng: random.Random, stall: float) -> Iterator[bool]:
    while True:
        yield rng.random() < stall

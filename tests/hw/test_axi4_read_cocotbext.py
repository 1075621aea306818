"""The AXI4 read master in front of an independent AXI4 memory, that of cocotbext-axi, through ports of standard names.

That memory checks lengths, sizes and pages on its own, and was not written with this master in mind.
"""

import random

import cocotb
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiRamRead, AxiReadBus

from hw.bus.axi4_ports import connect_read, read_ports
from hw.bus.axi4_read import BEAT_BYTES, Axi4Read, ReadFault
from tests.hw.bench import STALLS, StreamSink, StreamSource, start, wait_until
from tests.hw.pins import Pins, Together

ADDRESS_BITS, COUNT_BITS = 12, 8
BASE, SIZE = 0x8000_3000, 3000  #: of the window: its first byte, its beats
RAM_BYTES = 1 << 17  #: addresses repeat from there on
TIMEOUT = 1000
KINDS = {
    "wide": {"data_bits": 128, "burst_beats": 16, "outstanding": 4},
    "narrow": {"data_bits": 64, "burst_beats": 16, "outstanding": 8},
    "long": {"data_bits": 64, "burst_beats": 128, "outstanding": 2},
}  # fmt: skip


class FlatRead(wiring.Component):
    """An :class:`Axi4Read` whose bus has the names of the standard."""

    def __init__(self, kind):
        self._read = Axi4Read(address_bits=ADDRESS_BITS, count_bits=COUNT_BITS, timeout=TIMEOUT, **KINDS[kind])
        members = {name: member for name, member in self._read.signature.members.items() if name not in ("ar", "r")}
        super().__init__({**members, **read_ports(KINDS[kind]["data_bits"])})

    def elaborate(self, platform):
        m = Module()
        m.submodules.read = read = self._read
        connect_read(m, self, read.ar, read.r)
        for name, member in self.signature.members.items():
            if name.startswith("m_axi_"):
                continue
            if not member.is_port:
                inner, outer = getattr(read, name), getattr(self, name)
                wiring.connect(m, inner, wiring.flipped(outer))
            elif member.flow == In:
                m.d.comb += getattr(read, name).eq(getattr(self, name))
            else:
                m.d.comb += getattr(self, name).eq(getattr(read, name))
        return m


class SlowRam(AxiRamRead):
    """Takes up to ``latency`` cycles before some words, and refuses those of ``bad`` beats, counted from its start."""

    def __init__(self, dut, kind, *, latency, stall):
        bus = AxiReadBus.from_prefix(dut, f"{kind}__m_axi")
        super().__init__(bus, dut.clk, dut.rst, size=RAM_BYTES)
        self.latency, self.bad, self._clk = latency, set(), dut.clk
        self.asked = 0  #: beats
        for channel in (self.ar_channel, self.r_channel):
            channel.set_pause_generator(random.random() < stall for _ in iter(int, 1))

    async def _read(self, address, length):
        self.asked += length / BEAT_BYTES
        if self.latency and random.random() < 0.1:
            await ClockCycles(self._clk, random.randrange(1, self.latency + 1))
        if address % RAM_BYTES // BEAT_BYTES in self.bad:
            raise ValueError("a bad address, for a test")
        return await super()._read(address, length)


class Setup:
    """A master, its memory full of random bytes, its source of runs and its sink of beats."""

    def __init__(self, dut, kind, *, latency=0, stall=0.0, run_stall=0.0, beat_stall=0.0):
        self.pins = Pins(dut, FlatRead(kind), f"{kind}__")
        self.ram = SlowRam(dut, kind, latency=latency, stall=stall)
        self.content = random.randbytes(RAM_BYTES)
        self.ram.write(0, self.content)
        self.runs = StreamSource(dut, f"{kind}__runs", self.pins.shape("runs__payload"), stall=run_stall)
        self.beats = StreamSink(dut, f"{kind}__o", self.pins.shape("o__payload"), stall=beat_stall)
        self.pins.set(base=BASE, size=SIZE)
        self._clock = dut.clk

    def expected(self, run):
        first = BASE % RAM_BYTES + run["address"] * BEAT_BYTES
        return [
            (int.from_bytes(self.content[at : at + BEAT_BYTES], "little"), k + 1 == run["beats"])
            for k, at in enumerate(range(first, first + run["beats"] * BEAT_BYTES, BEAT_BYTES))
        ]

    async def reads(self, *runs):
        self.runs.send(*runs)
        wanted = [beat for run in runs for beat in self.expected(run)]
        got = [(beat.data, bool(beat.last)) for beat in await self.beats.receive(len(wanted))]
        assert got == wanted
        await ClockCycles(self._clock, 50)
        assert not self.beats.received and self.pins.get("idle") and self.pins.get("fault") == ReadFault.NONE


def random_run():
    beats = random.choice((1, 2, random.randrange(1, 40), random.randrange(1, 1 << COUNT_BITS)))
    return {"address": random.randrange(SIZE - beats + 1), "beats": beats}


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), stall=STALLS, latency=[0, 25])
async def reads_what_is_in_memory(dut, kind, stall, latency):
    setup = Setup(dut, kind, latency=latency, stall=stall, run_stall=stall / 2, beat_stall=stall)
    await start(dut)
    runs = [random_run() for _ in range(15)] + [{"address": SIZE - 255, "beats": 255}, {"address": 0, "beats": 1}]
    await setup.reads(*runs)
    assert setup.ram.asked == sum(run["beats"] for run in runs)


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def tells_of_an_error_and_goes_on_after_it(dut, kind):
    setup = Setup(dut, kind, latency=10, stall=0.2)
    await start(dut)
    setup.ram.bad = {(BASE % RAM_BYTES) // BEAT_BYTES + 137}
    setup.runs.send({"address": 100, "beats": 100})
    await wait_until(dut.clk, lambda: setup.pins.get("fault") != ReadFault.NONE)
    assert setup.pins.get("fault") == ReadFault.RESPONSE and setup.pins.get("fault_address") == 137
    taken = [(beat.data, bool(beat.last)) for beat in setup.beats.received]
    assert len(taken) <= 37 and taken == setup.expected({"address": 100, "beats": 100})[: len(taken)]
    setup.ram.bad.clear()
    await setup.pins.cycle(restart=1)
    await setup.pins.cycle(restart=0)
    setup.beats.received.clear()
    await setup.reads(random_run(), random_run())


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def waits_no_longer_than_told(dut, kind):
    """A memory that is paused for longer than the timeout is given up; what it owes is dropped."""
    setup = Setup(dut, kind)
    await start(dut)
    setup.ram.r_channel.set_pause_generator(True for _ in iter(int, 1))
    setup.runs.send({"address": 0, "beats": 200})
    await wait_until(dut.clk, lambda: setup.pins.get("fault") != ReadFault.NONE, timeout=TIMEOUT + 100)
    assert setup.pins.get("fault") == ReadFault.TIMEOUT and not setup.beats.received
    setup.ram.r_channel.clear_pause_generator()
    setup.ram.r_channel.pause = False
    await setup.pins.cycle(restart=1)
    await setup.pins.cycle(restart=0)
    await ClockCycles(dut.clk, 1000)
    await setup.reads(random_run())


def test_axi4_read_with_cocotbext_axi(simulate):
    simulate(Together(**{kind: FlatRead(kind) for kind in KINDS}))

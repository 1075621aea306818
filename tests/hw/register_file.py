"""A small register file, to be put behind a bus; and behind AXI4-Lite."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.bus.axi4lite import Axi4Lite, ReadData, Response, WriteData
from hw.bus.registers import ADDRESS_BITS, RegisterPort

WORDS = 16


class RegisterFile(wiring.Component):
    """Words 0 to 15 can be read and written, 16 to 31 read as their address, there are no others.

    Members
    -------
    bus : In(RegisterPort())
    reads, writes : Out(16)
        Accesses so far.
    """

    def __init__(self):
        super().__init__({"bus": In(RegisterPort()), "reads": Out(16), "writes": Out(16)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=32, depth=WORDS, init=())
        read, write, bus = memory.read_port(domain="comb"), memory.write_port(), self.bus
        m.d.comb += [
            read.addr.eq(bus.read_address),
            write.addr.eq(bus.write_address),
            write.data.eq(bus.write_data),
            write.en.eq(bus.write & bus.write_ok),
            bus.write_ok.eq(bus.write_address < WORDS),
            bus.read_ok.eq(bus.read_address < 2 * WORDS),
        ]
        with m.If(bus.read_address < WORDS):
            m.d.comb += bus.read_data.eq(read.data)
        with m.Elif(bus.read_ok):
            m.d.comb += bus.read_data.eq(bus.read_address)
        m.d.sync += [self.reads.eq(self.reads + bus.read), self.writes.eq(self.writes + bus.write)]
        return m


class Axi4LiteRegisterFile(wiring.Component):
    """A :class:`RegisterFile` behind :class:`hw.bus.axi4lite.Axi4Lite`; the ports of both, but for those between."""

    def __init__(self, read_wait: int):
        self._read_wait = read_wait
        super().__init__({
            "aw": In(stream.Signature(ADDRESS_BITS)), "w": In(stream.Signature(WriteData())),
            "b": Out(stream.Signature(Response)),
            "ar": In(stream.Signature(ADDRESS_BITS)), "r": Out(stream.Signature(ReadData())),
            "reads": Out(16), "writes": Out(16), "refused": Out(1), "refused_address": Out(ADDRESS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.axi = axi = Axi4Lite(read_wait=self._read_wait)
        m.submodules.file = file = RegisterFile()
        for name in ("aw", "w", "ar"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(axi, name))
        for name in ("b", "r"):
            wiring.connect(m, getattr(axi, name), wiring.flipped(getattr(self, name)))
        wiring.connect(m, axi.registers, file.bus)
        m.d.comb += [
            self.reads.eq(file.reads),
            self.writes.eq(file.writes),
            self.refused.eq(axi.refused),
            self.refused_address.eq(axi.refused_address),
        ]
        return m

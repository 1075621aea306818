"""AXI4-Lite on one side, registers on the other."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.registers import ADDRESS_BITS, RegisterPort

DATA_BITS = 32


class Response(enum.Enum, shape=unsigned(2)):
    """BRESP and RRESP."""

    OKAY = 0
    SLVERR = 2


class WriteData(data.StructLayout):
    """The W channel."""

    def __init__(self):
        super().__init__({"data": DATA_BITS, "strb": DATA_BITS // 8})


class ReadData(data.StructLayout):
    """The R channel."""

    def __init__(self):
        super().__init__({"data": DATA_BITS, "resp": Response})


class Axi4Lite(wiring.Component):
    """AXI4-Lite subordinate in front of a register port.

    Each of its five channels is a stream. Address and data of a write may come in any order and far apart; reads and
    writes do not wait for each other; one of each is under way at a time, so a response that is not taken holds back
    only its own side. A ready is always a register's output. A write is of a whole word: with byte strobes that leave
    out a part, or to an address without a writable register, it does nothing and gets SLVERR. The two lowest address
    bits are ignored.

    Parameters
    ----------
    read_wait : int
        Cycles from the acceptance of a read's address until the register is read, at least 1, for values that take that
        long to follow the registers that select them.

    Members
    -------
    aw, ar : In(stream.Signature(12))
        Byte addresses.
    w : In(stream.Signature(WriteData)), b : Out(stream.Signature(Response)), r : Out(stream.Signature(ReadData))
    registers : Out(RegisterPort())
    refused : Out(1), refused_address : Out(12)
        A write got SLVERR, in the cycle in which it did.

    Raises
    ------
    ValueError
        If ``read_wait`` is less than 1.
    """

    def __init__(self, *, read_wait: int = 1):
        if read_wait < 1:
            raise ValueError(f"read_wait is {read_wait}; it must be at least 1")
        self._read_wait = read_wait
        super().__init__({
            "aw": In(stream.Signature(ADDRESS_BITS)), "w": In(stream.Signature(WriteData())),
            "b": Out(stream.Signature(Response)),
            "ar": In(stream.Signature(ADDRESS_BITS)), "r": Out(stream.Signature(ReadData())),
            "registers": Out(RegisterPort()),
            "refused": Out(1), "refused_address": Out(ADDRESS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        registers = self.registers

        # A write waits here until both of its parts are there and its response has a place.
        address, has_address = Signal(ADDRESS_BITS, reset_less=True), Signal()
        word, has_word = Signal(WriteData(), reset_less=True), Signal()
        accepted, whole = Signal(), Signal()
        m.d.comb += [
            self.aw.ready.eq(~has_address),
            self.w.ready.eq(~has_word),
            whole.eq(word.strb.all()),
            accepted.eq(has_address & has_word & ~self.b.valid),
            registers.write.eq(accepted & whole),
            registers.write_address.eq(address >> 2),
            registers.write_data.eq(word.data),
            self.refused.eq(accepted & ~(whole & registers.write_ok)),
            self.refused_address.eq(address),
        ]
        with m.If(self.aw.valid & self.aw.ready):
            m.d.sync += [address.eq(self.aw.payload), has_address.eq(1)]
        with m.If(self.w.valid & self.w.ready):
            m.d.sync += [word.eq(self.w.payload), has_word.eq(1)]
        with m.If(self.b.ready):
            m.d.sync += self.b.valid.eq(0)
        with m.If(accepted):
            m.d.sync += [
                has_address.eq(0),
                has_word.eq(0),
                self.b.valid.eq(1),
                self.b.payload.eq(Mux(self.refused, Response.SLVERR, Response.OKAY)),
            ]

        # A read likewise.
        read_address, reading = Signal(ADDRESS_BITS, reset_less=True), Signal()
        wait = Signal(range(self._read_wait + 1))
        m.d.comb += [
            self.ar.ready.eq(~reading),
            registers.read.eq(reading & (wait == 0) & ~self.r.valid),
            registers.read_address.eq(read_address >> 2),
        ]
        with m.If(self.ar.valid & self.ar.ready):
            m.d.sync += [read_address.eq(self.ar.payload), reading.eq(1), wait.eq(self._read_wait)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.r.ready):
            m.d.sync += self.r.valid.eq(0)
        with m.If(registers.read):
            m.d.sync += [
                reading.eq(0),
                self.r.valid.eq(1),
                self.r.payload.data.eq(registers.read_data),
                self.r.payload.resp.eq(Mux(registers.read_ok, Response.OKAY, Response.SLVERR)),
            ]
        return m

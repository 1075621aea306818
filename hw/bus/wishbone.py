"""Wishbone on one side, registers on the other."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bus.registers import ADDRESS_BITS, WORD_ADDRESS_BITS, RegisterPort

DATA_BITS = 32
SELECT_BITS = DATA_BITS // 8


class WishboneBus(wiring.Signature):
    """A Wishbone B4 port of 32 bits with byte selects, seen from the manager; addresses are of words."""

    def __init__(self, address_bits: int = WORD_ADDRESS_BITS):
        super().__init__({
            "cyc": Out(1), "stb": Out(1), "we": Out(1), "adr": Out(address_bits), "sel": Out(SELECT_BITS),
            "dat_w": Out(DATA_BITS), "dat_r": In(DATA_BITS), "ack": In(1), "err": In(1), "stall": In(1),
        })  # fmt: skip


class Wishbone(wiring.Component):
    """Wishbone B4 subordinate in front of a register port, for standard and for pipelined managers.

    One request at a time: it is taken in the cycle in which it is answered, so ``stall`` is low in that cycle only.
    The answer is ``ack``; or ``err`` for a write that leaves out bytes or has no register to write, which then does
    nothing, and for a read of what cannot be read. A write takes 3 cycles, a read ``read_wait + 3``. A manager that
    lowers ``cyc`` gets no answer. All outputs to the bus are registers, but that answers are masked by the request.

    Parameters
    ----------
    read_wait : int
        As of :class:`hw.bus.axi4lite.Axi4Lite`: cycles until a register is read, at least 1.

    Members
    -------
    bus : In(WishboneBus())
    registers : Out(RegisterPort())
    refused : Out(1), refused_address : Out(12)
        A write got ``err``, in the cycle in which it was refused; a byte address.

    Raises
    ------
    ValueError
        If ``read_wait`` is less than 1.

    Source: "Wishbone B4", OpenCores, 2010, chapters 3 and 5.
    """

    def __init__(self, *, read_wait: int = 1):
        if read_wait < 1:
            raise ValueError(f"read_wait is {read_wait}; it must be at least 1")
        self._read_wait = read_wait
        super().__init__({
            "bus": In(WishboneBus()), "registers": Out(RegisterPort()),
            "refused": Out(1), "refused_address": Out(ADDRESS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        bus, registers = self.bus, self.registers

        # A request waits here until it is executed.
        address, word = Signal.like(bus.adr, reset_less=True), Signal.like(bus.dat_w, reset_less=True)
        writes, whole = Signal(reset_less=True), Signal(reset_less=True)
        pending, wait = Signal(), Signal(range(self._read_wait + 1))
        executes, good = Signal(), Signal()
        answered, accepted = Signal(), Signal()  # an answer shows, and it is ``ack``
        m.d.comb += [
            bus.ack.eq(bus.cyc & bus.stb & answered & accepted),
            bus.err.eq(bus.cyc & bus.stb & answered & ~accepted),
            bus.stall.eq(~answered),
            executes.eq(pending & (wait == 0) & bus.cyc),
            registers.write.eq(executes & writes & whole),
            registers.write_address.eq(address),
            registers.write_data.eq(word),
            registers.read.eq(executes & ~writes),
            registers.read_address.eq(address),
            good.eq(Mux(writes, whole & registers.write_ok, registers.read_ok)),
            self.refused.eq(executes & writes & ~good),
            self.refused_address.eq(address << 2),
        ]
        m.d.sync += [answered.eq(executes), accepted.eq(good)]
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(executes | ~bus.cyc):
            m.d.sync += pending.eq(0)
        with m.Elif(~pending & bus.stb & ~answered):
            m.d.sync += [
                pending.eq(1),
                address.eq(bus.adr),
                word.eq(bus.dat_w),
                writes.eq(bus.we),
                whole.eq(bus.sel.all()),
                wait.eq(Mux(bus.we, 0, self._read_wait)),
            ]
        with m.If(executes):
            m.d.sync += bus.dat_r.eq(registers.read_data)
        return m

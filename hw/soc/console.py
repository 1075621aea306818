"""What a person sees of the SoC: a serial line and three lights."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.uart import DATA_BITS as BYTE_BITS
from hw.bus.uart import UartReceiver, UartTransmitter
from hw.bus.wishbone import DATA_BITS, WishboneBus
from hw.soc.bus import ADDRESS_BITS


class Word(enum.IntEnum):
    """Registers, by number of the word."""

    SEND = 0  #: written: a byte for the line; read: bit 0, it would be taken
    RECEIVED = 1  #: read: a byte from the line; bit 8, there is one; the read drops it
    LIGHTS = 2  #: written: bit 0, a network is loaded; bit 1, an error


class Console(wiring.Component):
    """Give the processor a serial line and lights.

    A write is answered in the cycle in which it comes, a read one cycle later. A byte that is sent while another
    leaves is lost.

    Parameters
    ----------
    divisor : int
        Cycles a bit; see :func:`hw.bus.uart.divisor`.

    Members
    -------
    bus : In(WishboneBus(30))
        Registers, see :class:`Word`.
    rx : In(1), tx : Out(1)
        The line; ``rx`` may be asynchronous, ``tx`` is a register.
    loaded : Out(1), error : Out(1)
        As the processor says; registers.

    Raises
    ------
    ValueError
        If ``divisor`` is less than 4.
    """

    def __init__(self, *, divisor: int):
        self._receiver, self._transmitter = UartReceiver(divisor=divisor), UartTransmitter(divisor=divisor)
        super().__init__({
            "bus": In(WishboneBus(ADDRESS_BITS)), "rx": In(1, init=1), "tx": Out(1, init=1),
            "loaded": Out(1), "error": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self._receiver
        m.submodules.transmitter = transmitter = self._transmitter
        requested, answered, writes, reads = Signal(), Signal(), Signal(), Signal()
        number = self.bus.adr[: max(Word).bit_length()]
        m.d.comb += [
            requested.eq(self.bus.cyc & self.bus.stb),
            writes.eq(requested & self.bus.we),
            reads.eq(requested & ~self.bus.we & ~answered),
            self.bus.ack.eq(writes | (requested & answered)),
            self.bus.stall.eq(~self.bus.ack),
            receiver.rx.eq(self.rx),
            receiver.o.ready.eq(reads & (number == Word.RECEIVED)),
            self.tx.eq(transmitter.tx),
            transmitter.i.payload.eq(self.bus.dat_w),
            transmitter.i.valid.eq(writes & (number == Word.SEND)),
        ]
        m.d.sync += answered.eq(reads)
        with m.If(writes & (number == Word.LIGHTS)):
            m.d.sync += Cat(self.loaded, self.error).eq(self.bus.dat_w)
        with m.If(number == Word.SEND):
            m.d.sync += self.bus.dat_r.eq(transmitter.i.ready)
        with m.Else():
            unused = Const(0, DATA_BITS - BYTE_BITS - 1)
            m.d.sync += self.bus.dat_r.eq(Cat(receiver.o.payload, receiver.o.valid, unused))
        return m

"""A serial line with 8 data bits, no parity and one stop bit on one side, bytes on the other."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

DIVISOR_MIN = 4  #: cycles a bit, below which the middle of a bit cannot be told from its edges
RATE_ERROR_MAX = 0.015  #: of one side: both sides together may be 4 % apart at the last bit of a byte
DATA_BITS = 8


def divisor(clock_hz: float, baud: int) -> int:
    """Return the cycles a bit takes.

    Raises
    ------
    ValueError
        If the clock is too slow for the rate, or no whole number of cycles comes near it.
    """
    cycles = round(clock_hz / baud)
    if cycles < DIVISOR_MIN:
        raise ValueError(
            f"baud is {baud}; at a clock of {clock_hz:g} Hz it must be at most {int(clock_hz / DIVISOR_MIN)}"
        )
    if abs(clock_hz / cycles / baud - 1) > RATE_ERROR_MAX:
        below = int(clock_hz // baud)
        raise ValueError(
            f"baud is {baud}; a clock of {clock_hz:g} Hz divides to {clock_hz / (below + 1):.0f} or "
            f"{clock_hz / below:.0f}, both too far from it"
        )
    return cycles


class UartReceiver(wiring.Component):
    """Receive bytes.

    The line passes two registers and a majority of three cycles, so a disturbance of one cycle does nothing; a start
    bit must still be there in its middle, and every bit is sampled in its middle. A byte follows the middle of its
    stop bit by a cycle. The line cannot be stalled: a byte that comes before the one before it was taken is lost.

    Parameters
    ----------
    divisor : int
        Cycles a bit, 4 or more; see :func:`divisor`.

    Members
    -------
    rx : In(1)
        The line, high when idle; asynchronous.
    o : Out(stream.Signature(8))
    lost : Out(1)
        A byte was lost, because nobody took the one before or its stop bit was low; for one cycle each.

    Raises
    ------
    ValueError
        If ``divisor`` is less than 4.
    """

    def __init__(self, *, divisor: int):
        _check(divisor)
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(DATA_BITS)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # Newest first; the first two are the synchroniser.
        samples, line = Signal(5, init=0b11111), Signal(init=1)
        a, b, c = samples[2:]
        m.d.sync += [samples.eq(Cat(self.rx, samples[:-1])), line.eq((a & b) | (b & c) | (a & c))]

        wait, bits = Signal(range(self._divisor)), Signal(range(DATA_BITS))
        shift = Signal(DATA_BITS, reset_less=True)
        next_bit = wait.eq(self._divisor - 1)
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("IDLE"), m.If(~line):
                m.d.sync += wait.eq((self._divisor - 1) // 2 - 1)  # an edge is seen half a cycle late
                m.next = "START"
            with m.State("START"), m.If(wait == 0):
                m.d.sync += [next_bit, bits.eq(DATA_BITS - 1)]
                with m.If(line):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "DATA"
            with m.State("DATA"), m.If(wait == 0):
                m.d.sync += [next_bit, bits.eq(bits - 1), shift.eq(Cat(shift[1:], line))]
                with m.If(bits == 0):
                    m.next = "STOP"
            with m.State("STOP"), m.If(wait == 0):
                m.d.comb += self.lost.eq(~line | (self.o.valid & ~self.o.ready))
                with m.If(~self.lost):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(shift)]
                m.next = "IDLE"
                with m.If(~line):
                    m.next = "BREAK"
            with m.State("BREAK"), m.If(line):
                m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Send bytes; one takes ``10 * divisor + 1`` cycles.

    Parameters
    ----------
    divisor : int
        Cycles a bit, 4 or more; see :func:`divisor`.

    Members
    -------
    i : In(stream.Signature(8))
    tx : Out(1)
        The line, high when idle; a register.

    Raises
    ------
    ValueError
        If ``divisor`` is less than 4.
    """

    def __init__(self, *, divisor: int):
        _check(divisor)
        self._divisor = divisor
        super().__init__({"i": In(stream.Signature(DATA_BITS)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        frame_bits = DATA_BITS + 2
        shift = Signal(frame_bits - 1, init=(1 << frame_bits - 1) - 1)  # the bit on the line first; then it idles
        wait, left = Signal(range(self._divisor)), Signal(range(frame_bits + 1))
        m.d.comb += [self.tx.eq(shift[0]), self.i.ready.eq(left == 0)]
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(left != 0):
            m.d.sync += [shift.eq(Cat(shift[1:], Const(1, 1))), left.eq(left - 1), wait.eq(self._divisor - 1)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [shift.eq(Cat(Const(0, 1), self.i.payload)), left.eq(frame_bits), wait.eq(self._divisor - 1)]
        return m


def _check(divisor: int) -> None:
    if divisor < DIVISOR_MIN:
        raise ValueError(f"divisor is {divisor}; it must be at least {DIVISOR_MIN}")

"""The checksum of a memory image, CRC-32 as in ISO/IEC 13239, a word a cycle."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

POLYNOMIAL = 0xEDB88320  #: least significant bit first
START = 0xFFFFFFFF


def advance(bits: Value) -> Value:
    """Return what 32 bits turn into as they are shifted through the polynomial; of a sum, the sum of what each does."""

    def column(state: int) -> int:
        for _ in range(32):
            state = (state >> 1) ^ (POLYNOMIAL if state & 1 else 0)
        return state

    columns = [column(1 << bit) for bit in range(32)]
    return Cat(
        Cat(bit for bit, into in zip(bits, columns, strict=True) if into >> place & 1).xor() for place in range(32)
    )


class WordCrc(wiring.Component):
    """Work out the checksum of 32-bit words, their least significant bits first.

    The share of a word is found a cycle before it is known whether it counts, which halves the sums of one cycle. (The
    processor of ``amaranth.lib.crc`` adds up word and state at once.)

    Members
    -------
    word : In(32)
        That may count in the next cycle.
    restart : In(1), takes : In(1)
        The word of the cycle before is the first, or counts. One that restarts takes as well.
    crc : Out(32)
        Of the words that counted up to two cycles ago.
    """

    def __init__(self):
        super().__init__({"word": In(32), "restart": In(1), "takes": In(1), "crc": Out(32)})

    def elaborate(self, platform):
        m = Module()
        share, taken = (Signal(32, name=name, reset_less=True) for name in ("share", "taken"))
        state, takes = Signal(32, init=START, reset_less=True), Signal()
        m.d.sync += [share.eq(advance(self.word)), taken.eq(share), takes.eq(self.takes)]
        with m.If(takes):
            m.d.sync += state.eq(advance(state) ^ taken)
        with m.If(self.restart):
            m.d.sync += state.eq(START)
        m.d.comb += self.crc.eq(~state)
        return m

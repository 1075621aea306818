"""The SoC's memory: the program, its data, and the network that it loads."""

from __future__ import annotations

from pathlib import Path

from amaranth import ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.bus.wishbone import WishboneBus
from hw.soc.bus import ADDRESS_BITS

WORD_BYTES = 4
VERILOG = Path(__file__).parent / "ram.v"  #: of the module ``soc_ram``
PROGRAM = "program.hex"  #: what memory starts with, in the folder where the tools run


class Ram(wiring.Component):
    """Memory on the bus; from any address it counts anew after its last word.

    A write is answered in the cycle in which it comes, a read one cycle later; a read of the word behind the one that
    was read last in the cycle in which it comes, so that a line of a cache takes a cycle a word, and one. It is an
    instance, so that another program needs no other Verilog, as simulators and Yosys read it from a file.

    Parameters
    ----------
    size : int
        Bytes, a power of two.

    Members
    -------
    bus : In(WishboneBus(30))

    Raises
    ------
    ValueError
        If ``size`` is not a power of two from 1024 up.
    """

    def __init__(self, *, size: int):
        if size < 1024 or size & (size - 1):
            raise ValueError(f"size is {size}; it must be a power of two, 1024 or more")
        self._words = size // WORD_BYTES
        super().__init__({"bus": In(WishboneBus(ADDRESS_BITS))})

    def elaborate(self, platform):
        m = Module()
        address_bits = (self._words - 1).bit_length()
        asked, write, address = Signal(), Signal(WORD_BYTES), Signal(address_bits)
        held, is_held, shows = Signal(address_bits), Signal(), Signal()  # the word that shows
        wanted = self.bus.adr[:address_bits]
        m.d.comb += [
            asked.eq(self.bus.cyc & self.bus.stb),
            write.eq(self.bus.sel & self.bus.we.replicate(WORD_BYTES)),
            shows.eq(asked & ~self.bus.we & is_held & (wanted == held)),
            self.bus.ack.eq(shows | (asked & self.bus.we)),
            self.bus.stall.eq(~self.bus.ack),
            address.eq(Mux(shows, wanted + 1, wanted)),
        ]
        with m.If(asked):
            m.d.sync += [held.eq(address), is_held.eq(~self.bus.we)]
        m.submodules.memory = Instance(
            "soc_ram",
            p_WORDS=self._words, p_ADDRESS_BITS=address_bits, p_PROGRAM=PROGRAM,
            i_clk=ClockSignal(), i_enable=asked, i_write=write, i_address=address,
            i_write_data=self.bus.dat_w, o_read_data=self.bus.dat_r,
        )  # fmt: skip
        return m

"""The same core for a Wishbone SoC: registers on Wishbone, events on streams, an interrupt."""

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bus.registers import WORD_ADDRESS_BITS
from hw.bus.wishbone import DATA_BITS, SELECT_BITS, Wishbone
from hw.config import CoreConfig
from hw.system import READ_WAIT, System
from hw.top import EVENT_PORTS, connect_events, connect_memory, memory_ports

PORTS = {
    "clk_i": In(1), "rst_i": In(1),
    "wb_cyc_i": In(1), "wb_stb_i": In(1), "wb_we_i": In(1), "wb_adr_i": In(WORD_ADDRESS_BITS),
    "wb_sel_i": In(SELECT_BITS), "wb_dat_i": In(DATA_BITS), "wb_dat_o": Out(DATA_BITS), "wb_ack_o": Out(1),
    "wb_err_o": Out(1), "wb_stall_o": Out(1),
    **EVENT_PORTS, "irq_o": Out(1),
}  # fmt: skip


class WishboneTop(wiring.Component):
    """A core behind Wishbone; docs/interfaces.md describes it for users.

    Members
    -------
    clk_i : In(1), rst_i : In(1)
        Clock of everything; reset, high, synchronous to it.
    wb_* : Wishbone B4, 32 bits, standard or pipelined, registers as in docs/registers.md
    s_axis_* : AXI4-Stream, 64 bits, events in
    m_axis_* : AXI4-Stream, 64 bits, events or logits out
    irq_o : Out(1)
        High while an interrupt is pending and enabled.
    m_axi_* : AXI4, read channels, with lists in external memory
    """

    def __init__(self, config: CoreConfig):
        self.config = config
        super().__init__(PORTS | memory_ports(config))

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.clk_i), ResetSignal().eq(self.rst_i)]
        m.submodules.wishbone = wishbone = Wishbone(read_wait=READ_WAIT)
        m.submodules.system = system = System(self.config)
        m.d.comb += [
            wishbone.bus.cyc.eq(self.wb_cyc_i),
            wishbone.bus.stb.eq(self.wb_stb_i),
            wishbone.bus.we.eq(self.wb_we_i),
            wishbone.bus.adr.eq(self.wb_adr_i),
            wishbone.bus.sel.eq(self.wb_sel_i),
            wishbone.bus.dat_w.eq(self.wb_dat_i),
            self.wb_dat_o.eq(wishbone.bus.dat_r),
            self.wb_ack_o.eq(wishbone.bus.ack),
            self.wb_err_o.eq(wishbone.bus.err),
            self.wb_stall_o.eq(wishbone.bus.stall),
        ]
        wiring.connect(m, wishbone.registers, system.registers)
        connect_events(m, self, system)
        connect_memory(m, self, system)
        m.d.comb += [
            system.refused.eq(wishbone.refused),
            system.refused_address.eq(wishbone.refused_address),
            self.irq_o.eq(system.irq),
        ]
        return m

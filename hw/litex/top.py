"""The core as the SoC instances it: registers on Wishbone, events on streams, lists read through AXI4."""

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.bus.axi4_ports import connect_read, read_ports
from hw.bus.axi4_read import read_signature
from hw.bus.wishbone import Wishbone
from hw.config import CoreConfig
from hw.core import LIST_PORTS
from hw.system import READ_WAIT, System
from hw.top import connect_events
from hw.wishbone_top import PORTS

NAME = "egret_litex"


class StreamedSystem(System):
    """A :class:`hw.system.System` that leads the core's window and memory port out.

    Attributes
    ----------
    list_base, list_size : Signal
        The window; see :class:`hw.list_stream.ListStream`.
    memory : Interface
        Its port, ``ar`` and ``r``.
    """

    def __init__(self, config: CoreConfig):
        super().__init__(config)
        self.list_base, self.list_size = (Signal(member.shape, name=name) for name, member in LIST_PORTS.items())
        self.memory = wiring.Signature(read_signature(config.port_bits)).create(path=("memory",))

    def elaborate(self, platform):
        m = super().elaborate(platform)
        core = m.submodules.core
        m.d.comb += [core.list_base.eq(self.list_base), core.list_size.eq(self.list_size)]
        wiring.connect(m, core.ar, wiring.flipped(self.memory.ar))
        wiring.connect(m, wiring.flipped(self.memory.r), core.r)
        return m


class EgretLitex(wiring.Component):
    """A core behind Wishbone whose window is two inputs, for registers of the SoC to drive.

    Members
    -------
    clk_i, rst_i, wb_*, s_axis_*, m_axis_*, irq_o
        As of :class:`hw.wishbone_top.WishboneTop`.
    m_axi_* : AXI4 read channels, ``config.port_bits`` wide
        See :func:`hw.bus.axi4_ports.read_ports`.
    list_base : In(32), list_size : In(25)
        First byte of the lists, a multiple of 4096, and how many beats of 16 bytes they are.

    Raises
    ------
    ValueError
        If the core has its lists on chip.
    """

    def __init__(self, config: CoreConfig):
        if not config.streamed:
            raise ValueError("gap_bits is 0; it must be 4, 5 or 6, as lists are in the SoC's memory")
        self.config = config
        super().__init__(PORTS | read_ports(config.port_bits) | {name: In(m.shape) for name, m in LIST_PORTS.items()})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.clk_i), ResetSignal().eq(self.rst_i)]
        m.submodules.wishbone = wishbone = Wishbone(read_wait=READ_WAIT)
        m.submodules.system = system = StreamedSystem(self.config)
        bus = wishbone.bus
        m.d.comb += [
            getattr(bus, name).eq(getattr(self, f"wb_{name}_i")) for name in ("cyc", "stb", "we", "adr", "sel")
        ]
        m.d.comb += [getattr(self, f"wb_{name}_o").eq(getattr(bus, name)) for name in ("ack", "err", "stall")]
        m.d.comb += [
            bus.dat_w.eq(self.wb_dat_i),
            self.wb_dat_o.eq(bus.dat_r),
            system.list_base.eq(self.list_base),
            system.list_size.eq(self.list_size),
            system.refused.eq(wishbone.refused),
            system.refused_address.eq(wishbone.refused_address),
            self.irq_o.eq(system.irq),
        ]
        wiring.connect(m, wishbone.registers, system.registers)
        connect_events(m, self, system)
        connect_read(m, self, system.memory.ar, system.memory.r)
        return m

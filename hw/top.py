"""The module that a user instantiates: the core with AXI4-Lite registers, AXI4-Stream events and an interrupt."""

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4_ports import connect_read, read_ports
from hw.bus.axi4lite import DATA_BITS, Axi4Lite
from hw.bus.axi4stream import BUS_INDEX_BITS, VALUE_BITS
from hw.bus.registers import ADDRESS_BITS
from hw.config import CoreConfig
from hw.system import READ_WAIT, System

EVENT_PORTS = {
    "s_axis_tdata": In(BUS_INDEX_BITS + VALUE_BITS), "s_axis_tlast": In(1), "s_axis_tuser": In(1),
    "s_axis_tvalid": In(1), "s_axis_tready": Out(1),
    "m_axis_tdata": Out(BUS_INDEX_BITS + VALUE_BITS), "m_axis_tlast": Out(1), "m_axis_tuser": Out(1),
    "m_axis_tvalid": Out(1), "m_axis_tready": In(1),
}  # fmt: skip
PORTS = {
    "aclk": In(1), "aresetn": In(1),
    "s_axi_awaddr": In(ADDRESS_BITS), "s_axi_awprot": In(3), "s_axi_awvalid": In(1), "s_axi_awready": Out(1),
    "s_axi_wdata": In(DATA_BITS), "s_axi_wstrb": In(DATA_BITS // 8), "s_axi_wvalid": In(1), "s_axi_wready": Out(1),
    "s_axi_bresp": Out(2), "s_axi_bvalid": Out(1), "s_axi_bready": In(1),
    "s_axi_araddr": In(ADDRESS_BITS), "s_axi_arprot": In(3), "s_axi_arvalid": In(1), "s_axi_arready": Out(1),
    "s_axi_rdata": Out(DATA_BITS), "s_axi_rresp": Out(2), "s_axi_rvalid": Out(1), "s_axi_rready": In(1),
    **EVENT_PORTS, "irq": Out(1),
}  # fmt: skip


def memory_ports(config: CoreConfig) -> dict[str, wiring.Member]:
    """Return the ports to external memory: AXI4, read channels; none where lists are on chip."""
    return read_ports(config.port_bits) if config.streamed else {}


def connect_memory(m: Module, ports: wiring.Component, system: System) -> None:
    """Connect the :func:`memory_ports` of a top."""
    if system.config.streamed:
        connect_read(m, ports, system.ar, system.r)


def connect_events(m: Module, ports: wiring.Component, system: System) -> None:
    """Connect the ``EVENT_PORTS`` of a top."""
    i, o = system.i.payload, system.o.payload
    m.d.comb += [
        i.index.eq(ports.s_axis_tdata[:BUS_INDEX_BITS]),
        i.value.eq(ports.s_axis_tdata[BUS_INDEX_BITS:]),
        i.last.eq(ports.s_axis_tlast),
        i.user.eq(ports.s_axis_tuser),
        system.i.valid.eq(ports.s_axis_tvalid),
        ports.s_axis_tready.eq(system.i.ready),
        ports.m_axis_tdata[:BUS_INDEX_BITS].eq(o.index),
        ports.m_axis_tdata[BUS_INDEX_BITS:].eq(o.value),
        ports.m_axis_tlast.eq(o.last),
        ports.m_axis_tuser.eq(o.user),
        ports.m_axis_tvalid.eq(system.o.valid),
        system.o.ready.eq(ports.m_axis_tready),
    ]


class Top(wiring.Component):
    """A core behind standard buses; docs/interfaces.md describes them for users.

    Members
    -------
    aclk : In(1), aresetn : In(1)
        Clock of everything; reset, low, synchronous to it.
    s_axi_* : AXI4-Lite, 32 bits, registers as in docs/registers.md
    s_axis_* : AXI4-Stream, 64 bits, events in
    m_axis_* : AXI4-Stream, 64 bits, events or logits out
    irq : Out(1)
        High while an interrupt is pending and enabled.
    m_axi_* : AXI4, read channels, with lists in external memory
    """

    def __init__(self, config: CoreConfig):
        self.config = config
        super().__init__(PORTS | memory_ports(config))

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.axi = axi = Axi4Lite(read_wait=READ_WAIT)
        m.submodules.system = system = System(self.config)
        self._connect_axi(m, axi)
        wiring.connect(m, axi.registers, system.registers)
        connect_events(m, self, system)
        connect_memory(m, self, system)
        m.d.comb += [
            system.refused.eq(axi.refused),
            system.refused_address.eq(axi.refused_address),
            self.irq.eq(system.irq),
        ]
        return m

    def _connect_axi(self, m, axi):
        m.d.comb += [
            axi.aw.payload.eq(self.s_axi_awaddr),
            axi.aw.valid.eq(self.s_axi_awvalid),
            self.s_axi_awready.eq(axi.aw.ready),
            axi.w.payload.data.eq(self.s_axi_wdata),
            axi.w.payload.strb.eq(self.s_axi_wstrb),
            axi.w.valid.eq(self.s_axi_wvalid),
            self.s_axi_wready.eq(axi.w.ready),
            self.s_axi_bresp.eq(axi.b.payload),
            self.s_axi_bvalid.eq(axi.b.valid),
            axi.b.ready.eq(self.s_axi_bready),
            axi.ar.payload.eq(self.s_axi_araddr),
            axi.ar.valid.eq(self.s_axi_arvalid),
            self.s_axi_arready.eq(axi.ar.ready),
            self.s_axi_rdata.eq(axi.r.payload.data),
            self.s_axi_rresp.eq(axi.r.payload.resp),
            self.s_axi_rvalid.eq(axi.r.valid),
            axi.r.ready.eq(self.s_axi_rready),
        ]

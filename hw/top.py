"""The module that a user instantiates: the core with AXI4-Lite registers, AXI4-Stream events and an interrupt."""

from amaranth import ClockDomain, ClockSignal, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4lite import DATA_BITS, Axi4Lite
from hw.bus.axi4stream import BUS_INDEX_BITS, VALUE_BITS, EventInput, EventOutput
from hw.bus.registers import ADDRESS_BITS, RegisterBlock
from hw.config import REVISION, CoreConfig
from hw.core import Core
from hw.counters import counter_map
from hw.errors import Error

#: Cycles from a read's acceptance to the read: a state follows its selection by 4, the selection a write by 1.
READ_WAIT = 5

PORTS = {
    "aclk": In(1), "aresetn": In(1),
    "s_axi_awaddr": In(ADDRESS_BITS), "s_axi_awprot": In(3), "s_axi_awvalid": In(1), "s_axi_awready": Out(1),
    "s_axi_wdata": In(DATA_BITS), "s_axi_wstrb": In(DATA_BITS // 8), "s_axi_wvalid": In(1), "s_axi_wready": Out(1),
    "s_axi_bresp": Out(2), "s_axi_bvalid": Out(1), "s_axi_bready": In(1),
    "s_axi_araddr": In(ADDRESS_BITS), "s_axi_arprot": In(3), "s_axi_arvalid": In(1), "s_axi_arready": Out(1),
    "s_axi_rdata": Out(DATA_BITS), "s_axi_rresp": Out(2), "s_axi_rvalid": Out(1), "s_axi_rready": In(1),
    "s_axis_tdata": In(BUS_INDEX_BITS + VALUE_BITS), "s_axis_tlast": In(1), "s_axis_tuser": In(1),
    "s_axis_tvalid": In(1), "s_axis_tready": Out(1),
    "m_axis_tdata": Out(BUS_INDEX_BITS + VALUE_BITS), "m_axis_tlast": Out(1), "m_axis_tuser": Out(1),
    "m_axis_tvalid": Out(1), "m_axis_tready": In(1),
    "irq": Out(1),
}  # fmt: skip


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
    """

    def __init__(self, config: CoreConfig):
        self.config = config
        super().__init__(PORTS)

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.axi = axi = Axi4Lite(read_wait=READ_WAIT)
        m.submodules.registers = registers = RegisterBlock()
        m.submodules.event_input = event_input = EventInput(self.config)
        m.submodules.core = core = Core(self.config)
        m.submodules.event_output = event_output = EventOutput()

        self._connect_axi(m, axi)
        wiring.connect(m, axi.registers, registers.bus)
        self._connect_input(m, event_input)
        wiring.connect(m, event_input.o, core.i)
        wiring.connect(m, core.o, event_output.i)
        self._connect_output(m, event_output)

        self._connect_control(m, registers, core, event_output)
        self._connect_readings(m, registers, event_input, core, event_output)

        # The core leaves reset one cycle after its reset input; the buses wait for it.
        resetting = Signal()
        m.d.sync += resetting.eq(registers.control.reset)
        for bus in (event_input, event_output):
            m.d.comb += bus.reset.eq(registers.control.reset | resetting)

        # What the buses refuse is the core's error, too.
        m.d.comb += [
            core.extra_error.eq(Mux(axi.refused, Error.REGISTER, event_input.error)),
            core.extra_detail.eq(Mux(axi.refused, axi.refused_address, event_input.detail)),
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

    def _connect_input(self, m, event_input):
        beat = event_input.i.payload
        m.d.comb += [
            beat.index.eq(self.s_axis_tdata[:BUS_INDEX_BITS]),
            beat.value.eq(self.s_axis_tdata[BUS_INDEX_BITS:]),
            beat.last.eq(self.s_axis_tlast),
            beat.user.eq(self.s_axis_tuser),
            event_input.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(event_input.i.ready),
        ]

    def _connect_output(self, m, event_output):
        beat = event_output.o.payload
        m.d.comb += [
            self.m_axis_tdata[:BUS_INDEX_BITS].eq(beat.index),
            self.m_axis_tdata[BUS_INDEX_BITS:].eq(beat.value),
            self.m_axis_tlast.eq(beat.last),
            self.m_axis_tuser.eq(beat.user),
            self.m_axis_tvalid.eq(event_output.o.valid),
            event_output.o.ready.eq(self.m_axis_tready),
        ]

    def _connect_control(self, m, registers, core, event_output):
        """What software tells the core."""
        control, pending, enable = registers.control, registers.interrupt_pending, registers.interrupt_enable
        m.d.comb += [
            core.reset.eq(control.reset),
            core.clear_error.eq(control.clear_error),
            core.clear_counters.eq(control.clear_counters),
            core.argmax_only.eq(control.argmax_only),
            core.load.payload.eq(registers.load_data.word),
            core.load.valid.eq(registers.load_data.word_written),
            core.unit_select.eq(registers.state_select.unit),
            core.cell_select.eq(registers.state_select.cell),
            core.counter_select.eq(registers.counter_select.selected),
            pending.step_set.eq(event_output.step),
            pending.error_set.eq(core.error != Error.NONE),
            self.irq.eq((pending.step & enable.step) | (pending.error & enable.error)),
        ]

    def _connect_readings(self, m, registers, event_input, core, event_output):
        """What the core tells software."""
        m.d.comb += [
            registers.version.revision.eq(REVISION),
            registers.config_id.config_id.eq(self.config.config_id),
            registers.counter_select.count.eq(len(counter_map(self.config)) if self.config.counters else 0),
            registers.status.loaded.eq(core.loaded),
            registers.status.idle.eq(~event_input.o.valid & (core.idle | ~core.loaded) & event_output.empty),
            registers.status.error.eq(core.error != Error.NONE),
            registers.error.code.eq(core.error),
            registers.error_detail.detail.eq(core.detail),
            registers.state_data.h.eq(core.state.h),
            registers.state_data.fires.eq(core.state.fires),
            registers.counter_low.low.eq(core.counter),
            registers.best_index.index.eq(core.best_index),
            registers.best_index.valid.eq(core.best_valid),
        ]
        for capacity in (registers.lanes, registers.rows, registers.entries, registers.widths):
            for name in capacity.signature.members:
                m.d.comb += getattr(capacity, name).eq(getattr(self.config, name))
        # The second half of what is read in two is kept when the first is read.
        with m.If(registers.counter_low.low_read):
            m.d.sync += registers.counter_high.high.eq(core.counter >> DATA_BITS)
        with m.If(registers.best_index.index_read):
            m.d.sync += registers.best_value.value.eq(core.best_value)

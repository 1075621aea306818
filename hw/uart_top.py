"""A core behind a serial line: what a board needs besides a clock, a reset and two pins."""

from __future__ import annotations

from amaranth import Cat, ClockSignal, Const, DomainRenamer, Module, ResetSignal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4lite import DATA_BITS
from hw.bus.host_link import BUFFER_BYTES, PATIENCE, HostLink
from hw.bus.operations import STATUS
from hw.bus.uart import UartReceiver, UartTransmitter, divisor
from hw.config import CoreConfig
from hw.top import Top


class UartTop(wiring.Component):
    """Put a host link and a UART in front of :class:`hw.top.Top`; everything in the domain ``sync``.

    A host loads networks, sends events, takes outputs and reads registers through the line, 8N1, by the protocol of
    docs/host-link.md; ``firmware.link`` is one. Registers and events are those of docs/interfaces.md.

    Parameters
    ----------
    config : CoreConfig
    clock_hz : float
        Frequency of ``sync``.
    baud : int
        Bits a second on the line, at most a quarter of ``clock_hz``.
    buffer_bytes, patience : int
        See :class:`hw.bus.host_link.HostLink`.

    Members
    -------
    rx : In(1), tx : Out(1)
        The line, seen from here; ``rx`` may be asynchronous, ``tx`` is a register.
    busy : Out(1)
        A request is being executed or answered.
    loaded : Out(1), error : Out(1)
        A network is loaded; the core has met an error: as they were at the end of the last request.

    Raises
    ------
    ValueError
        If a parameter is wrong, or ``clock_hz`` does not divide to ``baud`` closely enough.
    """

    def __init__(
        self,
        config: CoreConfig,
        *,
        clock_hz: float,
        baud: int,
        buffer_bytes: int = BUFFER_BYTES,
        patience: int = PATIENCE,
    ):
        if config.streamed:
            raise ValueError(
                f"gap_bits is {config.gap_bits}; it must be 0 behind a UART, where there is no external memory"
            )
        self.config = config
        self._divisor = divisor(clock_hz, baud)
        self._link = HostLink(buffer_bytes=buffer_bytes, patience=patience)
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1), "loaded": Out(1), "error": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(divisor=self._divisor)
        m.submodules.link = link = self._link
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self._divisor)
        top = Top(self.config)
        # The top makes a domain of its own, of the same name; its clock is this one.
        m.submodules.top = DomainRenamer("core")(top)
        m.d.comb += [top.aclk.eq(ClockSignal()), top.aresetn.eq(~ResetSignal())]

        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), link.lost.eq(receiver.lost)]
        wiring.connect(m, receiver.o, link.i)
        wiring.connect(m, link.o, transmitter.i)
        self._connect_registers(m, link, top)
        self._connect_events(m, link, top)

        status = data.View(STATUS.layout, Cat(link.status, Const(0, DATA_BITS - len(link.status))))
        m.d.comb += [self.busy.eq(link.busy), self.loaded.eq(status.loaded), self.error.eq(status.error)]
        return m

    def _connect_registers(self, m, link, top):
        m.d.comb += [
            top.s_axi_awaddr.eq(link.aw.payload), top.s_axi_awvalid.eq(link.aw.valid),
            link.aw.ready.eq(top.s_axi_awready),
            top.s_axi_wdata.eq(link.w.payload.data), top.s_axi_wstrb.eq(link.w.payload.strb),
            top.s_axi_wvalid.eq(link.w.valid), link.w.ready.eq(top.s_axi_wready),
            link.b.payload.eq(top.s_axi_bresp), link.b.valid.eq(top.s_axi_bvalid), top.s_axi_bready.eq(link.b.ready),
            top.s_axi_araddr.eq(link.ar.payload), top.s_axi_arvalid.eq(link.ar.valid),
            link.ar.ready.eq(top.s_axi_arready),
            link.r.payload.data.eq(top.s_axi_rdata), link.r.payload.resp.eq(top.s_axi_rresp),
            link.r.valid.eq(top.s_axi_rvalid), top.s_axi_rready.eq(link.r.ready),
        ]  # fmt: skip

    def _connect_events(self, m, link, top):
        send, take = link.send.payload, link.take.payload
        m.d.comb += [
            top.s_axis_tdata.eq(Cat(send.index, send.value)), top.s_axis_tlast.eq(send.last),
            top.s_axis_tuser.eq(send.user), top.s_axis_tvalid.eq(link.send.valid),
            link.send.ready.eq(top.s_axis_tready),
            Cat(take.index, take.value).eq(top.m_axis_tdata), take.last.eq(top.m_axis_tlast),
            take.user.eq(top.m_axis_tuser), link.take.valid.eq(top.m_axis_tvalid),
            top.m_axis_tready.eq(link.take.ready),
        ]  # fmt: skip

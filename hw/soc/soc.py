"""The SoC: a processor, memory, a serial line and a core on one bus."""

from __future__ import annotations

from amaranth import Cat, ClockSignal, DomainRenamer, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bus.registers import WORD_ADDRESS_BITS
from hw.bus.uart import divisor
from hw.config import CoreConfig
from hw.soc.bus import Arbiter, Decoder
from hw.soc.console import Console
from hw.soc.cpu import Cpu
from hw.soc.event_queues import EventQueues
from hw.soc.ram import Ram
from hw.wishbone_top import WishboneTop

#: The four highest bits of addresses; the processor caches those below 8. docs/soc.md tells of them, and
#: ``firmware/soc/soc.h`` has them.
REGIONS = {"memory": 0x0, "console": 0x8, "core": 0x9, "queues": 0xA}
MEMORY_BYTES = 1 << 17
QUEUE_DEPTH = 64


class Soc(wiring.Component):
    """Put a core, :class:`hw.wishbone_top.WishboneTop`, on a processor's bus; everything in the domain ``sync``.

    Parameters
    ----------
    config : CoreConfig
    clock_hz : float
        Frequency of ``sync``.
    baud : int
        Bits a second on the line, at most a quarter of ``clock_hz``.
    memory_bytes : int
        For the program with its network and images; a power of two.

    Members
    -------
    rx : In(1), tx : Out(1)
        The line, seen from here; ``rx`` may be asynchronous, ``tx`` is a register.
    busy : Out(1)
        A step is under way.
    loaded : Out(1), error : Out(1)
        The program has loaded its network; it has met an error.

    Raises
    ------
    ValueError
        If a parameter is wrong, or ``clock_hz`` does not divide to ``baud`` closely enough.
    """

    def __init__(self, config: CoreConfig, *, clock_hz: float, baud: int, memory_bytes: int = MEMORY_BYTES):
        if config.streamed:
            raise ValueError(
                f"gap_bits is {config.gap_bits}; it must be 0 in this SoC, in which there is no external memory"
            )
        self.config = config
        self._console = Console(divisor=divisor(clock_hz, baud))
        self._ram = Ram(size=memory_bytes)
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1), "loaded": Out(1), "error": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.cpu = cpu = Cpu()
        m.submodules.arbiter = arbiter = Arbiter()
        m.submodules.decoder = decoder = Decoder(REGIONS)
        m.submodules.ram = ram = self._ram
        m.submodules.console = console = self._console
        m.submodules.queues = queues = EventQueues(depth=QUEUE_DEPTH)
        core = WishboneTop(self.config)
        # The top makes a domain of its own, of the same name; its clock is this one.
        m.submodules.core = DomainRenamer("core")(core)
        m.d.comb += [core.clk_i.eq(ClockSignal()), core.rst_i.eq(ResetSignal())]

        wiring.connect(m, cpu.data, arbiter.first)
        wiring.connect(m, cpu.instructions, arbiter.second)
        wiring.connect(m, arbiter.bus, decoder.bus)
        wiring.connect(m, decoder.memory, ram.bus)
        wiring.connect(m, decoder.console, console.bus)
        wiring.connect(m, decoder.queues, queues.bus)
        self._connect_core(m, decoder.core, queues, core)
        m.d.comb += [
            console.rx.eq(self.rx), self.tx.eq(console.tx),
            self.busy.eq(queues.busy), self.loaded.eq(console.loaded), self.error.eq(console.error),
        ]  # fmt: skip
        return m

    def _connect_core(self, m, bus, queues, core):
        event, result = queues.o.payload, queues.i.payload
        m.d.comb += [
            core.wb_cyc_i.eq(bus.cyc), core.wb_stb_i.eq(bus.stb), core.wb_we_i.eq(bus.we),
            core.wb_adr_i.eq(bus.adr[:WORD_ADDRESS_BITS]), core.wb_sel_i.eq(bus.sel), core.wb_dat_i.eq(bus.dat_w),
            bus.dat_r.eq(core.wb_dat_o), bus.ack.eq(core.wb_ack_o), bus.err.eq(core.wb_err_o),
            bus.stall.eq(core.wb_stall_o),
            core.s_axis_tdata.eq(Cat(event.index, event.value)), core.s_axis_tlast.eq(event.last),
            core.s_axis_tuser.eq(event.user), core.s_axis_tvalid.eq(queues.o.valid),
            queues.o.ready.eq(core.s_axis_tready),
            Cat(result.index, result.value).eq(core.m_axis_tdata), result.last.eq(core.m_axis_tlast),
            result.user.eq(core.m_axis_tuser), queues.i.valid.eq(core.m_axis_tvalid),
            core.m_axis_tready.eq(queues.i.ready),
        ]  # fmt: skip

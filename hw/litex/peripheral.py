"""An Egret core as a LiteX module: registers on the SoC's bus, lists from a LiteDRAM port, events through CSRs."""

from litedram.frontend.axi import LiteDRAMAXI2Native
from litex.gen import LiteXModule
from litex.soc.interconnect import axi, stream, wishbone
from litex.soc.interconnect.csr import CSR, CSRField, CSRStatus, CSRStorage
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import Cat, ClockSignal, If, Instance, ResetSignal, Signal

CORE = "egret_wishbone"  #: the module, :class:`hw.wishbone_top.WishboneTop`
EVENT = [("index", 32), ("value", 32), ("user", 1)]
EVENTS = 256  #: events that wait for the core, and results that wait for the CPU
#: Beats that LiteDRAM may have under way: they come two cycles apart, and the first some 20 cycles after its command.
READS = 32
PORT_BITS = 128  #: of LiteDRAM's native port behind a DDR3 chip of 16 pins
COUNT_BITS = 32
MASTER_SIGNALS = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos")


class Egret(LiteXModule):
    """A core, its event queues, and counts of what its memory port does.

    Parameters
    ----------
    port : LiteDRAMNativePort
        Where lists come from; 128 bits wide.
    origin : int
        Address of that memory on the SoC's bus; LIST_BASE is an address of the bus, too.

    Attributes
    ----------
    bus : wishbone.Interface
        The core's registers, docs/registers.md.
    ev : EventManager
        Its interrupt.
    """

    def __init__(self, port, origin: int):
        self.bus = wishbone.Interface(data_width=32, address_width=32, addressing="word")
        self.ev = EventManager()
        self.ev.core = EventSourceLevel(description="An interrupt of the core: INTERRUPT_PENDING has which.")
        self.ev.finalize()
        self.memory = axi.AXIInterface(data_width=PORT_BITS, address_width=32, id_width=1)
        self.reads = LiteDRAMAXI2Native(self.memory, port, r_buffer_depth=READS, base_address=origin)
        self.queues = EventQueues()
        self.traffic = Traffic(self.memory, self.queues.events.source, self.queues.results.sink)
        self._add_core(self.queues.events.source, self.queues.results.sink)

    def _add_core(self, events, results):
        bus, memory = self.bus, self.memory
        self.specials += Instance(
            CORE,
            i_clk_i=ClockSignal(), i_rst_i=ResetSignal(),
            i_wb_cyc_i=bus.cyc, i_wb_stb_i=bus.stb, i_wb_we_i=bus.we, i_wb_adr_i=bus.adr[:10], i_wb_sel_i=bus.sel,
            i_wb_dat_i=bus.dat_w, o_wb_dat_o=bus.dat_r, o_wb_ack_o=bus.ack, o_wb_err_o=bus.err,
            i_s_axis_tdata=_both(events), i_s_axis_tlast=events.last, i_s_axis_tuser=events.user,
            i_s_axis_tvalid=events.valid, o_s_axis_tready=events.ready,
            o_m_axis_tdata=self._split(results), o_m_axis_tlast=results.last, o_m_axis_tuser=results.user,
            o_m_axis_tvalid=results.valid, i_m_axis_tready=results.ready,
            **{f"o_m_axi_ar{name}": getattr(memory.ar, name) for name in (*MASTER_SIGNALS, "valid")},
            i_m_axi_arready=memory.ar.ready,
            **{f"i_m_axi_r{name}": getattr(memory.r, name) for name in ("id", "data", "resp", "last", "valid")},
            o_m_axi_rready=memory.r.ready,
            o_irq_o=self.ev.core.trigger,
        )  # fmt: skip

    def _split(self, beat):
        both = Signal(64)
        self.comb += [beat.index.eq(both[:32]), beat.value.eq(both[32:])]
        return both


def _both(beat):
    return Cat(beat.index, beat.value)


class EventQueues(LiteXModule):
    """Events that the CPU sends, one by one, and results that it takes.

    An event is sent by a write to ``event_send`` after index and value; ``result_take`` drops the result that shows.
    """

    def __init__(self):
        self._event_index = CSRStorage(32, name="event_index")
        self._event_value = CSRStorage(32, name="event_value")
        self._event_send = CSRStorage(
            name="event_send",
            description="A write sends the event.",
            fields=[
                CSRField("last", size=1, description="It ends its step."),
                CSRField("user", size=1, description="It ends its sequence."),
            ],
        )
        self._event_hold = CSRStorage(1, name="event_hold", description="1: events wait, so that many go at once.")
        self._event_ready = CSRStatus(1, name="event_ready", description="There is room for an event.")
        self._result_index = CSRStatus(32, name="result_index")
        self._result_value = CSRStatus(32, name="result_value")
        self._result_state = CSRStatus(
            name="result_state",
            fields=[
                CSRField("valid", size=1, description="There is a result."),
                CSRField("last", size=1, description="It ends its step."),
                CSRField("user", size=1, description="It ends its sequence."),
            ],
        )
        self._result_take = CSR(name="result_take")
        self.waiting = stream.SyncFIFO(EVENT, EVENTS, buffered=True)
        self.results = stream.SyncFIFO(EVENT, EVENTS, buffered=True)
        self.events = gate = stream.Gate(EVENT)
        sent, result = self.waiting.sink, self.results.source
        self.comb += [
            sent.valid.eq(self._event_send.re),
            sent.index.eq(self._event_index.storage),
            sent.value.eq(self._event_value.storage),
            sent.last.eq(self._event_send.fields.last),
            sent.user.eq(self._event_send.fields.user),
            self._event_ready.status.eq(sent.ready),
            self.waiting.source.connect(gate.sink),
            gate.enable.eq(~self._event_hold.storage),
            self._result_index.status.eq(result.index),
            self._result_value.status.eq(result.value),
            self._result_state.fields.valid.eq(result.valid),
            self._result_state.fields.last.eq(result.last),
            self._result_state.fields.user.eq(result.user),
            result.ready.eq(self._result_take.re),
        ]


class Traffic(LiteXModule):
    """Counts of a read port and of the steps that it reads for, cleared by a write to ``clear``.

    A cycle is busy if a burst is under way, or asked for: from its address being valid to its last beat being taken.
    It is running if it is busy, or between a step's first event and the last of its results: the time that steps take
    where each is sent after the results of the one before. The lists of the last layer's events are read after these.
    """

    def __init__(self, memory, events, results):
        clear = self._clear = CSR(name="clear")
        waiting, started, ended, busy, step = Signal(8), Signal(), Signal(), Signal(), Signal()
        taken = Signal()
        self.comb += [
            started.eq(memory.ar.valid & memory.ar.ready),
            taken.eq(memory.r.valid & memory.r.ready),
            ended.eq(taken & memory.r.last),
            busy.eq((waiting != 0) | memory.ar.valid),
        ]
        self.sync += [
            waiting.eq(waiting + started - ended),
            step.eq(events.valid | step & ~(results.valid & results.ready & results.last)),
        ]
        for name, condition, description in (
            ("beats", taken, "Beats of 16 bytes that were read."),
            ("bursts", started, "Bursts that were asked for."),
            ("busy", busy, "Cycles in which something was being read."),
            ("running", busy | step | events.valid, "Cycles that steps took, sent one by one."),
            ("held", memory.r.valid & ~memory.r.ready, "Cycles in which memory had a beat and the core no room."),
        ):
            count = CSRStatus(COUNT_BITS, name=name, description=description)
            setattr(self, f"_{name}", count)
            self.sync += If(clear.re, count.status.eq(0)).Elif(condition, count.status.eq(count.status + 1))

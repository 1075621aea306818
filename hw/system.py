"""The core with its registers and its events as a bus has them: what every top puts behind its own bus."""

from amaranth import Module, Mux, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4_read import PAGE_BYTES, read_signature
from hw.bus.axi4stream import BusBeat, EventInput, EventOutput
from hw.bus.registers import ADDRESS_BITS, RegisterBlock, RegisterPort
from hw.config import REVISION, CoreConfig
from hw.core import Core
from hw.counters import Counters, counter_map
from hw.errors import Error
from hw.ranking import Ranking

#: Cycles from a read's acceptance to the read: a count follows its selection, a state by 4, the selection a write by 1.
READ_WAIT = max(5, Counters.LATENCY) + 1


class System(wiring.Component):
    """Let software control a core through registers; docs/registers.md describes them.

    Members
    -------
    registers : In(RegisterPort())
        A read must come :data:`READ_WAIT` cycles at least after the write before it.
    refused : In(1), refused_address : In(12)
        The bus has refused a write: an error of the core, too.
    i : In(stream.Signature(BusBeat)), o : Out(stream.Signature(BusBeat))
        Events in; events or logits out.
    irq : Out(1)
        High while an interrupt is pending and enabled.
    ar, r
        With lists in external memory: its port; see :class:`hw.bus.axi4_read.Axi4Read`.
    """

    def __init__(self, config: CoreConfig):
        self.config = config
        super().__init__({
            "registers": In(RegisterPort()), "refused": In(1), "refused_address": In(ADDRESS_BITS),
            "i": In(stream.Signature(BusBeat())), "o": Out(stream.Signature(BusBeat())), "irq": Out(1),
            **(read_signature(config.port_bits) if config.streamed else {}),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = RegisterBlock(**self.config.register_parameters)
        m.submodules.event_input = event_input = EventInput(self.config)
        m.submodules.core = core = Core(self.config)
        m.submodules.event_output = event_output = EventOutput()

        wiring.connect(m, wiring.flipped(self.registers), registers.bus)
        wiring.connect(m, wiring.flipped(self.i), event_input.i)
        wiring.connect(m, event_output.o, wiring.flipped(self.o))
        idle = event_output.empty & ~event_input.o.valid
        if self.config.ranked:
            idle &= self._connect_ranking(m, registers, event_input, core, event_output)
        else:
            wiring.connect(m, event_input.o, core.i)
            wiring.connect(m, core.o, event_output.i)
            m.d.comb += core.argmax_only.eq(registers.control.argmax_only)

        self._connect_control(m, registers, core, event_output)
        self._connect_readings(m, registers, core, idle)
        if self.config.streamed:
            self._connect_memory(m, registers, core)

        for bus in (event_input, event_output):
            m.d.comb += bus.reset.eq(registers.control.reset)

        # What the buses refuse is the core's error, too.
        m.d.comb += [
            core.extra_error.eq(Mux(self.refused, Error.REGISTER, event_input.error)),
            core.extra_detail.eq(Mux(self.refused, self.refused_address, event_input.detail)),
        ]
        return m

    def _connect_control(self, m, registers, core, event_output):
        """What software tells the core."""
        control, pending, enable = registers.control, registers.interrupt_pending, registers.interrupt_enable
        m.d.comb += [
            core.reset.eq(control.reset),
            core.clear_error.eq(control.clear_error),
            core.clear_counters.eq(control.clear_counters),
            core.load.payload.eq(registers.load_data.word),
            core.load.valid.eq(registers.load_data.word_written),
            core.unit_select.eq(registers.state_select.unit),
            core.cell_select.eq(registers.state_select.cell),
            core.counter_select.eq(registers.counter_select.selected),
            pending.step_set.eq(event_output.step),
            pending.error_set.eq(core.error != Error.NONE),
            self.irq.eq((pending.step & enable.step) | (pending.error & enable.error)),
        ]

    def _connect_memory(self, m, registers, core):
        """External memory, and its window."""
        wiring.connect(m, core.ar, wiring.flipped(self.ar))
        wiring.connect(m, wiring.flipped(self.r), core.r)
        m.d.comb += [
            core.list_base.eq(registers.list_base.base << PAGE_BYTES.bit_length() - 1),
            core.list_size.eq(registers.list_size.size),
            registers.lists.gap_bits.eq(self.config.gap_bits),
            registers.lists.port_bits.eq(self.config.port_bits),
            registers.lists.lists.eq(self.config.lists),
        ]

    def _connect_ranking(self, m, registers, event_input, core, event_output):
        """Ranking of outputs, between the core and the buses; return whether it is idle."""
        ranking = ResetInserter(registers.control.reset | ~core.loaded)(Ranking(self.config))
        m.submodules.ranking = ranking
        wiring.connect(m, event_input.o, ranking.host)
        wiring.connect(m, ranking.i, core.i)
        wiring.connect(m, core.o, ranking.o)
        wiring.connect(m, ranking.outputs, event_output.i)
        generate = registers.generate
        m.d.comb += [
            *(
                getattr(ranking, f"best_{name}").eq(getattr(core, f"best_{name}"))
                for name in ("index", "value", "valid")
            ),
            ranking.argmax_only.eq(registers.control.argmax_only),
            registers.ranking.largest.eq(self.config.ranked),
            registers.ranking.found.eq(ranking.found),
            ranking.rank.eq(registers.rank_select.rank),
            registers.rank_index.index.eq(ranking.index),
            registers.rank_value.value.eq(ranking.value),
            ranking.target.eq(registers.target.index),
            ranking.multiplier.eq(registers.logit_scale.multiplier),
            ranking.shift.eq(registers.logit_scale.shift),
            registers.target_log2.log2.eq(ranking.log2),
            registers.target_log2.saturated.eq(ranking.saturated),
            registers.target_log2.found.eq(ranking.target_seen),
            *(getattr(ranking, name).eq(getattr(generate, name)) for name in ("start", "stop", "limit", "wide")),
            ranking.has_end_word.eq(generate.has_end),
            ranking.generated_value.eq(registers.generate_value.value),
            ranking.high_value.eq(registers.generate_high.value),
            ranking.end_word.eq(registers.generate_end.index),
            registers.generated.count.eq(ranking.count),
            registers.generated.busy.eq(ranking.busy),
        ]
        return ranking.idle

    def _connect_readings(self, m, registers, core, idle):
        """What the core tells software."""
        m.d.comb += [
            registers.version.revision.eq(REVISION),
            registers.config_id.config_id.eq(self.config.config_id),
            registers.counter_select.count.eq(len(counter_map(self.config)) if self.config.counters else 0),
            registers.status.loaded.eq(core.loaded),
            registers.status.idle.eq(idle & (core.idle | ~core.loaded)),
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
            m.d.sync += registers.counter_high.high.eq(core.counter >> 32)
        with m.If(registers.best_index.index_read):
            m.d.sync += registers.best_value.value.eq(core.best_value)

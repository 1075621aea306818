"""The log-probability of a word, from the logits as they leave a core."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden import ranking
from hw.delay import delay
from hw.event import INDEX_BITS, NULL_INDEX, OutputBeat
from hw.log2_sum import Log2Units, Logarithm, Rows
from hw.nonlinearity import Nonlinearity


class StepBounds(data.StructLayout):
    """What is known of a step besides its rows: the lowest and the highest of them that has a term, the target."""

    def __init__(self):
        super().__init__({
            "lowest": ranking.POSITION_BITS, "highest": ranking.POSITION_BITS, "has_terms": 1, "above": 1, "below": 1,
            "target_seen": 1, "target_below": 1, "target": signed(ranking.T_BITS),
        })  # fmt: skip


#: Before the first logit.
EMPTY = {"lowest": ranking.POSITIONS - 1}


class LogProbability(wiring.Component):
    """Watch logits as they are transferred, and tell the log2 probability of one of them: ``ranking.log_probability``.

    One logit a cycle, in any order; the result follows ``LATENCY`` cycles after the last beat of the step was
    transferred, and one more for each position (a factor of two in probability) between the largest and the smallest
    logit, 255 at most. Two steps are kept apart: the next one may follow at once. ``ready`` falls only where a third
    would begin before the result of the first is there, as steps shorter than this latency may, and for 256 cycles
    after a reset, in which memory is cleared.

    Members
    -------
    valid : In(1), beat : In(OutputBeat)
        A beat is transferred: ``valid & ready`` of the stream. A null beat is no logit. At most 65,536 logits a step.
    ready : Out(1)
        Nothing may be transferred while it is low: whoever connects the stream holds it back. Made from registers, so
        it depends on nothing in the same cycle.
    overrun : Out(1)
        A beat was transferred all the same: results are wrong until a reset.
    target : In(16)
        Index of the logit that is asked for; taken with the first beat of a step.
    multiplier : In(18), shift : In(5)
        :class:`golden.ranking.Scale`, the shift less 1. They stay while any step is under way.
    done : Out(1)
        High for a cycle, the first one of a result, which stays until the next.
    log2 : Out(signed(26)), Q9.16; saturated : Out(1), target_seen : Out(1)
        As :class:`golden.ranking.LogProbability` says. A silent step has no target, and is not saturated.
    """

    LATENCY = 44

    def __init__(self):
        super().__init__({
            "valid": In(1), "beat": In(OutputBeat()), "ready": Out(1), "overrun": Out(1), "target": In(INDEX_BITS),
            "multiplier": In(ranking.MULTIPLIER_BITS), "shift": In(5),
            "done": Out(1), "log2": Out(signed(ranking.RESULT_BITS)), "saturated": Out(1), "target_seen": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = Rows()
        held = Signal(2, init=0b11)  # banks that no new step may use
        bounds = Signal(data.ArrayLayout(StepBounds(), 2), init=[EMPTY, EMPTY])
        ended, bank = self._collect(m, rows, held, bounds)
        self._conclude(m, rows, held, bounds, ended)
        m.d.comb += self.ready.eq(~held.bit_select(bank, 1))
        with m.If(self.valid & ~self.ready):
            m.d.sync += self.overrun.eq(1)
        return m

    def _collect(self, m, rows, held, bounds):
        """Add the terms of a step to the rows of its bank; return which banks are complete, and the bank in use."""
        bank, within = Signal(), Signal()
        beat, target = self.beat, Signal(INDEX_BITS, reset_less=True)
        is_target = Mux(within, beat.index == target, beat.index == self.target)
        with m.If(self.valid):
            m.d.sync += within.eq(~beat.last)
            with m.If(~within):
                m.d.sync += target.eq(self.target)
            with m.If(beat.last):
                m.d.sync += [bank.eq(~bank), held.bit_select(bank, 1).eq(1)]
        logit = Signal(data.StructLayout({"valid": 1, "is_target": 1, "last": 1, "bank": 1}))
        m.d.comb += [
            logit.valid.eq(self.valid & (beat.index != NULL_INDEX)),
            logit.is_target.eq(is_target),
            logit.last.eq(self.valid & beat.last),
            logit.bank.eq(bank),
        ]
        m.submodules.units = units = Log2Units()
        m.d.comb += [
            units.value.eq(beat.value), units.multiplier.eq(self.multiplier), units.shift.eq(self.shift),
        ]  # fmt: skip

        logit = delay(m, logit, Log2Units.LATENCY, "logit", init={})
        row = Cat(units.t[ranking.FRACTION : -1], ~units.t[-1])
        counts = logit.valid & ~units.below
        known = bounds[logit.bank]
        with m.If(counts):
            m.d.sync += known.has_terms.eq(1)
            with m.If(row < known.lowest):
                m.d.sync += known.lowest.eq(row)
            with m.If(known.highest < row):
                m.d.sync += known.highest.eq(row)
        with m.If(logit.valid):
            m.d.sync += [known.above.eq(known.above | units.above), known.below.eq(known.below | units.below)]
            with m.If(logit.is_target):
                m.d.sync += [
                    known.target_seen.eq(1), known.target_below.eq(units.below), known.target.eq(units.t),
                ]  # fmt: skip

        m.submodules.exponential = exponential = Nonlinearity(ranking.EXP2)
        m.d.comb += exponential.pre.eq(units.t[: ranking.FRACTION] ^ ranking.HALF)
        term = Cat(exponential.value.as_unsigned() ^ ranking.HALF, Const(1, 1))
        wait = Nonlinearity.LATENCY + 1 - Rows.TERM_DELAY
        m.d.comb += [
            rows.term.eq(delay(m, term, 1, "term")),
            rows.row.eq(delay(m, row, wait, "row")),
            rows.bank.eq(delay(m, logit.bank, wait, "bank")),
            rows.valid.eq(delay(m, counts, wait, "counts", init=0)),
        ]
        ended = Signal(2)
        written = wait + Rows.LATENCY - 1
        ends, its_bank = delay(m, logit.last, written, "last", init=0), delay(m, logit.bank, written, "last_bank")
        with m.If(ends):
            m.d.sync += ended.bit_select(its_bank, 1).eq(1)
        return ended, bank

    def _conclude(self, m, rows, held, bounds, ended):
        """Read and clear the rows of one complete bank after the other, and tell the result."""
        m.submodules.logarithm = logarithm = Logarithm()
        turn, row = Signal(), Signal(ranking.POSITION_BITS)
        known = bounds[turn]
        reading = Signal()
        added = Rows.READ
        wait = added + Logarithm.LATENCY + 1  # and one to subtract
        tail = Signal(range(wait + 1))
        difference = delay(m, (known.target - logarithm.log2)[: len(self.log2)].as_signed(), 1, "difference")
        m.d.comb += [
            rows.read_bank.eq(turn), rows.read_row.eq(row), rows.read.eq(reading),
            logarithm.row.eq(rows.sum), logarithm.highest.eq(known.highest),
            logarithm.add.eq(delay(m, reading, added, "reads", init=0)),
        ]  # fmt: skip
        m.d.sync += self.done.eq(0)
        with m.FSM(init="CLEAR"):
            with m.State("CLEAR"):
                m.d.comb += rows.clear.eq(1)
                m.d.sync += row.eq(row + 1)
                with m.If(row == ranking.POSITIONS - 1):
                    m.d.sync += held.eq(0)
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += logarithm.clear.eq(1)
                m.d.sync += [row.eq(known.lowest), tail.eq(0)]
                with m.If(ended.bit_select(turn, 1)):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += reading.eq(1)
                m.d.sync += row.eq(row + 1)
                with m.If(row >= known.highest):
                    m.next = "TAIL"
            with m.State("TAIL"):
                m.d.comb += logarithm.normalize.eq((tail >= added) & (tail < added + Logarithm.NORMALIZE))
                m.d.sync += tail.eq(tail + 1)
                with m.If(tail == wait):
                    m.d.sync += [
                        self.done.eq(1),
                        self.log2.eq(Mux(difference < 0, difference, 0)),
                        self.saturated.eq(
                            known.above | known.target_below | (known.below & (known.highest < ranking.SAFE_ROW))
                        ),
                        self.target_seen.eq(known.target_seen),
                        known.eq(Const(EMPTY, StepBounds())),
                        ended.bit_select(turn, 1).eq(0),
                        held.bit_select(turn, 1).eq(0),
                        turn.eq(~turn),
                    ]
                    with m.If(~known.target_seen | ~known.has_terms):
                        m.d.sync += self.log2.eq(ranking.NONE)
                    m.next = "IDLE"
        return m

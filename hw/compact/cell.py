"""The arithmetic of one unit of the event-based GRU, in turns: one multiplier, one table, one adder."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden import fixed
from golden.fixed import GATES
from hw.cell_egru import event_value, saturate
from hw.config import CoreConfig
from hw.vendor.multiply_add import Accumulation, MultiplyAccumulate

ONE = 1 << fixed.STATE_FRACTION  #: 1.0 in Q0.15
HALF = ONE >> 1  #: rounds what is shifted right by 15
SEGMENT = 1 << fixed.FRACTION_BITS  #: steps of the argument in a segment of a table
SUM_BITS = 20  #: of gx + r * gh at 12 fraction bits


class A(enum.Enum, shape=3):
    """First factor, never negative."""

    BEFORE = 0  #: how far the argument is from the end of its segment, of :data:`SEGMENT`
    BEHIND = 1  #: how far from its beginning
    R = 2
    Z = 3
    ONE = 4  #: 1.0
    LSB = 5  #: 1


class B(enum.Enum, shape=3):
    """Second factor."""

    NODE = 0  #: of the table
    LOW = 1  #: low 16 bits of the scaled sum, as a signed number
    HIGH = 2  #: the rest of it, in halves: it weighs ``ONE``
    TOTAL = 3  #: the accumulator over ``ONE``
    VALUE = 4  #: the accumulator over ``SEGMENT``: what a table gives
    H = 5
    THRESHOLD = 6


class Do(enum.Enum, shape=3):
    """What the accumulator does with a product, or instead."""

    NOTHING = 0
    CLEAR = 1
    ROUND_VALUE = 2  #: take half of a ``SEGMENT``
    ROUND_TOTAL = 3  #: take half of ``ONE``
    ADD = 4
    SUBTRACT = 5
    ADD_OLD = 6  #: add if the old state counts
    ADD_BACK = 7  #: add if the accumulator is not above 0


def interpolate(step: int) -> dict[int, tuple]:
    """Return what evaluates a table where ``step`` is the first with the argument; the value follows 5 steps later."""
    return {
        step: (Do.ROUND_VALUE,), step + 1: (Do.ADD, A.BEFORE, B.NODE), step + 2: (Do.ADD, A.BEHIND, B.NODE)
    }  # fmt: skip


#: Sums by the step that fetches them; 3 steps later they are there, scaled.
FETCH = {2: "z", 5: "r", 8: "gh", 14: "gx"}
SCALED_AFTER = 3
#: First steps with the argument of a table.
LOOK_UP = {5: "sigmoid", 8: "sigmoid", 23: "tanh"}
#: Multiplications by the step that has the factors. What they give is there 3 steps later.
PROGRAM = {
    **interpolate(5), **interpolate(8),
    # round(r * low(gh)), then all that weighs as much
    13: (Do.ROUND_TOTAL,), 14: (Do.ADD, A.R, B.LOW),
    15: (Do.CLEAR,), 16: (Do.ADD, A.R, B.HIGH), 17: (Do.ADD, A.LSB, B.TOTAL),
    18: (Do.ADD, A.LSB, B.LOW), 19: (Do.ADD, A.ONE, B.HIGH),
    **interpolate(23),
    # round(g - z * g + z * h), then above the threshold or not
    27: (Do.ROUND_TOTAL,), 28: (Do.ADD, A.ONE, B.VALUE), 29: (Do.SUBTRACT, A.Z, B.VALUE),
    30: (Do.ADD_OLD, A.Z, B.H),
    31: (Do.SUBTRACT, A.ONE, B.THRESHOLD), 32: (Do.ADD_BACK, A.ONE, B.THRESHOLD),
}  # fmt: skip
Z_AT, R_AT, ARGUMENT_AT, C_AT, BEYOND_AT, END = 10, 13, 22, 33, 34, 35
READOUT_BEGIN, READOUT_END = 12, 16
#: A lane reads no entry in the two steps before its sum is fetched.
HOLD = {step - before for step in FETCH for before in (1, 2)}


class Cell(wiring.Component):
    """Update one unit in 36 cycles (:func:`golden.fixed.cell`), or add up one logit in 5.

    All products go through one multiplier with an accumulator, by a fixed program. A table is read twice for a value,
    at both ends of a segment: base * (128 - fraction) + next * fraction is base * 128 + slope * fraction.

    Members
    -------
    start : In(1), readout : In(1)
        Begin with a unit, for which all inputs stay as they are until ``done``; of the readout's only gx is fetched.
    gate : Out(2), hold : Out(1), fetch : Out(1), shift_gate : Out(2)
        ``fetch``: the gate's sum and bias are wanted a cycle later. ``hold`` comes two cycles and one before it.
    sum, bias : In(signed(acc_bits))
        A bias has half a step of its sum's shift in it.
    shift : In(5)
        Of ``shift_gate`` in the cycle before, plus 4.
    fresh : In(1), h : In(signed(16)), threshold : In(15)
        Old state, Q0.15, which counts as 0 where ``fresh``.
    done : Out(1)
        All that follows is there, for one cycle.
    h_next : Out(signed(16)), fires : Out(1), y : Out(y_bits)
        ``y`` only where the unit fires.
    total : Out(signed(acc_bits))
        Of a unit of the readout, sum and bias, until the next fetch.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "start": In(1), "readout": In(1),
            "gate": Out(range(len(GATES))), "hold": Out(1), "fetch": Out(1), "shift_gate": Out(range(len(GATES))),
            "sum": In(signed(config.acc_bits)), "bias": In(signed(config.acc_bits)), "shift": In(5),
            "fresh": In(1), "h": In(signed(16)), "threshold": In(fixed.STATE_FRACTION),
            "done": Out(1), "h_next": Out(signed(16)), "fires": Out(1), "y": Out(config.y_bits),
            "total": Out(signed(config.acc_bits)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        step, busy = Signal(range(END + 1)), Signal()
        m.d.comb += self.done.eq(busy & (step == Mux(self.readout, READOUT_END, END)))
        with m.If(busy):
            m.d.sync += [step.eq(step + 1), busy.eq(~self.done)]
        with m.Elif(self.start):
            m.d.sync += [step.eq(Mux(self.readout, READOUT_BEGIN, 0)), busy.eq(1)]

        scaled = Signal(signed(fixed.ADDEND_BITS), reset_less=True)
        m.submodules.multiply = multiply = MultiplyAccumulate()
        total = multiply.o
        self._scale(m, step, busy, total, scaled)
        node = self._look_up(m, step, scaled)
        self._choose_factors(m, step, multiply, scaled, node)
        self._accumulate(m, step, multiply)

        with m.If(step == C_AT):
            m.d.sync += self.y.eq(event_value(total >> fixed.STATE_FRACTION, self._config.y_bits))
        with m.If(step == BEYOND_AT):
            m.d.sync += self.fires.eq(self._above_zero(total))
        m.d.comb += self.h_next.eq(total >> fixed.STATE_FRACTION)
        return m

    @staticmethod
    def _above_zero(total):
        return ~total[-1] & total[fixed.STATE_FRACTION : -1].any()

    def _scale(self, m, step, busy, total, scaled):
        """Sum and bias, shifted and saturated; or gx + r * gh, saturated."""
        adds, scales, wide = Signal(), Signal(), Signal()
        with m.Switch(step):
            for at, gate in FETCH.items():
                with m.Case(at):
                    m.d.comb += [self.fetch.eq(busy), self.gate.eq(GATES.index(gate))]
                with m.Case(at + 1):
                    m.d.comb += [adds.eq(1), self.shift_gate.eq(GATES.index(gate))]
                with m.Case(at + SCALED_AFTER - 1):
                    m.d.comb += [scales.eq(1), wide.eq(gate in ("gx", "gh"))]
        with m.If(adds):
            m.d.sync += self.total.eq(self.sum + self.bias)
        m.d.comb += self.hold.eq(Mux(busy, _among(step, HOLD), 0))

        shifted = Signal(signed(len(self.total) + fixed.SHIFT_GUARD))
        m.d.comb += shifted.eq((self.total << fixed.SHIFT_GUARD) >> self.shift)
        with m.If(step == ARGUMENT_AT):
            m.d.comb += shifted.eq(total[:SUM_BITS].as_signed())
        narrow = saturate(m, shifted, fixed.PRE_BITS)
        with m.If(scales | (step == ARGUMENT_AT)):
            m.d.sync += scaled.eq(Mux(wide, saturate(m, shifted, fixed.ADDEND_BITS), narrow))

    def _look_up(self, m, step, scaled):
        """Return the node of the table at the beginning of the argument's segment, then that at its end."""
        # Negative arguments follow the others. The last segments are level.
        rows = len(fixed.TANH.base)
        order = [*range(rows // 2, rows), *range(rows // 2)]
        nodes = [int(table.base[k]) for table in (fixed.SIGMOID, fixed.TANH) for k in order]
        m.submodules.nodes = memory = Memory(shape=signed(16), depth=len(nodes), init=nodes)
        read = memory.read_port()
        segment = scaled[fixed.FRACTION_BITS : fixed.PRE_BITS]
        is_last = segment == rows // 2 - 1
        ends = _among(step, {at + 1 for at in LOOK_UP}) & ~is_last
        tanh = step >= next(at for at, table in LOOK_UP.items() if table == "tanh")
        m.d.comb += read.addr.eq(Cat((segment + ends)[: len(segment)], tanh))
        return read.data

    def _choose_factors(self, m, step, multiply, scaled, node):
        total = multiply.o
        z, r = (Signal(fixed.STATE_FRACTION, name=name, reset_less=True) for name in ("z", "r"))
        value = (total >> fixed.FRACTION_BITS)[: fixed.PRE_BITS].as_signed()
        with m.If(step == Z_AT):
            m.d.sync += z.eq(value)
        with m.If(step == R_AT):
            m.d.sync += r.eq(value)
        fraction = scaled[: fixed.FRACTION_BITS]
        low = scaled[: fixed.PRE_BITS].as_signed()
        high = Signal(signed(4))
        m.d.comb += high.eq(Cat(Const(0, 1), (scaled[fixed.PRE_BITS :].as_signed() + scaled[fixed.PRE_BITS - 1])))
        a, b = Signal(A), Signal(B)
        with m.Switch(step):
            for at, (_, *factors) in PROGRAM.items():
                if factors:
                    with m.Case(at):
                        m.d.comb += [a.eq(factors[0]), b.eq(factors[1])]
        with m.Switch(a):
            for name, factor in (
                (A.BEFORE, SEGMENT - fraction), (A.BEHIND, fraction), (A.R, r), (A.Z, z), (A.ONE, ONE), (A.LSB, 1)
            ):  # fmt: skip
                with m.Case(name):
                    m.d.comb += multiply.a.eq(factor)
        with m.Switch(b):
            for name, factor in (
                (B.NODE, node), (B.LOW, low), (B.HIGH, high), (B.TOTAL, total >> fixed.STATE_FRACTION),
                (B.VALUE, value), (B.H, self.h), (B.THRESHOLD, self.threshold),
            ):  # fmt: skip
                with m.Case(name):
                    m.d.comb += multiply.b.eq(factor)

    def _accumulate(self, m, step, multiply):
        do, constant = Signal(Do), Signal(unsigned(32))
        with m.Switch(step):
            for at, (action, *_) in PROGRAM.items():
                with m.Case(at + MultiplyAccumulate.ACTION_AT):
                    m.d.comb += do.eq(action)
        above_zero = self._above_zero(multiply.o)
        with m.Switch(do):
            for name, action, value in (
                (Do.NOTHING, Accumulation.HOLD, 0),
                (Do.CLEAR, Accumulation.LOAD, 0),
                (Do.ROUND_VALUE, Accumulation.LOAD, SEGMENT >> 1),
                (Do.ROUND_TOTAL, Accumulation.LOAD, HALF),
                (Do.ADD, Accumulation.ADD, 0),
                (Do.SUBTRACT, Accumulation.SUBTRACT, 0),
                (Do.ADD_OLD, Mux(self.fresh, Accumulation.HOLD, Accumulation.ADD), 0),
                (Do.ADD_BACK, Mux(above_zero, Accumulation.HOLD, Accumulation.ADD), 0),
            ):
                with m.Case(name):
                    m.d.comb += [multiply.action.eq(action), constant.eq(value)]
        m.d.comb += multiply.constant.eq(constant)


def _among(step, steps):
    """Return whether ``step`` is one of ``steps``."""
    return Cat(step == at for at in sorted(steps)).any()

"""Multipliers with an adder behind them, as plain HDL or as a device's own block.

Their registers are those that such a block has. For a platform without one they are plain HDL.
"""

from __future__ import annotations

from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.hdl import ShapeLike
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from hw.vendor import ice40_mac
from hw.vendor.device import family


class MultiplyAdd(wiring.Component):
    """Compute ``addend + a * b``, one a cycle; ``a`` three cycles before the result, the addend one.

    Parameters
    ----------
    a, b : ShapeLike
        Shapes of the operands, at most 16 bits each.
    width : int
        Of the addend and the result, at most 32.

    Members
    -------
    a : In(a)
    b : In(b), b_en : In(1)
        Held in a register beside that of ``a``, which moves each cycle: the factor is ``b`` of the last cycle in which
        ``b_en`` was high.
    addend : In(signed(width))
        To be added to the product of ``a`` of two cycles ago.
    clear : In(1)
        The result of this cycle and of the one that follows are 0. From a register: it may act without a clock.
    o : Out(signed(width))
    """

    def __init__(self, a: ShapeLike, b: ShapeLike, *, width: int):
        super().__init__({
            "a": In(a), "b": In(b), "b_en": In(1), "addend": In(signed(width)), "clear": In(1),
            "o": Out(signed(width)),
        })  # fmt: skip

    def elaborate(self, platform):
        if family(platform) == "ice40":
            return ice40_mac.multiply_add(self)
        m = Module()
        a, b = Signal.like(self.a, reset_less=True), Signal.like(self.b, reset_less=True)
        product = Signal((a * b).shape(), reset_less=True)
        result = Signal.like(self.o, name="result", reset_less=True)
        with m.If(self.b_en):
            m.d.sync += b.eq(self.b)
        m.d.sync += [a.eq(self.a), product.eq(a * b), result.eq(Mux(self.clear, 0, self.addend + product))]
        m.d.comb += self.o.eq(Mux(self.clear, 0, result))
        return m


class Accumulation(enum.Enum, shape=2):
    """What an accumulator does at the end of a cycle."""

    HOLD = 0
    LOAD = 1  #: take the constant
    ADD = 2  #: add the product
    SUBTRACT = 3


class MultiplyAccumulate(wiring.Component):
    """Add products to an accumulator of 32 bits, or subtract them; one a cycle.

    Members
    -------
    a : In(unsigned(16)), b : In(signed(16))
    action : In(Accumulation)
        At the end of this cycle, with the product of the operands of two cycles ago.
    constant : In(unsigned(32))
    o : Out(signed(32))
        The accumulator.
    """

    #: Cycles from operands to the action with their product, and to the result.
    ACTION_AT = 2
    LATENCY = 3

    def __init__(self):
        super().__init__({
            "a": In(16), "b": In(signed(16)), "action": In(Accumulation), "constant": In(32), "o": Out(signed(32)),
        })  # fmt: skip

    def elaborate(self, platform):
        if family(platform) == "ice40":
            return ice40_mac.multiply_accumulate(self)
        m = Module()
        a, b = Signal.like(self.a, reset_less=True), Signal.like(self.b, reset_less=True)
        product = Signal(Shape.cast(signed(33)), reset_less=True)
        total = Signal.like(self.o, name="total", reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        with m.Switch(self.action):
            with m.Case(Accumulation.LOAD):
                m.d.sync += total.eq(self.constant)
            with m.Case(Accumulation.ADD):
                m.d.sync += total.eq(total + product)
            with m.Case(Accumulation.SUBTRACT):
                m.d.sync += total.eq(total - product)
        m.d.comb += self.o.eq(total)
        return m

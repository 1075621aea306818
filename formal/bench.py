"""The surroundings of a component under proof: free inputs, past values, assumptions, properties."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

from amaranth import Elaboratable, Module, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Cover, ShapeLike, ValueLike
from amaranth.lib.wiring import Component, In, Out

from hw.config import CoreConfig


@dataclass(frozen=True, kw_only=True)
class NarrowConfig(CoreConfig):
    """A configuration with numbers narrower than any that is built: a solver pays for every bit."""

    def __post_init__(self):
        pass


#: One lane, one cell unit, two rows; numbers of 1 to 4 bits.
SMALL = NarrowConfig(
    lanes=1, cell_units=1, queue_depth=8, rows=2, entries=8, sources=4, layers=2, weight_bits=1, y_bits=1, value_bits=2,
    acc_bits=4,
)  # fmt: skip


def inside(component: Component) -> SimpleNamespace:
    """Elaborate a component and return the local variables of ``elaborate``, among them its registers and submodules.

    For invariants, which cannot always be told from ports alone. Call it before the design is converted.
    """
    found = {}

    def keep(frame, event, argument):
        if event == "return" and frame.f_locals.get("self") is component:
            found.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(keep)
    try:
        module = component.elaborate(None)
    finally:
        sys.setprofile(before)
    component.elaborate = lambda platform: module
    return SimpleNamespace(**found)


def cut(component: Component) -> None:
    """Leave out what a component does: its outputs may have any value in any cycle."""
    m = Module()
    for _, member, port in component.signature.flatten(component):
        if member.flow is Out:
            m.d.comb += Value.cast(port).eq(AnySeq(len(Value.cast(port))))
    component.elaborate = lambda platform: m


class Bench(Elaboratable):
    """Put a component, called ``dut``, among inputs that may have any value in any cycle.

    The reset of the domain ``sync`` is free, too, so what is proven holds after a reset at any moment. Registers of the
    bench are reset with those of the component; memories are not, and begin with any content.

    Attributes
    ----------
    m : Module
        Where registers of the bench go.
    """

    def __init__(self, component: Component):
        self.component = component
        self.m = Module()
        self.m.submodules.dut = component
        self.m.submodules.history = self._history = Module()  # apart, so that no condition around it matters
        self.covers = 0
        for _, member, port in component.signature.flatten(component):
            if member.flow is In:
                self.m.d.comb += Value.cast(port).eq(AnySeq(len(Value.cast(port))))

    def elaborate(self, platform):
        return self.m

    def any(self, shape: ShapeLike, name: str) -> Signal:
        """Return a signal that may have any value, the same in all cycles."""
        signal = Signal(shape, name=name)
        self.m.d.comb += Value.cast(signal).eq(AnyConst(len(Value.cast(signal))))
        return signal

    def sometimes(self, name: str) -> Signal:
        """Return a bit that may have any value in any cycle."""
        signal = Signal(name=name)
        self.m.d.comb += signal.eq(AnySeq(1))
        return signal

    def past(self, value: ValueLike, cycles: int = 1) -> Value:
        """Return a value as it was; 0 in the cycles after a reset."""
        value = Value.cast(value)
        for _ in range(cycles):
            register = Signal(value.shape(), name="past")
            self._history.d.sync += register.eq(value)
            value = register
        return value

    def assume(self, condition: ValueLike) -> None:
        """Leave out all runs in which this does not hold."""
        self.m.d.comb += Assume(condition, src_loc_at=1)

    def prove(self, condition: ValueLike) -> None:
        """Demand that this holds in every cycle of every run."""
        self.m.d.comb += Assert(condition, src_loc_at=1)

    def cover(self, condition: ValueLike) -> None:
        """Demand that this holds in some cycle of some run, so that nothing is proven of no run at all."""
        self.covers += 1
        self.m.d.comb += Cover(condition, src_loc_at=1)

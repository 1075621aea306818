"""Registers around a component, so that it can be placed and routed alone."""

from __future__ import annotations

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Registered(wiring.Component):
    """Put a register before every input bit of a component and two behind every output bit.

    Inputs are shifted in through one pin and outputs folded into one, so the component needs no more pins than that
    and no register can be left out; every path of its own is between registers, as it is inside a larger design.

    Members
    -------
    scan_in : In(1), scan_out : Out(1)
    """

    def __init__(self, component: wiring.Component):
        self._component = component
        super().__init__({"scan_in": In(1), "scan_out": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = self._component
        chain = self.scan_in
        folded = 0
        for path, member, port in self._component.signature.flatten(self._component):
            bits = Value.cast(port)
            name = "__".join(map(str, path))
            register = Signal(len(bits), name=name, reset_less=True)
            if member.flow is In:
                for k in range(len(bits)):
                    m.d.sync += register[k].eq(chain)
                    chain = register[k]
                m.d.comb += bits.eq(register)
            else:
                m.d.sync += register.eq(bits)
                fold = Signal(len(bits), name=f"{name}_folded", reset_less=True)
                for k in range(len(bits)):
                    m.d.sync += fold[k].eq(register[k] ^ folded)
                    folded = fold[k]
        m.d.comb += self.scan_out.eq(folded)
        return m

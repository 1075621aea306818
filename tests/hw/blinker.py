"""A small design with the ports of :class:`hw.uart_top.UartTop`, to take where a core would take too long."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Bits of the counter.
BITS = 4


class Blinker(wiring.Component):
    """Count cycles: ``busy`` is the count's lowest bit, ``loaded`` its highest. ``tx`` follows ``rx``."""

    def __init__(self):
        super().__init__({"rx": In(1), "tx": Out(1), "busy": Out(1), "loaded": Out(1), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(BITS)
        m.d.sync += [count.eq(count + 1), self.tx.eq(self.rx)]
        m.d.comb += [self.busy.eq(count[0]), self.loaded.eq(count[-1])]
        return m

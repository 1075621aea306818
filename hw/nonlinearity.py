"""Sigmoid and tanh: a table of linear segments."""

from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden import fixed
from hw.delay import delay
from hw.vendor.generic import MEMORY_LATENCY, MULTIPLIER_LATENCY, Multiplier, PipelinedMemory


class Nonlinearity(wiring.Component):
    """Evaluate a table of :mod:`golden.fixed`: ``base + round(slope * fraction / 128)``.

    One value a cycle, latency 6, no stalls.

    Parameters
    ----------
    table : golden.fixed.Table
        512 segments over [-8, 8).

    Members
    -------
    pre : In(signed(16)), Q3.12
    value : Out(signed(16)), Q0.15
    """

    LATENCY = MEMORY_LATENCY + MULTIPLIER_LATENCY + 1

    def __init__(self, table: fixed.Table):
        self._table = table
        super().__init__({"pre": In(signed(fixed.PRE_BITS)), "value": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        slope_bits = self._table.slope_bits
        segment_shape = data.StructLayout({"base": signed(16), "slope": unsigned(slope_bits)})
        # The segment is the top of ``pre`` as an unsigned number: rows from 0 up, then the negative half.
        half = len(self._table.base) // 2
        order = [*range(half, 2 * half), *range(half)]
        m.submodules.segments = segments = PipelinedMemory(
            shape=segment_shape, depth=2 * half,
            init=[{"base": int(self._table.base[k]), "slope": int(self._table.slope[k])} for k in order],
        )  # fmt: skip
        m.submodules.multiplier = multiplier = Multiplier(unsigned(slope_bits), unsigned(fixed.FRACTION_BITS))

        base = delay(m, segments.read_data.base, MULTIPLIER_LATENCY, "base")
        rounded = Signal(signed(16))
        half_unit = 1 << (fixed.FRACTION_BITS - 1)
        m.d.comb += [
            segments.read_addr.eq(self.pre[fixed.FRACTION_BITS :]),
            multiplier.a.eq(segments.read_data.slope),
            multiplier.b.eq(delay(m, self.pre[: fixed.FRACTION_BITS], MEMORY_LATENCY, "fraction")),
            rounded.eq(base + ((multiplier.product + half_unit) >> fixed.FRACTION_BITS)),
        ]
        m.d.sync += self.value.eq(rounded)
        return m

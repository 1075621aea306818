"""Sigmoid and tanh: a table of linear segments."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden import fixed
from hw.delay import delay
from hw.vendor.generic import MEMORY_LATENCY, PipelinedMemory


class Nonlinearity(wiring.Component):
    """Evaluate a table of :mod:`golden.fixed`: ``base + round(slope * fraction / 128)``.

    One value a cycle, latency 4, no stalls. The product is small enough to be added up from its parts in two stages of
    logic, sooner than through a multiplier with its own registers.

    Parameters
    ----------
    table : golden.fixed.Table
        512 segments over [-8, 8).

    Members
    -------
    pre : In(signed(16)), Q3.12
    value : Out(signed(16)), Q0.15
    """

    LATENCY = MEMORY_LATENCY + 2

    def __init__(self, table: fixed.Table):
        self._table = table
        super().__init__({"pre": In(signed(fixed.PRE_BITS)), "value": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        slope_bits = self._table.slope_bits
        segment_shape = data.StructLayout({"base": signed(16), "slope": unsigned(slope_bits)})
        # The segment is the top of ``pre`` as an unsigned number: rows from 0 up, then the negative half.
        rows = len(self._table.base)
        order = [*range(rows // 2, rows), *range(rows // 2)]
        m.submodules.segments = segments = PipelinedMemory(
            shape=segment_shape, depth=rows,
            init=[{"base": int(self._table.base[k]), "slope": int(self._table.slope[k])} for k in order],
        )  # fmt: skip
        m.d.comb += segments.read_addr.eq(self.pre[fixed.FRACTION_BITS :])

        # base * 128 + 64 + slope * fraction, as a tree of sums: 64 rounds half up.
        segment, fraction = segments.read_data, delay(m, self.pre[: fixed.FRACTION_BITS], MEMORY_LATENCY, "fraction")
        parts = [Mux(bit, segment.slope, 0) << k for k, bit in enumerate(fraction)]
        half = Const(1 << (fixed.FRACTION_BITS - 1), fixed.FRACTION_BITS)
        sum_shape = signed(16 + fixed.FRACTION_BITS)
        low, high, total = Signal(sum_shape, reset_less=True), Signal(sum_shape, reset_less=True), Signal(sum_shape)
        m.d.sync += [
            low.eq((Cat(half, segment.base).as_signed() + parts[0]) + (parts[1] + parts[2])),
            high.eq((parts[3] + parts[4]) + (parts[5] + parts[6])),
            self.value.eq(total >> fixed.FRACTION_BITS),
        ]
        m.d.comb += total.eq(low + high)
        return m

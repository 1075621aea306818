"""Sigmoid and tanh: a table of linear segments."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden import fixed
from hw.delay import delay
from hw.vendor.generic import MEMORY_LATENCY, PipelinedMemory


class Nonlinearity(wiring.Component):
    """Evaluate a table of :mod:`golden.fixed`: ``base + round(slope * fraction / 128)``.

    One value a cycle, no stalls, latency 4, or 5 with a register behind the table. The product is small enough to be
    added up from its parts, an adder a cycle, sooner than through a multiplier with its own registers. ``value`` comes
    out of the last adder: whoever takes it has a register there.

    Parameters
    ----------
    table : golden.fixed.Table
        512 segments over [-8, 8).
    far : bool
        Whether the table is not next to the adders, as in a core that fills its device.

    Members
    -------
    pre : In(signed(16)), Q3.12
    value : Out(signed(16)), Q0.15
    """

    LATENCY = MEMORY_LATENCY + 2  #: one more if ``far``

    def __init__(self, table: fixed.Table, *, far: bool = False):
        self._table, self._far = table, far
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
        segment, fraction = delay(m, segments.read_data, self._far, "segment"), self.pre[: fixed.FRACTION_BITS]
        fraction = delay(m, fraction, MEMORY_LATENCY + self._far, "fraction")
        half = Const(1 << (fixed.FRACTION_BITS - 1), fixed.FRACTION_BITS)
        terms = [Cat(half, segment.base).as_signed()]
        terms += [Mux(bit, segment.slope, 0) << k for k, bit in enumerate(fraction)]
        for level in ("pair", "four"):
            sums = []
            for k in range(0, len(terms), 2):
                total = terms[k] + terms[k + 1]
                register = Signal(total.shape(), name=f"{level}_{k}", reset_less=True)
                m.d.sync += register.eq(total)
                sums.append(register)
            terms = sums
        m.d.comb += self.value.eq(sum(terms) >> fixed.FRACTION_BITS)
        return m

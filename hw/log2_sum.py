"""What the log-probability of a word is made of: logits in log2 units, an exact sum of their powers, its logarithm."""

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden import ranking
from hw.delay import delay
from hw.nonlinearity import Nonlinearity
from hw.vendor.generic import MULTIPLIER_LATENCY, Choice, Multiplier, PipelinedMemory


def all_alike(bits):
    """Return whether bits are all 0 or all 1: all but the last one of these could be left out of a signed number."""
    return (bits == 0) | bits.all()


class Log2Units(wiring.Component):
    """Bring a logit to log2 units: ``t`` of :mod:`golden.ranking`.

    One a cycle, no stalls, latency 8.

    Members
    -------
    value : In(signed(32))
    multiplier : In(18), shift : In(5)
        A :class:`golden.ranking.Scale`; of ``shift`` 1 is taken off.
    t : Out(signed(24)), Q7.16, above : Out(1), below : Out(1)
        Saturated; whether it had to be.
    """

    LATENCY = MULTIPLIER_LATENCY + 5

    def __init__(self):
        super().__init__({
            "value": In(signed(ranking.VALUE_BITS)), "multiplier": In(ranking.MULTIPLIER_BITS), "shift": In(5),
            "t": Out(signed(ranking.T_BITS)), "above": Out(1), "below": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        # Two products that fit a multiplier each.
        half = ranking.VALUE_BITS // 2
        m.submodules.low = low = Multiplier(unsigned(half), unsigned(ranking.MULTIPLIER_BITS))
        m.submodules.high = high = Multiplier(signed(half), unsigned(ranking.MULTIPLIER_BITS))
        m.d.comb += [low.a.eq(self.value[:half]), high.a.eq(self.value[half:].as_signed())]
        m.d.comb += [low.b.eq(self.multiplier), high.b.eq(self.multiplier)]
        product = delay(m, Cat(low.product[:half], high.product + low.product[half:]).as_signed(), 1, "product")

        # All bits of the shift but the last one, which is left for rounding.
        coarse = delay(m, (product >> (self.shift[3:] << 3))[: len(product)].as_signed(), 1, "coarse")
        fine = delay(m, (coarse >> self.shift[:3])[: len(product)].as_signed(), 1, "fine")
        rounded = delay(m, (fine[: ranking.T_BITS + 2].as_signed() + 1) >> 1, 1, "rounded")
        negative = delay(m, fine[-1], 1, "negative")
        # What is out of range by far does not fit the adder that rounds; what rounding leads over an end, or back, is
        # told from its result.
        fits = delay(m, all_alike(fine[ranking.T_BITS + 1 :]), 1, "fits") & all_alike(rounded[ranking.T_BITS - 1 :])
        above, below = Signal(), Signal()
        m.d.comb += [above.eq(~fits & ~negative), below.eq(~fits & negative)]
        t = Mux(above, ranking.T_MAX, Mux(below, ranking.T_MIN, rounded[: ranking.T_BITS].as_signed()))
        m.d.comb += self.t.eq(delay(m, t, 1, "t"))
        m.d.comb += [self.above.eq(delay(m, above, 1, "above")), self.below.eq(delay(m, below, 1, "below"))]
        return m


class Rows(wiring.Component):
    """Add terms to the rows of two banks, exactly, and give and clear the rows of a bank that is complete.

    One term a cycle, no stalls, whichever rows they meet: a sum that is not in memory yet is taken on its way there. A
    term is in its row ``LATENCY`` cycles after it was offered.

    Members
    -------
    bank, row, valid : In
        Of a term, which itself comes ``TERM_DELAY`` cycles later.
    term : In(17), Q1.16
    read_bank : In(1), read_row : In(8), read : In(1), sum : Out(33)
        A row, which is there ``READ`` cycles later, and 0 in memory. No term may be on its way to this bank.
    clear : In(1)
        Set the row ``read_row`` of both banks to 0. No term may be on its way.
    """

    TERM_DELAY = 3
    LATENCY = 5
    READ = 3

    def __init__(self):
        super().__init__({
            "bank": In(1), "row": In(ranking.POSITION_BITS), "valid": In(1), "term": In(ranking.TERM_BITS),
            "read_bank": In(1), "read_row": In(ranking.POSITION_BITS), "read": In(1), "sum": Out(ranking.ROW_BITS),
            "clear": In(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        place = data.StructLayout({"row": ranking.POSITION_BITS, "bank": 1})
        now = Signal(place)
        m.d.comb += [now.row.eq(self.row), now.bank.eq(self.bank)]
        places, valids = [now], [self.valid]  # by how long ago they were offered
        for age in range(1, self.LATENCY + 1):
            places.append(delay(m, places[-1], 1, f"place_{age}"))
            valids.append(delay(m, valids[-1], 1, f"valid_{age}", init=0))

        # Whether a term meets one that came 1 to 4 before it is found out a cycle before it is needed.
        def meets(distance):
            same = valids[1 + distance] & (places[1].as_value() == places[1 + distance].as_value())
            return delay(m, same, 1, f"meets_{distance}", init=0)

        # Two cycles to read, one to choose, one to add, one to write.
        total = Signal(ranking.ROW_BITS, reset_less=True)
        before = delay(m, total, 1, "total_before")
        first = delay(m, before, 1, "total_first")
        second, third, fourth = meets(2), meets(3), meets(4)
        m.submodules.choice = choice = Choice(ranking.ROW_BITS)
        m.d.comb += choice.select.eq(Mux(second, 1, Mux(third, 2, Mux(fourth, 3, 0))))
        m.d.comb += [choice.words[k].eq(word) for k, word in enumerate((total, before, first), 1)]
        chosen = delay(m, choice.o, 1, "chosen")
        follows = delay(m, meets(1), 1, "follows", init=0)
        m.d.sync += total.eq(Mux(follows, total, chosen) + self.term)

        cleared = delay(m, self.read_row, 1, "cleared")
        clears = delay(m, self.read, 1, "clears", init=0)
        clears_bank = delay(m, self.read_bank, 1, "clears_bank", init=0)
        sums = []
        for bank in range(2):
            m.submodules[f"bank_{bank}"] = memory = PipelinedMemory(shape=ranking.ROW_BITS, depth=ranking.POSITIONS)
            reads, zero = self.read & (self.read_bank == bank), Signal(name=f"zero_{bank}")
            m.d.comb += [
                zero.eq(self.clear | (clears & (clears_bank == bank))),
                memory.read_addr.eq(Mux(reads, self.read_row, self.row)),
                memory.write_en.eq(zero | (valids[self.LATENCY - 1] & (places[self.LATENCY - 1].bank == bank))),
                memory.write_addr.eq(Mux(self.clear, self.read_row, Mux(zero, cleared, places[self.LATENCY - 1].row))),
                memory.write_data.eq(Mux(zero, 0, total)),
            ]
            sums.append(memory.read_data)
        m.d.comb += [
            choice.words[0].eq(Mux(places[2].bank, sums[1], sums[0])),
            self.sum.eq(delay(m, Mux(delay(m, clears_bank, 1, "sum_bank"), sums[1], sums[0]), 1, "sum")),
        ]
        return m


class Logarithm(wiring.Component):
    """Add rows, the lowest first, to a sum, and take its log2, as :mod:`golden.ranking` does.

    A row a cycle. The logarithm is there ``LATENCY`` cycles after the last row was added; ``normalize`` is high in the
    first :attr:`NORMALIZE` of them.

    Members
    -------
    clear : In(1), add : In(1), normalize : In(1)
    row : In(33)
        In units of Q1.16.
    highest : In(8)
        Row that comes last.
    log2 : Out(signed(26)), Q9.16
        Undefined where the highest row is 0.
    """

    NORMALIZE = ranking.SUM_BITS - ranking.FRACTION - ranking.GUARD - 1
    LATENCY = NORMALIZE + 1 + Nonlinearity.LATENCY + 1

    def __init__(self):
        super().__init__({
            "clear": In(1), "add": In(1), "normalize": In(1), "row": In(ranking.ROW_BITS),
            "highest": In(ranking.POSITION_BITS), "log2": Out(signed(ranking.RESULT_BITS)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        total, shifts = Signal(ranking.SUM_BITS, reset_less=True), Signal(range(self.NORMALIZE + 1), reset_less=True)
        with m.If(self.clear):
            m.d.sync += [total.eq(0), shifts.eq(0)]
        with m.Elif(self.add):
            m.d.sync += total.eq((total >> 1) + total[0] + (self.row << ranking.GUARD))
        with m.Elif(self.normalize & ~total[-1]):
            m.d.sync += [total.eq(total << 1), shifts.eq(shifts + 1)]

        # What follows the leading one, rounded; where that would carry, it stays all ones.
        unit = ranking.SUM_BITS - 1 - ranking.FRACTION  # of the first bit that is left out, its weight doubled
        fraction = total[unit:-1]
        rounded = fraction + (total[unit - 1] & ~fraction.all())
        argument = delay(m, rounded[: ranking.FRACTION], 1, "argument")
        m.submodules.log2 = table = Nonlinearity(ranking.LOG2)
        m.d.comb += table.pre.eq(argument ^ ranking.HALF)
        value = delay(m, table.value.as_unsigned() ^ ranking.HALF, 1, "fraction")
        position = Signal(signed(ranking.RESULT_BITS - ranking.FRACTION), reset_less=True)
        m.d.sync += position.eq(self.highest - shifts + (ranking.POSITION_MIN + self.NORMALIZE))
        m.d.comb += self.log2.eq(Cat(value, position).as_signed())
        return m

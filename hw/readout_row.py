"""A row of the readout with four outputs, as cores with lists in external memory have them."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.beats import READOUT_PLACES
from hw.config import CoreConfig
from hw.event import INDEX_BITS, JobTag

COUNT_BITS = READOUT_PLACES.bit_length()


class Outcome(data.StructLayout):
    """What a unit, or an output, comes to: whether there is any, the job, its number, its value."""

    def __init__(self, config: CoreConfig):
        super().__init__({"present": 1, "tag": JobTag(config), "id": INDEX_BITS, "value": signed(config.acc_bits)})


class ReadoutRow(wiring.Component):
    """Turn the four sums of a row into four logits, one after the other.

    A row in 4 cycles; the first logit a cycle after the sums, places without an output included.

    Members
    -------
    valid : In(1), sums, biases : In(ArrayLayout(signed(acc_bits), 4))
        Not again within 4 cycles.
    tag : In(JobTag), count : In(3), id : In(16)
        A cycle later: the job, how many outputs there are in the row, the first one's number. The others follow in
        steps of ``lanes``.
    o : Out(Outcome), o_valid : Out(1)
        Of a job's last row the last place alone is ``final``.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        sums = data.ArrayLayout(signed(config.acc_bits), READOUT_PLACES)
        super().__init__({
            "valid": In(1), "sums": In(sums), "biases": In(sums),
            "tag": In(JobTag(config)), "count": In(COUNT_BITS), "id": In(INDEX_BITS),
            "o": Out(Outcome(config)), "o_valid": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        logits = Signal(self.sums.shape(), reset_less=True)
        left = Signal(COUNT_BITS)  # places of the row
        is_first = Signal()
        m.d.comb += [is_first.eq(left == READOUT_PLACES), self.o_valid.eq(left != 0)]
        with m.If(self.valid):
            m.d.sync += left.eq(READOUT_PLACES)
            m.d.sync += [logits[k].eq(self.sums[k] + self.biases[k]) for k in range(READOUT_PLACES)]
        with m.Else():
            m.d.sync += left.eq(left - self.o_valid)
            m.d.sync += [logits[k].eq(logits[k + 1]) for k in range(READOUT_PLACES - 1)]

        # What is told of the first place is kept for the others.
        kept = Signal(
            data.StructLayout({"tag": JobTag(config), "count": COUNT_BITS, "id": INDEX_BITS}), reset_less=True
        )
        now = Signal(kept.shape())
        for name in ("tag", "count", "id"):
            m.d.comb += now[name].eq(Mux(is_first, getattr(self, name), kept[name]))
        m.d.sync += [kept.tag.eq(now.tag), kept.count.eq(now.count - self.o.present), kept.id.eq(now.id + config.lanes)]
        m.d.comb += [
            self.o.present.eq(now.count != 0),
            self.o.tag.eq(now.tag),
            self.o.tag.final.eq(now.tag.final & (left == 1)),
            self.o.id.eq(now.id),
            self.o.value.eq(logits[0]),
        ]
        return m

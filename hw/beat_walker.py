"""Walk the entries of beats: lists that come from external memory (``docs/beats.md``), in a lane."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.beats import HEADER_BITS, PLACES, BeatFormat
from hw.config import CoreConfig
from hw.event import EventKind, ListPart, Operation, Target
from hw.fanout_onchip import Advance

BODY_BITS = 128 - HEADER_BITS
PLACE_BITS = 2


class LaneBeat(data.StructLayout):
    """A beat without its header, or half of one, zeros above, with what its event brought; or a marker, without a body.

    ``place`` and ``row`` are of the first target. Rows below ``boundary`` are recurrent. ``readout`` says that a row
    has four places, ``dense`` that there are no gaps.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "kind": EventKind, "part": ListPart, "dense": 1, "readout": 1, "place": PLACE_BITS, "row": config.row_bits,
            "boundary": config.row_bits + 1, "value": signed(config.value_bits), "bank": 1,
            "group": config.group_bits, "body": BODY_BITS,
        })  # fmt: skip


class BeatWalker(wiring.Component):
    """Turn beats into operations: one weight a cycle, no bubble between beats; a marker costs one cycle.

    Order kept. Weights of 0 and those of the part of a list that the event does not walk cost their cycle and become
    nothing; a beat ends behind its last weight that is not 0. Latency ``LATENCY``.

    Members
    -------
    i : In(stream.Signature(LaneBeat))
    o : Out(Operation), o_valid : Out(1), behind : Out(Target), advance : In(Advance)
        As of :class:`hw.fanout_onchip.Walker`.
    """

    #: Cycles from the acceptance of a beat by an idle walker to its first operation.
    LATENCY = 5

    def __init__(self, config: CoreConfig):
        self._config = config
        self._form = BeatFormat(config.lanes, config.weight_bits, config.gap_bits, False, False)
        super().__init__({
            "i": In(stream.Signature(LaneBeat(config))),
            "o": Out(Operation(config)), "o_valid": Out(1), "behind": Out(Target(config)), "advance": In(Advance),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, form, advance = self._config, self._form, self.advance.walk
        width, slots = config.weight_bits, form.slots(True)

        # Weights and gaps of all slots, at the same place whatever the beat; what is not there is 0.
        coming = self.i.payload
        entry, sparse = width + form.gap_bits, form.slots(False)
        weights = data.ArrayLayout(width, slots)
        gaps = data.ArrayLayout(form.gap_bits, slots)
        coming_weights, coming_gaps = Signal(weights), Signal(gaps)
        for k in range(slots):
            weight = coming.body[k * entry :][:width] if k < sparse else 0
            gap = coming.body[k * entry - form.gap_bits :][: form.gap_bits] if 0 < k < sparse else 0
            m.d.comb += [
                coming_weights[k].eq(Mux(coming.dense, coming.body[k * width :][:width], weight)),
                coming_gaps[k].eq(Mux(coming.dense, 0, gap)),
            ]

        # The beat that is walked, and which of its slots; what is left is known beforehand.
        brought = ("kind", "part", "readout", "boundary", "value", "bank", "group")
        told = {name: coming[name].shape() for name in brought}
        beat = Signal(
            data.StructLayout({"place": PLACE_BITS, "row": config.row_bits, "weights": weights, "gaps": gaps, **told}),
            reset_less=True,
        )
        walking, ending = Signal(), Signal(init=1)  # ``ending``: nothing is left behind this slot, or there is no beat
        slot, left = Signal(range(slots)), Signal(slots - 1)  # bit k of ``left``: whether slot + 1 + k is not 0
        more = Cat(coming_weights[k].any() for k in range(1, slots))
        m.d.comb += self.i.ready.eq(self.advance.take & ending)
        with m.If(advance):
            m.d.sync += [slot.eq(slot + 1), left.eq(left >> 1), ending.eq(~left[1:].any())]
            with m.If(ending):
                m.d.sync += [
                    *(beat[name].eq(coming[name]) for name in ("place", "row", *brought)),
                    beat.weights.eq(coming_weights), beat.gaps.eq(coming_gaps),
                    walking.eq(self.i.valid), slot.eq(0), left.eq(more), ending.eq(~self.i.valid | ~more.any()),
                ]  # fmt: skip

        # One slot: its weight, and the gap before it.
        first = data.StructLayout({
            "valid": 1, "begins": 1, "place": PLACE_BITS, "row": config.row_bits, "gap": form.gap_bits,
            "weight": signed(width), **told,
        })  # fmt: skip
        here = Signal(first, init={"valid": 0})
        with m.If(advance):
            m.d.sync += [
                here.valid.eq(walking),
                here.begins.eq(slot == 0),
                here.place.eq(beat.place),
                here.row.eq(beat.row),
                here.gap.eq(beat.gaps[slot]),
                here.weight.eq(beat.weights[slot]),
                *(here[name].eq(beat[name]) for name in brought),
            ]

        # Its target: as many places further than the one before.
        place, row = Signal(PLACE_BITS, reset_less=True), Signal(config.row_bits, reset_less=True)
        found = Signal(first, init={"valid": 0})
        step = here.gap + 1
        thirds = [divmod(n, PLACES) for n in range((1 << form.gap_bits) + 1)]
        rows, places = Signal(form.gap_bits), Signal(PLACE_BITS)
        with m.If(here.readout):
            m.d.comb += Cat(places, rows).eq(step)
        with m.Else(), m.Switch(step):
            for n, (third, rest) in enumerate(thirds):
                with m.Case(n):
                    m.d.comb += [rows.eq(third), places.eq(rest)]
        on, over = Signal(PLACE_BITS + 1), Signal()
        m.d.comb += [on.eq(place + places), over.eq(Mux(here.readout, on[PLACE_BITS], on >= PLACES))]
        with m.If(advance):
            m.d.sync += found.eq(here)
            with m.If(here.begins):
                m.d.sync += [place.eq(here.place), row.eq(here.row)]
            with m.Else():
                m.d.sync += [place.eq(Mux(over & ~here.readout, on - PLACES, on)), row.eq(row + rows + over)]

        # Which of the sums of its row it is, and whether the event walks it at all.
        recurrent, is_entry = Signal(), Signal()
        made, made_valid = Signal(Operation(config), reset_less=True), Signal()
        m.d.comb += [
            recurrent.eq((row < found.boundary) & ~found.readout),
            is_entry.eq(
                (found.weight != 0)
                & ~((found.part == ListPart.FORWARD) & recurrent)
                & ~((found.part == ListPart.RECURRENT) & ~recurrent)
            ),
        ]
        with m.If(advance):
            m.d.sync += [
                made_valid.eq(found.valid & ((found.kind != EventKind.EVENT) | is_entry)),
                made.kind.eq(found.kind),
                made.entry.weight.eq(found.weight),
                made.entry.gate.eq(place + recurrent),
                made.entry.row.eq(row),
                made.value.eq(found.value),
                made.bank.eq(found.bank),
                made.group.eq(found.group),
                self.o.eq(made),
                self.o_valid.eq(made_valid),
            ]
        m.d.comb += [
            self.behind.bank.eq(made.bank),
            self.behind.row.eq(made.entry.row),
            self.behind.gate.eq(made.entry.gate),
        ]
        return m

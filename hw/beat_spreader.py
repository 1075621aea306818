"""Hand beats from external memory to the lanes that they are for, with what their event brought."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.beats import BEAT_BITS, HALF_BITS, HEADER_BITS, BeatFormat
from hw.beat_walker import PLACE_BITS, LaneBeat
from hw.bus.axi4_read import ReadBeat
from hw.config import LIST_ADDRESS_BITS, CoreConfig
from hw.event import EventKind
from hw.list_fetch import ListContext, ListFormat


def lane_beats(config: CoreConfig) -> dict[str, wiring.Member]:
    """Return what the spreader sends: the two halves of each beat that may come in a cycle, the lower one first, and to
    which lanes each goes; a whole beat is the lower one.
    """
    ways = 2 * config.beats_at_once
    return {"beats": Out(LaneBeat(config)).array(ways), "to": Out(config.lanes).array(ways)}


class BeatSpreader(wiring.Component):
    """Read the headers of beats, and send each beat, or both halves of one, to its lanes; markers to all of them.

    A beat a cycle, or as many as the bus brings at once, if no two of them have a lane in common; latency two cycles,
    order kept in each lane. A beat goes when its lanes have room, a marker when all have.

    Members
    -------
    words : In(stream.Signature(ReadBeat)), contexts : In(stream.Signature(ListContext))
        Beats, and a context for each run of them, and for each marker, in their order.
    format : In(ListFormat)
    lanes_ready : In(lanes)
        A lane has room for as many beats as may come until it is seen that it has not.
    beats : Out(LaneBeat).array, to : Out(lanes).array
        See :func:`lane_beats`. No lane gets two in a cycle.
    fault : Out(1), fault_address : Out(LIST_ADDRESS_BITS)
        Sticky: a beat was for a lane or row that there is not, or both its halves for one lane. Nothing goes any more.
        The address is its list's.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "words": In(stream.Signature(ReadBeat(config.port_bits))),
            "contexts": In(stream.Signature(ListContext(config))),
            "format": In(ListFormat(config)), "lanes_ready": In(config.lanes), **lane_beats(config),
            "fault": Out(1), "fault_address": Out(LIST_ADDRESS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, context, word = self._config, self.contexts.payload, self.words.payload.data
        is_event = Signal()
        m.d.comb += is_event.eq(context.kind == EventKind.EVENT)

        # Of each beat that came: what its halves are, which lanes they are for, and whether there are such.
        halves, targets, wanted, exists = [], [], [], []
        for way in range(config.beats_at_once):
            beat = word[way * BEAT_BITS :][:BEAT_BITS]
            is_half, lower = Signal(name=f"is_half_{way}"), Signal(BEAT_BITS, name=f"lower_{way}")
            m.d.comb += [is_half.eq(beat[0]), lower.eq(beat)]
            with m.If(is_half):
                m.d.comb += lower.eq(beat[:HALF_BITS])
            to_low, exists_low, low = self._read(m, lower, f"low_{way}")
            to_high, exists_high, high = self._read(m, beat[HALF_BITS:], f"high_{way}")
            halves += [low, high]
            targets += [to_low, Mux(is_half, to_high, 0)]
            wanted.append(to_low | targets[-1])
            same_lane = (to_low & to_high).any()
            exists.append(exists_low & (~is_half | (exists_high & ~same_lane)))

        # They stay until all have gone.
        ways = range(config.beats_at_once)
        held, moves = self._held(), Signal()
        m.d.comb += [
            self.words.ready.eq(moves & self.contexts.valid & is_event),
            self.contexts.ready.eq(moves & (~is_event | (self.words.valid & self.words.payload.last))),
        ]
        with m.If(moves):
            m.d.sync += [
                held.valid.eq(self.contexts.valid & (self.words.valid | ~is_event)),
                held.is_event.eq(is_event),
                held.good.eq(Cat(exists).all()),
                held.address.eq(context.address),
                *(held.halves[number].eq(half) for number, half in enumerate(halves)),
                *(held.targets[number].eq(target) for number, target in enumerate(targets)),
                *(held.wanted[way].eq(wanted[way]) for way in ways),
            ]
            with m.If(~is_event):
                m.d.sync += held.halves[0].body.eq(0)

        # Each goes when its lanes have room and get none of those before it in this word, which are first.
        done, goes = Signal(config.beats_at_once), Signal(config.beats_at_once)
        may_go, marks, ends = Signal(), Signal(), Signal()
        before = 0
        for way in ways:
            m.d.comb += goes[way].eq(
                may_go
                & held.is_event
                & ~done[way]
                & ~(held.wanted[way] & ~self.lanes_ready).any()
                & ~(held.wanted[way] & before).any()
            )
            before = before | Mux(done[way], 0, held.wanted[way])
        m.d.comb += [
            may_go.eq(held.valid & ~self.fault),
            marks.eq(may_go & ~held.is_event & self.lanes_ready.all()),
            ends.eq((done | goes).all()),
            moves.eq(~held.valid | marks | (held.is_event & ends)),
        ]
        m.d.sync += [
            done.eq(Mux(ends, 0, done | goes)),
            *(sent.eq(half) for sent, half in zip(self.beats, held.halves, strict=True)),
            *(to.eq(0) for to in self.to),
        ]
        with m.If(goes.any() & ~held.good):
            m.d.sync += [self.fault.eq(1), self.fault_address.eq(held.address)]
        for number, to in enumerate(self.to):
            with m.If(goes[number // 2] & held.good):
                m.d.sync += to.eq(held.targets[number])
        with m.If(marks):
            m.d.sync += self.to[0].eq((1 << config.lanes) - 1)
        return m

    def _held(self):
        """Return what has been read of a word, or of a marker."""
        config, ways = self._config, self._config.beats_at_once
        layout = data.StructLayout({
            "valid": 1, "is_event": 1, "good": 1, "address": LIST_ADDRESS_BITS,
            "halves": data.ArrayLayout(LaneBeat(config), 2 * ways), "targets": data.ArrayLayout(config.lanes, 2 * ways),
            "wanted": data.ArrayLayout(config.lanes, ways),
        })  # fmt: skip
        return Signal(layout, name="held")

    def _read(self, m, half, name):
        """Return, of a beat or half, a bit for each lane that it may be for, whether there is such a target, and it."""
        config, form, context = self._config, self.format, self.contexts.payload
        lane_bits = (config.lanes - 1).bit_length()
        row_bits = BeatFormat(config.lanes, config.weight_bits, config.gap_bits, False, False).row_bits
        lane, row = Signal(max(1, lane_bits), name=f"lane_{name}"), Signal(row_bits, name=f"row_{name}")
        to, readout = Signal(config.lanes, name=f"goes_to_{name}"), Signal(name=f"readout_{name}")
        beat, is_input = Signal(LaneBeat(config), name=f"beat_{name}"), context.is_input
        m.d.comb += [
            lane.eq(half[1 : 1 + lane_bits]),
            row.eq(half[1 + lane_bits + PLACE_BITS : HEADER_BITS]),
            to.eq(Cat(lane == k for k in range(config.lanes))),
            readout.eq(~is_input & (row >= form.readout_base)),
            beat.readout.eq(readout),
            beat.dense.eq((is_input & form.dense_inputs) | (readout & form.dense_readout)),
            beat.place.eq(half[1 + lane_bits :][:PLACE_BITS]),
            beat.row.eq(row),
            beat.boundary.eq(Mux(is_input, 0, form.boundary[context.layer])),
            beat.body.eq(half[HEADER_BITS:]),
            *(beat[field].eq(context[field]) for field in ("kind", "part", "value", "bank", "group")),
        ]
        return to, (row < form.row_count) & to.any(), beat

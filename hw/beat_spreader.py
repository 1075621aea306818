"""Hand beats from external memory to the lanes that they are for, with what their event brought."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.beats import HALF_BITS, HEADER_BITS, BeatFormat
from hw.beat_walker import PLACE_BITS, LaneBeat
from hw.bus.axi4_read import ReadBeat
from hw.config import LIST_ADDRESS_BITS, CoreConfig
from hw.event import EventKind
from hw.list_fetch import ListContext, ListFormat


class BeatSpreader(wiring.Component):
    """Read the headers of beats, and send each beat, or both halves of one, to its lanes; markers to all of them.

    A beat a cycle, latency one cycle, order kept. A beat goes when its lanes have room, a marker when all have.

    Members
    -------
    beats : In(stream.Signature(ReadBeat)), contexts : In(stream.Signature(ListContext))
        A context for each run of beats, and for each marker, in their order.
    format : In(ListFormat)
    lanes_ready : In(lanes)
        A lane has room for as many beats as may come until it is seen that it has not.
    low, high : Out(LaneBeat), to_low, to_high : Out(lanes)
        A beat, or its lower half, and to which lanes it goes; its upper half, and to which lane that goes.
    fault : Out(1), fault_address : Out(LIST_ADDRESS_BITS)
        Sticky: a beat was for a lane or row that there is not. Nothing goes any more. The address is its list's.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "beats": In(stream.Signature(ReadBeat())), "contexts": In(stream.Signature(ListContext(config))),
            "format": In(ListFormat(config)), "lanes_ready": In(config.lanes),
            "low": Out(LaneBeat(config)), "high": Out(LaneBeat(config)),
            "to_low": Out(config.lanes), "to_high": Out(config.lanes),
            "fault": Out(1), "fault_address": Out(LIST_ADDRESS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, form = self._config, self.format
        lane_bits = (config.lanes - 1).bit_length()
        row_bits = BeatFormat(config.lanes, config.weight_bits, 5, False, False).row_bits
        context, word = self.contexts.payload, self.beats.payload.data
        is_half, is_event, is_input = Signal(), Signal(), context.is_input
        m.d.comb += [is_half.eq(word[0]), is_event.eq(context.kind == EventKind.EVENT)]

        def read(half, name):
            """Return the lane of a beat or half, one bit for each, whether there is such a target, and the beat."""
            lane, row = Signal(max(1, lane_bits), name=f"lane_{name}"), Signal(row_bits, name=f"row_{name}")
            to, readout = Signal(config.lanes, name=f"goes_to_{name}"), Signal(name=f"readout_{name}")
            beat = Signal(LaneBeat(config), name=f"beat_{name}")
            place = half[1 + lane_bits :][:PLACE_BITS]
            m.d.comb += [
                lane.eq(half[1 : 1 + lane_bits]),
                row.eq(half[1 + lane_bits + PLACE_BITS : HEADER_BITS]),
                to.eq(Cat(lane == k for k in range(config.lanes))),
                readout.eq(~is_input & (row >= form.readout_base)),
                beat.readout.eq(readout),
                beat.dense.eq((is_input & form.dense_inputs) | (readout & form.dense_readout)),
                beat.place.eq(place),
                beat.row.eq(row),
                beat.boundary.eq(Mux(is_input, 0, form.boundary[context.layer])),
                beat.body.eq(half[HEADER_BITS:]),
                *(beat[field].eq(context[field]) for field in ("kind", "part", "value", "bank", "group")),
            ]
            return to, (row < form.row_count) & to.any(), beat

        lower = Signal(2 * HALF_BITS)
        m.d.comb += lower.eq(word)
        with m.If(is_half):
            m.d.comb += lower.eq(word[:HALF_BITS])
        to_low, exists_low, low = read(lower, "low")
        to_high, exists_high, high = read(word[HALF_BITS:], "high")

        wanted, goes, exists = Signal(config.lanes), Signal(), Signal()
        m.d.comb += [
            wanted.eq((1 << config.lanes) - 1),
            exists.eq(~is_event | (exists_low & (~is_half | exists_high))),
            goes.eq(
                self.contexts.valid & (self.beats.valid | ~is_event) & ~(wanted & ~self.lanes_ready).any() & ~self.fault
            ),
            self.beats.ready.eq(goes & is_event),
            self.contexts.ready.eq(goes & (~is_event | self.beats.payload.last)),
        ]
        with m.If(is_event):
            m.d.comb += wanted.eq(to_low)
            with m.If(is_half):
                m.d.comb += wanted.eq(to_low | to_high)
        m.d.sync += [self.low.eq(low), self.high.eq(high), self.to_low.eq(0), self.to_high.eq(0)]
        with m.If(~is_event):
            m.d.sync += self.low.body.eq(0)
        with m.If(goes):
            m.d.sync += [self.fault.eq(~exists), self.fault_address.eq(context.address)]
            with m.If(exists & is_event):
                m.d.sync += self.to_low.eq(to_low)
                with m.If(is_half):
                    m.d.sync += self.to_high.eq(to_high)
            with m.If(~is_event):
                m.d.sync += self.to_low.eq((1 << config.lanes) - 1)
        return m

"""AXI4-Stream on one side, the core's events on the other.

TDATA is 64 bits, the index in 31:0 and the value, signed, in 63:32. TLAST ends a step; TUSER with it ends a sequence.
An index of 32 ones is a null beat: it carries no event. On the input, bit 31 of any other index marks a beat that
restores the y of the source in bits 30:0.
"""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.errors import Error
from hw.event import INDEX_BITS, NULL_INDEX, InputBeat, OutputBeat

BUS_INDEX_BITS = 32
BUS_NULL_INDEX = (1 << BUS_INDEX_BITS) - 1
BUS_RESTORE_FLAG = 1 << (BUS_INDEX_BITS - 1)
VALUE_BITS = 32


class BusBeat(data.StructLayout):
    """TDATA (index and value), TLAST and TUSER."""

    def __init__(self):
        super().__init__({"index": BUS_INDEX_BITS, "value": signed(VALUE_BITS), "last": 1, "user": 1})


class EventInput(wiring.Component):
    """Take events from the bus.

    One beat a cycle, latency one cycle, order kept, stalls without loss. An index or value that the core has no bits
    for is an error; the event is dropped, the end of step that it may carry is not.

    Members
    -------
    i : In(stream.Signature(BusBeat)), o : Out(stream.Signature(InputBeat))
    reset : In(1)
        Drop a beat that is held, and take none.
    error : Out(Error), detail : Out(32)
        For one cycle each; :data:`Error.NONE` otherwise.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(BusBeat())), "o": Out(stream.Signature(InputBeat(config))), "reset": In(1),
            "error": Out(Error), "detail": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        beat, out = self.i.payload, self.o.payload
        taken, is_null, outside, too_large = Signal(), Signal(), Signal(), Signal()
        # The core's index is a bit for restoring and 15 of source; all ones are its null beat, and not a source.
        source, restores = beat.index[: BUS_INDEX_BITS - 1], beat.index[BUS_INDEX_BITS - 1]
        index = Signal(INDEX_BITS)
        value = Signal(signed(self._config.value_bits))
        m.d.comb += [
            taken.eq(self.i.valid & self.i.ready),
            is_null.eq(beat.index == BUS_NULL_INDEX),
            index.eq(Mux(restores, source | 1 << (INDEX_BITS - 1), source)),
            outside.eq((source >> (INDEX_BITS - 1) != 0) | (index == NULL_INDEX)),
            value.eq(beat.value),
            too_large.eq(value != beat.value),
            self.i.ready.eq((~self.o.valid | self.o.ready) & ~self.reset),
        ]
        with m.If(taken & ~is_null):
            with m.If(outside):
                m.d.comb += [self.error.eq(Error.INDEX), self.detail.eq(beat.index)]
            with m.Elif(too_large):
                m.d.comb += [self.error.eq(Error.VALUE), self.detail.eq(beat.value)]

        dropped = self.error != Error.NONE
        with m.If(self.o.ready | self.reset):
            m.d.sync += self.o.valid.eq(0)
        with m.If(taken):
            m.d.sync += [
                self.o.valid.eq(~dropped | beat.last),
                out.index.eq(Mux(is_null | dropped, NULL_INDEX, index)),
                out.value.eq(value),
                out.last.eq(beat.last),
                out.user.eq(beat.user),
            ]
        return m


class EventOutput(wiring.Component):
    """Give events to the bus.

    One beat a cycle, latency one cycle, order kept, stalls without loss. A reset of the core in the middle of a packet
    does not break the bus: a beat that is offered stays, and a null beat that ends step and sequence closes the packet.

    Members
    -------
    i : In(stream.Signature(OutputBeat)), o : Out(stream.Signature(BusBeat))
    reset : In(1)
        The core forgets the step under way: what it offers is not taken.
    empty : Out(1)
        Nothing is held and no packet needs closing.
    step : Out(1)
        The last beat of a step is leaving.
    """

    def __init__(self):
        super().__init__({
            "i": In(stream.Signature(OutputBeat())), "o": Out(stream.Signature(BusBeat())),
            "reset": In(1), "empty": Out(1), "step": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        beat, out = self.i.payload, self.o.payload
        free, closing = Signal(), Signal()
        is_open = Signal()  # a packet has begun and its last beat has not come
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(free & ~closing & ~self.reset),
            self.empty.eq(~self.o.valid & ~closing),
            self.step.eq(self.o.valid & self.o.ready & out.last),
        ]
        with m.If(self.reset & is_open):
            m.d.sync += closing.eq(1)
        with m.If(free):
            m.d.sync += self.o.valid.eq(0)
            with m.If(closing):
                m.d.sync += [
                    self.o.valid.eq(1), out.index.eq(BUS_NULL_INDEX), out.value.eq(0), out.last.eq(1), out.user.eq(1),
                    closing.eq(0), is_open.eq(0),
                ]  # fmt: skip
            with m.Elif(self.i.valid & self.i.ready):
                m.d.sync += [
                    self.o.valid.eq(1),
                    out.index.eq(Mux(beat.index == NULL_INDEX, BUS_NULL_INDEX, beat.index)),
                    out.value.eq(beat.value),
                    out.last.eq(beat.last),
                    out.user.eq(beat.user),
                    is_open.eq(~beat.last),
                ]
        return m

"""The output: logits or events of the last layer as a stream, one packet a step, and the largest of them."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.broadcast import OutputItem
from hw.config import CoreConfig
from hw.event import INDEX_BITS, NULL_INDEX, OutputBeat


class Output(wiring.Component):
    """Turn values and ends of steps into packets.

    The last value of a step waits for the end of its step to carry ``last``; a silent step is one null beat. One beat a
    cycle, latency 2; stalls without loss.

    Members
    -------
    i : In(stream.Signature(OutputItem))
    base : In
        Source number of the first unit of the output layer; 0 where indices come from a readout.
    argmax_only : In(1)
        Send only the largest value of each step.
    o : Out(stream.Signature(OutputBeat))
    best_index, best_value : Out, best_valid : Out(1)
        Largest value of the last complete step, the lowest index first; ``best_valid`` is low after a silent step.
    empty : Out(1)
        Nothing is held.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(OutputItem(config))), "base": In(INDEX_BITS), "argmax_only": In(1),
            "o": Out(stream.Signature(OutputBeat())),
            "best_index": Out(INDEX_BITS), "best_value": Out(signed(32)), "best_valid": Out(1), "empty": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        item = self.i.payload
        index = Signal(INDEX_BITS)
        m.d.comb += index.eq(item.index - self.base)

        held, held_valid = Signal(OutputBeat(), reset_less=True), Signal()
        best, best_valid = Signal(OutputBeat(), reset_less=True), Signal()
        better = ~best_valid | (item.value > best.value) | ((item.value == best.value) & (index < best.index))
        free = ~self.o.valid | self.o.ready

        m.d.comb += [self.i.ready.eq(free), self.empty.eq(~self.o.valid & ~held_valid)]
        with m.If(free):
            m.d.sync += self.o.valid.eq(0)
        with m.If(free & self.i.valid):
            with m.If(item.end):
                last = Mux(self.argmax_only, best, held)
                some = Mux(self.argmax_only, best_valid, held_valid)
                m.d.sync += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(last),
                    self.o.payload.last.eq(1),
                    self.o.payload.user.eq(item.ending),
                    held_valid.eq(0),
                    best_valid.eq(0),
                    self.best_index.eq(best.index),
                    self.best_value.eq(best.value),
                    self.best_valid.eq(best_valid),
                ]
                with m.If(~some):
                    m.d.sync += [self.o.payload.index.eq(NULL_INDEX), self.o.payload.value.eq(0)]
            with m.Else():
                m.d.sync += [
                    self.o.valid.eq(held_valid & ~self.argmax_only),
                    self.o.payload.eq(held),
                    held.index.eq(index),
                    held.value.eq(item.value),
                    held_valid.eq(1),
                ]
                with m.If(better):
                    m.d.sync += [best.index.eq(index), best.value.eq(item.value), best_valid.eq(1)]
        return m

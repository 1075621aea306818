"""The output: logits or events of the last layer as a stream, one packet a step, and the largest of them."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.broadcast import OutputItem
from hw.config import CoreConfig
from hw.delay import delay
from hw.event import INDEX_BITS, NULL_INDEX, OutputBeat
from hw.queue import Queue


class OutputQueue(wiring.Component):
    """Keep what goes towards the output between the choice of a result and the comparison with the best one.

    One item a cycle, order kept; latency one cycle, with more hops 3, of which the first brings it here.

    Members
    -------
    i : In(OutputItem), valid : In(1), ready : Out(1)
        An item may come in the cycle after one that was ``ready``, with more hops one cycle later.
    o : Out(stream.Signature(OutputItem))
    empty : Out(1)
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        item = OutputItem(config)
        super().__init__({
            "i": In(item), "valid": In(1), "ready": Out(1), "o": Out(stream.Signature(item)), "empty": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        # Without a way around its memory it holds more while it passes on an item a cycle.
        direct = self._config.hops == 1
        depth, way = (2, 0) if direct else (4, 1)
        m.submodules.queue = queue = Queue(shape=self.i.shape(), depth=depth, direct=direct, guarded=False)
        held = Signal(range(depth + 2))
        leaves = delay(m, queue.o.valid & queue.o.ready, way, "leaves", init=0)
        m.d.sync += held.eq(held + self.valid - leaves)
        m.d.comb += [
            queue.i.payload.eq(delay(m, self.i, way, "coming")),
            queue.i.valid.eq(delay(m, self.valid, way, "comes", init=0)),
            self.empty.eq(held == 0),
            # Of the ``depth + 1`` places some are for what comes now, or is decided already, and not counted yet.
            self.ready.eq(held < depth - way),
        ]
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        return m


class Output(wiring.Component):
    """Turn values and ends of steps into packets.

    The last value of a step waits for the end of its step to carry ``last``; a silent step is one null beat. One beat a
    cycle, latency 2; stalls without loss.

    Members
    -------
    i : In(stream.Signature(OutputItem))
    base : In
        Source number of the first unit of the output layer, so never above an item's; 0 where indices come from a
        readout. It is taken off on the way out.
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
        item, o = self.i.payload, self.o.payload
        # Indices are compared as they come, so that no subtraction goes before.
        shape = data.StructLayout({"index": INDEX_BITS, "value": item.value.shape()})
        held, held_valid = Signal(shape, reset_less=True), Signal()
        # The best of all items before the one held, which moves an item later.
        best = Signal(shape, reset_less=True)
        free = ~self.o.valid | self.o.ready

        def offset_binary(value):  # compares without a sign, for which a carry chain would have to be left
            return value.as_unsigned() ^ (1 << len(value) - 1)

        def held_beats(other, name):
            # Larger, or as large with a lower index: all that takes carries is found out as the item comes.
            larger, equal, lower = (Signal(name=f"{what}_{name}") for what in ("larger_than", "equal_to", "lower_than"))
            with m.If(free & self.i.valid):
                m.d.sync += [
                    larger.eq(offset_binary(item.value) > offset_binary(other.value)),
                    equal.eq(item.value == other.value),
                    lower.eq(item.index < other.index),
                ]
            return larger | (equal & lower)

        held_is_best, last_was_best, is_first = Signal(), Signal(), Signal()
        m.d.comb += held_is_best.eq(is_first | Mux(last_was_best, held_beats(held, "last"), held_beats(best, "best")))
        largest_value, largest_index = Signal.like(held.value), Signal(INDEX_BITS)
        # The base is taken off both before it is known which of them goes out.
        held_index, best_index = (Signal(INDEX_BITS, name=name) for name in ("held_index", "best_index"))
        m.d.comb += [
            held_index.eq(held.index - self.base),
            best_index.eq(best.index - self.base),
            largest_value.eq(Mux(held_is_best, held.value, best.value)),
            largest_index.eq(Mux(held_is_best, held_index, best_index)),
        ]

        m.d.comb += [self.i.ready.eq(free), self.empty.eq(~self.o.valid & ~held_valid)]
        with m.If(free):
            m.d.sync += self.o.valid.eq(0)
        with m.If(free & self.i.valid):
            m.d.sync += [
                self.o.valid.eq(item.end | (held_valid & ~self.argmax_only)),
                o.index.eq(Mux(self.argmax_only, largest_index, held_index)),
                o.value.eq(Mux(self.argmax_only, largest_value, held.value)),
                o.last.eq(item.end),
                o.user.eq(item.end & item.ending),
                held_valid.eq(~item.end),
                held.index.eq(item.index),
                held.value.eq(item.value),
                last_was_best.eq(held_is_best),
                is_first.eq(~held_valid),
            ]
            with m.If(held_is_best):
                m.d.sync += best.eq(held)
            with m.If(item.end):
                m.d.sync += [
                    self.best_index.eq(largest_index),
                    self.best_value.eq(largest_value),
                    self.best_valid.eq(held_valid),
                ]
                with m.If(~held_valid):
                    m.d.sync += [o.index.eq(NULL_INDEX), o.value.eq(0)]
        return m

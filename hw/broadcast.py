"""The broadcaster: one event a cycle to all lanes, in the order that keeps every step whole."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import (
    INDEX_BITS,
    Event,
    EventKind,
    JobTag,
    ListPart,
    Result,
)
from hw.vendor.generic import Relay


class OutputItem(data.StructLayout):
    """What goes towards the output: a value, or the end of a step."""

    def __init__(self, config: CoreConfig):
        super().__init__({"end": 1, "ending": 1, "index": INDEX_BITS, "value": signed(config.acc_bits)})


class Broadcaster(wiring.Component):
    """Merge results of the cell units, ends of layers and input into one stream of events for all lanes.

    One item a cycle; results first, then the end of their layer, then input, but a result that comes after a cycle
    that left none and had input gives way to further input. An event is sent only when every lane has room. The end
    of a layer follows the ``final`` result of every cell unit; until then no result of a later job is taken. Results
    that carry nothing but ``final`` take no turn.

    With one hop the first cell unit that has a result goes first. With more, their queues are far from each other, and
    whose turn it is, and whether there is room, is decided a cycle before the result is taken: after each other, while
    several have results, and every other cycle, while one has; one that begins alone may wait for a cycle.

    Members
    -------
    results : In(stream.Signature(Result)).array(cell_units)
    input : In(stream.Signature(Event)), input_allowed : In(1)
        Input is taken if there was input and permission a cycle before; none in the three cycles after an end of input,
        which may withdraw the permission.
    lanes_ready, output_ready : In(1)
        Every lane, or whoever takes the output, has room; looked at in the next cycle, and with more than one hop, of
        results, in the one after that.
    event : Out(Event), valid : Out(1)
    output : Out(OutputItem), output_valid : Out(1)
        Logits, events of the output layer (index as source number), and ends of steps.
    input_end : Out(1)
        An end of input was sent.
    layer_end : Out(1)
        An end of a layer was sent.
    stalled : Out(1)
        Something could be sent, but a lane has no room.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "results": In(stream.Signature(Result(config))).array(config.cell_units),
            "input": In(stream.Signature(Event(config))), "input_allowed": In(1),
            "lanes_ready": In(1), "output_ready": In(1),
            "event": Out(Event(config)), "valid": Out(1),
            "output": Out(OutputItem(config)), "output_valid": Out(1),
            "input_end": Out(1), "layer_end": Out(1), "stalled": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        delivered = Signal(config.cell_units)  # cell units whose final result of the job was taken
        waiting, goes, sends = (Signal(config.cell_units, name=name) for name in ("waiting", "goes", "sends"))
        result = Signal(Result(config))
        tag = Signal(JobTag(config))  # of the job that is being delivered
        # Whether it is the input's turn is decided a cycle before: what holds it has not far to hear, and results need
        # not know whether there is input now.
        will_turn, inputs_turn, input_goes, ends = Signal(), Signal(), Signal(), Signal()
        input_ended = Signal(2)  # one and two cycles ago
        m.d.comb += will_turn.eq(
            (self.input.valid & self.input_allowed & ~self.input_end & ~input_ended.any())
            & ~waiting.any()
            & (~delivered.all() | ends)
        )
        m.d.sync += [
            input_ended.eq(Cat(self.input_end, input_ended[0])),
            inputs_turn.eq(will_turn),
            input_goes.eq(will_turn & self.lanes_ready),
        ]
        lanes_ready, output_ready = (Signal(name=name, reset_less=True) for name in ("lanes_ready", "output_ready"))
        m.d.sync += [lanes_ready.eq(self.lanes_ready), output_ready.eq(self.output_ready)]
        m.d.comb += self.input.ready.eq(input_goes)
        turns = Signal(config.cell_units, init=1)  # whose results may go: before the first that waits, or of one alone
        if config.hops == 1:
            m.d.comb += turns.eq(Cat(~waiting[:unit].any() for unit in range(config.cell_units)))
        else:
            others = waiting & ~turns
            with m.If(others.any()):
                m.d.sync += turns.eq(others & -others)
        # Registers of its own for each whose results wait for it, as they are apart.
        rooms = [Relay(2) for _ in self.results]
        for index, (candidate, room) in enumerate(zip(self.results, rooms, strict=True)):
            m.submodules[f"room_{index}"] = room
            payload, is_empty = candidate.payload, Signal(name=f"is_empty_{index}")
            may_go = Signal(name=f"may_go_{index}")
            m.d.comb += [
                room.i.eq(Cat(self.lanes_ready, self.output_ready)),
                is_empty.eq(~payload.to_lanes & ~payload.to_output),
                waiting[index].eq(candidate.valid & ~delivered[index] & ~is_empty),
                # Found out for each beside the choice between them, not behind it.
                may_go.eq(
                    (is_empty | turns[index])
                    & (~payload.to_lanes | room.o[0])
                    & (~payload.to_output | room.o[1])
                    & ~delivered[index]
                ),
                candidate.ready.eq(goes[index]),
            ]
            if config.hops == 1:
                m.d.comb += [goes[index].eq(may_go & ~inputs_turn), sends[index].eq(waiting[index] & goes[index])]
            else:
                m.d.sync += [
                    goes[index].eq(candidate.valid & may_go & ~goes[index]),
                    sends[index].eq(waiting[index] & may_go & ~goes[index]),
                ]
            with m.If(sends[index]):
                m.d.comb += result.eq(payload)
            with m.If(candidate.valid & goes[index]):
                m.d.sync += [delivered[index].eq(payload.tag.final), tag.eq(payload.tag)]

        # The end of a layer: all is delivered, so no result goes.
        ends_step = tag.readout | tag.output
        m.d.comb += ends.eq(delivered.all() & ~inputs_turn & (tag.readout | lanes_ready) & (~ends_step | output_ready))
        with m.If(ends):
            m.d.sync += delivered.eq(0)
        m.d.comb += [
            self.layer_end.eq(ends & ~tag.readout),
            self.input_end.eq(
                inputs_turn & input_goes & self.input.valid & (self.input.payload.kind == EventKind.INPUT_END)
            ),
        ]

        event, valid = Signal(Event(config)), Signal()
        item = self.output
        m.d.comb += self.stalled.eq(
            Mux(
                inputs_turn,
                self.input.valid,
                Cat(waiting[k] & each.payload.to_lanes for k, each in enumerate(self.results)).any()
                | (delivered.all() & ~tag.readout),
            )
            & ~lanes_ready
        )
        with m.If(sends.any()):
            m.d.comb += [
                event.kind.eq(EventKind.EVENT),
                event.part.eq(Mux(result.tag.ending, ListPart.FORWARD, ListPart.WHOLE)),
                event.source.eq(result.id),
                event.value.eq(result.value),
                event.bank.eq(result.tag.bank),
                event.group.eq(result.tag.layer + 1),
                valid.eq(result.to_lanes),
                item.index.eq(result.id),
                item.value.eq(result.value),
                self.output_valid.eq(result.to_output),
            ]
        with m.Elif(inputs_turn):
            m.d.comb += [
                event.eq(self.input.payload),
                valid.eq(self.input.valid & input_goes),
            ]
        with m.Elif(delivered.all()):
            m.d.comb += [
                event.kind.eq(EventKind.LAYER_END),
                valid.eq(~tag.readout & ends),
                item.end.eq(1),
                item.ending.eq(tag.ending),
                self.output_valid.eq(ends_step & ends),
            ]
        m.d.comb += self.event.eq(delay(m, event, 1, "event"))
        m.d.sync += self.valid.eq(valid)
        return m

"""The broadcaster: one event a cycle to all lanes, in the order that keeps every step whole."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.errors import Error
from hw.event import (
    INDEX_BITS,
    NULL_INDEX,
    Event,
    EventKind,
    InputBeat,
    JobTag,
    ListPart,
    Result,
)
from hw.loader import NetworkDescription
from hw.queue import Queue
from hw.vendor.generic import Relay


class OutputItem(data.StructLayout):
    """What goes towards the output: a value, or the end of a step."""

    def __init__(self, config: CoreConfig):
        super().__init__({"end": 1, "ending": 1, "index": INDEX_BITS, "value": signed(config.acc_bits)})


class CheckedBeat(data.StructLayout):
    """An input beat and what the network says of it.

    ``named``: it is no null beat; ``inside``: its source is one of the network's; ``plain``, ``restored``: it is both,
    and its value is not 0; ``layer_parity``: of the layer whose source is restored.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "beat": InputBeat(config), "named": 1, "inside": 1, "plain": 1, "restored": 1, "layer_parity": 1,
        })  # fmt: skip


class Consideration(wiring.Component):
    """Stand in a queue's place: leave a beat where it is and offer it with what was found of it a cycle before.

    A beat in two cycles.

    Members
    -------
    i : In(stream.Signature(CheckedBeat)), o : Out(stream.Signature(CheckedBeat))
    empty : Out(1)
        Nothing is offered.
    """

    def __init__(self, config: CoreConfig):
        beats = stream.Signature(CheckedBeat(config))
        super().__init__({"i": In(beats), "o": Out(beats), "empty": Out(1)})

    def elaborate(self, platform):
        m = Module()
        known = Signal()
        m.d.sync += known.eq(self.i.valid & ~self.i.ready)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & known),
            self.i.ready.eq(self.o.ready & known),
            self.empty.eq(~self.i.valid),
            self.o.payload.beat.eq(self.i.payload.beat),
        ]
        for name in ("named", "inside", "plain", "restored", "layer_parity"):
            found = Signal(name=name, reset_less=True)
            m.d.sync += found.eq(self.i.payload[name])
            m.d.comb += self.o.payload[name].eq(found)
        return m


class InputDecoder(wiring.Component):
    """Turn input beats into events and ends of steps; drop what is outside the network.

    One beat a cycle, or two cycles for a beat that both carries an event and ends a step; in a compact core one cycle
    more. Latency one cycle, two with more than one hop.

    Members
    -------
    i : In(stream.Signature(InputBeat))
        ``ready`` is a register's, but not in a compact core.
    o : Out(stream.Signature(Event)), ending : Out(1)
        ``ending``: the step that ends with this INPUT_END ends a sequence.
    network : In(NetworkDescription), loaded : In(1), bank : In(1), between_steps : In(1)
        ``network`` must not have changed in the last 3 cycles.
    empty : Out(1)
        No beat is held.
    error : Out(Error), detail : Out(32)
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(InputBeat(config))),
            "o": Out(stream.Signature(Event(config))), "ending": Out(1), "empty": Out(1),
            "network": In(NetworkDescription(config)), "loaded": In(1), "bank": In(1), "between_steps": In(1),
            "error": Out(Error), "detail": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, network = self._config, self.network
        m.submodules.queue = queue = (
            Consideration(config)
            if config.compact
            else Queue(shape=CheckedBeat(config), depth=2, direct=config.hops == 1)
        )

        # Bounds that follow from the network alone are registered, so that a beat meets nothing but comparisons. They
        # are not reset: the network stays.
        egru_count = Signal(config.layer_bits + 1, reset_less=True)
        units_end = Signal(config.source_bits + 1, reset_less=True)
        is_egru = Signal(config.layers, reset_less=True)
        m.d.sync += [
            egru_count.eq(network.layer_count - network.readout),
            is_egru.eq(Cat(egru_count > layer for layer in range(config.layers))),
        ]
        if config.compact:
            m.d.comb += units_end.eq(network.units_end)
        else:
            last_layer = Signal(network.layers[0].shape(), reset_less=True)
            m.d.sync += [
                last_layer.eq(network.layers[(egru_count - 1)[: config.layer_bits]]),
                units_end.eq(last_layer.source + last_layer.units),
            ]

        # On the way in: what the network says of the beat. A restored source belongs to the last layer that begins at
        # or before it; each of these but the first turns the parity.
        beat, checked = self.i.payload, queue.i.payload
        source, restores = beat.index[: INDEX_BITS - 1], beat.index[INDEX_BITS - 1]
        is_input = source < network.inputs
        is_event = checked.named & checked.inside & (beat.value != 0)
        layers_before = Cat(
            is_egru[layer] & (source >= network.layers[layer].source) for layer in range(1, config.layers)
        )
        m.d.comb += [
            checked.beat.eq(beat),
            checked.named.eq(beat.index != NULL_INDEX),
            checked.inside.eq(Mux(restores, ~is_input & (source < units_end), is_input)),
            checked.plain.eq(~restores & is_event),
            checked.restored.eq(restores & is_event),
            checked.layer_parity.eq(layers_before.xor()),
            queue.i.valid.eq(self.i.valid),
            self.i.ready.eq(queue.i.ready),
        ]

        # On the way out: what the state of the core says, and the event.
        held, now = queue.o.valid, queue.o.payload
        restores = now.beat.index[INDEX_BITS - 1]
        sent = Signal()  # the event of the beat is out, or its error told; its end of step is not
        refusal = Signal(Error)
        with m.If(~now.named):
            m.d.comb += refusal.eq(Error.NONE)
        with m.Elif(~self.loaded):
            m.d.comb += refusal.eq(Error.NOT_LOADED)
        with m.Elif(~now.inside):
            m.d.comb += refusal.eq(Error.INDEX)
        with m.Elif(restores & ~self.between_steps):
            m.d.comb += refusal.eq(Error.BUSY)

        event = self.o.payload
        has_event, ends, leaves = Signal(), Signal(), Signal()  # ``ends``: and nothing else is left of it
        m.d.comb += [
            has_event.eq((now.plain | (now.restored & self.between_steps)) & self.loaded & ~sent),
            ends.eq(now.beat.last & self.loaded & ~has_event),
            self.error.eq(Mux(held & ~sent, refusal, Error.NONE)),
            self.detail.eq(now.beat.index),
            self.o.valid.eq(held & (has_event | ends)),
            event.kind.eq(Mux(has_event, EventKind.EVENT, EventKind.INPUT_END)),
            event.part.eq(Mux(restores, ListPart.RECURRENT, ListPart.WHOLE)),
            event.source.eq(now.beat.index[: INDEX_BITS - 1]),
            event.value.eq(now.beat.value),
            event.bank.eq(self.bank ^ (restores & now.layer_parity)),
            event.group.eq(Mux(restores, config.restore_group, 0)),
            self.ending.eq(now.beat.user),
            self.empty.eq(queue.empty),
            # The beat leaves with its last part, or at once if it has none.
            leaves.eq(Mux(has_event, self.o.ready & ~now.beat.last, self.o.ready | ~ends)),
            queue.o.ready.eq(leaves),
        ]
        with m.If(held):
            m.d.sync += sent.eq(~leaves & (sent | (has_event & self.o.ready) | (refusal != Error.NONE)))
        return m


class Broadcaster(wiring.Component):
    """Merge results of the cell units, ends of layers and input into one stream of events for all lanes.

    One item a cycle; results first, then the end of their layer, then input, but a result that comes after a cycle
    that left none and had input gives way to further input. An event is sent only when every lane has room. The end
    of a layer follows the ``final`` result of every cell unit; until then no result of a later job is taken. Results
    that carry nothing but ``final`` take no turn.

    With one hop the first cell unit that has a result goes first. With more, their queues are far from each other, and
    whose turn it is is decided a cycle before: after each other, while several have results; one that begins alone
    may wait for a cycle.

    Members
    -------
    results : In(stream.Signature(Result)).array(cell_units)
    input : In(stream.Signature(Event)), input_allowed : In(1)
        Input is taken if there was input and permission a cycle before; none in the three cycles after an end of input,
        which may withdraw the permission.
    lanes_ready, output_ready : In(1)
        Every lane, or whoever takes the output, has room; looked at in the next cycle.
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
        waiting, chosen, may_go = (Signal(config.cell_units, name=name) for name in ("waiting", "chosen", "may_go"))
        result = Signal(Result(config))
        tag = Signal(JobTag(config))  # of the job that is being delivered
        # Whether it is the input's turn is decided a cycle before: what holds it has not far to hear, and results need
        # not know whether there is input now.
        inputs_turn, ends, input_ended = Signal(), Signal(), Signal(2)  # ``input_ended``: one and two cycles ago
        m.d.sync += [
            input_ended.eq(Cat(self.input_end, input_ended[0])),
            inputs_turn.eq(
                (self.input.valid & self.input_allowed & ~self.input_end & ~input_ended.any())
                & ~waiting.any()
                & (~delivered.all() | ends)
            ),
        ]
        lanes_ready, output_ready = (Signal(name=name, reset_less=True) for name in ("lanes_ready", "output_ready"))
        m.d.sync += [lanes_ready.eq(self.lanes_ready), output_ready.eq(self.output_ready)]
        m.d.comb += self.input.ready.eq(inputs_turn & lanes_ready)
        turns = Signal(config.cell_units, init=1)  # whose results may go: before the first that waits, or of one alone
        if config.hops == 1:
            m.d.comb += turns.eq(Cat(~waiting[:unit].any() for unit in range(config.cell_units)))
        else:
            others = waiting & ~turns
            with m.If(others.any()):
                m.d.sync += turns.eq(others & -others)
        m.d.comb += chosen.eq(waiting & turns)
        # Registers of its own for each whose results wait for it, as they are apart.
        rooms = [Relay(2) for _ in self.results]
        for index, (candidate, room) in enumerate(zip(self.results, rooms, strict=True)):
            m.submodules[f"room_{index}"] = room
            payload, is_empty = candidate.payload, Signal(name=f"is_empty_{index}")
            m.d.comb += [
                room.i.eq(Cat(self.lanes_ready, self.output_ready)),
                is_empty.eq(~payload.to_lanes & ~payload.to_output),
                waiting[index].eq(candidate.valid & ~delivered[index] & ~is_empty),
                # Found out for each beside the choice between them, not behind it.
                may_go[index].eq((~payload.to_lanes | room.o[0]) & (~payload.to_output | room.o[1])),
                candidate.ready.eq((is_empty | turns[index]) & may_go[index] & ~delivered[index] & ~inputs_turn),
            ]
            with m.If(chosen[index]):
                m.d.comb += result.eq(payload)
            with m.If(candidate.valid & candidate.ready):
                m.d.sync += [delivered[index].eq(payload.tag.final), tag.eq(payload.tag)]

        event, valid = Signal(Event(config)), Signal()
        item = self.output
        with m.If(inputs_turn):
            m.d.comb += [
                event.eq(self.input.payload),
                valid.eq(self.input.valid & lanes_ready),
                self.input_end.eq(valid & (self.input.payload.kind == EventKind.INPUT_END)),
                self.stalled.eq(self.input.valid & ~lanes_ready),
            ]
        with m.Elif(waiting.any()):
            m.d.comb += [
                event.kind.eq(EventKind.EVENT),
                event.part.eq(Mux(result.tag.ending, ListPart.FORWARD, ListPart.WHOLE)),
                event.source.eq(result.id),
                event.value.eq(result.value),
                event.bank.eq(result.tag.bank),
                event.group.eq(result.tag.layer + 1),
                valid.eq(result.to_lanes & (chosen & may_go).any()),
                item.index.eq(result.id),
                item.value.eq(result.value),
                self.output_valid.eq(result.to_output & (chosen & may_go).any()),
                self.stalled.eq(result.to_lanes & ~lanes_ready),
            ]
        with m.Elif(delivered.all()):
            ends_step = tag.readout | tag.output
            m.d.comb += [
                event.kind.eq(EventKind.LAYER_END),
                ends.eq((tag.readout | lanes_ready) & (~ends_step | output_ready)),
                valid.eq(~tag.readout & ends),
                item.end.eq(1),
                item.ending.eq(tag.ending),
                self.output_valid.eq(ends_step & ends),
                self.layer_end.eq(valid),
                self.stalled.eq(~tag.readout & ~lanes_ready),
            ]
            with m.If(ends):
                m.d.sync += delivered.eq(0)
        m.d.comb += self.event.eq(delay(m, event, 1, "event"))
        m.d.sync += self.valid.eq(valid)
        return m

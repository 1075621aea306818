"""The input decoder: what becomes of every beat of the input."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.errors import Error
from hw.event import INDEX_BITS, NULL_INDEX, Event, EventKind, InputBeat, ListPart
from hw.load_bus import NetworkDescription
from hw.queue import Queue


class ComparedBeat(data.StructLayout):
    """An input beat and what it is compared with: ``layers_before`` are the layers but the first that begin at or
    before its source.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "beat": InputBeat(config), "named": 1, "has_value": 1, "is_input": 1, "before_end": 1,
            "layers_before": max(1, config.layers - 1),
        })  # fmt: skip


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
    more. Latency one cycle; with more than one hop four, two of them in a queue behind all comparisons.

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

        # On the way in: what the beat is compared with, ...
        compared = stream.Signature(ComparedBeat(config)).flip().create()
        found, source = compared.payload, self.i.payload.index[: INDEX_BITS - 1]
        m.d.comb += [
            found.beat.eq(self.i.payload),
            found.named.eq(self.i.payload.index != NULL_INDEX),
            found.has_value.eq(self.i.payload.value != 0),
            found.is_input.eq(source < network.inputs),
            found.before_end.eq(source < units_end),
            found.layers_before.eq(
                Cat(is_egru[layer] & (source >= network.layers[layer].source) for layer in range(1, config.layers))
            ),
            compared.valid.eq(self.i.valid),
            self.i.ready.eq(compared.ready),
        ]
        if config.hops > 1:
            m.submodules.arrivals = arrivals = Queue(shape=ComparedBeat(config), depth=2)
            wiring.connect(m, wiring.flipped(compared), arrivals.i)
            compared = arrivals.o

        # ... and what the network says of it. A restored source belongs to the last layer that begins at or before it;
        # each of these but the first turns the parity.
        found, checked = compared.payload, queue.i.payload
        restores = found.beat.index[INDEX_BITS - 1]
        is_event = checked.named & checked.inside & found.has_value
        m.d.comb += [
            checked.beat.eq(found.beat),
            checked.named.eq(found.named),
            checked.inside.eq(Mux(restores, ~found.is_input & found.before_end, found.is_input)),
            checked.plain.eq(~restores & is_event),
            checked.restored.eq(restores & is_event),
            checked.layer_parity.eq(found.layers_before.xor()),
            queue.i.valid.eq(compared.valid),
            compared.ready.eq(queue.i.ready),
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
            self.empty.eq(queue.empty & (arrivals.empty if config.hops > 1 else 1)),
            # The beat leaves with its last part, or at once if it has none.
            leaves.eq(Mux(has_event, self.o.ready & ~now.beat.last, self.o.ready | ~ends)),
            queue.o.ready.eq(leaves),
        ]
        with m.If(held):
            m.d.sync += sent.eq(~leaves & (sent | (has_event & self.o.ready) | (refusal != Error.NONE)))
        return m

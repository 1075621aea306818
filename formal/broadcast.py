"""Input decoder and broadcaster: nothing lost, nothing twice, each layer's end after the last of its results.

Proven for two cell units, two layers, and the narrowest numbers: payloads are only copied.
"""

from dataclasses import replace
from functools import partial

from amaranth import Cat, Mux, Signal

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from formal.queue import fill
from formal.streams import rules
from hw.broadcast import Broadcaster
from hw.errors import Error
from hw.event import NULL_INDEX, RESTORE_FLAG, Event, EventKind, ListPart
from hw.input_decoder import InputDecoder

CONFIG = replace(SMALL, lanes=2, cell_units=2)


def input_decoder() -> Bench:
    """Prove that each beat becomes its event, or an error, or neither, then its end of step; each once."""
    bench = Bench(InputDecoder(SMALL))
    m, decoder, here = bench.m, bench.component, inside(bench.component)
    # What the decoder looks at beside the beat changes only when a step begins or ends, never while an event waits.
    waits = bench.past(decoder.o.valid & ~decoder.o.ready)
    for name in ("bank", "between_steps", "loaded"):
        bench.assume(~waits | (getattr(decoder, name) == bench.past(getattr(decoder, name))))
    rules(bench)
    fill(bench, here.queue, 2)

    # What is found out on the way into the queue is kept there (see the proof of the queue).
    given, checked = decoder.i.payload, here.checked
    bench.prove(checked.beat.as_value() == given.as_value())
    bench.prove(checked.named == (given.index != NULL_INDEX))
    restores, is_input = given.index >= RESTORE_FLAG, given.index < decoder.network.inputs
    is_event = checked.named & checked.inside & (given.value != 0)
    bench.prove((checked.plain == (is_event & ~restores)) & (checked.restored == (is_event & restores)))
    bench.prove(restores | (checked.inside == is_input))

    now, beat = here.now, here.now.beat
    held = here.queue.o.valid
    is_event = now.named & now.inside & (beat.value != 0)
    restores = beat.index >= RESTORE_FLAG
    bench.assume(~held | (now.plain == (is_event & ~restores)))  # so it came into the queue
    bench.assume(~held | (now.restored == (is_event & restores)))
    leaves = held & here.queue.o.ready
    sent, sends_event = decoder.o.valid & decoder.o.ready, decoder.o.payload.kind == EventKind.EVENT
    tells = decoder.error != Error.NONE
    event_sent, end_sent, told = Signal(), Signal(), Signal()
    with m.If(leaves):
        m.d.sync += Cat(event_sent, end_sent, told).eq(0)
    with m.Else():
        m.d.sync += [
            event_sent.eq(event_sent | (sent & sends_event)), end_sent.eq(end_sent | (sent & ~sends_event)),
            told.eq(told | tells),
        ]  # fmt: skip
    with m.If(sent):
        bench.prove(held & ~end_sent)
        with m.If(sends_event):
            bench.prove(~event_sent & ~told & ~tells & is_event & decoder.loaded)
            bench.prove(decoder.o.payload.value == beat.value)
            bench.prove(decoder.o.payload.source == beat.index[: SMALL.source_bits])
        with m.Else():
            bench.prove((decoder.o.payload.kind == EventKind.INPUT_END) & beat.last & (decoder.ending == beat.user))
    with m.If(tells):
        bench.prove(held & ~told & ~event_sent & now.named & (decoder.detail == beat.index))
    with m.If(leaves):
        events, errors = event_sent | (sent & sends_event), told | tells
        bench.prove((events + errors + (~now.named | (beat.value == 0)) >= 1) & ~(events & errors))
        bench.prove((end_sent | (sent & ~sends_event)) == (beat.last & decoder.loaded))

    bench.prove(~held | (here.sent == (event_sent | told)))
    bench.prove(held | ~here.sent)
    bench.prove(~(event_sent & told) & ~end_sent & (held | ~(event_sent | told)))
    bench.cover(leaves & event_sent & sent & beat.user)
    bench.cover(leaves & told & sent)
    return bench


def broadcaster(hops: int) -> Bench:
    """Prove that what is taken goes out, in the same cycle or the next, and where the ends of layers are."""
    bench = Bench(Broadcaster(replace(CONFIG, hops=hops)))
    m, unit, here = bench.m, bench.component, inside(bench.component)
    rules(bench)
    item, given = unit.output, unit.output_valid
    units = range(CONFIG.cell_units)
    results = [port.payload for port in unit.results]
    taken = [port.valid & port.ready for port in unit.results]
    full = [result.to_lanes | result.to_output for result in results]

    # The results of a job have one tag, but for ``final``, which each cell unit's last result of the job has.
    finals, begun, tag = Signal(len(units)), Signal(), Signal.like(results[0].tag)
    job = Signal.like(tag)
    m.d.comb += job.eq(Mux(begun, tag, Mux(unit.results[0].valid, results[0].tag, results[1].tag)))
    for u in units:
        same = Cat(results[u].tag[name] == job[name] for name, _ in tag.shape() if name != "final").all()
        bench.assume(~unit.results[u].valid | finals[u] | same)

    # Each result that is taken goes to the lanes, to the output, or both; an empty one nowhere.
    sends, gives = [], []
    wanted = Signal(Event(CONFIG))
    for u in units:
        result = results[u]
        sends.append(taken[u] & result.to_lanes)
        gives.append(taken[u] & result.to_output)
        with m.If(gives[u]):
            bench.prove(given & ~item.end & (item.index == result.id) & (item.value == result.value))
        with m.If(sends[u]):
            m.d.comb += [
                wanted.kind.eq(EventKind.EVENT), wanted.source.eq(result.id), wanted.value.eq(result.value),
                wanted.part.eq(Mux(result.tag.ending, ListPart.FORWARD, ListPart.WHOLE)),
                wanted.bank.eq(result.tag.bank), wanted.group.eq(result.tag.layer + 1),
            ]  # fmt: skip
        with m.If(taken[u]):
            bench.prove(~finals[u])
    bench.prove(sum(taken[u] & full[u] for u in units) <= 1)

    # The end of a layer comes when all units have given their last, and at once then; of a readout it is for the output
    # only, of other layers for the lanes, of the output layer for both.
    ends = Signal()
    m.d.comb += ends.eq(unit.layer_end | (given & item.end))
    ends_step = tag.readout | tag.output
    input_taken = unit.input.valid & unit.input.ready
    bench.prove(
        ends == (finals.all() & (tag.readout | here.lanes_ready) & (~ends_step | here.output_ready) & ~here.inputs_turn)
    )
    with m.If(ends):
        bench.prove((given == ends_step) & (unit.layer_end == ~tag.readout) & (~given | (item.ending == tag.ending)))
    with m.If(unit.layer_end):
        m.d.comb += wanted.kind.eq(EventKind.LAYER_END)
    m.d.sync += [finals[u].eq((finals[u] | (taken[u] & results[u].tag.final)) & ~ends) for u in units]
    m.d.sync += [begun.eq((begun | Cat(taken).any()) & ~ends), tag.eq(job)]

    # Input goes to the lanes when it and nothing else was there a cycle before, and no end of input in the last three.
    others = finals.all() | Cat(unit.results[u].valid & full[u] & ~finals[u] for u in units).any()
    bench.prove(
        here.inputs_turn
        == bench.past(
            unit.input.valid
            & unit.input_allowed
            & (~others | ends)
            & ~unit.input_end
            & ~bench.past(unit.input_end)
            & ~bench.past(unit.input_end, 2)
        )
    )
    bench.prove(here.input_ended == Cat(bench.past(unit.input_end), bench.past(unit.input_end, 2)))
    bench.prove(unit.input.ready == (here.inputs_turn & here.lanes_ready))
    bench.prove(unit.input_end == (input_taken & (unit.input.payload.kind == EventKind.INPUT_END)))
    with m.If(input_taken):
        m.d.comb += wanted.eq(unit.input.payload)

    # Nothing else leaves.
    sent = Cat(*sends, unit.layer_end, input_taken)
    bench.prove(given == Cat(*gives, ends & ends_step).any())
    bench.prove(unit.valid == bench.past(sent.any()))
    late = hops > 1  # results are decided on a cycle before
    for u in units:
        bench.prove(~sends[u] | (bench.past(here.lanes_ready) if late else here.lanes_ready))
        bench.prove(~gives[u] | (bench.past(here.output_ready) if late else here.output_ready))
    bench.prove(~(input_taken | unit.layer_end) | here.lanes_ready)
    bench.prove(~(ends & ends_step) | here.output_ready)
    bench.prove(~Cat(sends[u] | gives[u] for u in units).any() | ~here.inputs_turn)
    if late:
        for u in units:
            bench.prove(here.sends[u] == (here.goes[u] & full[u]))
            bench.prove(~here.goes[u] | (unit.results[u].valid & ~finals[u]))
    bench.prove(Cat(room.o == Cat(here.lanes_ready, here.output_ready) for room in here.rooms).all())
    with m.If(unit.valid):
        bench.prove(unit.event.as_value() == bench.past(wanted))
    bench.prove(here.delivered == finals)
    if hops > 1:
        bench.prove((here.turns == 1) | (here.turns == 2))
        # Whose turn it is not, and who has a result, is next.
        waits = unit.results[1].valid & full[1] & ~finals[1]
        bench.prove(~bench.past(waits & (here.turns == 1)) | (here.turns == 2))
    bench.prove(~finals.any() | begun)
    with m.If(finals.all()):
        bench.prove(Cat(here.tag[name] == tag[name] for name, _ in tag.shape() if name != "final").all())
    bench.cover(unit.layer_end & given & bench.past(sends[1] & gives[1]))
    bench.cover(unit.valid & (unit.event.kind == EventKind.INPUT_END) & bench.past(unit.layer_end, 2))
    return bench


PROOFS = [
    Proof("input decoder", input_decoder, depth=3),
    Proof("broadcaster", partial(broadcaster, 1), depth=2),
    Proof("broadcaster, two hops", partial(broadcaster, 2), depth=2),
]

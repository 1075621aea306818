"""Output, which encodes a step's values as a packet of events: nothing lost, one end a step, the largest is right.

Proven for sums of 4 bits, the largest of any; wider ones only widen comparisons. Indices have full width.
"""

from dataclasses import replace
from functools import partial

from amaranth import Cat, Mux, Signal, Value, signed

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from formal.queue import fill
from formal.streams import rules
from hw.event import INDEX_BITS, NULL_INDEX
from hw.output import Output, OutputQueue


def begin() -> tuple[Bench, Signal, Signal, Signal, Signal]:
    """Return the bench, and of the item that is being taken: whether there is one, whether it ends, index and value."""
    bench = Bench(Output(SMALL))
    output = bench.component
    rules(bench)
    # Neither may change in the middle of a step; they never change here.
    bench.assume(output.argmax_only == bench.any(1, "mode"))
    bench.assume(output.base == bench.any(INDEX_BITS, "first"))
    taken, index, value = Signal(), Signal(INDEX_BITS), Signal(signed(32))
    item = output.i.payload
    bench.assume(item.end | (item.index >= output.base))
    bench.m.d.comb += [
        taken.eq(output.i.valid & output.i.ready), index.eq(item.index - output.base), value.eq(item.value),
    ]  # fmt: skip
    return bench, taken, item.end, index, value


def seen(index: Value, base: Value) -> Value:
    """Return an index as the output tells it."""
    return (index - base)[:INDEX_BITS]


def packets() -> Bench:
    """Prove that each value leaves once, in order, with ``last`` exactly if the end of the step came after it."""
    bench, taken, end, index, value = begin()
    m, output, here = bench.m, bench.component, inside(bench.component)
    bench.assume(~output.argmax_only)
    beat, out = output.o.payload, output.o

    # What was taken last in this step is held until the next item tells whether it was the step's last.
    holds, held_index, held_value = Signal(), Signal(INDEX_BITS), Signal(signed(32))
    with m.If(taken):
        m.d.sync += [holds.eq(~end), held_index.eq(index), held_value.eq(value)]
    anew = out.valid & ~bench.past(out.valid & ~out.ready)
    bench.prove(anew == bench.past(taken & (holds | end)))
    with m.If(anew):
        bench.prove(beat.last == bench.past(end))
        bench.prove(beat.user == bench.past(end & output.i.payload.ending))
        bench.prove(Cat(beat.index, beat.value) == bench.past(Mux(holds, Cat(held_index, held_value), NULL_INDEX)))
    bench.prove(output.empty == ~(holds | out.valid))

    bench.prove(here.held_valid == holds)
    with m.If(holds):
        bench.prove(here.held.index >= output.base)
        bench.prove((seen(here.held.index, output.base) == held_index) & (here.held.value == held_value))
    bench.cover(anew & beat.last & (beat.index == NULL_INDEX))
    bench.cover(anew & beat.last & (beat.value == -3) & bench.past(out.valid & ~beat.last & (beat.value == 5)))
    return bench


def largest() -> Bench:
    """Prove that the largest value of a step, the lowest index of several, is told at its end and alone sent then."""
    bench, taken, end, index, value = begin()
    m, output, here = bench.m, bench.component, inside(bench.component)
    beat, out = output.o.payload, output.o

    # Any one value of the step is not above the largest; and the largest, whichever it is, was one of them.
    chosen, follows = bench.sometimes("chosen"), Signal()
    its_index, its_value = Signal(INDEX_BITS), Signal(signed(32))
    some, some_index, some_value = Signal(), bench.any(INDEX_BITS, "some_index"), bench.any(signed(32), "some_value")
    has_any = Signal()
    with m.If(taken):
        m.d.sync += has_any.eq(~end)
        with m.If(end):
            m.d.sync += [follows.eq(0), some.eq(0)]
        with m.Else():
            m.d.sync += some.eq(some | ((index == some_index) & (value == some_value)))
            with m.If(~follows & chosen):
                m.d.sync += [follows.eq(1), its_index.eq(index), its_value.eq(value)]

    def right(index, value, follows, some, its_index, its_value):
        above = (value > its_value) | ((value == its_value) & (index <= its_index))
        return (~follows | above) & (some | (index != some_index) | (value != some_value))

    ended = bench.past(taken & end)
    then = [bench.past(follows), bench.past(some), bench.past(its_index), bench.past(its_value).as_signed()]
    with m.If(ended):
        bench.prove(output.best_valid == bench.past(has_any))
        with m.If(output.best_valid):
            bench.prove(right(output.best_index, output.best_value, *then))
        with m.If(output.argmax_only):
            bench.prove(out.valid & beat.last & (beat.user == bench.past(output.i.payload.ending)))
            with m.If(output.best_valid):
                bench.prove((beat.index == output.best_index) & (beat.value == output.best_value))
            with m.Else():
                bench.prove((beat.index == NULL_INDEX) & (beat.value == 0))
    with m.Elif(output.argmax_only):
        bench.prove(~out.valid | bench.past(out.valid & ~out.ready))  # nothing else is sent

    bench.prove(here.held_valid == has_any)
    bench.prove(has_any | ~(follows | some))
    with m.If(has_any):
        bench.prove((here.held.index >= output.base) & (here.is_first | (here.best.index >= output.base)))
        bench.prove(right(here.largest_index, here.largest_value, follows, some, its_index, its_value))
    bench.cover(ended & bench.past(follows & some & (its_value == -2) & (some_value == -1)) & output.argmax_only)
    bench.cover(
        ended & bench.past(some & follows) & (output.best_index == 3) & (then[2] == 4) & (then[3] == some_value)
    )
    return bench


def queue(hops: int) -> Bench:
    """Prove that the queue before it always has a place for what comes when it was ready, and is ready when empty."""
    config = replace(SMALL, hops=hops)
    bench = Bench(OutputQueue(config))
    here = inside(bench.component)
    rules(bench)
    bench.assume(~bench.component.valid | bench.past(bench.component.ready, hops))
    depth = here.depth
    count, _ = fill(bench, here.queue, depth, guarded=False)
    on_its_way = bench.past(bench.component.valid) if hops > 1 else 0
    just_left = here.leaves if hops > 1 else 0
    bench.prove((here.held == count + on_its_way + just_left) & (here.held <= depth + 1))
    bench.prove(here.queue.i.valid == (on_its_way if hops > 1 else bench.component.valid))
    bench.prove(bench.component.ready | (here.held != 0))
    # What may still come, whoever takes nothing meanwhile, is one item, with two hops two.
    for late in range(1, hops + 1):
        bench.prove(~bench.past(bench.component.ready, late) | (here.held <= depth + late - hops))
    bench.cover(count == depth + 1)
    return bench


PROOFS = [
    Proof("output: queue", partial(queue, 1), depth=2),
    Proof("output: queue, two hops", partial(queue, 2), depth=2),
    Proof("output: packets", packets, depth=2),
    Proof("output: largest value", largest, depth=2),
]

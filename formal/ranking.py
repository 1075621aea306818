"""Generate, which sends words between a host's steps: nothing of the host lost, doubled or torn, and no wrong word.

Proven for values of 2 bits, which are only ever copied. Indices and counts have full width.
"""

from types import SimpleNamespace

from amaranth import Mux, Signal, Value

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from formal.streams import rules
from hw.event import INDEX_BITS, RESTORE_FLAG
from hw.generate import COUNT_BITS, UNDER_WAY_BITS, Generate


def begin() -> tuple[Bench, Value, Value]:
    """Return the bench, and whether a beat of the host's, and one of a word, is transferred to the core."""
    bench = Bench(Generate(SMALL))
    generate = bench.component
    rules(bench)
    # None of these changes while words are sent; they never change here.
    for name in ("wide", "value", "high_value", "end_word", "has_end_word"):
        port = getattr(generate, name)
        bench.assume(port == bench.any(port.shape(), f"the_{name}"))
    from_host, of_word = Signal(), Signal()
    bench.m.d.comb += [
        from_host.eq(generate.i.valid & generate.i.ready),
        of_word.eq(generate.o.valid & generate.o.ready & ~from_host),
    ]
    return bench, from_host, of_word


def states(bench: Bench, here: SimpleNamespace) -> None:
    """Prove that it is always in one of its states, and busy in all but the first."""
    bench.prove(here.passing ^ here.sends ^ here.waits)
    bench.prove(here.passing | bench.component.busy)


def passing() -> Bench:
    """Prove that each of the host's beats is the core's in the same cycle, and that steps and words stay whole."""
    bench, from_host, of_word = begin()
    m, generate = bench.m, bench.component
    here = inside(generate)
    i, o = generate.i.payload, generate.o.payload
    with m.If(from_host):
        bench.prove(generate.o.valid & generate.o.ready & (Value.cast(i) == Value.cast(o)))

    # Where the host is in a step, and the core between the two beats of a word.
    in_step, in_word = Signal(), Signal()
    with m.If(from_host):
        m.d.sync += in_step.eq(~i.last & (in_step | (i.index < RESTORE_FLAG)))
    with m.If(of_word):
        m.d.sync += in_word.eq(~o.last)
    bench.prove(~(of_word & in_step) & ~(from_host & in_word))
    bench.prove(~of_word | (generate.busy & ~o.user))
    # What waits is not kept waiting but by the core, a generation, or too many steps under way.
    bench.prove(generate.i.ready | ~generate.o.ready | generate.busy | here.full)

    bench.prove(here.within == in_step)
    bench.prove(~in_step | here.passes)
    bench.prove(~in_word | (here.sends & ~here.first & generate.wide))
    states(bench, here)
    bench.prove(~here.sends | (here.under_way == 0))
    bench.cover(from_host & in_step & i.last & generate.busy)
    bench.cover(from_host & bench.past(of_word & o.last & in_word))
    return bench


def words() -> Bench:
    """Prove what words are: the best output of the last step, once all are complete, and no more than asked for."""
    bench, from_host, of_word = begin()
    m, generate = bench.m, bench.component
    here = inside(generate)
    o = generate.o.payload
    ends_step = generate.o.valid & generate.o.ready & o.last
    under_way, best, found = Signal(UNDER_WAY_BITS), Signal(INDEX_BITS), Signal()
    m.d.sync += under_way.eq(under_way + ends_step - generate.done)
    bench.assume(~generate.done | (under_way != 0))  # a core completes what it was sent
    with m.If(generate.done):
        m.d.sync += [best.eq(generate.best_index), found.eq(generate.best_valid)]

    # A word is one beat, or a high and a low one.
    in_word, count, limit = Signal(), Signal(COUNT_BITS), Signal(COUNT_BITS)
    is_high = generate.wide & ~in_word
    with m.If(of_word):
        m.d.sync += [in_word.eq(is_high), count.eq(count + o.last)]
        bench.prove(found & ((under_way == 0) | in_word) & (count < limit))
        bench.prove(o.index == Mux(generate.wide, ((best << 1) | in_word)[:INDEX_BITS], best))
        bench.prove(o.value == Mux(is_high, generate.high_value, generate.value))
        bench.prove(o.last == ~is_high)
        bench.prove(~generate.has_end_word | (best != generate.end_word))
    with m.If(generate.start & ~generate.busy):
        m.d.sync += [count.eq(0), limit.eq(generate.limit)]
    bench.prove((generate.count == count) & (count <= limit))
    # Where nothing is to be waited for, a word is offered within two cycles, or there is an end.
    quiet = generate.busy & ~here.within & ~generate.i.valid & (under_way == 0) & ~generate.o.valid
    ended = ~generate.busy | ~bench.past(generate.busy)
    bench.prove(~bench.past(quiet, 2) | generate.o.valid | ended | bench.past(of_word))

    bench.prove((here.under_way == under_way) & (here.has_word == found) & (here.word == best))
    bench.prove(here.left + count == limit)
    states(bench, here)
    bench.prove(~here.sends | (found & (under_way == 0) & (here.left != 0) & (here.first == ~in_word)))
    bench.prove(~here.sends | ~generate.has_end_word | (best != generate.end_word))
    bench.prove(~in_word | here.sends)
    bench.cover((generate.count == 2) & (limit == 2) & ~generate.busy & generate.wide)
    bench.cover((generate.count == 1) & (limit == 3) & bench.past(generate.busy) & ~generate.busy & (best == 5))
    return bench


PROOFS = [
    Proof("generation: the host's input", passing, depth=2),
    Proof("generation: words", words, depth=2),
]

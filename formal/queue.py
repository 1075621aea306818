"""Queue: what goes in comes out, once, in order and as soon as promised; it never overflows.

Proven for 2 and 4 places of 2 bits. An item is only ever copied, so more bits behave as these do; depth enters as the
width of two pointers.
"""

from functools import partial
from types import SimpleNamespace

from amaranth import Signal

from formal.bench import Bench, inside
from formal.proof import Proof
from formal.streams import rules
from hw.queue import Queue

WIDTH = 2


def fill(bench: Bench, queue: Queue, depth: int, *, guarded: bool = True) -> tuple[Signal, SimpleNamespace]:
    """Count what a queue holds, prove that it has room for that, and what it says of its registers; return both."""
    here = inside(queue)
    count, in_memory = Signal(range(depth + 2)), Signal(range(-1, depth + 2))
    bench.m.d.sync += count.eq(count + (queue.i.valid & queue.i.ready) - (queue.o.valid & queue.o.ready))
    bench.m.d.comb += in_memory.eq(count - queue.o.valid)
    bench.prove((in_memory >= 0) & (in_memory <= depth))
    bench.prove(here.full == (in_memory == depth if guarded else 0))
    bench.prove(here.filled == (in_memory != 0))
    bench.prove((here.tail - here.head - in_memory)[: len(here.head)] == 0)
    bench.prove((here.head + 1 - here.second)[: len(here.head)] == 0)
    return count, here


def queue(depth: int, guarded: bool, direct: bool) -> Bench:
    bench = Bench(Queue(shape=WIDTH, depth=depth, direct=direct, guarded=guarded))
    m, queue = bench.m, bench.component
    count, here = fill(bench, queue, depth, guarded=guarded)
    rules(bench)
    if not guarded:
        bench.assume(~queue.i.valid | (count <= depth))
    push, pop = queue.i.valid & queue.i.ready, queue.o.valid & queue.o.ready

    # An item, whichever the solver chooses, is followed from its arrival on: ``ahead`` items leave before it.
    chosen, follows = bench.sometimes("chosen"), Signal()
    item, ahead = Signal(WIDTH), Signal(range(depth + 1))
    with m.If(~follows & push & chosen):
        m.d.sync += [follows.eq(1), item.eq(queue.i.payload), ahead.eq(count - pop)]
    with m.Elif(follows & pop):
        m.d.sync += [follows.eq(ahead != 0), ahead.eq(ahead - 1)]
    with m.If(follows):
        bench.prove(ahead < count)
        with m.If(queue.o.valid & (ahead == 0)):
            bench.prove(queue.o.payload == item)

    # As much room as promised, and nothing that waits for long.
    bench.prove(queue.i.ready | (count >= depth))
    bench.prove(queue.o.valid | ~bench.past(count != pop))

    # Invariant: where the item is.
    look = here.storage.read_port(domain="comb")
    m.d.comb += look.addr.eq(here.head + ahead - queue.o.valid)
    with m.If(follows & ~(queue.o.valid & (ahead == 0))):
        bench.prove(look.data == item)

    bench.cover((count == depth + 1) & follows & (ahead == depth - 1))
    bench.cover(bench.past(follows & pop & (ahead == 0)) & ~follows & (item == 3))
    return bench


PROOFS = [
    Proof("queue, 2 places", partial(queue, 2, True, False), depth=2),
    Proof("queue, 4 places", partial(queue, 4, True, False), depth=2),
    Proof("queue, 4 places, direct", partial(queue, 4, True, True), depth=2),
    Proof("queue, 4 places, unguarded", partial(queue, 4, False, False), depth=2),
    Proof("queue, 4 places, direct, unguarded", partial(queue, 4, False, True), depth=2),
]

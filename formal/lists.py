"""Lists in external memory: nothing outside the window is asked for, what is offered stays until it is taken, and no
queue overflows.

Payloads are as narrow as they may be, and runs as short: nothing of the rules depends on them.
"""

from dataclasses import replace
from functools import partial

from amaranth import Value

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from formal.queue import fill
from formal.streams import keeps, rules
from hw.beat_spreader import BeatSpreader
from hw.bus.axi4_read import ADDRESS_BITS, BEAT_BYTES, PAGE_BYTES, Axi4Read
from hw.fanout_stream import FanoutStream
from hw.list_fetch import ListFetch

STREAMED = replace(SMALL, gap_bits=5, lists=2)
#: Registers between ``ready`` and what it allows, by hops: of the lookup, two of the broadcaster, with more hops one
#: behind it; of a lane, the spreader's, with two hops one more each way.
BROADCASTER_REGISTERS = {1: 2, 2: 3}
SPREADER_REGISTERS = {1: 1, 2: 3}


def reads() -> Bench:
    """Prove the rules of addresses, and of beats but that a fault or a restart drops them."""
    bench = Bench(Axi4Read(address_bits=4, count_bits=3, burst_beats=2, outstanding=2, timeout=5))
    read, here = bench.component, inside(bench.component)
    for port in (read.runs, read.r):
        bench.assume(keeps(bench, port, 0))
    bench.prove(keeps(bench, read.ar, 0))
    bench.prove(here.stops | keeps(bench, read.o, here.stops))
    for port in (read.ar, read.o):
        bench.cover(port.valid & port.ready & bench.past(port.valid & ~port.ready))
    return bench


def window() -> Bench:
    """Prove that each burst lies in the window and in one page, for windows of two pages from byte 0 or 4096 on."""
    address_bits, burst = 9, 4
    bench = Bench(Axi4Read(address_bits=address_bits, count_bits=4, burst_beats=burst, outstanding=2, timeout=5))
    read, here = bench.component, inside(bench.component)
    base, size = bench.any(ADDRESS_BITS, "the_base"), bench.any(address_bits + 1, "the_size")
    bench.assume((read.base == base) & (read.size == size) & (base < 2 * PAGE_BYTES))
    start = base & ~(PAGE_BYTES - 1) & ((1 << ADDRESS_BITS) - 1)
    first, beats = read.ar.payload.addr, read.ar.payload.len + 1
    last = first + beats * BEAT_BYTES - 1
    with bench.m.If(read.ar.valid):
        bench.prove((first >= start) & (last < start + size * BEAT_BYTES))
        bench.prove((first // PAGE_BYTES == last // PAGE_BYTES) & (beats <= burst))

    # Invariant: a run that is asked for ends where it was to end, within the window.
    with bench.m.If(here.asking):
        bench.prove(here.checked | ~here.sized)
        bench.prove(here.run.address + here.run.beats == here.end)
        with bench.m.If(here.checked & ~here.halted):
            bench.prove((here.end <= size) & (here.end <= 1 << address_bits) & (here.run.beats != 0))
    bench.cover(read.ar.valid & (last == start + size * BEAT_BYTES - 1) & (beats == burst))
    return bench


def fetch(hops: int) -> Bench:
    """Prove that every event finds a place, for a broadcaster that sees ``ready`` as late as it may, and the rules of
    runs and contexts, for any directory.
    """
    bench = Bench(ListFetch(replace(STREAMED, hops=hops)))
    fetch, here = bench.component, inside(bench.component)
    form = Value.cast(fetch.format)
    bench.assume((form == bench.any(len(form), "the_format")) & ~fetch.write_en)  # a network stays while it runs
    bench.assume(~fetch.valid | bench.past(fetch.ready, BROADCASTER_REGISTERS[hops]))
    rules(bench)
    count, _ = fill(bench, here.events, STREAMED.queue_depth, guarded=False)
    bench.prove(here.free + here.left + count == here.places)
    bench.prove(((here.wait == 0) | here.events.o.valid) & (here.wait <= fetch.CYCLES - 2))
    bench.cover(count == here.places)
    return bench


def spreader() -> Bench:
    """Prove that no lane gets two beats in a cycle, and none what it had no room for."""
    bench = Bench(BeatSpreader(replace(STREAMED, lanes=2, port_bits=256)))
    spreader, held = bench.component, inside(bench.component).held
    rules(bench)
    for way in range(2):  # invariant
        low, high = held.targets[2 * way], held.targets[2 * way + 1]
        bench.prove((held.wanted[way] == low | high) & (~held.good | ((low & high) == 0)))
    for number, to in enumerate(spreader.to):
        bench.prove((to & ~bench.past(spreader.lanes_ready)) == 0)
        for other in list(spreader.to)[:number]:
            bench.prove((to & other) == 0)
        bench.cover(to.all() if number == 0 else to.any())
    return bench


def lane(hops: int) -> Bench:
    """Prove that every beat finds a place in its lane, for a spreader that sees ``ready`` as late as it may."""
    bench = Bench(FanoutStream(replace(STREAMED, hops=hops)))
    lane, here = bench.component, inside(bench.component)
    bench.assume(~lane.to.any() | bench.past(lane.ready, SPREADER_REGISTERS[hops]))
    count, _ = fill(bench, here.queue, STREAMED.queue_depth, guarded=False)
    bench.prove(here.free + count == here.places)
    bench.cover(count == here.places)
    return bench


PROOFS = [
    Proof("lists from memory: addresses and beats", reads, depth=2),
    Proof("lists from memory: the window", window, depth=2),
    Proof("lists from memory: lookup", partial(fetch, 1), depth=10, cover_depth=16),
    Proof("lists from memory: lookup, two hops", partial(fetch, 2), depth=10, cover_depth=16),
    Proof("lists from memory: spreader", spreader, depth=2),
    Proof("lists from memory: lane", partial(lane, 1), depth=4, cover_depth=24),
    Proof("lists from memory: lane, two hops", partial(lane, 2), depth=6, cover_depth=24),
]

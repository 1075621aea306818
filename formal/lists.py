"""Lists in external memory: nothing outside the window is asked for, and what is asked for stays until it is taken."""

from dataclasses import replace

from amaranth import Value

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from formal.streams import keeps
from hw.bus.axi4_read import ADDRESS_BITS, BEAT_BYTES, PAGE_BYTES, Axi4Read, ReadFault
from hw.list_fetch import ListFetch

READ_ADDRESS_BITS, READ_COUNT_BITS = 12, 5
BURST = 4
STREAMED = replace(SMALL, gap_bits=5, lists=2)


def reads() -> Bench:
    """Prove that each burst lies in the window and in one page, and that addresses stay until they are accepted.

    For windows that lie in the first 256 KiB of the address space, and do not change.
    """
    bench = Bench(Axi4Read(
        address_bits=READ_ADDRESS_BITS, count_bits=READ_COUNT_BITS, burst_beats=BURST, outstanding=2, timeout=5
    ))  # fmt: skip
    read, here = bench.component, inside(bench.component)
    base, size = bench.any(ADDRESS_BITS, "the_base"), bench.any(READ_ADDRESS_BITS + 1, "the_size")
    bench.assume((read.base == base) & (read.size == size))
    start = base & ~(PAGE_BYTES - 1) & ((1 << ADDRESS_BITS) - 1)
    bench.assume((base < 1 << 16) & (size <= 2 << READ_ADDRESS_BITS))  # also more than addresses can tell
    for port in (read.runs, read.r):
        bench.assume(keeps(bench, port, 0))
    bench.prove(keeps(bench, read.ar, 0))
    bench.prove(here.stops | keeps(bench, read.o, here.stops))  # a beat is dropped by a fault or a restart alone

    first, beats = read.ar.payload.addr, read.ar.payload.len + 1
    last = first + beats * BEAT_BYTES - 1
    within = (first >= start) & (last < start + size * BEAT_BYTES)
    with bench.m.If(read.ar.valid):
        bench.prove(within & (first // PAGE_BYTES == last // PAGE_BYTES) & (beats <= BURST))
    # What is asked for burst by burst ends where the run does, and that is within the window before anything is asked.
    with bench.m.If(here.asking):
        bench.prove(here.run.address + here.run.beats == here.end)
        with bench.m.If(here.checked & ~here.halted):
            bench.prove((here.end <= size) & (here.end <= 1 << READ_ADDRESS_BITS) & (here.run.beats != 0))
    bench.cover(read.ar.valid & (read.ar.payload.len == BURST - 1) & (base > PAGE_BYTES))
    bench.cover(read.fault == ReadFault.RANGE)
    bench.cover(read.fault == ReadFault.TIMEOUT)
    return bench


def fetch() -> Bench:
    """Prove that runs and contexts stay until they are taken, whatever the directory holds."""
    bench = Bench(ListFetch(STREAMED))
    fetch = bench.component
    bench.assume(Value.cast(fetch.format) == bench.any(len(Value.cast(fetch.format)), "the_format"))
    bench.assume(~fetch.write_en)
    bench.assume(~fetch.valid | bench.past(fetch.ready))  # as the broadcaster does
    for port in (fetch.runs, fetch.contexts):
        bench.prove(keeps(bench, port, 0))
        bench.cover(port.valid & port.ready & bench.past(port.valid & ~port.ready, 2))
    return bench


PROOFS = (
    Proof("lists from memory: bursts within the window", reads, depth=4, cover_depth=24),
    Proof("lists from memory: runs and contexts", fetch, depth=24, cover_depth=24, bounded=True),
)

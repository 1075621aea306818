"""Fan-out: a lane's queue never overflows, though it never stalls the broadcaster at once.

Proven for a queue of 8, the shortest: a longer one has the same slack. Lists, entries and events are free.
"""

from dataclasses import replace
from functools import partial

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from formal.queue import fill
from formal.streams import rules
from hw.fanout_onchip import FanoutOnChip
from hw.vendor.generic import MEMORY_LATENCY

#: Registers between ``ready`` and the event it allows, by hops: of the tree that joins all lanes, of the broadcaster,
#: and of the lane's end of the bus.
BROADCAST_REGISTERS = {1: 3, 2: 6}


def fanout(hops: int) -> Bench:
    """Prove that every event with a list finds a place, for a broadcaster that sees ``ready`` as late as it may."""
    bench = Bench(FanoutOnChip(replace(SMALL, hops=hops)))
    fanout, here = bench.component, inside(bench.component)
    rules(bench)
    bench.assume(~fanout.valid | bench.past(fanout.ready, BROADCAST_REGISTERS[hops]))
    count, _ = fill(bench, here.queue, SMALL.queue_depth, guarded=False)

    # Invariant: places are kept for all that is under way.
    looked_up = sum(bench.past(fanout.valid, k) for k in range(1, MEMORY_LATENCY + 1))
    looked_up += bench.past(here.directory.o_valid) if hops > 1 else 0
    bench.prove(here.free + looked_up + here.dropped + here.left + count == here.places)
    bench.cover(count == here.places)
    return bench


PROOFS = [
    Proof("fan-out", partial(fanout, 1), depth=8, cover_depth=24),
    Proof("fan-out, two hops", partial(fanout, 2), depth=10, cover_depth=32),
]

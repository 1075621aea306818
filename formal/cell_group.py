"""Cell unit: every result finds a place in the queue of results, though nothing inside ever stalls.

Proven for a queue of 8 places instead of 64, which changes two numbers. What the cell computes, the memories and the
markers that lanes have passed are free, so units leave results in any pattern.
"""

from dataclasses import replace
from functools import partial

from amaranth import Cat

from formal.bench import SMALL, Bench, cut, inside
from formal.proof import Proof
from formal.queue import fill
from formal.streams import rules
from hw.cell_group import CellGroup


class ShortCellGroup(CellGroup):
    """A cell unit with a short queue."""

    RESULTS_DEPTH = 8


def cell_group(lanes: int, hops: int = 1) -> Bench:
    """Prove that a unit is granted only with a place for its result."""
    group = ShortCellGroup(replace(SMALL, lanes=lanes, hops=hops), 0)
    bench = Bench(group)
    here = inside(group)
    for name in ("cell", "units", "states", "biases"):
        cut(here.m.submodules[name])
    rules(bench)
    queue = here.queue

    # Units under way, by the cycles since their grant; those of a readout leave earlier than others.
    readouts = [valid & tag.readout for valid, tag in zip(here.valid, here.tags, strict=True)][: here.logit_at + 1]
    updates = [valid & ~tag.readout for valid, tag in zip(here.valid, here.tags, strict=True)]
    # The sequencer gives out a readout only when all results that it needs were taken; so it never meets an update.
    bench.assume(~readouts[0] | ~Cat(updates).any())
    for k, readout in enumerate(readouts):
        bench.prove(~readout | ~Cat(updates[k:]).any())

    # It does not look itself whether it has room.
    count, _ = fill(bench, queue, group.RESULTS_DEPTH, guarded=False)
    # What is released counts a cycle later.
    far = here.comes + here.taken if hops > 1 else 0  # on their way to the queue, and news of their leaving it
    bench.prove(here.kept == count + sum(readouts[1:]) + sum(updates[1:]) + here.released + far)
    bench.prove(here.kept + here.valid[0] <= group.RESULTS_DEPTH)
    bench.cover(count == group.RESULTS_DEPTH - 1)
    return bench


PROOFS = [
    Proof("cell unit, 1 lane", partial(cell_group, 1), depth=4, cover_depth=40),
    Proof("cell unit, 2 lanes", partial(cell_group, 2), depth=4, cover_depth=40),
    Proof("cell unit, two hops", partial(cell_group, 2, hops=2), depth=4, cover_depth=48),
]

"""A lane and the scheduler of its cell unit: a row is drained only when its sums are complete.

This is what the proof of the accumulators assumes. Proven for one lane; its list walker is free, and so are the job and
the markers, but for what the order of events gives: what adds to a row comes before the markers that its job names.
"""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from formal.accumulate import DRAIN_AFTER
from formal.bench import SMALL, Bench, cut, inside
from formal.proof import Proof
from hw.event import EventKind, Job, Target
from hw.lane import Lane
from hw.scheduler import Scheduler


class LaneAndScheduler(wiring.Component):
    """A lane and a scheduler, connected as in the core."""

    def __init__(self):
        super().__init__({"start": In(1), "job": In(Job(SMALL)), "room": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.lane = lane = Lane(SMALL)
        m.submodules.scheduler = scheduler = Scheduler(SMALL)
        m.d.comb += [
            *(getattr(scheduler, name).eq(getattr(self, name)) for name in ("start", "job", "room")),
            scheduler.starts_rows.eq(self.start),
            scheduler.inputs_passed[0].eq(lane.inputs_passed),
            scheduler.layers_passed[0].eq(lane.layers_passed),
            lane.drain.eq(scheduler.drain[0]),
        ]
        return m


def drains() -> Bench:
    """Prove that no operation on a row is held, or went a short while ago, when the row is drained."""
    bench = Bench(LaneAndScheduler())
    m, pair = bench.m, inside(bench.component)
    lane, scheduler, here = pair.lane, pair.scheduler, inside(pair.lane)
    accumulators = inside(here.accumulators)
    cut(here.fanout)
    cut(here.multiplier)
    chosen = bench.any(Target(SMALL), "chosen")
    job = bench.any(Job(SMALL), "any_job")
    bench.assume(bench.component.job.as_value() == job.as_value())

    # The markers that the job names have passed, and stay so. The lane counts a marker one cycle late.
    def counted(kind):
        return here.passes & (here.marker == kind)

    def ahead(layers, inputs):
        layers_ahead, inputs_ahead = layers - job.need_layers, inputs - job.need_inputs
        return ~layers_ahead[SMALL.marker_bits - 1] & (~job.first_layer | ~inputs_ahead[1])

    layers, inputs = lane.layers_passed, lane.inputs_passed
    told = ahead(layers, inputs)
    passed = ahead(
        (layers + counted(EventKind.LAYER_END))[: len(layers)], (inputs + counted(EventKind.INPUT_END))[: len(inputs)]
    )
    bench.assume(~bench.past(passed) | passed)

    def row(at):
        return (at.bank == chosen.bank) & (at.row == chosen.row)

    coming = here.accumulators.i
    bench.assume(~(coming.valid & row(coming.payload)) | ~passed)

    drained = scheduler.drain[0].valid & row(scheduler.drain[0])
    held = accumulators.held & row(accumulators.target)
    with m.If(drained):
        bench.prove(~held)
        for k in range(1, DRAIN_AFTER):
            bench.prove(~bench.past(here.accumulators.goes & row(accumulators.target), k))

    # Invariants: nothing of the row is left in the lane when the markers have passed, and the scheduler waits for them.
    bench.prove(~(passed & held))
    bench.prove(told | ~(inside(scheduler).eligible.any() | scheduler.drain[0].valid))
    bench.cover(drained & bench.past(here.accumulators.goes & row(accumulators.target), DRAIN_AFTER))
    return bench


PROOFS = [Proof("lane and scheduler: drains", drains, depth=10)]

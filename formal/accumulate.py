"""Accumulators: the sums that a drain reads are exact, whatever operations meet on their way.

Proven for one sum, whichever the solver chooses, among those of two rows in two banks, with sums of 3 bits and products
of 2: additions are modulo the width of a sum, and nothing looks at what is added. More rows only widen the comparison
of targets.
"""

from dataclasses import replace
from functools import partial

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.hdl import ValueLike

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from golden.fixed import GATES
from hw.accumulate import Accumulators
from hw.event import Target
from hw.vendor.generic import PipelinedMemory

#: Cycles from when an operation goes to its product, and from a drain to its sums.
PRODUCT_AFTER, SUMS_AFTER = 2, 3
#: Cycles that the scheduler leaves at least: from when an operation goes to a drain of its row, and from a drain to the
#: next, or to the coming in of an operation, of the same row.
DRAIN_AFTER = Accumulators.HAZARD_DISTANCE
WRITE_AFTER = Accumulators.HAZARD_DISTANCE + 1


def accumulators(split_banks: bool, forwarding: bool) -> Bench:
    config = replace(SMALL, acc_bits=3, split_banks=split_banks, forwarding=forwarding)
    bench = Bench(Accumulators(config))
    m, unit, here = bench.m, bench.component, inside(bench.component)
    chosen = bench.any(Target(config), "chosen")
    taken = unit.i.valid & unit.i.ready
    if not forwarding:  # what comes is seen before, and comes only with what moves
        moves, seen = bench.past(unit.i.ready), bench.past(unit.behind.as_value())
        stays = (unit.i.valid == bench.past(unit.i.valid)) & (
            unit.i.payload.as_value() == bench.past(unit.i.payload.as_value())
        )
        bench.assume(Mux(moves, unit.i.payload.as_value() == seen, stays))

    # The operation held, the next one once it goes.
    held, target = Signal(), Signal(Target(config))
    with m.If(taken):
        m.d.sync += [held.eq(1), target.eq(unit.i.payload)]
    with m.Elif(unit.goes):
        m.d.sync += held.eq(0)
    bench.prove(unit.i.ready == (~held | unit.goes))
    bench.prove(unit.goes + unit.hazard + unit.drained == held)

    # Drains are as the scheduler does them: of complete sums, and nothing comes in before they are clear.
    def row(at):
        return (at.bank == chosen.bank) & (at.row == chosen.row)

    def recently(event, cycles):
        return sum(bench.past(event, k) for k in range(1, cycles)) != 0

    drains = unit.drain.valid & row(unit.drain)
    goes = unit.goes & row(target)
    bench.assume(~drains | ~(held & row(target)))
    bench.assume(~drains | ~recently(goes, DRAIN_AFTER))
    bench.assume(~drains | ~recently(drains, WRITE_AFTER))
    bench.assume(~(taken & row(unit.i.payload)) | ~(drains | recently(drains, WRITE_AFTER)))

    # The sum since the last drain; before the first its memory holds anything. What is added counts from when its sum
    # is ready to be written.
    known, total = Signal(), Signal(signed(config.acc_bits))
    adds = bench.past(unit.goes & (target.as_value() == chosen.as_value()), PRODUCT_AFTER)
    m.d.sync += total.eq(total + bench.past(unit.product * adds, Accumulators.HAZARD_DISTANCE - 1 - PRODUCT_AFTER))
    with m.If(bench.past(drains, SUMS_AFTER)):
        m.d.sync += [known.eq(1), total.eq(0)]
        with m.If(known):
            bench.prove(unit.sums[chosen.gate] == total)

    # Invariants: the operation held is the one that came in, and the sum is in its memory or on its way there.
    bench.prove(here.held == held)
    bench.prove(~held | (here.target.as_value() == target.as_value()))
    if not forwarding:
        went = zip(here.targets[:-1], [here.held, *here.valid[1:-1]], strict=True)
        meets = Cat(valid & (at.as_value() == unit.i.payload.as_value()) for at, valid in went)
        bench.prove(~unit.i.valid | (here.coming == meets))
    stored = Signal(signed(config.acc_bits))
    for bank in range(2) if split_banks else [None]:
        rows = inside(here.m.submodules["sums" if bank is None else f"sums_{bank}"]).module
        here_row = Cat(chosen.row, chosen.bank) if bank is None else chosen.row
        for gate in range(len(GATES)):
            with m.If((chosen.gate == gate) & (1 if bank is None else chosen.bank == bank)):
                m.d.comb += stored.eq(look(m, rows.submodules[f"part_{gate}"], here_row))
    here_total = Mux(here.valid[-1] & (here.targets[-1].as_value() == chosen.as_value()), here.total, stored)
    clearing = recently(bench.past(drains, SUMS_AFTER), WRITE_AFTER - SUMS_AFTER + 1)
    bench.prove(~known | clearing | (here_total == total))

    bench.cover(known & bench.past(drains, SUMS_AFTER) & (total == -3))
    bench.cover(known & adds & bench.past(adds)) if forwarding else bench.cover(
        adds & bench.past(adds, WRITE_AFTER) & unit.hazard
    )
    bench.cover(unit.drained)
    return bench


def look(m: Module, memory: PipelinedMemory, row: ValueLike) -> Signal:
    """Return what a row of a memory holds."""
    port = inside(memory).storage.read_port(domain="comb")
    m.d.comb += port.addr.eq(row)
    return port.data


PROOFS = [
    Proof(
        f"accumulators{', split banks' * split_banks}{', forwarding' * forwarding}",
        partial(accumulators, split_banks, forwarding),
        depth=10,
        cover_depth=20,
    )
    for split_banks in (False, True)
    for forwarding in (False, True)
]

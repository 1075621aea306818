"""The accumulators of a lane: four sums of every unit, for two steps."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Drain, Target
from hw.vendor.generic import MEMORY_LATENCY, Choice, PartedMemory


class Accumulators(wiring.Component):
    """Add products to sums; read and clear the sums of a unit.

    One product a cycle. An operation is held for at least one cycle, then it *goes*: its sum is read, added to and
    written over 5 cycles. It waits while its target is that of an operation that went 1 to 4 cycles ago, or, with
    ``config.forwarding``, takes the sum on its way to the memory. Lists never repeat a target, so this happens only
    where two lists meet. A drain comes first: it takes the cycle of an operation, or, with ``config.split_banks``, only
    of one on the same bank.

    Members
    -------
    i : In(stream.Signature(Target))
        The operation to be held next; ``ready``, a register's, while none is held, or the one that is goes. Without
        ``config.forwarding`` it changes only while ``ready``.
    behind : In(Target)
        Without ``config.forwarding``: of the operation that is at ``i`` after the next cycle that is ``ready``, if any.
    will_be_ready : Out(1)
        ``i.ready`` in the next cycle: for registers of it elsewhere.
    product : In(signed(product_bits))
        Of the operation that went 2 cycles ago.
    goes, hazard, drained : Out(1)
        The operation held goes, waits for an earlier one on its target, or waits for a drain.
    drain : In(Drain)
        Read and clear one row, always obeyed; its sums are complete, so no operation that went has its target.
    sums : Out(ArrayLayout(signed(acc_bits), 4))
        gx, z, r, gh of the row that was drained 3 cycles ago.
    """

    #: Cycles after an operation goes in which its target's sum is not in memory yet.
    HAZARD_DISTANCE = MEMORY_LATENCY + 2

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(Target(config))), "behind": In(Target(config)), "will_be_ready": Out(1),
            "product": In(signed(config.product_bits)),
            "goes": Out(1), "hazard": Out(1), "drained": Out(1),
            "drain": In(Drain(config)),
            "sums": Out(data.ArrayLayout(signed(config.acc_bits), len(GATES))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config

        # The operation held, and those that went 1, 2, ... cycles ago; drains likewise.
        target, held = Signal(Target(config), reset_less=True), Signal()
        targets, valid = [target], [self.goes]
        drains = [delay(m, self.drain, 1, "drain", init={})]
        for k in range(1, self.HAZARD_DISTANCE + 1):
            targets.append(delay(m, targets[-1], 1, f"target_{k}"))
            valid.append(delay(m, valid[-1], 1, f"target_valid_{k}", init=0))
            drains.append(delay(m, drains[-1], 1, f"drain_{k}", init={}))

        with m.If(self.i.ready):
            m.d.sync += [held.eq(self.i.valid), target.eq(self.i.payload)]

        # Bit k of ``matches`` says that the operation held has the target of the one that went k + 1 cycles ago.
        matches, waits = Signal(self.HAZARD_DISTANCE), Signal()

        def same(target, earlier, went):
            return Cat(one & (at.as_value() == target.as_value()) for one, at in zip(went, earlier, strict=True))

        # Whether the operation to be held will wait, and whether a drain will take its cycle, is found out on its way
        # in: what follows moves many registers at once. (It comes only when the one before it, if any, goes.)
        def takes(drain, target):
            return drain.valid & ((drain.bank == target.bank) if config.split_banks else 1)

        taken = Signal()
        will_wait, will_be_taken, will_be_held = Signal(), Signal(), Signal()
        with m.If(self.i.ready):
            m.d.comb += [will_be_held.eq(self.i.valid), will_be_taken.eq(takes(self.drain, self.i.payload))]
        with m.Else():
            m.d.comb += [will_be_held.eq(1), will_be_taken.eq(takes(self.drain, target))]
        if config.forwarding:
            m.d.comb += matches.eq(same(target, targets[1:], valid[1:]))
        else:
            # Already of the one before that, as what follows from it is late: bit 0 is of the operation held, bit k of
            # that which went k cycles ago.
            coming = Signal(self.HAZARD_DISTANCE)
            with m.If(self.i.ready):
                m.d.comb += will_wait.eq(coming.any())
                m.d.sync += [
                    matches.eq(coming),
                    coming.eq(same(self.behind, [self.i.payload, *targets[:-2]], [self.i.valid, held, *valid[1:-2]])),
                ]
            with m.Else():
                m.d.comb += will_wait.eq(matches[:-1].any())
                m.d.sync += [matches.eq(matches << 1), coming.eq(Cat(coming[0], 0, coming[1:-1]))]
        ready = Signal(init=1)
        m.d.sync += [waits.eq(will_wait), taken.eq(will_be_taken), ready.eq(self.will_be_ready)]
        m.d.comb += [
            self.will_be_ready.eq(~will_be_held | ~(will_wait | will_be_taken)),
            self.i.ready.eq(ready),
            self.hazard.eq(held & waits),
            self.drained.eq(held & taken & ~waits),
            self.goes.eq(held & ready),
        ]

        # The read starts when an operation goes, and so ends with the multiplication; one cycle to choose the sum of
        # its gate, one to add.
        read = MEMORY_LATENCY
        m.submodules.choice = choice = Choice(signed(config.acc_bits))
        addend, chosen, total = (
            Signal(signed(config.acc_bits), name=name, reset_less=True) for name in ("addend", "chosen", "total")
        )
        m.d.comb += [choice.select.eq(targets[read].gate), addend.eq(chosen)]
        m.d.sync += [
            chosen.eq(choice.o),
            total.eq(addend + delay(m, self.product, 1, "product")),
        ]
        if not config.split_banks:  # a drained row takes the place of an operation, and its sums are written as 0
            with m.If(drains[read + 1].valid):
                m.d.sync += total.eq(0)
        if config.forwarding:
            # The sum of one cycle before is in ``total`` when it is to be added to. Those of two, three and four cycles
            # before are one cycle earlier in ``total``, ``previous`` and the one before that.
            previous = delay(m, total, 1, "previous")
            before = delay(m, matches, read - 1, "matches_before")
            under_way = Signal(signed(config.acc_bits), reset_less=True)
            m.d.sync += under_way.eq(Mux(before[2], total, previous))
            choosing = delay(m, before, 1, "matches_choosing")
            with m.If(choosing[1]):
                m.d.sync += chosen.eq(total)
            with m.Elif(choosing[2:].any()):
                m.d.sync += chosen.eq(under_way)
            with m.If(delay(m, choosing[0], 1, "matches_adding")):
                m.d.comb += addend.eq(total)

        # One memory for both banks, or one a bank; the sums of a row lie side by side.
        read_data = []
        for bank in range(2) if config.split_banks else [None]:

            def address(at, bank=bank):
                return at.row if bank is not None else Cat(at.row, at.bank)

            def is_here(at, bank=bank):
                return 1 if bank is None else at.bank == bank

            memory = PartedMemory(
                shape=signed(config.acc_bits), parts=len(GATES), depth=(2 if bank is None else 1) << config.row_bits
            )
            m.submodules["sums" if bank is None else f"sums_{bank}"] = memory
            reads = drains[0].valid & is_here(drains[0])
            clears = drains[-1].valid & is_here(drains[-1])
            writes = valid[-1] & is_here(targets[-1])
            m.d.comb += [
                memory.read_addr.eq(Mux(reads, address(drains[0]), address(targets[0]))),
                memory.write_en.eq(Cat(clears | (writes & (targets[-1].gate == gate)) for gate in range(len(GATES)))),
                memory.write_addr.eq(Mux(clears, address(drains[-1]), address(targets[-1]))),
                memory.write_data.eq(total if bank is None else Mux(clears, 0, total)),
            ]
            read_data.append(memory.read_data)
        for gate in range(len(GATES)):
            m.d.comb += [
                choice.words[gate].eq(Mux(targets[read].bank, read_data[-1][gate], read_data[0][gate])),
                self.sums[gate].eq(Mux(drains[read].bank, read_data[-1][gate], read_data[0][gate])),
            ]
        return m

"""The accumulators of a lane: four sums of every unit, for two steps."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Drain, Target
from hw.vendor.generic import MULTIPLIER_LATENCY, PipelinedMemory


class Accumulators(wiring.Component):
    """Add products to sums; read and clear the sums of a unit.

    One product a cycle. A sum is read, added to and written over 4 cycles, so an operation whose target was used 1 to 3
    cycles ago waits (``i.ready`` is low), or, with ``config.forwarding``, takes the sum on its way to the memory. Lists
    never repeat a target, so this happens only where two lists meet. A drain comes first: it takes the cycle of an
    operation, or, with ``config.split_banks``, only of one on the same bank.

    The product of an operation is expected 3 cycles after the operation was accepted.

    Members
    -------
    i : In(stream.Signature(Target))
    product : In(signed(product_bits))
    hazard : Out(1)
        The operation offered waits for an earlier one on its target.
    drain : In(Drain)
        Read and clear one row, always obeyed; its sums are complete, so no operation under way has its target.
    sums : Out(ArrayLayout(signed(acc_bits), 4))
        gx, z, r, gh of the row that was drained 3 cycles ago.
    """

    #: Cycles after an operation in which its target's sum is not in memory yet: from read to write.
    HAZARD_DISTANCE = 3

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(Target(config))),
            "product": In(signed(config.product_bits)),
            "hazard": Out(1),
            "drain": In(Drain(config)),
            "sums": Out(data.ArrayLayout(signed(config.acc_bits), len(GATES))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        target, drain = self.i.payload, self.drain

        # Operations under way, newest first, one for each cycle from acceptance to the write; drains likewise.
        targets, valid, drains = [target], [Signal()], [drain]
        for k in range(self.HAZARD_DISTANCE + 1):
            targets.append(delay(m, targets[-1], 1, f"target_{k}"))
            valid.append(delay(m, valid[-1], 1, f"target_valid_{k}", init=0))
            drains.append(delay(m, drains[-1], 1, f"drain_{k}", init={}))
        matches = Cat(
            valid[k] & (targets[k].as_value() == target.as_value()) for k in range(1, self.HAZARD_DISTANCE + 1)
        )
        taken = drain.valid & ((drain.bank == target.bank) if config.split_banks else 1)
        m.d.comb += [
            self.hazard.eq(0 if config.forwarding else self.i.valid & matches.any()),
            self.i.ready.eq(~self.hazard & ~taken),
            valid[0].eq(self.i.valid & self.i.ready),
        ]

        # The read starts one cycle after acceptance, and so ends with the multiplication.
        adds = MULTIPLIER_LATENCY
        total = Signal(signed(config.acc_bits), reset_less=True)
        addends = [Signal(signed(config.acc_bits), name=f"addend_{name}") for name in GATES]
        addend = Signal(signed(config.acc_bits))
        select = targets[adds].gate
        first_half, second_half = (Mux(select[0], addends[k + 1], addends[k]) for k in (0, 2))
        m.d.comb += addend.eq(Mux(select[1], second_half, first_half))
        m.d.sync += total.eq(addend + self.product)
        if config.forwarding:
            # The sum of one cycle before is in ``total`` when it is needed; those of two and three cycles before are
            # one cycle earlier, in ``total`` and ``previous``.
            previous = delay(m, total, 1, "previous")
            before = delay(m, matches, adds - 1, "matches_before")
            under_way = Signal(signed(config.acc_bits), reset_less=True)
            m.d.sync += under_way.eq(Mux(before[1], total, previous))
            now = delay(m, before, 1, "matches")
            with m.If(now[0]):
                m.d.comb += addend.eq(total)
            with m.Elif(now[1:].any()):
                m.d.comb += addend.eq(under_way)

        banks = range(2) if config.split_banks else [None]
        for gate, name in enumerate(GATES):
            read_data = []
            for bank in banks:

                def address(at, bank=bank):
                    return at.row if bank is not None else Cat(at.row, at.bank)

                def is_here(at, bank=bank):
                    return 1 if bank is None else at.bank == bank

                memory = PipelinedMemory(
                    shape=signed(config.acc_bits), depth=(2 if bank is None else 1) << config.row_bits
                )
                m.submodules[name if bank is None else f"{name}_{bank}"] = memory
                reads = drains[1].valid & is_here(drains[1])
                clears = drains[-1].valid & is_here(drains[-1])
                writes = valid[-1] & is_here(targets[-1]) & (targets[-1].gate == gate)
                m.d.comb += [
                    memory.read_addr.eq(Mux(reads, address(drains[1]), address(targets[1]))),
                    memory.write_en.eq(clears | writes),
                    memory.write_addr.eq(Mux(clears, address(drains[-1]), address(targets[-1]))),
                    memory.write_data.eq(Mux(clears, 0, total)),
                ]
                read_data.append(memory.read_data)
            m.d.comb += [
                addends[gate].eq(Mux(targets[adds].bank, read_data[-1], read_data[0])),
                self.sums[gate].eq(Mux(drains[adds].bank, read_data[-1], read_data[0])),
            ]
        return m

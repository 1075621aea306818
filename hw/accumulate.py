"""The accumulators of a lane: four sums of every unit, for two steps."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from hw.config import CoreConfig
from hw.event import Target
from hw.vendor.generic import MULTIPLIER_LATENCY, PipelinedMemory


class Accumulators(wiring.Component):
    """Add products to sums; read and clear the sums of a unit.

    One operation a cycle. A sum is read, added to and written over 4 cycles, so an operation whose target was used 1 to 3
    operations ago waits (``i.ready`` is low): lists never repeat a target, so this happens only where two lists meet.

    The product of an operation is expected 3 cycles after the operation was accepted. A drain takes no product; its sums
    are at ``sums`` 3 cycles after it was accepted.

    Members
    -------
    i : In(stream.Signature(Target))
    product : In(signed(product_bits))
    sums : Out(ArrayLayout(signed(acc_bits), 4))
        gx, z, r, gh of the row that is being drained.
    """

    #: Operations between which a target must not come again: from read to write.
    HAZARD_DISTANCE = 3

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(Target(config))),
            "product": In(signed(config.product_bits)),
            "sums": Out(data.ArrayLayout(signed(config.acc_bits), len(GATES))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config

        # The last targets accepted, newest first, one for each cycle that they need to the write.
        recent = [Signal(Target(config), name=f"target_{k}", reset_less=True) for k in range(self.HAZARD_DISTANCE)]
        recent_valid = [Signal(name=f"target_valid_{k}") for k in range(self.HAZARD_DISTANCE)]
        accept = Signal()
        target = self.i.payload
        same = [
            valid & (old.bank == target.bank) & (old.row == target.row)
            & ((old.gate == target.gate) | old.drain | target.drain)
            for old, valid in zip(recent, recent_valid, strict=True)
        ]  # fmt: skip
        m.d.comb += [self.i.ready.eq(~Cat(same).any()), accept.eq(self.i.valid & self.i.ready)]
        m.d.sync += [recent[0].eq(target), recent_valid[0].eq(accept)]
        for k in range(1, self.HAZARD_DISTANCE):
            m.d.sync += [recent[k].eq(recent[k - 1]), recent_valid[k].eq(recent_valid[k - 1])]

        # The read starts one cycle after acceptance, and so ends with the multiplication.
        read_at, add_at = recent[0], recent[MULTIPLIER_LATENCY - 1]
        total = Signal(signed(config.acc_bits), reset_less=True)
        write = Signal(Target(config), reset_less=True)
        write_valid = Signal()
        m.d.sync += [
            total.eq(Mux(add_at.drain, 0, self.sums[add_at.gate] + self.product)),
            write.eq(add_at),
            write_valid.eq(recent_valid[MULTIPLIER_LATENCY - 1]),
        ]
        for gate, name in enumerate(GATES):
            m.submodules[name] = memory = PipelinedMemory(shape=signed(config.acc_bits), depth=2 << config.row_bits)
            m.d.comb += [
                memory.read_addr.eq(Cat(read_at.row, read_at.bank)),
                self.sums[gate].eq(memory.read_data),
                memory.write_en.eq(write_valid & (write.drain | (write.gate == gate))),
                memory.write_addr.eq(Cat(write.row, write.bank)),
                memory.write_data.eq(total),
            ]
        return m

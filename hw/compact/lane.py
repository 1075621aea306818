"""A lane of a compact core: one event at a time, one multiply-accumulate a cycle."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from hw.compact.layouts import WEIGHT_BITS, LaneEvent, ListEntry, ListWrite, SumAddress
from hw.config import DIRECTORY_ROWS, CoreConfig
from hw.delay import delay
from hw.event import Drain, EventKind, ListPart
from hw.vendor.multiply_add import MultiplyAdd
from hw.vendor.single_port import RowMemory


class Place(enum.Enum, shape=2):
    """Rows of the directory for each source: where its list's forward part begins, its recurrent one, the next list."""

    START = 0
    MIDDLE = 1
    STOP = 2


def directory_base(config: CoreConfig) -> int:
    """Return the address of the directory in list memory: its last rows, so that other addresses are added by OR."""
    return (1 << config.list_bits) - (DIRECTORY_ROWS << config.source_bits)


class Lane(wiring.Component):
    """Walk this lane's part of the fan-out list of each event and add the products up.

    An event takes 5 cycles and one for each entry, a marker one. As that is more than an addition takes, no sum is
    added to while it is under way: a list never repeats a target. All of a lane's lists, with their directory at the
    upper end, are in one single-port memory, and all its sums in another one.

    Members
    -------
    event : In(LaneEvent), valid : In(1), wants : Out(1)
        ``valid`` comes only while ``wants`` is high.
    hold : In(1)
        Read no entry in this cycle. Must be high two cycles before a drain and in the cycle after that.
    drain : In(Drain)
        Obeyed at once; ``sum`` is read a cycle later, and 0 in memory 4 cycles later.
    sum : Out(signed(acc_bits))
    inputs_passed, layers_passed : Out
        Markers of either kind passed, modulo their width. What entries before it add is in memory a cycle later.
    load : In(ListWrite)
        Only while no event is under way.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "event": In(LaneEvent(config)), "valid": In(1), "wants": Out(1),
            "hold": In(1), "drain": In(Drain(config)), "sum": Out(signed(config.acc_bits)),
            "inputs_passed": Out(2), "layers_passed": Out(config.marker_bits),
            "load": In(ListWrite(config)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.lists = lists = RowMemory(address_bits=config.list_bits)
        address = Signal(config.list_bits, reset_less=True)
        # A list never repeats a target and has none with all four gates of a row, so the low bits tell its end.
        stop = Signal(config.count_bits, reset_less=True)
        second = Signal(Place, reset_less=True)  # what the directory is asked for after the first place
        bank = Signal(reset_less=True)
        reads = Signal()  # an entry is read
        m.d.comb += [
            lists.addr.eq(Mux(self.load.valid, self.load.address, address)),
            lists.write_en.eq(self.load.valid),
            lists.write_data.eq(self.load.data),
        ]

        # The bank and the product's factor are those of the event before until an event comes: by then its last entry
        # needs them no more.
        event = self.event
        first = Mux(event.part == ListPart.RECURRENT, Place.MIDDLE, Place.START)
        with m.If(self.valid):
            m.d.sync += [
                bank.eq(event.bank),
                second.eq(Mux(event.part == ListPart.FORWARD, Place.MIDDLE, Place.STOP)),
            ]
        first_address = directory_base(config) | Cat(first, event.source)
        begins = Signal()
        with m.If(self.valid | begins | reads):
            m.d.sync += address.eq(Mux(self.valid, first_address, Mux(begins, lists.read_data, address + 1)))
        with m.If(self.valid & (event.kind == EventKind.INPUT_END)):
            m.d.sync += self.inputs_passed.eq(self.inputs_passed + 1)
        with m.If(self.valid & (event.kind == EventKind.LAYER_END)):
            m.d.sync += self.layers_passed.eq(self.layers_passed + 1)

        with m.FSM():
            with m.State("WAIT"):
                m.d.comb += self.wants.eq(1)
                with m.If(self.valid & (event.kind == EventKind.EVENT)):
                    m.next = "FIRST"
            with m.State("FIRST"):
                m.d.sync += address[:2].eq(second)
                m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += begins.eq(1)
                m.next = "END"
            with m.State("END"):
                m.d.sync += stop.eq(lists.read_data)
                m.next = "WALK"
            with m.State("WALK"):
                with m.If(address[: len(stop)] == stop):
                    m.next = "WAIT"
                with m.Elif(~self.hold):
                    m.d.comb += reads.eq(1)

        # An entry goes to the multiplier, and its sum is read; then added to; then written back. A drained sum is
        # written as 0 in its place.
        m.submodules.multiply = multiply = MultiplyAdd(
            signed(WEIGHT_BITS), signed(config.value_bits), width=config.acc_bits
        )
        m.submodules.sums = sums = Memory(
            shape=signed(config.acc_bits), depth=len(GATES) << config.row_bits + 1, init=(), attrs={"no_rw_check": 1}
        )
        read, write = sums.read_port(), sums.write_port()
        entry = data.View(ListEntry(), lists.read_data)
        at = Signal(SumAddress(config))
        goes = delay(m, reads, 2, "goes", init=0)
        m.d.comb += [
            at.gate.eq(delay(m, entry.gate, 1, "gate")),
            at.row.eq(delay(m, entry.row, 1, "row")),
            at.bank.eq(bank),
            multiply.a.eq(entry.weight),
            multiply.b.eq(event.value),
            multiply.b_en.eq(self.valid),
            multiply.addend.eq(read.data),
            multiply.clear.eq(delay(m, self.drain.valid, 2, "clears", init=0)),
            read.addr.eq(at),
            self.sum.eq(read.data),
            write.en.eq(delay(m, goes | self.drain.valid, 2, "writes", init=0)),
            write.addr.eq(delay(m, read.addr, 2, "write_at")),
            write.data.eq(multiply.o),
        ]
        with m.If(self.drain.valid):
            m.d.comb += [at.gate.eq(self.drain.gate), at.row.eq(self.drain.row), at.bank.eq(self.drain.bank)]
        return m

"""Fan-out lists in on-chip memory: find an event's list, queue it, walk it."""

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.directory import Directory
from hw.event import Entry, Event, EventKind, FanoutList, Operation, Target
from hw.queue import Queue
from hw.vendor.generic import MEMORY_LATENCY, PipelinedMemory


def follows(b: Value, a: Value) -> Value:
    """Return whether ``b`` is ``a + 1``, as far as ``b`` has bits, without a carry chain.

    Counting on flips a bit if, and only if, it flips the one below and that was 1.
    """
    if not len(b):
        return Const(1)
    flips = a[: len(b)] ^ b
    return flips[0] & (flips[1:] == (flips & a)[: len(b) - 1])


class Advance(data.Struct):
    """Whether a walk moves on, told alike to what keeps pace with it, to the queue of lists, and to the memory, by
    registers of their own, as there is much of each.
    """

    walk: 1
    take: 1
    read: 1


class Walker(wiring.Component):
    """Walk fan-out lists: one entry a cycle, no bubble between lists, a marker costs one cycle.

    Order kept.

    Members
    -------
    i : In(stream.Signature(FanoutList))
    write_en, write_addr, write_data : In
        Loading.
    o : Out(Operation), o_valid : Out(1)
    behind : Out(Target)
        Without ``config.forwarding``: of the operation that comes to the output with the next ``advance``, if one does.
    advance : In(Advance)
        Moves everything; what is at the output is taken.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        # Where targets may have to wait they are compared, and a register after the memory comes first, and one more
        # in between where the memory is made of many blocks far apart.
        self._registers = 0 if config.forwarding else min(2, config.hops)
        #: Cycles from the acceptance of a list by an idle walker to its first entry.
        self.latency = 1 + MEMORY_LATENCY + self._registers
        super().__init__({
            "i": In(stream.Signature(FanoutList(config))),
            "write_en": In(1), "write_addr": In(range(config.entries)), "write_data": In(Entry(config)),
            "o": Out(Operation(config)), "o_valid": Out(1), "behind": Out(Target(config)),
            "advance": In(Advance),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = entries = PipelinedMemory(shape=Entry(self._config), depth=self._config.entries)
        advance = self.advance.walk
        m.d.comb += [
            entries.read_en.eq(self.advance.read),
            entries.write_en.eq(self.write_en),
            entries.write_addr.eq(self.write_addr),
            entries.write_data.eq(self.write_data),
        ]

        current = Signal(FanoutList(self._config), reset_less=True)  # ``start`` is the entry to read next
        walking, ending = Signal(), Signal(init=1)  # ``ending``: this is the last entry, or there is none
        m.d.comb += [entries.read_addr.eq(current.start), self.i.ready.eq(self.advance.take & ending)]
        with m.If(advance):
            start, stop = current.start, current.stop
            m.d.sync += [
                current.start.eq(start + 1),
                ending.eq((stop[0] == start[0]) & follows(stop[1:], start[1:])),  # the one after the next is behind it
            ]
            with m.If(ending):
                coming = self.i.payload
                m.d.sync += [
                    walking.eq(self.i.valid),
                    current.eq(coming),
                    ending.eq(~self.i.valid | (coming.kind != EventKind.EVENT) | follows(coming.stop, coming.start)),
                ]

        # What the event brought keeps pace with the read.
        brought, valid = [Cat(current.kind, current.value, current.bank, current.group)], walking
        for stage in range(self.latency - 1):
            brought.append(Signal(len(brought[0]), name=f"brought_{stage}", reset_less=True))
            valid_next = Signal(name=f"valid_{stage}")
            with m.If(advance):
                m.d.sync += [brought[-1].eq(brought[-2]), valid_next.eq(valid)]
            valid = valid_next

        def operation(entry, brought):
            here = Signal(Operation(self._config))
            m.d.comb += [Cat(here.kind, here.value, here.bank, here.group).eq(brought), here.entry.eq(entry)]
            return here

        entry, behind = entries.read_data, self.behind
        for register in range(self._registers):
            before, entry = entry, Signal(Entry(self._config), name=f"entry_{register}", reset_less=True)
            with m.If(advance):
                m.d.sync += entry.eq(before)
        if self._registers:
            coming = operation(before, brought[-2])
            m.d.comb += [
                behind.bank.eq(coming.bank),
                behind.row.eq(coming.entry.row),
                behind.gate.eq(coming.entry.gate),
            ]
        m.d.comb += [self.o_valid.eq(valid), self.o.eq(operation(entry, brought[-1]))]
        return m


class FanoutOnChip(wiring.Component):
    """Turn broadcast events into the entries of this lane's part of their lists.

    Takes one event a cycle and never stalls the broadcaster, which must hold back while ``ready`` is low; there is room
    for the ``slack`` events that it may send before it sees so. One entry a cycle out.

    Members
    -------
    event : In(Event), valid : In(1)
    ready : Out(1)
    load_directory, load_entry : In(1)
    load_addr : In, load_data : In
        One directory word or entry a cycle.
    o : Out(Operation), o_valid : Out(1), behind : Out(Target), advance : In(Advance)
        See :class:`Walker`.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        #: Events that may still come when ``ready`` is decided: one in each cycle until it shows, passes the registers
        #: of the tree that joins all lanes, and is seen in what the broadcaster sends, with more than one hop a cycle
        #: later, here and in the relays.
        self.slack = 2 + 2 * config.hops + (config.hops > 1)
        super().__init__({
            "event": In(Event(config)), "valid": In(1), "ready": Out(1),
            "load_directory": In(1), "load_entry": In(1),
            "load_addr": In(max(config.source_bits, config.entry_bits)), "load_data": In(config.directory_bits),
            "o": Out(Operation(config)), "o_valid": Out(1), "behind": Out(Target(config)),
            "advance": In(Advance),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.directory = directory = Directory(self._config)
        # Where lists are short a lane is often empty, and a cycle from an event to its list counts.
        m.submodules.queue = queue = Queue(
            shape=FanoutList(self._config),
            depth=self._config.queue_depth,
            direct=self._config.forwarding,
            guarded=False,
        )
        m.submodules.walker = walker = Walker(self._config)

        m.d.comb += [
            directory.i.eq(self.event),
            directory.valid.eq(self.valid),
            directory.write_en.eq(self.load_directory),
            directory.write_addr.eq(self.load_addr),
            directory.write_data.eq(self.load_data),
            # A block RAM may be far from the queue.
            queue.i.payload.eq(delay(m, directory.o, self._config.hops > 1, "list")),
            queue.i.valid.eq(delay(m, directory.o_valid, self._config.hops > 1, "list_valid", init=0)),
            walker.write_en.eq(self.load_entry),
            walker.write_addr.eq(self.load_addr),
            walker.write_data.weight.eq(self.load_data[:8]),
            walker.write_data.gate.eq(self.load_data[8:10]),
            walker.write_data.row.eq(self.load_data[10:]),
        ]
        wiring.connect(m, queue.o, walker.i)
        m.d.comb += [
            self.o.eq(walker.o),
            self.o_valid.eq(walker.o_valid),
            self.behind.eq(walker.behind),
            walker.advance.eq(self.advance),
        ]

        # Places are taken when an event comes, before it is known whether it has a list here.
        places = self._config.queue_depth + 1
        free = Signal(range(places + 1), init=places)
        dropped, left = Signal(), Signal()
        m.d.sync += [
            dropped.eq(directory.dropped),
            left.eq(queue.o.valid & queue.o.ready),
            free.eq(free + dropped + left - self.valid),
            self.ready.eq(free > self.slack),
        ]
        return m

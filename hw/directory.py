"""The directory of a lane: where the list of an event's source lies in its memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Event, EventKind, FanoutList, ListPart
from hw.vendor.generic import MEMORY_LATENCY, PipelinedMemory


class DirectoryWord(data.StructLayout):
    """Where a source's list lies in this lane.

    Its forward part begins at ``start``, its recurrent part at ``middle``, and what is behind it at ``stop``, whose low
    bits are enough. ``has_forward`` and ``has_recurrent`` tell which parts there are.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "start": config.entry_bits, "middle": config.entry_bits, "stop": config.offset_bits,
            "has_forward": 1, "has_recurrent": 1,
        })  # fmt: skip


class Directory(wiring.Component):
    """Look up the list of each event.

    One event a cycle, latency 2, order kept, never stalls. An event whose list is empty in this lane ends here.

    Members
    -------
    i : In(Event), valid : In(1)
    write_en, write_addr, write_data : In
        Loading.
    o : Out(FanoutList), o_valid : Out(1)
    dropped : Out(1)
        An event ends here.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "i": In(Event(config)), "valid": In(1),
            "write_en": In(1), "write_addr": In(range(config.sources)), "write_data": In(DirectoryWord(config)),
            "o": Out(FanoutList(config)), "o_valid": Out(1), "dropped": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = PipelinedMemory(shape=DirectoryWord(self._config), depth=self._config.sources)
        m.d.comb += [
            words.read_addr.eq(self.i.source),
            words.write_en.eq(self.write_en),
            words.write_addr.eq(self.write_addr),
            words.write_data.eq(self.write_data),
        ]

        # What is asked of the word is known before it comes.
        before = delay(m, self.i, MEMORY_LATENCY - 1, "event")
        comes = delay(m, self.valid, MEMORY_LATENCY - 1, "valid", init=0)
        is_event = before.kind == EventKind.EVENT
        event, valid = delay(m, before, 1, "event_read"), delay(m, comes, 1, "valid_read", init=0)
        is_marker = delay(m, comes & ~is_event, 1, "is_marker", init=0)
        asks_forward, asks_recurrent = (
            delay(m, comes & is_event & (before.part != other), 1, name, init=0)
            for name, other in (("asks_forward", ListPart.RECURRENT), ("asks_recurrent", ListPart.FORWARD))
        )

        word = words.read_data
        from_middle, to_middle = Signal(), Signal()
        m.d.comb += [
            from_middle.eq(event.part == ListPart.RECURRENT),
            to_middle.eq(event.part == ListPart.FORWARD),
            self.o_valid.eq((word.has_forward & asks_forward) | (word.has_recurrent & asks_recurrent) | is_marker),
            self.dropped.eq(valid & ~self.o_valid),
            self.o.kind.eq(event.kind),
            self.o.start.eq(Mux(from_middle, word.middle, word.start)),
            self.o.stop.eq(Mux(to_middle, word.middle, word.stop)),
            self.o.value.eq(event.value),
            self.o.bank.eq(event.bank),
            self.o.group.eq(event.group),
        ]
        return m

"""Between the processor's bus and the core's streams: an event is one store, a result two loads."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4stream import BUS_NULL_INDEX, BUS_RESTORE_FLAG, BusBeat
from hw.bus.wishbone import DATA_BITS, WishboneBus
from hw.queue import Queue
from hw.soc.bus import ADDRESS_BITS

EVENT_INDEX_BITS = 15  #: any source of any core, all ones for none
EVENT_VALUE_BITS = 17  #: any value
RESULT_INDEX_BITS = 16
RESULT_VALUE_BITS = 32
COUNT_BITS = 32


class Word(enum.IntEnum):
    """Registers, by number of the word."""

    EVENT = 0  #: to 7, written: bit 0 of the number ends the step, bit 1 the sequence, bit 2 restores a source
    STATUS = 0  #: read: ``room`` for events in 15:0; 30: nothing waits; 31: an event was sent without room
    RESULT = 1  #: read: index of the oldest result in 15:0; 31: there is one; 30: it ends its step, 29: its sequence
    VALUE = 2  #: read: its value; the read drops it
    BUSY = 3  #: read: cycles with a step under way
    CLEAR = 8  #: written: empty the queues, forget steps under way, ``busy``, and that an event was lost


class Event(data.StructLayout):
    """An event that waits: as it is stored by the processor, and the marks of its address."""

    def __init__(self):
        super().__init__({
            "index": EVENT_INDEX_BITS, "value": signed(EVENT_VALUE_BITS), "last": 1, "user": 1, "restore": 1,
        })  # fmt: skip


class Result(data.StructLayout):
    def __init__(self):
        super().__init__({"index": RESULT_INDEX_BITS, "value": RESULT_VALUE_BITS, "last": 1, "user": 1})


class EventQueues(wiring.Component):
    """Queue the processor's events for the core, and the core's results for the processor.

    A write is answered in the cycle in which it comes, a read one cycle later. The core gets a step once all of it is
    there, or the queue is full, so that it never waits for the processor in the middle of one that fits. An event
    without room is dropped and leaves a mark; nothing ever waits for the processor but the core.

    Parameters
    ----------
    depth : int
        Events, and results, that wait; a power of two.

    Members
    -------
    bus : In(WishboneBus(30))
        Registers, see :class:`Word`.
    o : Out(stream.Signature(BusBeat)), i : In(stream.Signature(BusBeat))
        Events to the core, results from it.
    busy : Out(1)
        A step is under way: the core has been given an event of it, and has not given its last result.

    Raises
    ------
    ValueError
        If ``depth`` is not a power of two from 2 up.
    """

    def __init__(self, *, depth: int):
        self._events = Queue(shape=Event(), depth=depth)
        self._results = Queue(shape=Result(), depth=depth)
        self._room = depth + 1  # one in the register behind the memory
        beats = stream.Signature(BusBeat())
        super().__init__({"bus": In(WishboneBus(ADDRESS_BITS)), "o": Out(beats), "i": In(beats), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        requested, asked, answered, clears = Signal(), Signal(), Signal(), Signal()
        number = self.bus.adr[: Word.CLEAR.bit_length()]
        m.submodules.events = ResetInserter(clears)(self._events)
        m.submodules.results = ResetInserter(clears)(self._results)
        m.d.comb += [
            requested.eq(self.bus.cyc & self.bus.stb),
            asked.eq(requested & ~answered),
            self.bus.ack.eq(requested & (answered | self.bus.we)),
            self.bus.stall.eq(~self.bus.ack),
            clears.eq(asked & self.bus.we & (number == Word.CLEAR)),
        ]
        m.d.sync += answered.eq(asked & ~self.bus.we)

        sends, room, lost = Signal(), Signal(range(self._room + 1), init=self._room), Signal()
        m.d.comb += sends.eq(asked & self.bus.we & (number < Word.CLEAR))
        self._connect_events(m, sends, number, room, clears)
        with m.If(sends & (room == 0)):
            m.d.sync += lost.eq(1)
        with m.If(clears):
            m.d.sync += lost.eq(0)
        self._connect_results(m, asked & ~self.bus.we & (number == Word.VALUE))
        count = self._count_busy(m, clears)

        result = self._results.o
        words = {
            Word.STATUS: Cat(
                room, Const(0, DATA_BITS - 2 - len(room)), self._events.empty & self._results.empty, lost
            ),
            Word.RESULT: Cat(
                result.payload.index, Const(0, DATA_BITS - 3 - RESULT_INDEX_BITS), result.payload.user,
                result.payload.last, result.valid,
            ),
            Word.VALUE: result.payload.value,
            Word.BUSY: count,
        }  # fmt: skip
        with m.Switch(number):
            for word, content in words.items():
                with m.Case(word):
                    m.d.sync += self.bus.dat_r.eq(content)
        return m

    def _connect_events(self, m, sends, marks, room, clears):
        """From the bus to the core, a whole step at a time."""
        sent, waiting = self._events.i, self._events.o
        index, value, o = sent.payload.index, sent.payload.value, self.o.payload
        whole, opened = Signal(range(self._room + 1)), Signal()  # steps that wait; one too long to wait is let through
        ends, leaves = Signal(), Signal()
        m.d.comb += [
            Cat(index, value).eq(self.bus.dat_w),
            Cat(sent.payload.last, sent.payload.user, sent.payload.restore).eq(marks),
            sent.valid.eq(sends & (room != 0)),
            self.o.valid.eq(waiting.valid & ((whole != 0) | opened)),
            waiting.ready.eq(self.o.ready & ((whole != 0) | opened)),
            o.index.eq(
                Mux(
                    waiting.payload.index.all(), BUS_NULL_INDEX,
                    waiting.payload.index | Mux(waiting.payload.restore, BUS_RESTORE_FLAG, 0),
                )
            ),
            o.value.eq(waiting.payload.value),
            o.last.eq(waiting.payload.last),
            o.user.eq(waiting.payload.user),
            leaves.eq(self.o.valid & self.o.ready),
            ends.eq(leaves & o.last),
        ]  # fmt: skip
        m.d.sync += [
            room.eq(room - sent.valid + leaves),
            whole.eq(whole + (sent.valid & sent.payload.last) - ends),
        ]
        with m.If(ends):
            m.d.sync += opened.eq(0)
        with m.Elif(room == 0):
            m.d.sync += opened.eq(1)
        with m.If(clears):
            m.d.sync += [room.eq(room.init), whole.eq(0), opened.eq(0)]

    def _connect_results(self, m, takes):
        """From the core to the bus."""
        i, kept = self.i, self._results.i
        m.d.comb += [
            kept.valid.eq(i.valid),
            i.ready.eq(kept.ready),
            kept.payload.index.eq(i.payload.index),
            kept.payload.value.eq(i.payload.value),
            kept.payload.last.eq(i.payload.last),
            kept.payload.user.eq(i.payload.user),
            self._results.o.ready.eq(takes),
        ]

    def _count_busy(self, m, clears):
        """Return the number of cycles in which a step was under way."""
        begun, steps, count = Signal(), Signal(range(64)), Signal(COUNT_BITS)
        given, last_given = self.o.valid & self.o.ready, self.o.payload.last
        completed = self.i.valid & self.i.ready & self.i.payload.last
        m.d.comb += self.busy.eq(self.o.valid | begun | (steps != 0))
        m.d.sync += [
            steps.eq(steps + (given & last_given) - (completed & (steps != 0))),
            count.eq(count + self.busy),
        ]
        with m.If(given):
            m.d.sync += begun.eq(~last_given)
        with m.If(clears):
            m.d.sync += [begun.eq(0), steps.eq(0), count.eq(0)]
        return count

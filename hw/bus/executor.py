"""What the frames of the host link ask for: reading and writing registers, sending and taking events.

Operations and results, word by word: docs/host-link.md.
"""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4lite import ReadData, Response, WriteData
from hw.bus.axi4stream import BusBeat
from hw.bus.link_buffer import BEAT_WORDS, WORD_BITS, WORD_BYTES, ReplyWord
from hw.bus.registers import ADDRESS_BITS, registers

STATUS = next(register for register in registers() if register.name == "status")
STATUS_BITS = 8  #: that hold all of its fields


class Operation(enum.Enum, shape=unsigned(3)):
    """What an operation does with its count of words or beats."""

    NONE = 0  #: none of these
    WRITE = 1  #: write words to one register, one after the other
    READ = 2  #: read consecutive registers
    SEND = 3  #: send beats
    TAKE = 4  #: take beats, up to the end of a step


class Outcome(enum.Enum, shape=unsigned(3)):
    """How an operation ended; after anything but OKAY the operations that follow are left out."""

    OKAY = 0
    REFUSED = 1  #: the register answered SLVERR
    TIMEOUT = 2  #: a beat could not be sent, or none came, for as long as the link waits
    FULL = 3  #: the reply has no room for more
    MALFORMED = 4  #: no such operation, or the request ends before its data


class OperationWord(data.StructLayout):
    """The first word of an operation; ``last`` and ``user`` go with the last beat of a SEND."""

    def __init__(self):
        super().__init__({
            "operation": Operation, "unknown": 5, "count": 8, "address": ADDRESS_BITS, "reserved": 2,
            "last": 1, "user": 1,
        })  # fmt: skip


class ResultWord(data.StructLayout):
    """The first word of a result: words or beats ``left`` undone; ``last`` and ``user`` of the last beat of a TAKE."""

    def __init__(self):
        super().__init__({"outcome": 8, "left": 8, "reserved": 14, "last": 1, "user": 1})


class Executor(wiring.Component):
    """Execute the operations of a request, one after the other, and write their results.

    Never waits longer than ``patience`` cycles for a beat to go or to come; registers always answer. At the end it
    reads the core's status.

    A beat that was sent waits in a register of its own until it is taken, so that the stream keeps its rules and the
    next operation can begin; as long as one waits, SEND ends with TIMEOUT.

    Parameters
    ----------
    capacity : int
        Words of a request and of a reply.
    patience : int
        Cycles.

    Members
    -------
    start : In(1), idle : Out(1)
        Begin; done. A request is begun in a cycle after the buffer was told to open it.
    request : In(stream.Signature(32)), request_left : In
    reserve : Out(1), reply : Out(stream.Signature(ReplyWord)), reply_words : In
        As of :class:`hw.bus.link_buffer.LinkBuffer`.
    aw, w, b, ar, r : AXI4-Lite, as of :class:`hw.bus.axi4lite.Axi4Lite`, seen from the other side
    send : Out(stream.Signature(BusBeat)), take : In(stream.Signature(BusBeat))
    status : Out(8)
        Lowest byte of the core's register STATUS at the end of the last request.
    """

    def __init__(self, *, capacity: int, patience: int):
        self._capacity, self._patience = capacity, patience
        words = range(capacity + 1)
        super().__init__({
            "start": In(1), "idle": Out(1),
            "request": In(stream.Signature(WORD_BITS)), "request_left": In(words),
            "reserve": Out(1), "reply": Out(stream.Signature(ReplyWord())), "reply_words": In(words),
            "aw": Out(stream.Signature(ADDRESS_BITS)), "w": Out(stream.Signature(WriteData())),
            "b": In(stream.Signature(Response)),
            "ar": Out(stream.Signature(ADDRESS_BITS)), "r": In(stream.Signature(ReadData())),
            "send": Out(stream.Signature(BusBeat())), "take": In(stream.Signature(BusBeat())),
            "status": Out(STATUS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        operation, outcome = Signal(Operation), Signal(Outcome)
        left, address = Signal(8), Signal(ADDRESS_BITS)  # words or beats to do
        last, user = Signal(), Signal()  # of a SEND as asked for, of a TAKE as they came
        closing = Signal()  # the operations are over
        half = Signal()  # of a beat: its index, then its value
        waited = Signal(range(self._patience + 1))
        word = data.View(OperationWord(), self.request.payload)
        result = data.View(ResultWord(), Signal(WORD_BITS))
        m.d.comb += [
            self.aw.payload.eq(address), self.ar.payload.eq(address),
            self.w.payload.data.eq(self.request.payload), self.w.payload.strb.eq(-1),
            result.outcome.eq(outcome), result.left.eq(left),
            result.last.eq(last & (operation == Operation.TAKE)),
            result.user.eq(user & (operation == Operation.TAKE)),
        ]  # fmt: skip
        for channel in (self.aw, self.w, self.ar, self.send):
            with m.If(channel.ready):
                m.d.sync += channel.valid.eq(0)
        m.d.sync += waited.eq(0)

        def end(why):
            m.d.sync += outcome.eq(why)
            m.next = "RESULT"

        def one_done():
            m.d.sync += left.eq(left - 1)
            m.next = "STEP"

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.idle.eq(1)
                m.d.sync += closing.eq(0)
                with m.If(self.start):
                    m.next = "NEXT"

            with m.State("NEXT"):
                with m.If((self.request_left == 0) | (self.reply_words == self._capacity) | closing):
                    m.d.sync += [closing.eq(1), address.eq(STATUS.address), self.ar.valid.eq(1)]
                    m.next = "READ"
                with m.Elif(self.request.valid):
                    m.d.comb += [self.request.ready.eq(1), self.reserve.eq(1)]
                    m.d.sync += [
                        operation.eq(Mux(word.unknown == 0, word.operation, Operation.NONE)),
                        left.eq(word.count),
                        address.eq(word.address),
                        last.eq(word.last & (word.operation == Operation.SEND)),
                        user.eq(word.user & (word.operation == Operation.SEND)),
                    ]
                    m.next = "STEP"

            with m.State("STEP"):
                m.d.sync += waited.eq(waited + 1)
                with m.If((left == 0) | (last & (operation == Operation.TAKE))):
                    end(Outcome.OKAY)
                with m.Else():
                    self._begin_one(m, operation, end, waited == self._patience)

            with m.State("WRITE"), m.If(self.request.valid):  # which stays until the register has answered
                m.d.sync += [self.w.valid.eq(1), self.aw.valid.eq(1)]
                m.next = "WRITTEN"
            with m.State("WRITTEN"), m.If(self.b.valid):
                m.d.comb += [self.b.ready.eq(1), self.request.ready.eq(1)]
                with m.If(self.b.payload == Response.OKAY):
                    one_done()
                with m.Else():
                    end(Outcome.REFUSED)

            with m.State("READ"), m.If(self.r.valid):
                m.d.comb += self.r.ready.eq(1)
                with m.If(closing):
                    m.d.sync += self.status.eq(self.r.payload.data)
                    m.next = "IDLE"
                with m.Elif(self.r.payload.resp != Response.OKAY):
                    end(Outcome.REFUSED)
                with m.Else():
                    self._reply(m, self.r.payload.data)
                    m.d.comb += self.r.ready.eq(self.reply.ready)
                    with m.If(self.reply.ready):
                        m.d.sync += address.eq(address + WORD_BYTES)
                        one_done()

            with m.State("SEND"), m.If(self.request.valid):
                m.d.comb += self.request.ready.eq(1)
                m.d.sync += half.eq(~half)
                with m.If(~half):
                    m.d.sync += self.send.payload.index.eq(self.request.payload)
                with m.Else():
                    is_last = left == 1
                    m.d.sync += [
                        self.send.payload.value.eq(self.request.payload),
                        self.send.payload.last.eq(last & is_last),
                        self.send.payload.user.eq(user & is_last),
                        self.send.valid.eq(1),
                    ]
                    one_done()

            with m.State("TAKE"):
                self._reply(m, Mux(half, self.take.payload.value.as_unsigned(), self.take.payload.index))
                with m.If(self.reply.ready):
                    m.d.sync += half.eq(~half)
                    with m.If(half):
                        m.d.comb += self.take.ready.eq(1)
                        m.d.sync += [last.eq(self.take.payload.last), user.eq(self.take.payload.user)]
                        one_done()

            with m.State("RESULT"):
                self._reply(m, result, result=1)
                with m.If(self.reply.ready):
                    m.d.sync += closing.eq(outcome != Outcome.OKAY)
                    m.next = "NEXT"
        return m

    def _reply(self, m, word, *, result=0):
        m.d.comb += [self.reply.valid.eq(1), self.reply.payload.word.eq(word), self.reply.payload.result.eq(result)]

    def _begin_one(self, m, operation, end, waited):
        """Begin with a word or beat, if that can be, or end the operation."""
        with m.Switch(operation):
            with m.Case(Operation.WRITE):
                m.next = "WRITE"
                with m.If(self.request_left == 0):
                    end(Outcome.MALFORMED)
            with m.Case(Operation.READ):
                with m.If(self.reply_words == self._capacity):
                    end(Outcome.FULL)
                with m.Else():
                    m.d.sync += self.ar.valid.eq(1)
                    m.next = "READ"
            with m.Case(Operation.SEND):
                with m.If(self.request_left < BEAT_WORDS):
                    end(Outcome.MALFORMED)
                with m.Elif(~self.send.valid):
                    m.next = "SEND"
                with m.Elif(waited):
                    end(Outcome.TIMEOUT)
            with m.Case(Operation.TAKE):
                with m.If(self.reply_words > self._capacity - BEAT_WORDS):
                    end(Outcome.FULL)
                with m.Elif(self.take.valid):
                    m.next = "TAKE"
                with m.Elif(waited):
                    end(Outcome.TIMEOUT)
            with m.Default():
                end(Outcome.MALFORMED)

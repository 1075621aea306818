"""What the frames of the host link ask for: reading and writing registers, sending and taking events."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4lite import ReadData, Response, WriteData
from hw.bus.axi4stream import BusBeat
from hw.bus.link_buffer import BEAT_WORDS, WORD_BITS, WORD_BYTES, ReplyWord
from hw.bus.operations import STATUS, STATUS_BITS, Operation, OperationWord, Outcome, ResultWord
from hw.bus.registers import ADDRESS_BITS


class Progress(data.StructLayout):
    """The operation under way: words or beats that are ``left``, where, and how it ended.

    ``last`` and ``user`` are those of a SEND as it was asked for, of a TAKE as they came.
    """

    def __init__(self):
        super().__init__({
            "operation": Operation, "left": 8, "address": ADDRESS_BITS, "last": 1, "user": 1, "outcome": Outcome,
        })  # fmt: skip


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
        progress = Signal(Progress())
        closing = Signal()  # the operations are over
        m.d.comb += [
            self.aw.payload.eq(progress.address), self.ar.payload.eq(progress.address),
            self.w.payload.data.eq(self.request.payload), self.w.payload.strb.eq(-1),
        ]  # fmt: skip
        for channel in (self.aw, self.w, self.ar, self.send):
            with m.If(channel.ready):
                m.d.sync += channel.valid.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.idle.eq(1)
                m.d.sync += closing.eq(0)
                with m.If(self.start):
                    m.next = "NEXT"
            self._choose(m, progress, closing)
            self._access_registers(m, progress, closing)
            self._move_beats(m, progress)
            with m.State("RESULT"):
                taking = progress.operation == Operation.TAKE
                result = data.View(ResultWord(), Signal(WORD_BITS, name="result"))
                m.d.comb += [
                    result.outcome.eq(progress.outcome), result.left.eq(progress.left), result.reserved.eq(0),
                    result.last.eq(progress.last & taking), result.user.eq(progress.user & taking),
                ]  # fmt: skip
                self._reply(m, result, is_result=1)
                with m.If(self.reply.ready):
                    m.d.sync += closing.eq(progress.outcome != Outcome.OKAY)
                    m.next = "NEXT"
        return m

    def _choose(self, m, progress, closing):
        """Take the next operation, and begin with each of its words or beats, until it ends."""
        word = data.View(OperationWord(), self.request.payload)
        waited = Signal(range(self._patience + 1))
        with m.State("NEXT"):
            with m.If((self.request_left == 0) | (self.reply_words == self._capacity) | closing):
                m.d.sync += [closing.eq(1), progress.address.eq(STATUS.address), self.ar.valid.eq(1)]
                m.next = "READ"
            with m.Elif(self.request.valid):
                sending = word.operation == Operation.SEND
                m.d.comb += [self.request.ready.eq(1), self.reserve.eq(1)]
                m.d.sync += [
                    progress.operation.eq(Mux(word.unknown == 0, word.operation, Operation.NONE)),
                    progress.left.eq(word.count),
                    progress.address.eq(word.address),
                    progress.last.eq(word.last & sending),
                    progress.user.eq(word.user & sending),
                ]
                m.next = "STEP"

        m.d.sync += waited.eq(0)
        with m.State("STEP"):
            m.d.sync += waited.eq(waited + 1)
            with m.If((progress.left == 0) | (progress.last & (progress.operation == Operation.TAKE))):
                self._end(m, progress, Outcome.OKAY)
            with m.Else(), m.Switch(progress.operation):
                with m.Case(Operation.WRITE):
                    m.next = "WRITE"
                    with m.If(self.request_left == 0):
                        self._end(m, progress, Outcome.MALFORMED)
                with m.Case(Operation.READ):
                    with m.If(self.reply_words == self._capacity):
                        self._end(m, progress, Outcome.FULL)
                    with m.Else():
                        m.d.sync += self.ar.valid.eq(1)
                        m.next = "READ"
                with m.Case(Operation.SEND):
                    with m.If(self.request_left < BEAT_WORDS):
                        self._end(m, progress, Outcome.MALFORMED)
                    with m.Elif(~self.send.valid):
                        m.next = "SEND"
                    with m.Elif(waited == self._patience):
                        self._end(m, progress, Outcome.TIMEOUT)
                with m.Case(Operation.TAKE):
                    with m.If(self.reply_words > self._capacity - BEAT_WORDS):
                        self._end(m, progress, Outcome.FULL)
                    with m.Elif(self.take.valid):
                        m.next = "TAKE"
                    with m.Elif(waited == self._patience):
                        self._end(m, progress, Outcome.TIMEOUT)
                with m.Default():
                    self._end(m, progress, Outcome.MALFORMED)

    def _access_registers(self, m, progress, closing):
        """Write or read one register; the last one that is read is the status."""
        with m.State("WRITE"), m.If(self.request.valid):  # which stays until the register has answered
            m.d.sync += [self.w.valid.eq(1), self.aw.valid.eq(1)]
            m.next = "WRITTEN"
        with m.State("WRITTEN"), m.If(self.b.valid):
            m.d.comb += [self.b.ready.eq(1), self.request.ready.eq(1)]
            with m.If(self.b.payload == Response.OKAY):
                self._one_done(m, progress)
            with m.Else():
                self._end(m, progress, Outcome.REFUSED)

        with m.State("READ"), m.If(self.r.valid):
            m.d.comb += self.r.ready.eq(1)
            with m.If(closing):
                m.d.sync += self.status.eq(self.r.payload.data)
                m.next = "IDLE"
            with m.Elif(self.r.payload.resp != Response.OKAY):
                self._end(m, progress, Outcome.REFUSED)
            with m.Else():
                self._reply(m, self.r.payload.data)
                m.d.comb += self.r.ready.eq(self.reply.ready)
                with m.If(self.reply.ready):
                    m.d.sync += progress.address.eq(progress.address + WORD_BYTES)
                    self._one_done(m, progress)

    def _move_beats(self, m, progress):
        """Send or take one beat: its index, then its value."""
        second, is_last = Signal(), Signal()
        m.d.comb += is_last.eq(progress.left == 1)
        sent, taken = self.send.payload, self.take.payload
        with m.State("SEND"), m.If(self.request.valid):
            m.d.comb += self.request.ready.eq(1)
            m.d.sync += second.eq(~second)
            with m.If(~second):
                m.d.sync += sent.index.eq(self.request.payload)
            with m.Else():
                m.d.sync += [
                    sent.value.eq(self.request.payload),
                    sent.last.eq(progress.last & is_last),
                    sent.user.eq(progress.user & is_last),
                    self.send.valid.eq(1),
                ]
                self._one_done(m, progress)
        with m.State("TAKE"):
            self._reply(m, Mux(second, taken.value.as_unsigned(), taken.index))
            with m.If(self.reply.ready):
                m.d.sync += second.eq(~second)
                with m.If(second):
                    m.d.comb += self.take.ready.eq(1)
                    m.d.sync += [progress.last.eq(taken.last), progress.user.eq(taken.user)]
                    self._one_done(m, progress)

    def _reply(self, m, word, *, is_result=0):
        m.d.comb += [self.reply.valid.eq(1), self.reply.payload.word.eq(word), self.reply.payload.result.eq(is_result)]

    def _one_done(self, m, progress):
        m.d.sync += progress.left.eq(progress.left - 1)
        m.next = "STEP"

    def _end(self, m, progress, outcome):
        m.d.sync += progress.outcome.eq(outcome)
        m.next = "RESULT"

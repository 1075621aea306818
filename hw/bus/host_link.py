"""The host link: requests of a host on a line of bytes, executed through AXI4-Lite and AXI4-Stream, and answered.

Protocol: docs/host-link.md.
"""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4lite import ReadData, Response, WriteData
from hw.bus.axi4stream import BusBeat
from hw.bus.executor import Executor
from hw.bus.frames import HEADER_BYTES, FrameReceiver, FrameSender
from hw.bus.link_buffer import LinkBuffer, capacity
from hw.bus.operations import STATUS_BITS
from hw.bus.registers import ADDRESS_BITS

REQUEST = 0x01  #: first byte of a request; version 1 of the protocol
REPLY = 0x81  #: first byte of a reply
FIRST_SEQUENCE = 0  #: of a request that is never taken for a repetition

BUFFER_BYTES = 512
BUFFER_BYTES_CHOICES = (64, 128, 256, 512, 1024)
PATIENCE = 1 << 16


class HostLink(wiring.Component):
    """Execute each request once and answer it, however often it comes.

    Half duplex: while a request is executed and answered, what comes from the line is passed over. The reply is kept:
    a request with the number of the one before is not executed again, but answered with it once more.

    Parameters
    ----------
    buffer_bytes : int
        Of the memory for a request, and of that for a reply: 64, 128, 256, 512 or 1024. Each takes
        :func:`hw.bus.link_buffer.capacity` words.
    patience : int
        Cycles that a request waits at most for a beat to go or to come.

    Members
    -------
    i : In(stream.Signature(8)), o : Out(stream.Signature(8))
        Bytes from and to the line.
    lost : In(1)
        A byte from the line was lost; the frame that it belonged to is passed over.
    aw, w, b, ar, r : AXI4-Lite, as of :class:`hw.bus.axi4lite.Axi4Lite`, seen from the other side
    send : Out(stream.Signature(BusBeat)), take : In(stream.Signature(BusBeat))
        Beats to and from the core.
    busy : Out(1)
        A request is being executed or answered.
    status : Out(8)
        Lowest byte of the core's register STATUS, as the last reply tells it.

    Raises
    ------
    ValueError
        If a parameter is none of the values above.
    """

    def __init__(self, *, buffer_bytes: int = BUFFER_BYTES, patience: int = PATIENCE):
        if buffer_bytes not in BUFFER_BYTES_CHOICES:
            choices = ", ".join(map(str, BUFFER_BYTES_CHOICES))
            raise ValueError(f"buffer_bytes is {buffer_bytes}; it must be one of {choices}")
        if patience < 1:
            raise ValueError(f"patience is {patience}; it must be at least 1")
        self._buffer_bytes, self._patience = buffer_bytes, patience
        super().__init__({
            "i": In(stream.Signature(8)), "o": Out(stream.Signature(8)), "lost": In(1),
            "aw": Out(stream.Signature(ADDRESS_BITS)), "w": Out(stream.Signature(WriteData())),
            "b": In(stream.Signature(Response)),
            "ar": Out(stream.Signature(ADDRESS_BITS)), "r": In(stream.Signature(ReadData())),
            "send": Out(stream.Signature(BusBeat())), "take": In(stream.Signature(BusBeat())),
            "busy": Out(1), "status": Out(STATUS_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = FrameReceiver(buffer_bytes=self._buffer_bytes)
        m.submodules.buffer = buffer = LinkBuffer(buffer_bytes=self._buffer_bytes)
        words = capacity(self._buffer_bytes)
        m.submodules.executor = executor = Executor(capacity=words, patience=self._patience)
        m.submodules.sender = sender = FrameSender()

        # Line -> request -> execution -> reply.
        wiring.connect(m, wiring.flipped(self.i), receiver.i)
        m.d.comb += [
            buffer.write.eq(receiver.write & (receiver.position >= 0)),
            buffer.write_address.eq(receiver.position),
            buffer.write_data.eq(receiver.data),
            buffer.request_words.eq(receiver.words),
            executor.request_left.eq(buffer.request_left),
            executor.reply_words.eq(buffer.reply_words),
            buffer.reserve.eq(executor.reserve),
        ]
        wiring.connect(m, buffer.request, executor.request)
        wiring.connect(m, executor.reply, buffer.reply)
        for name in ("aw", "w", "b", "ar", "r", "send", "take"):
            wiring.connect(m, getattr(executor, name), wiring.flipped(getattr(self, name)))
        m.d.comb += self.status.eq(executor.status)

        is_request, sequence = Signal(), Signal(8)
        with m.If(receiver.write & (receiver.position == -HEADER_BYTES)):
            m.d.sync += is_request.eq(receiver.data == REQUEST)
        with m.If(receiver.write & (receiver.position == -HEADER_BYTES + 1)):
            m.d.sync += sequence.eq(receiver.data)

        kept = Signal(8, init=FIRST_SEQUENCE)  # number of the request that was executed last
        header = Signal(range(HEADER_BYTES))
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("LISTEN"):
                m.d.comb += self.busy.eq(0)
                with m.If(receiver.whole & is_request):
                    with m.If((sequence == kept) & (sequence != FIRST_SEQUENCE)):
                        m.next = "HEADER"
                    with m.Else():
                        m.d.sync += kept.eq(sequence)
                        m.d.comb += [buffer.open_request.eq(1), executor.start.eq(1)]
                        m.next = "EXECUTE"
            with m.State("EXECUTE"), m.If(executor.idle):
                m.next = "HEADER"
            with m.State("HEADER"):
                fields = (REPLY, kept, executor.status, words)
                with m.Switch(header):
                    for number, field in enumerate(fields):
                        with m.Case(number):
                            m.d.comb += sender.i.payload.data.eq(field)
                ends = header == HEADER_BYTES - 1
                m.d.comb += [sender.i.valid.eq(1), sender.i.payload.last.eq(ends & (buffer.reply_words == 0))]
                with m.If(sender.i.ready):
                    m.d.sync += header.eq(header + 1)
                    with m.If(ends):
                        m.d.comb += buffer.open_reply.eq(1)
                        m.next = "CONTENT"
                        with m.If(buffer.reply_words == 0):
                            m.next = "LISTEN"
            with m.State("CONTENT"):
                m.d.comb += [
                    sender.i.payload.eq(buffer.content.payload),
                    sender.i.valid.eq(buffer.content.valid),
                    buffer.content.ready.eq(sender.i.ready),
                ]
                with m.If(sender.i.valid & sender.i.ready & sender.i.payload.last):
                    m.next = "LISTEN"
        m.d.comb += receiver.drop.eq(self.busy | self.lost)
        wiring.connect(m, sender.o, wiring.flipped(self.o))
        return m

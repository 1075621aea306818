"""The memory of the host link: one request and one reply, bytes on the side of the line, words on the other."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.frames import CRC_BYTES, ContentByte
from hw.vendor.generic import MEMORY_LATENCY, PipelinedMemory

WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8
BEAT_WORDS = 2


def capacity(buffer_bytes: int) -> int:
    """Return the words that a request or a reply has at most; a request's checksum is stored, too."""
    return (buffer_bytes - CRC_BYTES) // WORD_BYTES


class ReplyWord(data.StructLayout):
    """A word for the reply; a ``result`` goes to the place that was reserved for it."""

    def __init__(self):
        super().__init__({"word": WORD_BITS, "result": 1})


class LinkBuffer(wiring.Component):
    """Hold a request while it is received and executed, and a reply until the next request is executed.

    One memory of bytes, the request in its lower half. Three things take turns, and are not to overlap: the request's
    bytes are written; its words are read while the reply's are written, both with the lowest byte first; the reply's
    bytes are read. A word is read in about 12 cycles and written in 4; a byte of the reply is read in 3.

    Parameters
    ----------
    buffer_bytes : int
        Of each half; a power of two.

    Members
    -------
    write : In(1), write_address : In(range(buffer_bytes)), write_data : In(8)
        A byte of the request.
    open_request : In(1), request_words : In
        Read a request of so many words; the reply is empty from now on.
    request : Out(stream.Signature(32)), request_left : Out
        Words of the request, and how many were not taken yet.
    reserve : In(1)
        Leave out a word of the reply, for a result.
    reply : In(stream.Signature(ReplyWord))
    reply_words : Out
        Words of the reply, those under way and left out included; users keep it within :func:`capacity`.
    open_reply : In(1)
        Read the reply from its beginning; it must not be empty.
    content : Out(stream.Signature(ContentByte))
        Bytes of the reply.
    """

    def __init__(self, *, buffer_bytes: int):
        self._buffer_bytes = buffer_bytes
        words = range(capacity(buffer_bytes) + 1)
        super().__init__({
            "write": In(1), "write_address": In(range(buffer_bytes)), "write_data": In(8),
            "open_request": In(1), "request_words": In(words),
            "request": Out(stream.Signature(WORD_BITS)), "request_left": Out(words),
            "reserve": In(1), "reply": In(stream.Signature(ReplyWord())), "reply_words": Out(words),
            "open_reply": In(1), "content": Out(stream.Signature(ContentByte())),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = PipelinedMemory(shape=8, depth=2 * self._buffer_bytes)
        # Byte under way: its half, address, and for how long it is still on its way.
        of_reply, address, wait = Signal(), Signal(range(self._buffer_bytes)), Signal(range(MEMORY_LATENCY + 1))
        active, there, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            active.eq(of_reply | (self.request_left != 0)),
            memory.read_addr.eq(Cat(address, of_reply)),
            memory.read_en.eq(active),
            there.eq(active & (wait == 0)),
        ]
        with m.If(taken):
            m.d.sync += [address.eq(address + 1), wait.eq(MEMORY_LATENCY)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.open_request | self.open_reply):
            m.d.sync += [of_reply.eq(self.open_reply), address.eq(0), wait.eq(MEMORY_LATENCY)]
        ends_word = address[:2] == WORD_BYTES - 1

        # The request, as words: bytes enter at the top; a whole word waits until it is taken.
        word = Signal(WORD_BITS, reset_less=True)
        m.d.comb += self.request.payload.eq(word)
        with m.If(there & ~of_reply & ~self.request.valid):
            m.d.comb += taken.eq(1)
            m.d.sync += [word.eq(Cat(word[8:], memory.read_data)), self.request.valid.eq(ends_word)]
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += [self.request.valid.eq(0), self.request_left.eq(self.request_left - 1)]
        with m.If(self.open_request):
            m.d.sync += [self.request.valid.eq(0), self.request_left.eq(self.request_words)]

        # The reply, as bytes.
        m.d.comb += [
            self.content.valid.eq(there & of_reply),
            self.content.payload.data.eq(memory.read_data),
            self.content.payload.last.eq(ends_word & (address[2:] + 1 == self.reply_words)),
        ]
        with m.If(self.content.valid & self.content.ready):
            m.d.comb += taken.eq(1)
            with m.If(self.content.payload.last):
                m.d.sync += of_reply.eq(0)
        self._write(m, memory)
        return m

    def _write(self, m, memory):
        """Write what is received, or the reply, whose words leave byte by byte; through a register, for speed."""
        byte = Signal(range(WORD_BYTES))
        place, result_place = Signal.like(self.reply_words), Signal.like(self.reply_words)
        word = self.reply.payload
        m.d.comb += [
            place.eq(Mux(word.result, result_place, self.reply_words)),
            self.reply.ready.eq(byte == WORD_BYTES - 1),
        ]
        m.d.sync += [
            memory.write_en.eq(self.write | self.reply.valid),
            memory.write_addr.eq(self.write_address),
            memory.write_data.eq(self.write_data),
        ]
        with m.If(self.reply.valid):
            m.d.sync += [
                memory.write_addr.eq(Cat(byte, place, Const(1, 1))),
                memory.write_data.eq(word.word.word_select(byte, 8)),
                byte.eq(byte + 1),
            ]
        with m.If(self.reserve):
            m.d.sync += result_place.eq(self.reply_words)
        with m.If(self.reserve | (self.reply.valid & self.reply.ready & ~word.result)):
            m.d.sync += self.reply_words.eq(self.reply_words + 1)
        with m.If(self.open_request):
            m.d.sync += self.reply_words.eq(0)

"""Frames on a line of bytes: where each begins and ends, and whether it is whole. Format: docs/host-link.md.

Frames are delimited as in HDLC on asynchronous lines (RFC 1662): a flag before and after, which cannot occur within,
since a byte that looks like one is escaped. So any flag is a fresh start, whatever was lost, damaged or made up before
it, without a clock to watch. Each frame ends with a CRC-32 (that of zlib), computed here a bit a cycle.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.word_crc import POLYNOMIAL, START

FLAG = 0x7E  #: before and after every frame
ESCAPE = 0x7D  #: the byte that follows has one bit flipped
FLIP = 0x20
HEADER_BYTES = 4
CRC_BYTES = 4

CRC_RESIDUE = 0xDEBB20E3  # of any bytes followed by their CRC


class SerialCrc(wiring.Component):
    """Compute a CRC-32, one byte in 9 cycles.

    Members
    -------
    start : In(1)
        Begin anew.
    shift : In(1)
        Bytes that are taken only move the next byte of the CRC into its place, the lowest.
    i : In(stream.Signature(8))
    crc : Out(32)
        Of all bytes taken, while ``i.ready``; before the complement that is sent.
    """

    def __init__(self):
        super().__init__({"start": In(1), "shift": In(1), "i": In(stream.Signature(8)), "crc": Out(32)})

    def elaborate(self, platform):
        m = Module()
        # Not reset: every frame starts it, and a second way to set it would cost a LUT a bit.
        crc, byte = Signal(32, reset_less=True), Signal(8, reset_less=True)
        left, shifting = Signal(range(9)), Signal()
        m.d.comb += [self.i.ready.eq(left == 0), self.crc.eq(crc)]
        with m.If(left != 0):
            feedback = (crc[0] ^ byte[0]) & ~shifting
            m.d.sync += [
                byte.eq(byte >> 1), left.eq(left - 1), crc.eq((crc >> 1) ^ Mux(feedback, POLYNOMIAL, 0)),
            ]  # fmt: skip
        with m.Elif(self.i.valid):
            m.d.sync += [byte.eq(self.i.payload), left.eq(8), shifting.eq(self.shift)]
        with m.If(self.start):
            m.d.sync += [crc.eq(START), left.eq(0)]
        return m


class FrameReceiver(wiring.Component):
    """Find frames in a stream of bytes, write their content out, and tell which ones are whole.

    Takes a byte in 9 cycles. A frame that is too long, too short, no whole number of words, cut by a flag, or has the
    wrong checksum is passed over in silence; the flag that ends it may begin the next.

    Parameters
    ----------
    buffer_bytes : int
        Most bytes that a frame may have behind its header of 4, the checksum included.

    Members
    -------
    i : In(stream.Signature(8))
    drop : In(1)
        Pass over the frame under way and all bytes that come.
    write : Out(1), position : Out(range(-4, buffer_bytes + 1)), data : Out(8)
        A byte of a frame, before it is known whether the frame is whole; positions of the header are negative.
    whole : Out(1), words : Out(range(buffer_bytes // 4))
        A frame came to its end in the cycle before and is right; the words between its header and its checksum.
    """

    def __init__(self, *, buffer_bytes: int):
        self._buffer_bytes = buffer_bytes
        super().__init__({
            "i": In(stream.Signature(8)), "drop": In(1),
            "write": Out(1), "position": Out(range(-HEADER_BYTES, buffer_bytes + 1)), "data": Out(8),
            "whole": Out(1), "words": Out(range(buffer_bytes // 4)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        inside, escaped = Signal(), Signal()  # a flag came and nothing wrong since; the byte before was an escape
        byte, taken = self.i.payload, Signal()
        m.d.comb += [
            self.i.ready.eq(crc.i.ready),
            taken.eq(self.i.valid & self.i.ready),
            self.data.eq(byte ^ Mux(escaped, FLIP, 0)),
            crc.i.payload.eq(self.data),
            crc.i.valid.eq(self.write),
        ]
        m.d.sync += [self.whole.eq(0), self.words.eq((self.position >> 2) - 1)]
        with m.If(taken):
            with m.If(byte == FLAG):
                m.d.comb += crc.start.eq(1)
                m.d.sync += self.whole.eq(
                    inside & ~escaped & (self.position >= CRC_BYTES) & (self.position[:2] == 0)
                    & (crc.crc == CRC_RESIDUE) & ~self.drop
                )  # fmt: skip
                m.d.sync += [inside.eq(1), escaped.eq(0), self.position.eq(-HEADER_BYTES)]
            with m.Elif((byte == ESCAPE) & ~escaped):
                m.d.sync += escaped.eq(1)
            with m.Else():
                m.d.sync += escaped.eq(0)
                with m.If(self.position == self._buffer_bytes):
                    m.d.sync += inside.eq(0)
                with m.Elif(inside):
                    m.d.comb += self.write.eq(~self.drop)
                    m.d.sync += self.position.eq(self.position + 1)
        with m.If(self.drop):
            m.d.sync += inside.eq(0)
        return m


class ContentByte(data.StructLayout):
    """A byte of a frame before its checksum; ``last`` marks the last one."""

    def __init__(self):
        super().__init__({"data": 8, "last": 1})


class FrameSender(wiring.Component):
    """Put flags, escapes and a checksum around frames; at most a byte in 10 cycles.

    Members
    -------
    i : In(stream.Signature(ContentByte))
    o : Out(stream.Signature(8))
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(ContentByte())), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        # The byte to be sent next, of the content or of the checksum, waits in a register.
        byte, valid, is_last = Signal(8, reset_less=True), Signal(), Signal()
        special, escaped, free, sent = Signal(), Signal(), Signal(), Signal()
        checks_left = Signal(range(CRC_BYTES + 1))
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            special.eq((byte == FLAG) | (byte == ESCAPE)),
            sent.eq(valid & free & (escaped | ~special)),
            crc.i.payload.eq(byte),
            crc.i.valid.eq(sent),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(valid & free):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.eq(Mux(escaped, byte ^ FLIP, Mux(special, ESCAPE, byte))),
                escaped.eq(special & ~escaped),
            ]
        with m.If(sent):
            m.d.sync += valid.eq(0)

        def send_flag(state):
            with m.If(free):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
                m.next = state

        with m.FSM():
            with m.State("BEGIN"), m.If(self.i.valid):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [is_last.eq(0), checks_left.eq(CRC_BYTES)]
                send_flag("CONTENT")
            with m.State("CONTENT"), m.If(~valid & crc.i.ready):
                with m.If(is_last):
                    m.next = "CHECK"
                with m.Else():
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += [byte.eq(self.i.payload.data), valid.eq(self.i.valid)]
                    m.d.sync += is_last.eq(self.i.valid & self.i.payload.last)
            with m.State("CHECK"):
                m.d.comb += crc.shift.eq(1)
                with m.If(~valid & crc.i.ready):
                    m.d.sync += [byte.eq(~crc.crc[:8]), valid.eq(checks_left != 0), checks_left.eq(checks_left - 1)]
                    with m.If(checks_left == 0):
                        m.next = "END"
            with m.State("END"):
                send_flag("BEGIN")
        return m

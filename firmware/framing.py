"""Frames of the host link as bytes: the one codec, for hosts, tests and firmware. Format: docs/host-link.md.

    port.write(encode_request(1, [0x00000302]))  # read MAGIC, VERSION and CONFIG_ID
    for content in decoder.feed(port.read(64)):
        reply = decode_reply(content)

with a :class:`Decoder` that lasts as long as the port.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from hw.bus.frames import ESCAPE, FLAG, FLIP
from hw.bus.host_link import REPLY, REQUEST

HEADER = struct.Struct("<4B")
CRC = struct.Struct("<I")
SEQUENCES = 256
CAPACITY_MAX = 255  #: words of a request or reply, the link with the largest buffer
CONTENT_MAX = HEADER.size + 4 * CAPACITY_MAX


class FrameError(ValueError):
    """A frame with the right checksum that is no reply; the message says why."""


@dataclass(frozen=True)
class Reply:
    """What a reply says.

    sequence : the number of the request that it answers
    status : lowest byte of the core's register STATUS, as it was after the request
    capacity : words that a request or a reply may have
    words : the results
    """

    sequence: int
    status: int
    capacity: int
    words: tuple[int, ...]


def encode(content: bytes) -> bytes:
    """Return a frame: a flag, the content and its checksum with flags and escapes escaped, a flag."""
    escaped = bytearray([FLAG])
    for byte in content + CRC.pack(zlib.crc32(content)):
        escaped += bytes([ESCAPE, byte ^ FLIP]) if byte in (FLAG, ESCAPE) else bytes([byte])
    escaped.append(FLAG)
    return bytes(escaped)


def encode_request(sequence: int, words: Sequence[int]) -> bytes:
    """Return the frame of a request.

    Raises
    ------
    ValueError
        If the number is not 0 to 255, or there are more than 255 words.
    """
    if not 0 <= sequence < SEQUENCES:
        raise ValueError(f"sequence is {sequence}; it must be from 0 to {SEQUENCES - 1}")
    return encode(HEADER.pack(REQUEST, sequence, 0, 0) + _pack(words))


def encode_reply(reply: Reply) -> bytes:
    """Return the frame of a reply, for those who answer in a device's place."""
    return encode(HEADER.pack(REPLY, reply.sequence, reply.status, reply.capacity) + _pack(reply.words))


def decode_reply(content: bytes) -> Reply:
    """Return what a frame's content says.

    Raises
    ------
    FrameError
        If it is no reply of a version that is known here, or no whole number of words.
    """
    kind, sequence, status, capacity = HEADER.unpack_from(content)
    if kind != REPLY:
        raise FrameError(f"the frame's first byte is {kind:#04x}, a reply's is {REPLY:#04x}")
    return Reply(sequence, status, capacity, unpack(content[HEADER.size :]))


def unpack(content: bytes) -> tuple[int, ...]:
    """Return the 32-bit words of bytes.

    Raises
    ------
    FrameError
        If the last word is not whole.
    """
    if len(content) % 4:
        raise FrameError(f"the frame has {len(content)} bytes behind its header, which is no whole number of words")
    return struct.unpack(f"<{len(content) // 4}I", content)


def _pack(words: Sequence[int]) -> bytes:
    if len(words) > CAPACITY_MAX:
        raise ValueError(f"a frame of {len(words)} words; it may have {CAPACITY_MAX}")
    return struct.pack(f"<{len(words)}I", *words)


class Decoder:
    """Find frames in bytes that come in pieces of any size; whatever is no whole frame is passed over.

    Between two flags either everything is right or nothing is used, so the state never goes wrong for longer than to
    the next flag.
    """

    def __init__(self) -> None:
        self._content = bytearray()
        self._escaped = False
        self._inside = False  # a flag came, and nothing wrong since

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the contents, header first and without checksum, of the frames that they complete."""
        contents = []
        for byte in data:
            if byte == FLAG:
                content, check = self._content[: -CRC.size], self._content[-CRC.size :]
                whole = self._inside and not self._escaped and len(content) >= HEADER.size
                if whole and CRC.pack(zlib.crc32(content)) == check:
                    contents.append(bytes(content))
                self._content.clear()
                self._inside, self._escaped = True, False
            elif byte == ESCAPE and not self._escaped:
                self._escaped = True
            else:
                self._content.append(byte ^ FLIP if self._escaped else byte)
                self._escaped = False
                if len(self._content) > CONTENT_MAX + CRC.size:
                    self._content.clear()
                    self._inside = False
        return contents

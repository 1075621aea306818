"""The codec: random frames, in pieces and damaged; limits and messages."""

import random

import pytest

from firmware import framing
from firmware.framing import Decoder, FrameError, Reply, decode_reply, encode, encode_reply, encode_request, unpack
from firmware.operations import Read, Result, Send, Take, Write, decode_results
from hw.bus.frames import ESCAPE, FLAG
from hw.bus.operations import Outcome
from tests.hw.serial_line import Noise


def random_content(rng):
    words = rng.randrange(rng.choice([1, 5, 256]))
    special = rng.random() < 0.3
    return bytes(
        rng.choice([ESCAPE, FLAG, 0x5D, 0x5E]) if special else rng.randrange(256) for _ in range(4 + 4 * words)
    )


def pieces(rng, data):
    while data:
        count = rng.choice([1, 2, 7, 300])
        yield data[:count]
        data = data[count:]


def test_every_frame_comes_through_in_pieces_of_any_size():
    rng = random.Random(1)
    contents = [random_content(rng) for _ in range(300)]
    line = b"".join(encode(content) for content in contents)
    decoder = Decoder()
    assert [content for piece in pieces(rng, line) for content in decoder.feed(piece)] == contents


def test_flags_stand_only_around_frames():
    rng = random.Random(2)
    for _ in range(300):
        frame = encode(random_content(rng))
        assert frame[0] == frame[-1] == FLAG and FLAG not in frame[1:-1]


def test_damage_is_noticed_and_passes():
    """What comes out went in, in its order; and a frame that nothing happened to comes out whatever was before it."""
    rng = random.Random(3)
    noise = Noise(rng, 0.02)
    decoder = Decoder()
    damaged_count = 0
    for _ in range(2000):
        content, other = (random_content(rng)[:60] for _ in range(2))
        content, other = content[: len(content) // 4 * 4], other[: len(other) // 4 * 4]
        damaged = noise(encode(content))
        got = [each for piece in pieces(rng, damaged + encode(other)) for each in decoder.feed(piece)]
        assert got in ([content, other], [other])
        damaged_count += got == [other]
    assert 500 < damaged_count < 1900


def test_every_bit_counts():
    content = bytes(range(12))
    frame = encode(content)
    for at in range(1, len(frame) - 1):
        for bit in range(8):
            damaged = frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]
            assert Decoder().feed(damaged) == [], f"byte {at}, bit {bit}"


def test_what_is_longer_than_any_frame_is_passed_over():
    content = bytes(framing.CONTENT_MAX)
    assert Decoder().feed(encode(content)) == [content]
    decoder = Decoder()
    assert decoder.feed(encode(content + b"\0")) == []
    assert decoder.feed(encode(content)) == [content]


def test_requests_and_replies():
    assert Decoder().feed(encode_request(7, [0x01020304])) == [b"\x01\x07\x00\x00\x04\x03\x02\x01"]
    reply = Reply(200, 5, 127, (0, 0xFFFFFFFF, 0x7E7D7E7D))
    (content,) = Decoder().feed(encode_reply(reply))
    assert decode_reply(content) == reply


@pytest.mark.parametrize(
    ("sequence", "count", "message"),
    [
        (256, 0, "sequence is 256; it must be from 0 to 255"),
        (-1, 0, "sequence is -1; it must be from 0 to 255"),
        (0, 256, "a frame of 256 words; it may have 255"),
    ],
)
def test_requests_that_cannot_be(sequence, count, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        encode_request(sequence, [0] * count)


def test_contents_that_are_no_replies():
    with pytest.raises(FrameError, match="^the frame's first byte is 0x01, a reply's is 0x81$"):
        decode_reply(b"\x01\x00\x00\x00")
    with pytest.raises(
        FrameError, match="^the frame has 5 bytes behind its header, which is no whole number of words$"
    ):
        unpack(bytes(5))


def test_operations_and_results():
    operations = [Write(0x30, [1, 2]), Read(0x40, 3), Send([(1, -2)], last=True, user=True), Take(), Read(0)]
    assert [word for each in operations for word in each.words()] == [
        0x00300201, 1, 2, 0x00400302, 0xC0000103, 1, 0xFFFFFFFE, 0x0000FF04, 0x00000102,
    ]  # fmt: skip
    results = [
        Result(Outcome.OKAY, 0),
        Result(Outcome.OKAY, 0, data=(7, 8, 9)),
        Result(Outcome.OKAY, 0),
        Result(Outcome.FULL, 253, data=(3, 0xFFFFFFFF, 4, 5)),
    ]
    words = [word for result in results for word in result.words()]
    assert words == [0, 0, 7, 8, 9, 0, 0x0000FD03, 3, 0xFFFFFFFF, 4, 5]
    assert decode_results(operations, words) == results
    assert results[3].beats == [(3, -1), (4, 5)]
    with pytest.raises(ValueError, match="^a reply of 1 words, its results have 4$"):
        decode_results([Read(0, 3)], [0])
    with pytest.raises(ValueError, match="^an operation on 256 words or beats; it must be from 0 to 255$"):
        Read(0, 256).words()

"""docs/host-link.md: its example is what the codec and the device's twin say."""

import re
from pathlib import Path

from firmware.framing import Decoder, decode_reply, encode_request
from firmware.operations import Read, Result, Send, Take, decode_results
from hw.bus.operations import Operation, Outcome
from tests.firmware.port import StepCore, TwinPort

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "host-link.md").read_text()

STEP = [Send([(0, 125), (3, -5)], last=True), Take()]
SESSION = [  # number, operations, results
    (0, [], []),
    (1, [Read(0, 3)], [Result(Outcome.OKAY, 0, data=(0x54524745, 0x00070001, 0x12345678))]),
    (2, STEP, [Result(Outcome.OKAY, 0), Result(Outcome.OKAY, 253, last=True, data=(0, 250, 3, 0xFFFFFFF6))]),
    (3, [Read(0x00C)], [Result(Outcome.REFUSED, 1)]),
    (4, [Take()], [Result(Outcome.TIMEOUT, 255)]),
]


def test_example():
    rows = re.findall(r"^\| (host|device) \| `([0-9a-f ]+)` \|", DOCUMENT, re.MULTILINE)
    frames = [bytes.fromhex(row) for _, row in rows]
    assert [sender for sender, _ in rows] == ["host", "device"] * len(SESSION)
    core = StepCore()
    core.loaded = 1
    device = TwinPort(core).device
    for (number, operations, results), asked, answered in zip(SESSION, frames[::2], frames[1::2], strict=True):
        assert asked == encode_request(number, [word for each in operations for word in each.words()])
        assert answered == device.receive(asked)
        (content,) = Decoder().feed(answered)
        reply = decode_reply(content)
        assert (reply.sequence, reply.status, reply.capacity) == (number, 3, 127)
        assert decode_results(operations, reply.words) == results


def test_codes():
    for members in (Outcome, Operation):
        for member in members:
            if member != Operation.NONE:
                assert re.search(rf"^\| {member.value} \| {member.name}\b", DOCUMENT, re.MULTILINE), member

"""The device's side of the host link in Python, as docs/host-link.md states it; the hardware and the driver meet it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from firmware import framing
from firmware.operations import COUNT_MAX, LAST, USER, Beat, Result, signed
from hw.bus.host_link import REQUEST
from hw.bus.operations import Operation, Outcome

STATUS = 0x24


@dataclass
class Core:
    """Registers that are words and streams that are queues.

    registers : what can be read and written, by address
    read_only : what can only be read
    sent, waiting : beats (index, value, last, user) that came in, and that wait to be taken
    room : beats that can still come in
    writes : words that were to be written
    """

    registers: dict[int, int] = field(default_factory=dict)
    read_only: dict[int, int] = field(default_factory=dict)
    sent: list[tuple[int, int, bool, bool]] = field(default_factory=list)
    waiting: deque[tuple[int, int, bool, bool]] = field(default_factory=deque)
    room: int = 1 << 30
    writes: int = 0

    def write(self, address: int, word: int) -> bool:
        self.writes += 1
        if address not in self.registers:
            return False
        self.registers[address] = word
        return True

    def read(self, address: int) -> int | None:
        return self.registers.get(address, self.read_only.get(address))

    def send(self, beat: Beat, last: bool, user: bool) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.sent.append((*beat, last, user))
        return True


class Device:
    """Executes each request once and answers it."""

    def __init__(self, core: Core, *, capacity: int):
        self.core, self.capacity = core, capacity
        self.outcomes: set[Outcome] = set()  #: that occurred
        self._decoder = framing.Decoder()
        self._sequence, self._reply = 0, b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the line; return what goes back. What follows a request meanwhile is not heard."""
        for byte in data:
            for content in self._decoder.feed(bytes([byte])):
                if answer := self._answer(content):
                    self._decoder = framing.Decoder()
                    return answer
        return b""

    def _answer(self, content: bytes) -> bytes:
        kind, sequence, *_ = content
        if kind != REQUEST or len(content) % 4 or len(content) > 4 * (1 + self.capacity):
            return b""
        if sequence == 0 or sequence != self._sequence:
            self._sequence = sequence
            words = self.execute(list(framing.unpack(content[framing.HEADER.size :])))
            status = (self.core.read(STATUS) or 0) & 0xFF
            self._reply = framing.encode_reply(framing.Reply(sequence, status, self.capacity, tuple(words)))
        return self._reply

    def execute(self, request: list[int]) -> list[int]:
        """Execute the words of a request; return those of the reply."""
        left, reply = deque(request), []
        while left and len(reply) < self.capacity:
            result = self._operation(left.popleft(), left, self.capacity - len(reply) - 1)
            self.outcomes.add(result.outcome)
            reply += result.words()
            if result.outcome != Outcome.OKAY:
                break
        return reply

    def _operation(self, word: int, arguments: deque[int], room: int) -> Result:
        kind, left, address = word & 0xFF, word >> 8 & COUNT_MAX, word >> 16 & 0xFFF
        data: list[int] = []
        last = user = False

        def end(outcome: Outcome) -> Result:
            return Result(outcome, left, last, user, tuple(data))

        while left and not last:
            if kind == Operation.WRITE.value:
                if not arguments:
                    return end(Outcome.MALFORMED)
                if not self.core.write(address & ~3, arguments.popleft()):
                    return end(Outcome.REFUSED)
            elif kind == Operation.READ.value:
                if len(data) == room:
                    return end(Outcome.FULL)
                value = self.core.read(address & ~3)
                if value is None:
                    return end(Outcome.REFUSED)
                data.append(value)
                address = address + 4 & 0xFFF
            elif kind == Operation.SEND.value:
                if len(arguments) < 2:
                    return end(Outcome.MALFORMED)
                beat = arguments[0], signed(arguments[1])
                if not self.core.send(beat, bool(word & LAST) and left == 1, bool(word & USER) and left == 1):
                    return end(Outcome.TIMEOUT)
                arguments.popleft(), arguments.popleft()
            elif kind == Operation.TAKE.value:
                if len(data) + 2 > room:
                    return end(Outcome.FULL)
                if not self.core.waiting:
                    return end(Outcome.TIMEOUT)
                index, value, last, user = self.core.waiting.popleft()
                data += [index, value & 0xFFFFFFFF]
            else:
                return end(Outcome.MALFORMED)
            left -= 1
        return end(Outcome.OKAY)

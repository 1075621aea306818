"""Requests that are answered exactly once, over a line that loses and damages bytes. Protocol: docs/host-link.md."""

from __future__ import annotations

from typing import Protocol

from firmware import framing
from firmware.operations import Request, Result, decode_results


class LinkError(Exception):
    """The device does not answer, or the core refused something; one sentence that says what to do."""


class NoAnswerError(LinkError):
    """Nothing answers: the line is silent, or all that comes is noise."""


class Transport(Protocol):
    """A line of bytes in both directions."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read(self, count: int, timeout: float) -> bytes:
        """Return up to ``count`` bytes as soon as there are any, or none after ``timeout`` seconds."""


class Requester:
    """Send each request until its reply comes.

    Parameters
    ----------
    transport, timeout, attempts
        As of :class:`firmware.link.Link`.

    Attributes
    ----------
    status : int
        Lowest byte of the core's register STATUS after the last request.
    capacity : int
        Words that a request and a reply may have.
    repetitions : int
        Requests that had to be sent again.

    Raises
    ------
    NoAnswerError
        If nothing answers.
    """

    def __init__(self, transport: Transport, timeout: float, attempts: int):
        self._transport, self._timeout, self._attempts = transport, timeout, attempts
        self._decoder = framing.Decoder()
        self._sequence = 0  # always executed: nothing is asked for, whatever the device did for others before
        self.status = self.capacity = self.repetitions = 0
        self.execute([])

    def execute(self, operations: Request) -> list[Result]:
        """Execute operations in one request; return the results of those that were begun."""
        frame = framing.encode_request(self._sequence, [word for each in operations for word in each.words()])
        for attempt in range(self._attempts):
            self.repetitions += attempt > 0
            self._transport.write(frame)
            reply = self._await_reply()
            if reply is not None:
                self._sequence = self._sequence % (framing.SEQUENCES - 1) + 1
                self.status, self.capacity = reply.status, reply.capacity
                return decode_results(operations, reply.words)
        raise NoAnswerError(
            f"no answer to {self._attempts} requests; check the port, the baud rate, and that the device is configured"
        )

    def forget(self) -> bool:
        """Return whether beats go on coming behind a reset: not those of the one that the device keeps."""
        return False

    def _await_reply(self) -> framing.Reply | None:
        """Return the reply with the right number, or None after a silence or too much else."""
        others = 4 * framing.CONTENT_MAX  # bytes that may come besides: late replies, noise
        while others > 0:
            data = self._transport.read(framing.CONTENT_MAX, self._timeout)
            if not data:
                return None
            for content in self._decoder.feed(data):
                reply = framing.decode_reply(content)
                if reply.sequence == self._sequence:
                    return reply
            others -= len(data)
        return None

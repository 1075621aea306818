"""The other side of a serial line: bytes onto and off a wire of a design, noise, and a port for the host's driver."""

from __future__ import annotations

import random
from collections.abc import Iterable

import cocotb
from cocotb.task import resume
from cocotb.triggers import Event, FallingEdge, SimTimeoutError, Timer, with_timeout

from tests.hw.bench import PERIOD

BITS = 10  # of a byte on the line


async def send_bytes(wire, data: Iterable[int], bit_time: float, *, stop: int = 1) -> None:
    """Put bytes on a wire; a bit takes ``bit_time`` cycles."""
    for byte in data:
        for bit in (0, *(byte >> n & 1 for n in range(8)), stop):
            wire.value = bit
            await Timer(round(bit_time * PERIOD * 1000), "ps")
    wire.value = 1


class ByteMonitor:
    """Collect the bytes on a wire."""

    def __init__(self, wire, bit_time: float):
        self.received = bytearray()
        self.arrived = Event()
        self._wire, self._bit = wire, round(bit_time * PERIOD * 1000)
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            await FallingEdge(self._wire)
            await Timer(self._bit * 3 // 2, "ps")
            byte = 0
            for n in range(8):
                byte |= int(self._wire.value) << n
                await Timer(self._bit, "ps")
            assert self._wire.value == 1, "no stop bit"
            self.received.append(byte)
            self.arrived.set()


class Noise:
    """Change, lose, double or make up a share of all bytes, and now and then a whole burst."""

    def __init__(self, rng: random.Random, share: float):
        self._rng, self._share = rng, share

    def __call__(self, data: bytes) -> bytes:
        rng, through = self._rng, bytearray()
        for byte in data:
            if rng.random() >= self._share:
                through.append(byte)
                continue
            match rng.randrange(5):
                case 0:
                    through.append(byte ^ 1 << rng.randrange(8))
                case 1:
                    through.append(rng.choice([0x7D, 0x7E, rng.randrange(256)]))
                case 2:
                    through += bytes([byte, byte])
                case 3:
                    through += bytes([byte, *(rng.randrange(256) for _ in range(rng.randrange(1, 9)))])
                case 4:
                    pass  # lost
        return bytes(through)


class SimulatedPort:
    """A transport of :class:`firmware.link.Link`, for use in a function that :func:`cocotb.task.bridge` made.

    Parameters
    ----------
    rx, tx
        Wires of the design.
    bit_time : float
        Cycles a bit.
    noise : Noise, optional
        On the way to the design and back.
    """

    def __init__(self, rx, tx, bit_time: float, noise: Noise | None = None):
        self._rx, self._bit_time = rx, bit_time
        self._noise = noise or bytes
        self._monitor = ByteMonitor(tx, bit_time)
        rx.value = 1

    @resume
    async def write(self, data: bytes) -> None:
        await send_bytes(self._rx, self._noise(data), self._bit_time)

    @resume
    async def read(self, count: int, timeout: float) -> bytes:
        received = self._monitor.received
        if not received:
            try:
                await with_timeout(self._wait(), round(timeout * 1e9), "ns")
            except SimTimeoutError:
                return b""
            # A reply in one piece: until a byte's time passes without a byte.
            length = 0
            while length < len(received):
                length = len(received)
                await Timer(round(2 * BITS * self._bit_time * PERIOD), "ns")
        data, received[:] = bytes(received[:count]), received[count:]
        return self._noise(data)

    async def _wait(self) -> None:
        self._monitor.arrived.clear()
        await self._monitor.arrived.wait()

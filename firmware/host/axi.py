"""A core behind AXI: registers in memory, events by DMA. Made for PYNQ, and for whatever looks like it.

Objects of these shapes are enough; :mod:`pynq` itself is imported by :func:`firmware.host.overlay.open_overlay` alone.

    mmio.read(offset) -> int                   mmio.write(offset, word)
    allocate(shape, dtype) -> numpy.ndarray    whose ``device_address`` is that on the bus, with ``flush()``
    dma.sendchannel, dma.recvchannel           ``transfer(array, start, nbytes)``, ``idle``, ``error``, ``wait()``,
                                               then ``transferred``

A DMA has TLAST but no TUSER. It travels in bit 30 of a beat's index instead, which is a copy of bit 29 in every index
that there is; two Subset Converters between DMA and core take it out and put it in (docs/host.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firmware.core import PATIENCE, Core
from firmware.host.device import Device
from firmware.operations import COUNT_MAX, Beat, Read, Request, Result, Send, Take, Write
from firmware.register_access import MAGIC
from firmware.register_map import MapError, RegisterMap
from firmware.requester import LinkError
from hw.bus.operations import Outcome

USER_BIT, COPIED_BIT = 30, 29  #: of the index
CAPACITY = 2 * COUNT_MAX + 1  #: words of a request: a SEND may have as many beats as it can count
BEAT_BYTES = 8
PAGE_BYTES, LIST_BEAT_BYTES = 4096, 16  #: of the window of lists in external memory
TIMEOUT = 5.0  #: seconds


class Mmio(Protocol):
    """Registers, by byte offset. A refused access may raise OSError; on most boards it cannot be told."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, word: int) -> None: ...


Allocate = Callable[..., Any]  #: ``allocate(shape=..., dtype=...)`` returns a buffer that the DMA reaches


class AxiPort:
    """The :class:`firmware.core.Port` of a core behind AXI.

    Parameters
    ----------
    mmio : Mmio
        The core's 4 KiB of registers.
    dma : object with ``sendchannel`` and ``recvchannel``
        To the core's ``s_axis`` and from its ``m_axis``; both run.
    allocate : callable
        Returns buffers for it.
    registers : RegisterMap
        Of the core's build: :func:`firmware.register_map.read_ip_xact`.
    timeout : float
        Seconds without progress after which a call gives up.

    Raises
    ------
    LinkError
        As all methods, if the DMA fails, or a step is larger than the core can take or send.
    """

    capacity = CAPACITY

    def __init__(self, mmio: Mmio, dma: Any, allocate: Allocate, registers: RegisterMap, *, timeout: float = TIMEOUT):
        self._mmio, self._registers, self._allocate = mmio, registers, allocate
        self._send_channel, self._take_channel = dma.sendchannel, dma.recvchannel
        self._patience = timeout / PATIENCE
        self._sending = self._taking = False  # a transfer was begun, and not seen to have ended
        self._step: list[Beat] = []  # beats of a step that is not whole yet
        self._packet: list[Beat] = []  # taken from the DMA, and not by the driver yet
        self._packet_user = False
        self._lists: Any = None  # kept as long as the core reads it
        self._status_address = registers["status"].address
        magic = self._word(registers["magic"].address)
        if magic != MAGIC:
            raise MapError(
                f"MAGIC reads {magic:#010x} where the register map has it, an Egret core's is {MAGIC:#010x}; take the "
                "map of the core's build, and the core's block of the design"
            )
        self.status = self._read_status()
        lanes, rows, lists = (self._fields(name) for name in ("lanes", "rows", "lists"))
        # A step has an event of every source at most; and a null beat.
        self._to_send = allocate(shape=(rows["sources"] + 1, 2), dtype=np.uint32)
        outputs = rows["rows"] * lanes["lanes"] * (4 if lists["lists"] else 1)
        self._taken = allocate(shape=(outputs + 1, 2), dtype=np.uint32)

    def execute(self, operations: Request) -> list[Result]:
        """Execute operations up to the first whose outcome is not OKAY."""
        results: list[Result] = []
        for operation in operations:
            results.append(self._operation(operation))
            if results[-1].outcome != Outcome.OKAY:
                break
        self.status = self._read_status()
        return results

    def forget(self) -> bool:
        """Drop beats that are on this side; return whether the DMA has some left."""
        self._step.clear()
        self._packet.clear()
        self._sending = self._sending and not self._ended(self._send_channel, 0)
        return self._sending

    def place_lists(self, lists: NDArray[np.uint64]) -> tuple[int, int]:
        """Put lists, uint64 (beats, 2), into memory; return the window: its address, and how many beats it has."""
        words = np.ascontiguousarray(lists, "<u8").view(np.uint32).ravel()
        buffer = self._allocate(shape=(len(words) + PAGE_BYTES // 4,), dtype=np.uint32)
        skipped = -buffer.device_address % PAGE_BYTES
        buffer[skipped // 4 : skipped // 4 + len(words)] = words
        buffer.flush()
        self._lists = buffer
        return buffer.device_address + skipped, 4 * len(words) // LIST_BEAT_BYTES

    def _word(self, address: int) -> int:
        try:
            return int(self._mmio.read(address))
        except OSError as error:
            raise LinkError(f"the register at {address:#05x} cannot be read ({error}); open the device again") from None

    def _read_status(self) -> int:
        return self._word(self._status_address) & 0xFF

    def _fields(self, name: str) -> dict[str, int]:
        register = self._registers[name]
        return register.split(self._word(register.address))

    def _operation(self, operation: Write | Read | Send | Take) -> Result:
        if isinstance(operation, Write):
            return self._write(operation)
        if isinstance(operation, Read):
            return self._read(operation)
        if isinstance(operation, Send):
            return self._send(operation)
        return self._take(operation)

    def _write(self, operation: Write) -> Result:
        for done, word in enumerate(operation.data):
            try:
                self._mmio.write(operation.address, int(word))
            except OSError:
                return Result(Outcome.REFUSED, operation.count - done)
        return Result(Outcome.OKAY, 0)

    def _read(self, operation: Read) -> Result:
        words: list[int] = []
        for offset in range(operation.address, operation.address + 4 * operation.count, 4):
            try:
                words.append(int(self._mmio.read(offset)))
            except OSError:
                return Result(Outcome.REFUSED, operation.count - len(words), data=tuple(words))
        return Result(Outcome.OKAY, 0, data=tuple(words))

    def _send(self, operation: Send) -> Result:
        """Keep the beats until the step is whole, which is one transfer."""
        if self._sending and not self._ended(self._send_channel, self._patience):
            return Result(Outcome.TIMEOUT, operation.count)
        self._sending = False
        self._step += operation.beats
        if operation.last:
            count = len(self._step)
            if count > len(self._to_send):
                self._step.clear()
                raise LinkError(
                    f"a step of {count} beats; the core's {len(self._to_send) - 1} sources have as many at most, send "
                    "one event an input"
                )
            beats = np.array(self._step, np.int64).astype(np.uint32)
            _put_user(beats, operation.user)
            self._to_send[:count] = beats
            self._step.clear()
            self._begin(self._send_channel, self._to_send, BEAT_BYTES * count)
            self._sending = True
        return Result(Outcome.OKAY, 0)

    def _take(self, operation: Take) -> Result:
        if not self._packet:
            if not self._taking:
                self._begin(self._take_channel, self._taken, self._taken.nbytes)
                self._taking = True
            if not self._ended(self._take_channel, self._patience):
                return Result(Outcome.TIMEOUT, operation.count)
            self._taking = False
            beats = np.array(self._taken[: self._take_channel.transferred // BEAT_BYTES])
            self._packet_user = _take_user(beats)
            self._packet = [(int(index), int(value)) for index, value in beats]
        beats_taken, self._packet = self._packet[: operation.count], self._packet[operation.count :]
        last = not self._packet
        return Result(
            Outcome.OKAY if last else Outcome.FULL,
            operation.count - len(beats_taken),
            last,
            last and self._packet_user,
            tuple(word for beat in beats_taken for word in beat),
        )

    @staticmethod
    def _begin(channel: Any, buffer: Any, size: int) -> None:
        try:
            channel.transfer(buffer, 0, size)
        except (RuntimeError, ValueError) as error:
            raise LinkError(
                f"the DMA refuses a transfer of {size} bytes ({error}); give its length register more bits, or load "
                "the overlay again"
            ) from None

    @staticmethod
    def _ended(channel: Any, patience: float) -> bool:
        """Return whether a transfer has ended, after waiting ``patience`` seconds at most."""
        deadline = time.monotonic() + patience
        try:
            while not (channel.idle or channel.error):
                if time.monotonic() >= deadline:
                    return False
            channel.wait()  # for nothing any more: it checks the transfer, and lets the processor see its data
        except RuntimeError as error:
            raise LinkError(f"the DMA failed ({error}); load the overlay again") from None
        return True


def _put_user(beats: NDArray[np.uint32], user: bool) -> None:
    """Put TUSER into the last of beats, uint32 (beats, 2), and 0 into all others."""
    beats[:, 0] &= np.uint32(0xFFFFFFFF ^ 1 << USER_BIT)
    beats[-1, 0] |= np.uint32(user << USER_BIT)


def _take_user(beats: NDArray[np.uint32]) -> bool:
    """Return TUSER of the last beat, and make all indices whole again."""
    user = bool(beats[-1, 0] >> np.uint32(USER_BIT) & 1)
    copied = (beats[:, 0] >> np.uint32(COPIED_BIT) & 1) << np.uint32(USER_BIT)
    beats[:, 0] = beats[:, 0] & np.uint32(0xFFFFFFFF ^ 1 << USER_BIT) | copied
    return user


def open_axi(
    mmio: Mmio,
    dma: Any,
    allocate: Allocate,
    registers: RegisterMap,
    *,
    timeout: float = TIMEOUT,
    progress: bool = False,
    close: Callable[[], None] | None = None,
) -> Device:
    """Open a core behind objects as this module describes them; parameters are those of :class:`AxiPort`."""
    try:
        port = AxiPort(mmio, dma, allocate, registers, timeout=timeout)
    except BaseException:
        if close:
            close()
        raise
    return Device(Core(port, registers), place_lists=port.place_lists, close=close, progress=progress)

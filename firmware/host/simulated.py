"""A simulated board: ``egret.v``, by Verilator, with registers, DMA and memory as :mod:`firmware.host.axi` has them.

    board = SimulatedBoard(config)
    port = AxiPort(board.mmio, board.dma, board.allocate, described())

Registers and events go through the module's own AXI4-Lite and AXI4-Stream ports. Its clock runs while a register is
accessed or a channel of the DMA is asked about, and stands in between.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.host.axi import BEAT_BYTES, COPIED_BIT, TIMEOUT, USER_BIT, open_axi
from firmware.host.device import Device
from firmware.register_map import described
from hw.config import CoreConfig
from sim.top_library import Port, open_top

OK = 0
MEMORY = 0x1000_0010  #: address of the first buffer; not that of a page, as a board's needs not be either
WORD_MASK = 0xFFFFFFFF


class Beat(ctypes.Structure):
    """A beat as the functions of the simulated top take it."""

    _fields_ = [
        ("index", ctypes.c_uint32), ("value", ctypes.c_uint32), ("last", ctypes.c_bool), ("user", ctypes.c_bool),
    ]  # fmt: skip


_ACCESS: dict[str, tuple[Any, ...]] = {
    "read": (ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)), "write": (ctypes.c_uint32, ctypes.c_uint32),
    "take": (ctypes.POINTER(Beat),),
}  # fmt: skip


class SimulatedBuffer(np.ndarray):
    """An array that the simulated DMA and core reach at ``device_address``."""

    device_address: int
    board: SimulatedBoard

    def flush(self) -> None:
        """Let the core's port to memory see the content."""
        self.board.fill(self.device_address, self.tobytes())


class SimulatedBoard:
    """A core with its DMA, after power-on.

    Attributes
    ----------
    mmio : its registers; a refused access raises OSError
    dma : its channels
    cycles : int, of its clock since power-on

    Raises
    ------
    sim.verilate.SimulationError
        If the core cannot be compiled.
    """

    def __init__(self, config: CoreConfig):
        self._library = open_top(config)
        self._port = Port()
        self._library.egret_top_open(ctypes.byref(self._port))
        self._calls = {
            name: ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *arguments)(getattr(self._port, name))
            for name, arguments in _ACCESS.items()
        }
        self._address = MEMORY
        self.mmio = SimpleNamespace(read=self._read, write=self._write)
        self.dma = SimpleNamespace(sendchannel=_SendChannel(self), recvchannel=_TakeChannel(self))

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> SimulatedBuffer:
        """Return a buffer of zeros."""
        buffer = np.zeros(shape, dtype).view(SimulatedBuffer)
        buffer.board, buffer.device_address = self, self._address
        self._address += buffer.nbytes
        return buffer

    def call(self, name: str, *arguments: Any) -> bool:
        """Call a function of the simulated top; return whether it did what it is for."""
        return bool(self._calls[name](self._context(), *arguments) == OK)

    def send(self, beat: Beat) -> bool:
        """Give the core a beat; return whether it had room."""
        self._context()
        return bool(self._library.egret_top_send(ctypes.byref(self._port), ctypes.byref(beat)) == OK)

    def _context(self) -> Any:
        if not self._port.context:
            raise OSError("the simulation has ended")
        return self._port.context

    def fill(self, address: int, content: bytes) -> None:
        """Put bytes into external memory, which has nothing else."""
        self._library.egret_top_fill(
            ctypes.byref(self._port), ctypes.c_uint32(address), content, ctypes.c_size_t(len(content))
        )

    def advance(self) -> None:
        """Let the DMA move what it can; the core's clock runs meanwhile."""
        self.dma.sendchannel.advance()
        self.dma.recvchannel.advance()

    @property
    def cycles(self) -> int:
        return int(self._library.egret_top_cycles(ctypes.byref(self._port)))

    def _read(self, offset: int) -> int:
        word = ctypes.c_uint32()
        if not self.call("read", offset, ctypes.byref(word)):
            raise OSError(f"the register at {offset:#05x} answers with an error")
        return word.value

    def _write(self, offset: int, word: int) -> None:
        if not self.call("write", offset, word):
            raise OSError(f"the register at {offset:#05x} answers with an error")

    def close(self) -> None:
        """End the simulation."""
        if self._port.context:
            self._library.egret_top_close(ctypes.byref(self._port))
            self._port.context = None

    def __enter__(self) -> SimulatedBoard:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Channel:
    """A channel of a simple DMA: one transfer at a time, which ends when it has moved all of it, or at TLAST."""

    def __init__(self, board: SimulatedBoard):
        self._board = board
        self._beats: NDArray[np.uint32] | None = None  # of the transfer under way
        self._moved = self.transferred = 0
        self.error = False

    def transfer(self, buffer: NDArray[np.uint32], start: int = 0, nbytes: int = 0) -> None:
        """Begin a transfer between the bus and a part of a buffer, uint32 (beats, 2)."""
        if self._beats is not None:
            raise RuntimeError("DMA channel not idle")
        self._beats = buffer.reshape(-1, 2)[start // BEAT_BYTES : (start + nbytes) // BEAT_BYTES]
        self._moved = 0

    @property
    def idle(self) -> bool:
        """Whether no transfer is under way."""
        self._board.advance()
        return self._beats is None

    def wait(self) -> None:
        """Wait for the end of the transfer."""
        while not self.idle:
            if self.error:
                raise RuntimeError("DMA Internal Error")
        self.transferred = BEAT_BYTES * self._moved


class _SendChannel(_Channel):
    def advance(self) -> None:
        while self._beats is not None:
            index, value = (int(word) for word in self._beats[self._moved])
            last = self._moved + 1 == len(self._beats)
            # The Subset Converter between DMA and core.
            user, copied = index >> USER_BIT & 1, index >> COPIED_BIT & 1
            beat = Beat(index & (WORD_MASK ^ 1 << USER_BIT) | copied << USER_BIT, value, last, bool(user))
            if not self._board.send(beat):
                return
            self._moved += 1
            if last:
                self._beats = None


class _TakeChannel(_Channel):
    def advance(self) -> None:
        beat = Beat()
        while self._beats is not None and self._board.call("take", ctypes.byref(beat)):
            if self._moved == len(self._beats):
                self.error = True  # more than the buffer holds
                return
            # The Subset Converter between core and DMA.
            self._beats[self._moved] = beat.index & (WORD_MASK ^ 1 << USER_BIT) | beat.user << USER_BIT, beat.value
            self._moved += 1
            if beat.last:
                self._beats = None


def open_simulated(config: CoreConfig, *, timeout: float = TIMEOUT, progress: bool = False) -> Device:
    """Open a simulated core; the first time, Verilator compiles it, which takes a minute or two."""
    board = SimulatedBoard(config)
    return open_axi(
        board.mmio, board.dma, board.allocate, described(), timeout=timeout, progress=progress, close=board.close
    )

"""The three ways to a simulated core: its DMA and registers, the same by a generated map, and a serial line to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from firmware.host import vectors
from firmware.host.axi import open_axi
from firmware.host.device import Device
from firmware.host.network import compile_for
from firmware.host.simulated import Beat, SimulatedBoard, open_simulated
from firmware.link import Link
from firmware.register_map import read_ip_xact
from hw.config import CoreConfig
from hw.ip_xact import ip_xact
from tests.firmware.device import Core
from tests.firmware.device import Device as Twin
from tests.firmware.port import TwinPort

#: Holds the digits network and the vectors.
CONFIG = CoreConfig(lanes=4, cell_units=2, rows=64, entries=2048, sources=256, layers=3)
STREAMED = CoreConfig(
    lanes=2, cell_units=1, rows=32, entries=2, sources=64, layers=3, gap_bits=4, lists=64, port_bits=64
)  # fmt: skip
COMPACT = CoreConfig(lanes=2, cell_units=1, rows=32, entries=512, sources=64, layers=2, counters=False, compact=True)
RANKED = CoreConfig(lanes=2, cell_units=1, rows=32, entries=1024, sources=64, layers=2, ranked=5)
TIMEOUT = 0.3  #: seconds, of calls that are to run into it
MOVED = 0x800  #: bytes by which a map is moved


class _Waiting:
    """The outputs of a simulated top, as the queue that the host link's twin takes them from."""

    def __init__(self, board: SimulatedBoard):
        self._board = board
        self._beat: tuple[int, int, bool, bool] | None = None

    def __bool__(self) -> bool:
        beat = Beat()
        if self._beat is None and self._board.call("take", ctypes.byref(beat)):
            self._beat = beat.index, beat.value, beat.last, beat.user
        return self._beat is not None

    def popleft(self) -> tuple[int, int, bool, bool]:
        assert self, "a beat was taken that is not there"
        beat, self._beat = self._beat, None
        assert beat is not None
        return beat


class TopCore(Core):
    """A simulated top behind the host link's twin."""

    def __init__(self, board: SimulatedBoard):
        super().__init__()
        self._board = board
        self.waiting = _Waiting(board)

    def write(self, address: int, word: int) -> bool:
        with contextlib.suppress(OSError):
            self._board.mmio.write(address, word)
            return True
        return False

    def read(self, address: int) -> int | None:
        with contextlib.suppress(OSError):
            return self._board.mmio.read(address)
        return None

    def send(self, beat: tuple[int, int], last: bool, user: bool) -> bool:
        sent = Beat(beat[0], beat[1] & 0xFFFFFFFF, last, user)
        return any(self._board.send(sent) for _ in range(100))  # the link waits longer than a call


def write_map(config: CoreConfig, folder: Path) -> Path:
    """Write a build's register map."""
    path = folder / "egret.xml"
    path.write_text(
        ip_xact(config, name="egret", vendor="egret", library="accelerators", version="0.1.0", title="A core.")
    )
    return path


def open_by_map(config: CoreConfig, folder: Path, *, timeout: float = 5.0) -> Device:
    """Open a simulated core by its generated map, moved to where no number in the code could know of it."""
    path = write_map(config, folder)
    text = re.sub(
        "(addressOffset>)'h([0-9a-f]+)", lambda found: f"{found[1]}{MOVED + int(found[2], 16)}", path.read_text()
    )
    path.write_text(text)
    board = SimulatedBoard(config)
    mmio = SimpleNamespace(
        read=lambda offset: board.mmio.read(offset - MOVED),
        write=lambda offset, word: board.mmio.write(offset - MOVED, word),
    )
    return open_axi(mmio, board.dma, board.allocate, read_ip_xact(path), timeout=timeout, close=board.close)


def open_by_line(config: CoreConfig, *, timeout: float = 5.0) -> Device:
    """Open a simulated core behind the twin of the host link."""
    board = SimulatedBoard(config)
    return Device(Link(TwinPort(TopCore(board)), timeout=timeout / 10), close=board.close)


def open_way(way: str, config: CoreConfig, folder: Path) -> Device:
    return {
        "simulated": lambda: open_simulated(config),
        "axi": lambda: open_by_map(config, folder),
        "uart": lambda: open_by_line(config),
    }[way]()


@contextlib.contextmanager
def serial_device(config: CoreConfig) -> Iterator[str]:
    """Put a simulated core behind a terminal; yield the name that a serial port has."""
    near, far = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    with SimulatedBoard(config) as board:
        twin = Twin(TopCore(board), capacity=127)

        def serve() -> None:
            with contextlib.suppress(OSError):  # the end of the line
                while data := os.read(near, 4096):
                    os.write(near, twin.receive(data))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield os.ttyname(far)
        finally:
            os.close(far)
            thread.join()
            os.close(near)


def words_for(device: Device, name: str = "readout") -> np.ndarray:
    """Return the image of a network of the vectors."""
    return compile_for(vectors.read_vectors(name)[0], device.identity).words


def said(kind: type[Exception], function: Callable, *arguments: object, **options: object) -> str:
    """Return what a call says by an exception."""
    with pytest.raises(kind) as caught:
        function(*arguments, **options)
    return str(caught.value)

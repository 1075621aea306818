"""The memory model of ``sim/harness/memory.h``, compiled once and driven from Python, cycle by cycle or all at once.

model = MemoryModel(DDR3_800, core_mhz=100, content=content)
cycles = model.serve(addresses, beats, outstanding=4)
"""

from __future__ import annotations

import ctypes
import enum
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.memories import PIECE_BYTES, DramMemory, ExternalMemory, Fault, IdealMemory, pack
from sim.native import load

SOURCE = Path(__file__).parent / "harness" / "memory.h"
PAGE_BYTES = 4096  #: no burst crosses a multiple of this, as AXI wants it
BEATS_MEASURED, SEED = 60_000, 1  #: of :func:`bandwidth`
IDEAL_BYTES = 1 << 28  #: that an ideal memory is taken to have there
RUN_GAP = 3  #: cycles of an Axi4Read between the addresses of one run and the next
BURST_GAP = 2  #: and between those within a run
TURNAROUND = 2  #: its cycles from the end of a burst to the address that takes its place
PATIENCE = 100_000  #: cycles without a transfer after which :meth:`MemoryModel.serve` gives up


@functools.cache
def build() -> ctypes.CDLL:
    """Compile the model if it is not there, and load it.

    Raises
    ------
    CompilerError
        See :func:`sim.native.load`.
    """
    library = load(SOURCE, "EGRET_MEMORY_LIBRARY")
    u64, pointer = ctypes.c_uint64, ctypes.c_void_p
    for name, result, arguments in (
        ("check", ctypes.c_char_p, (pointer, u64)), ("new", pointer, (pointer, u64, pointer, u64)),
        ("delete", None, (pointer,)), ("log", None, (pointer,)), ("commands", u64, (pointer, pointer)),
        ("counts", None, (pointer, pointer)), ("now", u64, (pointer,)), ("tick", None, (pointer, u64)),
        ("ar_ready", ctypes.c_int, (pointer,)), ("ar", None, (pointer, ctypes.c_uint32, ctypes.c_uint8)),
        ("r_valid", ctypes.c_int, (pointer,)), ("r", None, (pointer, pointer)), ("r_taken", None, (pointer,)),
        ("serve", u64, (pointer, u64, pointer, pointer, pointer, u64, u64, u64, u64, pointer)),
    ):  # fmt: skip
        function = getattr(library, f"egret_memory_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class CommandKind(enum.IntEnum):
    """A command to a chip; the numbers are those of ``memory.h``."""

    ACTIVATE = 0
    READ = 1
    PRECHARGE = 2
    PRECHARGE_ALL = 3
    REFRESH = 4


class Transfer(NamedTuple):
    """What the port shows: data, response (0 OKAY, 2 SLVERR, 3 DECERR), and whether it ends its burst."""

    data: int
    response: int
    last: bool


class Counts(NamedTuple):
    """What a memory did since it was made.

    bursts, transfers, bytes
        Addresses accepted; transfers taken; bytes of content in them.
    busy, held
        Cycles in which something was under way; in which a transfer was shown and not taken.
    hits, misses, conflicts
        Pieces of 16 bytes whose row was open; whose bank had no row open; whose bank had another row open.
    refreshes, data_clocks
        Refreshes; clocks of the memory with data on its pins. What was due while nothing is asked is counted when the
        next piece is read.
    outside
        Transfers from where there is no content; they get DECERR.
    """

    bursts: int
    transfers: int
    bytes: int
    busy: int
    held: int
    hits: int
    misses: int
    conflicts: int
    refreshes: int
    data_clocks: int
    outside: int


class MemoryModel:
    """A memory behind an AXI4 read port, the same as the compiled core has.

    In a cycle first :meth:`ask` and :meth:`take`, as :attr:`ready` and :attr:`transfer` allow, then :meth:`tick`.

    Parameters
    ----------
    memory : IdealMemory or DramMemory
        See :mod:`sim.memories`.
    core_mhz, data_bits, base, faults
        As :func:`sim.memories.pack` takes them.
    content : uint8 (bytes,), optional
        What is at ``base``; reads elsewhere get DECERR. It is not copied.
    size : int, optional
        Bytes, all 0, where no content is given.
    log : bool
        Keep a DRAM's commands for :attr:`commands`.

    Raises
    ------
    ValueError
        If a parameter is wrong, or the content is larger than the memory.
    CompilerError
        If there is no C++ compiler.
    """

    def __init__(
        self,
        memory: ExternalMemory,
        *,
        core_mhz: float,
        data_bits: int = 128,
        base: int = 0,
        faults: Sequence[Fault] = (),
        content: ArrayLike | None = None,
        size: int = 0,
        log: bool = False,
    ):
        self._handle = None
        numbers = pack(memory, core_mhz=core_mhz, data_bits=data_bits, base=base, faults=faults)
        self._library = build()
        if wrong := self._library.egret_memory_check(numbers.ctypes.data, len(numbers)):
            raise ValueError(wrong.decode())
        self._content = None if content is None else np.ascontiguousarray(content, np.uint8)
        size = size if self._content is None else len(self._content)
        if isinstance(memory, DramMemory) and size > memory.size:
            raise ValueError(f"the content has {size:,} bytes; {memory.name} has {memory.size:,}")
        address = None if self._content is None else self._content.ctypes.data
        self._handle = self._library.egret_memory_new(numbers.ctypes.data, len(numbers), address, size)
        self._data_bits = data_bits
        if log:
            self._library.egret_memory_log(self._handle)

    def __del__(self) -> None:
        if self._handle is not None:
            self._library.egret_memory_delete(self._handle)

    @property
    def cycle(self) -> int:
        """The number of this cycle, from 0."""
        return self._library.egret_memory_now(self._handle)

    @property
    def ready(self) -> bool:
        """Whether an address is accepted in this cycle."""
        return bool(self._library.egret_memory_ar_ready(self._handle))

    @property
    def transfer(self) -> Transfer | None:
        """The transfer that may be taken in this cycle, if any."""
        if not self._library.egret_memory_r_valid(self._handle):
            return None
        words = np.zeros(18, np.uint32)
        self._library.egret_memory_r(self._handle, words.ctypes.data)
        return Transfer(
            int.from_bytes(words[: self._data_bits // 32].tobytes(), "little"), int(words[16]), bool(words[17])
        )

    @property
    def counts(self) -> Counts:
        """What was done so far."""
        numbers = np.zeros(len(Counts._fields), np.uint64)
        self._library.egret_memory_counts(self._handle, numbers.ctypes.data)
        return Counts(*map(int, numbers))

    @property
    def commands(self) -> NDArray[np.void]:
        """What a DRAM was sent: ``clock``, ``kind`` (:class:`CommandKind`), ``bank``, ``row`` (-1: none), as planned.

        That is piece by piece: rows that are opened ahead of need stand behind reads that are later.
        """
        first = ctypes.c_void_p()
        count = self._library.egret_memory_commands(self._handle, ctypes.byref(first))
        kind = np.dtype([(name, np.int64) for name in ("clock", "kind", "bank", "row")])
        return np.frombuffer(ctypes.string_at(first, count * kind.itemsize) if count else b"", kind)

    def ask(self, address: int, transfers: int) -> None:
        """Ask for a burst of 1 to 256 transfers, each as wide as the port; once a cycle, and only when ready."""
        if not 1 <= transfers <= 256:
            raise ValueError(f"transfers is {transfers}; it must be 1 to 256")
        if not self.ready:
            raise RuntimeError("the memory accepts no address in this cycle")
        self._library.egret_memory_ar(self._handle, address, transfers - 1)

    def take(self) -> Transfer:
        """Take the transfer of this cycle, and return it."""
        transfer = self.transfer
        if transfer is None:
            raise RuntimeError("there is no transfer to take in this cycle")
        self._library.egret_memory_r_taken(self._handle)
        return transfer

    def tick(self, cycles: int = 1) -> None:
        """Go on to the next cycle, or by so many."""
        self._library.egret_memory_tick(self._handle, cycles)

    def serve(
        self,
        addresses: ArrayLike,
        beats: ArrayLike,
        outstanding: int,
        *,
        gaps: ArrayLike = 1,
        turnaround: int = 1,
        patience: int = PATIENCE,
    ) -> NDArray[np.int64]:
        """Play a master that asks for each burst as early as it may, and takes what comes at once.

        Parameters
        ----------
        addresses : int (bursts,)
            Byte addresses, multiples of 16; see :func:`split_runs`.
        beats : int (bursts,)
            Of 16 bytes each, in a burst; none crosses a page of 4096 bytes or has more than 256 transfers.
        outstanding : int
            Bursts under way at most.
        gaps : int or int (bursts,)
            Cycles from the address before to this one, at least; see :func:`split_runs`.
        turnaround : int
            Cycles from the last transfer of a burst to the address that takes its place, 1 or more.
        patience : int
            Cycles without a transfer after which the rest is given up.

        Returns
        -------
        int64 (transfers,)
            The cycle in which each transfer was taken, in order; fewer than asked for if the memory fell silent.

        Raises
        ------
        ValueError
            If an argument is not as said; the message names the first burst that AXI4 does not allow.
        """
        addresses, beats = np.asarray(addresses, np.int64), np.asarray(beats, np.int64)
        if addresses.shape != beats.shape or addresses.ndim != 1:
            raise ValueError(f"addresses are {addresses.shape} and beats {beats.shape}; both must be (bursts,)")
        if outstanding < 1:
            raise ValueError(f"outstanding is {outstanding}; it must be 1 or more")
        if turnaround < 1:
            raise ValueError(f"turnaround is {turnaround}; it must be 1 or more")
        if (np.asarray(gaps) < 1).any():
            raise ValueError("a gap is less than 1")
        gaps = np.ascontiguousarray(np.broadcast_to(np.asarray(gaps), addresses.shape), np.uint32)
        ends, transfers = addresses + PIECE_BYTES * beats, beats * (8 * PIECE_BYTES // self._data_bits)
        wrong = (
            (addresses % PIECE_BYTES != 0) | (addresses < 0) | (ends > 1 << 32) | (transfers < 1) | (transfers > 256)
        )
        wrong |= addresses // PAGE_BYTES != (ends - 1) // PAGE_BYTES
        if wrong.any():
            first = int(np.argmax(wrong))
            raise ValueError(f"burst {first}, {beats[first]} beats at {addresses[first]:#x}, is none that AXI4 allows")
        total = int(transfers.sum())
        cycles = np.empty(total, np.int64)
        addresses, lengths = addresses.astype(np.uint32), (transfers - 1).astype(np.uint8)
        came = self._library.egret_memory_serve(
            self._handle, len(addresses), addresses.ctypes.data, lengths.ctypes.data, gaps.ctypes.data, outstanding,
            turnaround, patience, total, cycles.ctypes.data,
        )  # fmt: skip
        return cycles[:came]

    def read(
        self, addresses: ArrayLike, beats: ArrayLike, *, burst_beats: int = 16, outstanding: int = 4
    ) -> NDArray[np.int64]:
        """Play an :class:`hw.bus.axi4_read.Axi4Read` of these parameters whose runs and beats never wait for others.

        It asks in the same cycles as that one (``tests/hw/test_axi4_read_memories.py``), from this cycle on.

        Parameters
        ----------
        addresses, beats
            Of runs; see :func:`split_runs`.

        Returns
        -------
        int64 (transfers,)
            As :meth:`serve` does.
        """
        bursts = split_runs(addresses, beats, burst_beats)
        return self.serve(
            bursts.addresses, bursts.beats, outstanding + 1, gaps=bursts.gaps, turnaround=TURNAROUND
        )  # one burst more: it waits in a queue's register


class Bursts(NamedTuple):
    """Bursts as :meth:`MemoryModel.serve` takes them, each int64 (bursts,): byte addresses, beats, gaps in cycles."""

    addresses: NDArray[np.int64]
    beats: NDArray[np.int64]
    gaps: NDArray[np.int64]


def split_runs(addresses: ArrayLike, beats: ArrayLike, burst_beats: int) -> Bursts:
    """Return the bursts that :class:`hw.bus.axi4_read.Axi4Read` makes of runs: none crosses a multiple of its size.

    It asks for a burst every other cycle, and for the first one of a run 3 cycles after the last one of the run before.

    Parameters
    ----------
    addresses : int (runs,)
        Byte addresses, multiples of 16.
    beats : int (runs,)
        Of 16 bytes, in each run, 1 or more.
    burst_beats : int
        Beats of the longest burst, a power of two of at most 256.
    """
    first, beats = np.asarray(addresses, np.int64) // PIECE_BYTES, np.asarray(beats, np.int64)
    if (beats < 1).any():
        raise ValueError("a run has no beats")
    if not 1 <= burst_beats <= PAGE_BYTES // PIECE_BYTES or burst_beats & (burst_beats - 1):
        raise ValueError(
            f"burst_beats is {burst_beats}; it must be a power of two from 1 to {PAGE_BYTES // PIECE_BYTES}"
        )
    blocks = first // burst_beats
    count = (first + beats - 1) // burst_beats - blocks + 1
    run = np.repeat(np.arange(len(first)), count)
    block = blocks[run] + np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count)
    start = np.maximum(first[run], block * burst_beats)
    stop = np.minimum((first + beats)[run], (block + 1) * burst_beats)
    gaps = np.where(np.diff(run, prepend=-1) > 0, RUN_GAP, BURST_GAP)
    return Bursts(start * PIECE_BYTES, stop - start, gaps)


def bandwidth(
    memory: ExternalMemory, beats: int | None, *, core_mhz: float, data_bits: int, outstanding: int, burst_beats: int
) -> float:
    """Return the bytes a second that an :class:`hw.bus.axi4_read.Axi4Read` gets, reading 60,000 beats.

    Parameters
    ----------
    beats : int, optional
        Beats of 16 bytes of a run; runs begin at random multiples of 16 bytes. In sequence, from 0 on, if None.
    core_mhz, data_bits, outstanding, burst_beats
        See :class:`MemoryModel` and :meth:`MemoryModel.read`.
    """
    size = IDEAL_BYTES if isinstance(memory, IdealMemory) else memory.size
    places = size // PIECE_BYTES
    if beats is None:
        starts, lengths = np.zeros(1, np.int64), np.array([min(BEATS_MEASURED, places)])
    else:
        starts = np.random.default_rng(SEED).integers(0, places - beats + 1, BEATS_MEASURED // beats)
        lengths = np.full(len(starts), beats)
    model = MemoryModel(memory, core_mhz=core_mhz, data_bits=data_bits, size=size)
    cycles = model.read(starts * PIECE_BYTES, lengths, burst_beats=burst_beats, outstanding=outstanding)
    return int(lengths.sum()) * PIECE_BYTES / (int(cycles[-1]) + 1) * core_mhz * 1e6

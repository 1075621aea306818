"""External memories to simulate a core with: their timing, what may go wrong, and what bandwidth is left.

    python -m sim.memories

The timing itself is in ``sim/harness/memory.h``, once, for the compiled model of a core and for
:class:`sim.memory_model.MemoryModel`. Here are its numbers, in the units of the data sheets, and where they are from.
"""

from __future__ import annotations

import argparse
import enum
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 16  #: what one read of a chip brings: a burst of 8 on 16 pins
LOOKAHEAD_MAX = 63
CYCLE_BITS = 16  #: of either side of the ratio of the clocks


class Limit(NamedTuple):
    """A time between two commands: at least so many clocks and so many ns."""

    clocks: int = 0
    ns: float = 0

    def at(self, clock_mhz: float) -> int:
        """Return the clocks that it takes at a clock, rounded up, as the data sheets want it."""
        return max(self.clocks, math.ceil(Fraction(str(self.ns)) * Fraction(str(clock_mhz)) / 1000))


@dataclass(frozen=True, kw_only=True)
class IdealMemory:
    """A memory that answers after a while, then every cycle.

    Parameters
    ----------
    name : str
    latency : int
        Cycles of the core from an address to the first transfer of its burst, 1 or more.
    queue : int
        Bursts that may be under way, 1 or more.
    """

    name: str
    latency: int
    queue: int = 64


@dataclass(frozen=True, kw_only=True)
class DramMemory:
    """One chip with 16 pins of data behind a controller that keeps rows open and serves reads in order.

    An address is row, bank, column, from the upper bits to the lower: what is read in sequence crosses to the next bank
    at the end of a row, which a controller that looks ahead has open by then.

    Parameters
    ----------
    name : str
    clock_mhz : float
        Of the chip's clock.
    transfers : int
        Of 16 bits in a clock: 1 (SDR) or 2 (DDR).
    banks, rows, row_bytes : int
        Of the chip, powers of two.
    cl : int
        CAS latency in clocks, from a read to its first data.
    t_rcd, t_rp, t_ras, t_rc, t_rrd, t_faw, t_ccd, t_rtp, t_rfc : Limit
        As JEDEC names them: activate to read; precharge to activate; activate to precharge; activate to activate of the
        same bank; of another bank; of the fifth bank; read to read; read to precharge; refresh to activate.
    t_refi_ns : float
        ns from a refresh to the next.
    front, back : int
        Cycles of the core in the controller: from an address to the first command, 1 or more; from data at the pins to
        the port.
    buffer : int
        Pieces of 16 bytes that may be read and not taken by the core yet; no more are read before there is room.
    lookahead : int
        Pieces behind the next one to be read whose rows may be opened meanwhile, 0 to 63. With 0, rows are opened in
        turn.
    queue : int
        Bursts that may be under way, 1 or more.
    """

    name: str
    clock_mhz: float
    transfers: int
    banks: int
    rows: int
    row_bytes: int
    cl: int
    t_rcd: Limit
    t_rp: Limit
    t_ras: Limit
    t_rc: Limit
    t_rrd: Limit
    t_faw: Limit
    t_ccd: Limit
    t_rtp: Limit
    t_rfc: Limit
    t_refi_ns: float
    front: int = 4
    back: int = 8
    buffer: int = 32
    lookahead: int = 16
    queue: int = 16

    @property
    def burst_clocks(self) -> int:
        """Clocks that the pins take for a piece."""
        return PIECE_BYTES // (2 * self.transfers)

    @property
    def peak(self) -> float:
        """Bytes a second while data is on the pins."""
        return 2e6 * self.transfers * self.clock_mhz

    @property
    def size(self) -> int:
        """Bytes of the chip."""
        return self.banks * self.rows * self.row_bytes


ExternalMemory = IdealMemory | DramMemory


def ideal(latency: int, *, queue: int = 64) -> IdealMemory:
    """Return a memory that answers ``latency`` cycles after an address, then every cycle.

    Raises
    ------
    ValueError
        If ``latency`` or ``queue`` is less than 1.
    """
    for name, value in (("latency", latency), ("queue", queue)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    return IdealMemory(name=f"ideal-{latency}", latency=latency, queue=queue)


def ddr3(clock_mhz: float = 400, *, cl: int = 6, name: str | None = None) -> DramMemory:
    """Return a DDR3 chip of 2 Gbit with 16 pins of data, of the slowest speed bin, at ``clock_mhz``.

    Source: Micron MT41J128M16 (2Gb: x4, x8, x16 DDR3 SDRAM data sheet): organisation; tCCD, tRTP, tRFC (2Gb), tREFI
    (TC <= 85 C) of its table of AC operating conditions. Speed bin DDR3-800E 6-6-6, as printed in Hynix HMT451S6MMP8C:
    tRCD, tRP, tRAS, tRC. DDR3-800 with pages of 2 KB, as printed in Samsung M393B5273CH0: tRRD, tFAW. A chip of a
    faster bin may be run as this one.
    """
    return DramMemory(
        name=name or f"ddr3-{2 * clock_mhz:g}", clock_mhz=clock_mhz, transfers=2, cl=cl,
        banks=8, rows=16_384, row_bytes=2048,
        t_rcd=Limit(ns=15), t_rp=Limit(ns=15), t_ras=Limit(ns=37.5), t_rc=Limit(ns=52.5),
        t_rrd=Limit(4, 10), t_faw=Limit(ns=50), t_ccd=Limit(4), t_rtp=Limit(4, 7.5),
        t_rfc=Limit(ns=160), t_refi_ns=7800,
    )  # fmt: skip


def sdr(clock_mhz: float = 133, *, cl: int = 3, name: str | None = None) -> DramMemory:
    """Return an SDRAM of 256 Mbit with 16 pins of data at ``clock_mhz``, of speed grade -75.

    Source: Micron MT48LC64M4A2, MT48LC32M8A2, MT48LC16M16A2 (256Mb: x4, x8, x16 SDRAM data sheet), table of AC
    operating conditions, column -75: tRCD, tRP, tRAS, tRC, tRRD, tRFC, and tREF of 64 ms for 8192 rows. A precharge may
    come CL - 1 clocks before the last data is valid (Micron MT48LC8M8, READ to PRECHARGE): 8 clocks after a read of 8.
    There is no tFAW. tCCD is 1, but bursts of 8 are read to their end.
    """
    return DramMemory(
        name=name or f"sdr-{clock_mhz:g}", clock_mhz=clock_mhz, transfers=1, cl=cl,
        banks=4, rows=8192, row_bytes=1024,
        t_rcd=Limit(ns=20), t_rp=Limit(ns=20), t_ras=Limit(ns=44), t_rc=Limit(ns=66),
        t_rrd=Limit(ns=15), t_faw=Limit(), t_ccd=Limit(1), t_rtp=Limit(8),
        t_rfc=Limit(ns=66), t_refi_ns=64e6 / 8192,
    )  # fmt: skip


IDEAL = ideal(10)
DDR3_800 = ddr3()
#: One port of LiteDRAM: no command for another bank before all for this one are out (locks of its crossbar).
DDR3_800_IN_TURN = replace(DDR3_800, name="ddr3-800-in-turn", lookahead=0)
SDR_133 = sdr()
MEMORIES = {memory.name: memory for memory in (IDEAL, DDR3_800, DDR3_800_IN_TURN, SDR_133)}


class FaultKind(enum.IntEnum):
    """What goes wrong; the numbers are those of ``memory.h``."""

    RESPONSE = 0  #: ``amount`` is the response, 2 (SLVERR) or 3 (DECERR); data is 0
    STALL = 1  #: the transfer comes ``amount`` cycles later
    SILENCE = 2  #: from here on nothing comes, and no address is accepted
    LATE = 3  #: from here on the latency is ``amount`` cycles more
    LAST = 4  #: ``last`` is wrong: set within a burst, or clear at its end


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault at the transfer of number ``transfer``, counted from 0, or at each one read from byte ``address``.

    Raises
    ------
    ValueError
        If not just one of both is given, or ``amount`` does not fit the kind.
    """

    kind: FaultKind
    transfer: int | None = None
    address: int | None = None
    amount: int = 0

    def __post_init__(self) -> None:
        if (self.transfer is None) == (self.address is None):
            raise ValueError("a fault has a transfer or an address, and not both")
        if self.kind == FaultKind.RESPONSE and self.amount not in (2, 3):
            raise ValueError(f"amount is {self.amount}; the response of a fault is 2 or 3")
        if self.amount < 0:
            raise ValueError(f"amount is {self.amount}; it must not be negative")


def pack(
    memory: ExternalMemory, *, core_mhz: float, data_bits: int = 128, base: int = 0, faults: Sequence[Fault] = ()
) -> NDArray[np.uint64]:
    """Return a memory as the numbers that ``memory.h`` reads: 26, in the order of ``MemoryParameters``, then faults.

    Times are clocks of the memory; ``clocks`` of them are ``cycles`` of the core. A fault is four numbers: kind,
    whether by address, where, amount. Those that an ideal memory has no use for are 0.

    Parameters
    ----------
    core_mhz : float
        Clock of the core.
    data_bits : int
        Width of the port, 64 or 128, of an ideal memory up to 512.
    base : int
        Byte address of the content, a multiple of 16.

    Raises
    ------
    ValueError
        If a parameter is not as said, or the ratio of the clocks takes more than 16 bits.
    """
    if data_bits not in (64, 128, 256, 512):
        raise ValueError(f"data_bits is {data_bits}; it must be 64, 128, 256 or 512")
    if data_bits > 128 and not isinstance(memory, IdealMemory):
        raise ValueError(f"data_bits is {data_bits}; it must be 64 or 128 before a DRAM")
    if not 0 <= base < 1 << 32 or base % PIECE_BYTES:
        raise ValueError(f"base is {base:#x}; it must be a multiple of 16 of at most 32 bits")
    if not core_mhz > 0:
        raise ValueError(f"core_mhz is {core_mhz}; it must be more than 0")
    if isinstance(memory, IdealMemory):
        numbers = [0, data_bits, base, memory.queue, memory.latency, *[0] * 20]
    else:
        numbers = [1, data_bits, base, memory.queue, 0, *_dram_numbers(memory, core_mhz)]
    numbers.append(len(faults))
    for fault in faults:
        by_address = fault.address is not None
        numbers += [fault.kind, by_address, fault.address if by_address else fault.transfer, fault.amount]
    return np.array(numbers, np.uint64)


def _dram_numbers(memory: DramMemory, core_mhz: float) -> list[int]:
    for name in ("banks", "rows", "row_bytes"):
        value = getattr(memory, name)
        if value < 1 or value & (value - 1):
            raise ValueError(f"{name} is {value}; it must be a power of two")
    if not 0 <= memory.lookahead <= LOOKAHEAD_MAX:
        raise ValueError(f"lookahead is {memory.lookahead}; it must be 0 to {LOOKAHEAD_MAX}")
    ratio = Fraction(str(memory.clock_mhz)) / Fraction(str(core_mhz))
    if max(ratio.numerator, ratio.denominator) >> CYCLE_BITS:
        raise ValueError(
            f"the clocks, {memory.clock_mhz} and {core_mhz} MHz, are as {ratio.numerator} to {ratio.denominator}; "
            f"take a ratio of numbers below {1 << CYCLE_BITS}"
        )
    limits = (memory.t_ras, memory.t_rc, memory.t_rrd, memory.t_faw, memory.t_rtp)
    return [
        ratio.numerator, ratio.denominator, memory.front, memory.back, memory.buffer, memory.lookahead,
        memory.banks.bit_length() - 1, memory.row_bytes, memory.burst_clocks,
        *(limit.at(memory.clock_mhz) for limit in (memory.t_ccd, memory.t_rcd, memory.t_rp)), memory.cl,
        *(limit.at(memory.clock_mhz) for limit in limits),
        math.floor(Fraction(str(memory.t_refi_ns)) * Fraction(str(memory.clock_mhz)) / 1000),  # no later than that
        memory.t_rfc.at(memory.clock_mhz),
    ]  # fmt: skip


# The table.

RUNS = (4, 16, 64)  #: beats


def usable(memory: ExternalMemory, core_mhz: float, data_bits: int) -> float:
    """Return the bytes a second that a memory or the port can move at most, whichever is less."""
    port = data_bits / 8 * core_mhz * 1e6
    return port if isinstance(memory, IdealMemory) else min(port, memory.peak)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sim.memories",
        description="Print what bandwidth the simulated external memories leave a core: peak of memory and port, and "
        "the share of the lower of both that the read master gets, in sequence, or in runs of beats (16 bytes) at "
        "random places.",
        epilog="example: python -m sim.memories --core-mhz 75 --bus 64 --outstanding 8",
    )
    parser.add_argument("--core-mhz", type=float, default=100.0, help="clock of the core in MHz (default: %(default)g)")
    parser.add_argument("--bus", type=int, choices=(64, 128), default=128, help="bits of the port (default: 128)")
    parser.add_argument(
        "--outstanding", type=int, default=4, help="bursts under way, as the master's parameter (default: %(default)s)"
    )
    parser.add_argument(
        "--burst", type=int, default=16, help="beats of the longest burst, a power of two (default: %(default)s)"
    )
    parser.add_argument("--lookahead", type=int, help="pieces that every DRAM looks ahead, 0 to 63 (default: its own)")
    return parser.parse_args(arguments)


def table(options: argparse.Namespace) -> list[list[str]]:
    """Return the rows: name, peaks in MB/s, cycles to the first transfer, shares."""
    from sim.memory_model import MemoryModel, bandwidth  # which imports this

    most = 256 // (128 // options.bus)
    if not 1 <= options.burst <= most or options.burst & (options.burst - 1):
        raise ValueError(f"--burst is {options.burst}; it must be a power of two from 1 to {most}")
    if options.outstanding < 1:
        raise ValueError(f"--outstanding is {options.outstanding}; it must be 1 or more")
    setup = {"core_mhz": options.core_mhz, "data_bits": options.bus}
    rows = []
    for memory in MEMORIES.values():
        if options.lookahead is not None and isinstance(memory, DramMemory):
            memory = replace(memory, lookahead=options.lookahead)
        pack(memory, **setup)  # raises before anything is divided by it
        most_bytes = usable(memory, **setup)
        shares = [
            bandwidth(memory, beats, **setup, outstanding=options.outstanding, burst_beats=options.burst) / most_bytes
            for beats in (None, *RUNS)
        ]
        peak = "" if isinstance(memory, IdealMemory) else f"{memory.peak / 1e6:.0f}"
        port = f"{options.bus / 8 * options.core_mhz:.0f}"
        (first,) = MemoryModel(memory, **setup, size=16).serve([0], [1], 1)[:1]
        rows.append([memory.name, peak, port, str(first), *(f"{share:.3f}" for share in shares)])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from golden.lm.native import CompilerError

    options = parse(arguments)
    try:
        rows = table(options)
    except (ValueError, CompilerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"core {options.core_mhz:g} MHz, port {options.bus} bits, bursts of up to {options.burst} beats, "
        f"{options.outstanding} under way; latency of the first transfer in cycles, shares of the lower peak"
    )
    shown = Table(box=box.MARKDOWN)
    shown.add_column("memory")
    for column in ("peak MB/s", "port MB/s", "latency", "in sequence", *(f"runs of {beats}" for beats in RUNS)):
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*row)
    Console(width=140).print(shown)
    return 0


if __name__ == "__main__":
    from sim import memories  # so that there is one of each class, here and in sim.memory_model

    sys.exit(memories.main())

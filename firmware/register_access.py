"""The registers of a core, one by one and several in a request: identity, counters, states, errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from firmware.operations import COUNT_MAX, Read, Request, Result, Write
from firmware.port import CoreError, Identity, Port
from firmware.register_map import RegisterMap, described
from firmware.requester import LinkError
from hw.bus.operations import Outcome
from hw.config import CoreConfig
from hw.counters import counter_map
from hw.errors import Error

MAGIC = int.from_bytes(b"EGRT", "little")
MAP_VERSION = 1  #: of the register map that this driver knows
CAPACITIES = ("lanes", "rows", "entries", "widths")  #: registers whose fields are a configuration's parameters


class Registers:
    """Read and write the registers of a core.

    Parameters
    ----------
    port : Port
    registers : RegisterMap, optional
        Where its registers are; as in ``hw/registers.rdl`` if left out.

    Attributes
    ----------
    seconds : float
        Spent in the port: on transfers, and on waiting for the core.

    Raises
    ------
    LinkError
        By all methods, if the port or the core fails them; CoreError if the core keeps an error.
    """

    def __init__(self, port: Port, registers: RegisterMap | None = None):
        self._port = port
        self._registers = described() if registers is None else registers
        self.seconds = 0.0

    # Requests.

    def execute(self, operations: Request) -> list[Result]:
        """Execute operations in one request; return the results of those that were begun.

        Operations end with the first whose outcome is not OKAY.
        """
        start = time.perf_counter()
        results = self._port.execute(operations)
        self.seconds += time.perf_counter() - start
        return results

    @property
    def status(self) -> dict[str, int]:
        """Fields of the core's register STATUS after the last request."""
        return self._registers["status"].split(self._port.status)

    @property
    def capacity(self) -> int:
        """Words that a request and a reply may have."""
        return self._port.capacity

    # Registers.

    def write(self, address: int, words: Sequence[int], advance: Callable[[int], None] | None = None) -> None:
        """Write words to one register, one after the other; ``advance`` is told how many more have been written."""
        most = min(self.capacity - 1, COUNT_MAX)
        for at in range(0, len(words), most):
            piece = words[at : at + most]
            (result,) = self.execute([Write(address, piece)])
            if result.outcome != Outcome.OKAY:
                raise LinkError(f"the register at {address:#05x} refused a write; see docs/registers.md")
            if advance:
                advance(len(piece))

    def read(self, address: int, count: int = 1) -> list[int]:
        """Read consecutive registers."""
        words: list[int] = []
        while len(words) < count:
            at = address + 4 * len(words)
            (result,) = self.execute([Read(at, min(count - len(words), self.capacity - 1, COUNT_MAX))])
            words += result.data
            if result.outcome != Outcome.OKAY:
                raise LinkError(
                    f"the register at {address + 4 * len(words):#05x} refused a read; see docs/registers.md"
                )
        return words

    def address(self, name: str) -> int:
        """Return the byte address of a register."""
        return self._registers[name].address

    def register(self, name: str) -> dict[str, int]:
        """Read the fields of a register."""
        return self._registers[name].split(*self.read(self.address(name)))

    def set_register(self, name: str, **fields: int) -> None:
        """Write fields of a register, 0 to all others."""
        self.write(self.address(name), [self._registers[name].join(**fields)])

    def select(self, selector: str, numbers: Sequence[int], shown: str, count: int = 1) -> list[tuple[int, ...]]:
        """Write each number to the register ``selector``; return what ``count`` registers from ``shown`` on say."""
        each = self.capacity // (2 + max(1, count))  # of a write and a read in a request, of their results in a reply
        address, at = self.address(selector), self.address(shown)
        found: list[tuple[int, ...]] = []
        for first in range(0, len(numbers), each):
            piece = numbers[first : first + each]
            results = self.execute([op for number in piece for op in (Write(address, [number]), Read(at, count))])
            if len(results) != 2 * len(piece) or any(result.outcome != Outcome.OKAY for result in results):
                raise LinkError(f"the registers {selector} and {shown} refused an access; see docs/registers.md")
            found += [result.data for result in results[1::2]]
        return found

    def identify(self) -> Identity:
        """Return what the core tells of itself."""
        (magic,) = self.read(self.address("magic"))
        if magic != MAGIC:
            raise LinkError(f"MAGIC is {magic:#010x}, an Egret core's is {MAGIC:#010x}; check what the device holds")
        version = self.register("version")
        if version["registers"] != MAP_VERSION:
            raise LinkError(
                f"the core's register map is of version {version['registers']}, this driver knows {MAP_VERSION}; use "
                "the driver that came with the core"
            )
        capacities: dict[str, int] = {}
        for name in CAPACITIES:
            capacities |= self.register(name)
        lists = self.register("lists")
        if lists["gap_bits"]:
            capacities |= lists
        config_id = self.register("config_id")["config_id"]
        return Identity(version["registers"], version["revision"], config_id, capacities)

    def counters(self) -> dict[str, int]:
        """Return all counters by name; empty for a core without."""
        if not self.register("counter_select")["count"]:
            return {}
        capacities: dict[str, Any] = dict(self.identify().capacities)
        names = counter_map(CoreConfig(**capacities))
        pairs = self.select("counter_select", list(names.values()), "counter_low", 2)
        return {name: low | high << 32 for name, (low, high) in zip(names, pairs, strict=True)}

    def check_error(self) -> None:
        """Raise CoreError if STATUS told of an error with the last request."""
        if self.status["error"]:
            code, detail = self.read(self.address("error"), 2)
            raise CoreError(Error(code), detail)

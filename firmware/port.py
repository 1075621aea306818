"""What lies between a host and a core, and what the two tell each other: steps, packets, an identity, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from firmware.operations import Beat, Request, Result
from firmware.requester import LinkError
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.errors import Error


class CoreError(LinkError):
    """The core keeps an error; ``error`` and ``detail`` are what it tells of it."""

    def __init__(self, error: Error, detail: int):
        super().__init__(f"the core met the error {error.name}, detail {detail:#x}; see docs/interfaces.md")
        self.error, self.detail = error, detail


class Port(Protocol):
    """The way to a core.

    Attributes
    ----------
    status : int
        Lowest byte of the core's register STATUS after the last request.
    capacity : int
        Words that a request and its reply may have, counted as docs/host-link.md does.
    """

    status: int
    capacity: int

    def execute(self, operations: Request) -> list[Result]:
        """Execute operations up to the first whose outcome is not OKAY; return the results of those that were begun.

        Every operation ends within a bounded time.
        """

    def forget(self) -> bool:
        """Before a reset: drop beats kept for the core; return whether some go on coming that the reset cannot stop."""


@dataclass(frozen=True)
class Step:
    """One step of input: events (index, value), and whether the step ends its sequence."""

    events: Sequence[Beat]
    ending: bool = False

    @property
    def beats(self) -> Sequence[Beat]:
        return self.events or [(BUS_NULL_INDEX, 0)]


@dataclass(frozen=True)
class Packet:
    """One step of output: events or logits (index, value), and whether the step ends its sequence."""

    events: list[Beat]
    ending: bool


@dataclass(frozen=True)
class Identity:
    """What a core tells of itself.

    registers : version of the register map
    revision : of the datapath
    config_id : identity that images must be compiled for
    capacities : ``lanes``, ``rows``, ``entries`` and the other parameters that are readable, by name; ``gap_bits``,
        ``lists`` and ``port_bits`` only of a core with lists in external memory
    """

    registers: int
    revision: int
    config_id: int
    capacities: dict[str, int]

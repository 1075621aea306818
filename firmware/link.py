"""A host's driver: load networks, run steps, read registers and counters of a core behind a serial line.

    from firmware.link import Link
    from firmware.serial_port import SerialPort

    link = Link(SerialPort("/dev/ttyUSB0", 1_000_000))
    link.load(np.fromfile("image.bin", "<u4").tolist())
    for packet in link.run([Step([(0, 12), (3, -5)]), Step([(1, 7)], ending=True)]):
        print(packet.events)

Protocol: docs/host-link.md; registers and events: docs/interfaces.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from firmware.operations import COUNT_MAX, Beat, Read, Request, Result, Send, Take, Write
from firmware.requester import LinkError, Requester, Transport
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.bus.operations import Outcome
from hw.bus.registers import registers
from hw.config import CoreConfig
from hw.counters import counter_map
from hw.errors import Error

REGISTERS = {register.name: register for register in registers()}
MAGIC = int.from_bytes(b"EGRT", "little")
CAPACITIES = ("lanes", "rows", "entries", "widths")  #: registers whose fields are parameters of a configuration
BEAT_WORDS = 2
PATIENCE = 100  #: requests without any progress after which a core counts as stuck


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
    capacities : ``lanes``, ``rows``, ``entries`` and the other parameters that are readable, by name
    """

    registers: int
    revision: int
    config_id: int
    capacities: dict[str, int]


class Link:
    """Talk to a core; every loss and damage on the line is repaired by repeating.

    Parameters
    ----------
    transport : Transport
    timeout : float
        Seconds of silence after which a request is repeated; more than a request takes to be sent and executed.
    attempts : int
        Times that a request is sent before giving up.

    Raises
    ------
    LinkError
        If nothing answers. All methods raise it, too, when the line or the core fails them.
    """

    def __init__(self, transport: Transport, *, timeout: float = 0.5, attempts: int = 10):
        self._requester = Requester(transport, timeout, attempts)
        self._beats: list[Beat] = []  # of the packet that has begun to come
        self._packets: deque[Packet] = deque()

    # Requests.

    def execute(self, operations: Request) -> list[Result]:
        """Execute operations in one request; return the results of those that were begun.

        Operations end with the first whose outcome is not OKAY.
        """
        return self._requester.execute(operations)

    @property
    def status(self) -> dict[str, int]:
        """Fields of the core's register STATUS after the last request."""
        return _fields("status", self._requester.status)

    @property
    def capacity(self) -> int:
        """Words that a request and a reply may have."""
        return self._requester.capacity

    @property
    def repetitions(self) -> int:
        """Requests that had to be sent again."""
        return self._requester.repetitions

    # Registers.

    def write(self, address: int, words: Sequence[int]) -> None:
        """Write words to one register, one after the other."""
        for at in range(0, len(words), self.capacity - 1):
            piece = words[at : at + self.capacity - 1]
            (result,) = self.execute([Write(address, piece)])
            if result.outcome != Outcome.OKAY:
                raise LinkError(f"the register at {address:#05x} refused a write; see docs/registers.md")

    def read(self, address: int, count: int = 1) -> list[int]:
        """Read consecutive registers."""
        words: list[int] = []
        while len(words) < count:
            at = address + 4 * len(words)
            (result,) = self.execute([Read(at, min(count - len(words), self.capacity - 1))])
            words += result.data
            if result.outcome != Outcome.OKAY:
                raise LinkError(
                    f"the register at {address + 4 * len(words):#05x} refused a read; see docs/registers.md"
                )
        return words

    def register(self, name: str) -> dict[str, int]:
        """Read the fields of a register."""
        return _fields(name, *self.read(REGISTERS[name].address))

    def set_register(self, name: str, **fields: int) -> None:
        """Write fields of a register, 0 to all others."""
        described = {field.name: field for field in REGISTERS[name].fields}
        self.write(REGISTERS[name].address, [sum(value << described[key].low for key, value in fields.items())])

    def identify(self) -> Identity:
        """Return what the core tells of itself."""
        (magic,) = self.read(REGISTERS["magic"].address)
        if magic != MAGIC:
            raise LinkError(f"MAGIC is {magic:#010x}, an Egret core's is {MAGIC:#010x}; check what the device holds")
        version = self.register("version")
        capacities: dict[str, int] = {}
        for name in CAPACITIES:
            capacities |= self.register(name)
        config_id = self.register("config_id")["config_id"]
        return Identity(version["registers"], version["revision"], config_id, capacities)

    def counters(self) -> dict[str, int]:
        """Return all counters by name; empty for a core without."""
        if not self.register("counter_select")["count"]:
            return {}
        names = counter_map(CoreConfig(**self.identify().capacities))
        select, low = REGISTERS["counter_select"].address, REGISTERS["counter_low"].address
        each, values = (self.capacity // 4), {}
        items = list(names.items())
        for at in range(0, len(items), each):
            piece = items[at : at + each]
            results = self.execute([op for _, number in piece for op in (Write(select, [number]), Read(low, 2))])
            for (name, _), result in zip(piece, results[1::2], strict=True):
                values[name] = result.data[0] | result.data[1] << 32
        return values

    # The core.

    def reset(self) -> None:
        """Forget the step under way, all states, counters and the error; keep a loaded network.

        Twice, as a beat that the core had no place for yet comes in after the first time.
        """
        control = REGISTERS["control"]
        (word,) = self.read(control.address)
        (reset,) = (1 << field.low for field in control.fields if field.name == "reset")
        self.write(control.address, [word | reset, word | reset])
        while not self.status["idle"]:
            self.execute([Take()])  # the end of a packet that had begun
        self._beats.clear()
        self._packets.clear()

    def load(self, words: Sequence[int]) -> None:
        """Load a memory image, 32-bit words, in a network's place."""
        self.reset()
        self.write(REGISTERS["load_data"].address, words)
        self._check_error()
        if not self.status["loaded"]:
            raise LinkError(f"the image of {len(words)} words has no end; load the whole image")

    def send(self, step: Step) -> None:
        """Send one step; outputs that must leave before it can enter are kept for :meth:`receive`."""
        self._send(step.beats, step.ending)

    def receive(self) -> Packet:
        """Return the next step of output."""
        stuck = 0
        while not self._packets:
            (result,) = self.execute([Take()])
            self._take(result)
            self._check_error()
            stuck = 0 if result.beats else stuck + 1
            if stuck == PATIENCE:
                raise LinkError("the core sends no output; send a step first, or reset the core")
        return self._packets.popleft()

    def run(self, steps: Iterable[Step]) -> Iterator[Packet]:
        """Send steps, each after the output of the one before, and yield their outputs; many in one request."""
        steps = deque(steps)
        while steps:
            operations, batch = [], []
            room = self.capacity
            while steps and 2 + BEAT_WORDS * len(steps[0].beats) <= room:
                step = steps.popleft()
                batch.append(step)
                operations += [Send(step.beats, last=True, user=step.ending), Take()]
                room -= 2 + BEAT_WORDS * len(step.beats)
            if not batch:  # a step that is larger than a request
                self.send(steps.popleft())
                yield self.receive()
                continue
            results = self.execute(operations)
            self._check_error()
            begun = (len(results) + 1) // 2
            steps.extendleft(reversed(batch[begun:]))
            for number, step in enumerate(batch[:begun]):
                sent, *taken = results[2 * number : 2 * number + 2]
                if sent.outcome != Outcome.OKAY:
                    self._send(step.beats[-sent.left :], step.ending)
                for result in taken:
                    self._take(result)
                yield self.receive()

    def _send(self, beats: Sequence[Beat], ending: bool) -> None:
        stuck = 0
        while beats:
            piece = beats[: min((self.capacity - 1) // BEAT_WORDS, COUNT_MAX)]
            is_last = len(piece) == len(beats)
            (result,) = self.execute([Send(piece, last=is_last, user=is_last and ending)])
            beats = beats[len(piece) - result.left :]
            self._check_error()
            if result.outcome == Outcome.TIMEOUT:
                # The core waits for its output to be taken.
                (taken,) = self.execute([Take()])
                self._take(taken)
                stuck = 0 if result.left < len(piece) or taken.beats else stuck + 1
                if stuck == PATIENCE:
                    raise LinkError("the core takes no input and sends no output; reset the core")

    def _take(self, result: Result) -> None:
        self._beats += result.beats
        if result.last:
            events = [beat for beat in self._beats if beat[0] != BUS_NULL_INDEX]
            self._packets.append(Packet(events, result.user))
            self._beats.clear()

    def _check_error(self) -> None:
        if self.status["error"]:
            code, detail = self.read(REGISTERS["error"].address, 2)
            raise LinkError(f"the core met the error {Error(code).name}, detail {detail:#x}; see docs/interfaces.md")


def _fields(name: str, word: int) -> dict[str, int]:
    return {field.name: word >> field.low & ((1 << field.width) - 1) for field in REGISTERS[name].fields}

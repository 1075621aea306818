"""What a host does with a core, whatever lies between them: load networks, run steps, read registers and counters.

    for packet in core.run([Step([(0, 12), (3, -5)]), Step([(1, 7)], ending=True)]):
        print(packet.events)

:class:`firmware.link.Link` is a core behind a serial line, :class:`firmware.host.axi.AxiPort` a port of one behind AXI.
Registers and events: docs/interfaces.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from firmware.operations import COUNT_MAX, Beat, Result, Send, Take
from firmware.port import Packet, Port, Step
from firmware.register_access import Registers
from firmware.register_map import RegisterMap
from firmware.requester import LinkError
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.bus.operations import Outcome

BEAT_WORDS = 2
PATIENCE = 100  #: requests without any progress after which a core counts as stuck


class Core(Registers):
    """Talk to a core.

    Parameters
    ----------
    port, registers
        As of :class:`Registers`.

    Raises
    ------
    LinkError
        By all methods, if the port or the core fails them; CoreError if the core keeps an error.
    """

    def __init__(self, port: Port, registers: RegisterMap | None = None):
        super().__init__(port, registers)
        self._beats: list[Beat] = []  # of the packet that has begun to come
        self._packets: deque[Packet] = deque()

    def reset(self) -> None:
        """Forget the step under way, all states, counters and the error; keep a loaded network.

        Twice, as a beat that the core had no place for yet comes in after the first time.
        """
        control = self.address("control")
        stuck, coming = 0, True
        while coming:
            coming = self._port.forget()
            (word,) = self.read(control)
            self.write(control, [word | self._registers["control"].join(reset=1)] * 2)
            while not self.status["idle"]:
                self.execute([Take()])  # the end of a packet that had begun
                stuck = self._more_stuck(stuck, "the core does not come to rest after a reset; reset the device")
            stuck = self._more_stuck(stuck, "the core takes no input after a reset; reset the device")
        self._beats.clear()
        self._packets.clear()

    @staticmethod
    def _more_stuck(stuck: int, message: str) -> int:
        if stuck == PATIENCE:
            raise LinkError(message)
        return stuck + 1

    def load(self, words: Sequence[int], advance: Callable[[int], None] | None = None) -> None:
        """Load a memory image, 32-bit words, in a network's place; ``advance`` as of :meth:`write`."""
        self.reset()
        self.write(self.address("load_data"), words, advance)
        self.check_error()
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
            self.check_error()
            stuck = 0 if result.beats else stuck + 1
            if stuck == PATIENCE:
                raise LinkError("the core sends no output; send a step first, or reset the core")
        return self._packets.popleft()

    def run(self, steps: Iterable[Step]) -> Iterator[Packet]:
        """Send steps, each after the output of the one before, and yield their outputs; many in one request."""
        steps = deque(steps)
        while steps:
            operations: list[Send | Take] = []
            batch: list[Step] = []
            room = self.capacity
            while steps and len(steps[0].beats) <= COUNT_MAX and 2 + BEAT_WORDS * len(steps[0].beats) <= room:
                step = steps.popleft()
                batch.append(step)
                operations += [Send(step.beats, last=True, user=step.ending), Take()]
                room -= 2 + BEAT_WORDS * len(step.beats)
            if not batch:  # a step that is larger than a request
                self.send(steps.popleft())
                yield self.receive()
                continue
            results = self.execute(operations)
            self.check_error()
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
            self.check_error()
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

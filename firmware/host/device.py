"""A core with NumPy arrays: load a network, run sequences, read and write states, read counters.

    with open_uart("/dev/ttyUSB0") as device:
        device.load("build/digits")
        outputs = device.run(inputs)                        # int (steps, inputs) to int32 (steps, outputs)
        print(device.counters()["macs_0"])

The same on a board behind a serial line, behind AXI, and in simulation; docs/host.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.progress import Progress

from firmware.core import Core
from firmware.host.network import Network, States, read_network
from firmware.host.ranking import Ranking
from firmware.operations import signed
from firmware.port import Identity, Packet, Step
from firmware.requester import LinkError
from hw.bus.axi4stream import BUS_NULL_INDEX, BUS_RESTORE_FLAG
from hw.errors import Error

Place = Callable[[NDArray[np.uint64]], tuple[int, int]]


class Device:
    """A core, as it answers now.

    Every call gives up when the core or the way to it makes no progress for the port's time-out.

    Parameters
    ----------
    core : Core
    close : callable, optional
        Gives back what is behind it.
    place_lists : callable, optional
        Puts lists into the core's external memory; see :meth:`firmware.host.axi.AxiPort.place_lists`.
    progress : bool
        Show bars on standard error while a network is loaded and while many steps run.

    Attributes
    ----------
    identity : Identity
    core : Core
        For what has no method here: single registers and steps.

    Raises
    ------
    LinkError
        By all methods, in one sentence. Of these NoAnswerError: nothing answers; CoreError: the core keeps an error;
        ImageMismatchError: the image is not for this core; MapError: the register map is not.
    """

    def __init__(
        self,
        core: Core,
        *,
        close: Callable[[], None] | None = None,
        place_lists: Place | None = None,
        progress: bool = False,
    ):
        self.core, self._close, self._place_lists, self._progress = core, close, place_lists, progress
        self._network: Network | None = None
        self._restored: list[tuple[int, int]] = []  # beats that go before the next step's
        self._is_fresh = True  # the next step begins a sequence, whatever the core still shows of the last one
        try:
            self.identity: Identity = core.identify()
        except BaseException:
            self.close()
            raise

    def load(self, image: NDArray[np.uint32] | Path | str, lists: NDArray[np.uint64] | None = None) -> None:
        """Load a network: the words of a memory image, uint32 (words,), or a folder that ``hw.build`` wrote.

        ``lists``, uint64 (beats, 2): what is to be in external memory, for a core that has its lists there.

        Raises
        ------
        ImageMismatchError
            Before anything is written.
        """
        network = read_network(image, lists, self.identity)
        self._network = None
        self._restored, self._is_fresh = [], True
        self.core.set_register("control")  # all outputs, not the largest alone
        with self.bar("loading", len(network.words)) as advance:
            self.core.load(network.words.tolist(), advance)
        if network.lists is not None:
            if self._place_lists is None:
                raise LinkError(
                    "this core has its lists in external memory, which a serial line does not reach; use AXI"
                )
            base, beats = self._place_lists(network.lists)
            self.core.write(self.core.address("list_base"), [base])
            self.core.write(self.core.address("list_size"), [beats])
        self._network = network

    @property
    def network(self) -> Network:
        """The network that is loaded."""
        if self._network is None:
            raise LinkError("no network was loaded through this device; call load first")
        return self._network

    def run(self, inputs: ArrayLike, ends: bool | ArrayLike = True) -> NDArray[np.int32]:
        """Run steps and return their outputs, int32 (steps, outputs); an output that was not sent is 0.

        Parameters
        ----------
        inputs : int (steps, inputs)
            What is 0 is no event.
        ends : bool, or bool (steps,)
            Whether the last step ends its sequence; or whether each does. The step behind an end starts with states 0.

        Raises
        ------
        ValueError
            If an array has the wrong shape, or a value does not fit the core. Nothing was sent.
        """
        values, ending = self.check_inputs(inputs, ends)
        outputs = np.zeros((len(values), self.network.outputs), np.int32)
        with self.bar("running", len(values)) as advance:
            for number, packet in enumerate(self.packets(values, ending)):
                for index, value in packet.events:
                    if index >= outputs.shape[1]:
                        raise LinkError(
                            f"step {number} has output {index} of {outputs.shape[1]}; load the network again"
                        )
                    outputs[number, index] = value
                advance(1)
        return outputs

    def packets(self, values: NDArray[np.int64], ending: NDArray[np.bool_]) -> Iterator[Packet]:
        """Run steps, as :meth:`check_inputs` returns them, and yield their outputs as they come."""
        for number, packet in enumerate(self.core.run(self._steps(values, ending))):
            if packet.ending != ending[number]:
                raise LinkError(
                    f"step {number} was sent with TUSER {ending[number]:d} and came back with {packet.ending:d}; "
                    "see how TUSER travels (docs/host.md), then reset"
                )
            self.note(packet)
            yield packet

    def note(self, packet: Packet) -> None:
        """Take note of a step that was run, for :meth:`states`."""
        self._is_fresh = packet.ending

    def check_inputs(self, inputs: ArrayLike, ends: bool | ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return inputs, int64 (steps, inputs), and whether each step ends its sequence, or raise ValueError."""
        array = np.asarray(inputs)
        wanted, bits = self.network.inputs, self.identity.capacities["value_bits"]
        if array.ndim != 2 or array.shape[1] != wanted or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"inputs are {array.dtype} {array.shape}; they must be integers (steps, {wanted})")
        limit = 1 << (bits - 1)
        if array.size and not -limit <= int(array.min()) <= int(array.max()) < limit:
            raise ValueError(f"inputs are from {array.min()} to {array.max()}; the core takes {-limit} to {limit - 1}")
        ending = np.asarray(ends, bool)
        if not ending.ndim:
            ending = (np.arange(len(array)) == len(array) - 1) & ending
        if ending.shape != (len(array),):
            raise ValueError(
                f"ends have shape {ending.shape}; give one for each of {len(array)} steps, or one for the last"
            )
        return array.astype(np.int64), ending

    def _steps(self, values: NDArray[np.int64], ending: NDArray[np.bool_]) -> list[Step]:
        steps = []
        for step, ends in zip(values, ending, strict=True):
            events = [(int(index), int(step[index])) for index in np.flatnonzero(step)]
            if self._restored:  # they may not end a step
                events = self._restored + (events or [(BUS_NULL_INDEX, 0)])
                self._restored = []
            steps.append(Step(events, bool(ends)))
        return steps

    def states(self) -> States:
        """Return the states that the next step finds: as the last step left them, 0 at the start of a sequence."""
        network = self.network
        if self._is_fresh:
            return network.split(np.zeros(len(network.address), np.int64))
        words = self.core.select("state_select", network.selections, "state_data")
        return network.split(np.array(words, np.int64).reshape(-1))

    def write_states(self, states: States) -> None:
        """Reset the core, and let it go on from states: those that :meth:`states` returned, or others.

        Counters start from 0. What restores the events of the last step goes with the next :meth:`run`.
        """
        network = self.network
        records = network.state_records(states)
        self.reset()
        self.core.write(self.core.address("load_data"), records)
        self.core.check_error()
        events = network.restore_events(states, self.identity.capacities["y_bits"])
        self._restored = [(BUS_RESTORE_FLAG | source, y) for source, y in events]
        self._is_fresh = False

    def counters(self) -> dict[str, int]:
        """Return all counters by name (docs/interfaces.md); empty for a core without."""
        return self.core.counters()

    def clear_counters(self) -> None:
        """Set all counters to 0."""
        self.core.set_register("control", clear_counters=1)

    @property
    def best(self) -> tuple[int, int] | None:
        """Index and value of the largest output of the last step, the lowest index of several; None without any."""
        index, value = self.core.register("best_index"), self.core.register("best_value")["value"]
        return (index["index"], signed(value)) if index["valid"] else None

    @property
    def ranking(self) -> Ranking:
        """What the core tells of its outputs besides the largest, and words that it generates."""
        return Ranking(self)

    @property
    def error(self) -> tuple[Error, int] | None:
        """The error that the core keeps, and its detail; or None."""
        code, detail = self.core.read(self.core.address("error"), 2)
        return (Error(code), detail) if code else None

    def reset(self) -> None:
        """Forget the step under way, all states, counters and the error; keep the loaded network."""
        self._restored, self._is_fresh = [], True
        self.core.reset()

    def close(self) -> None:
        """Give the port back."""
        if self._close:
            self._close()
            self._close = None

    def __enter__(self) -> Device:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show how far something is, and yield what has to be told."""
        console = Console(stderr=True)
        shown = self._progress and console.is_terminal
        with Progress(console=console, transient=True, disable=not shown) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.update(task, advance=count)

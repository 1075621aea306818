"""A language model on a simulated core, and one chunk of text through it, compared with the oracle number by number.

A chunk begins from the state that the oracle has there, restored as a host restores one: h by STATE records behind the
image, y by restore beats. As every unit's h and y after the chunk are compared with the oracle's, from which the next
chunk begins, chunks in a row are one run over the whole text, and each depends on nothing but its own job: it may run
anywhere, in any order, again.

The token before a chunk is read once more, so that each of the chunk's own tokens follows another one, as it does in a
run without chunks: its cycles are from the last output of the token before it to its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.fanout import Compiled
from golden.layers import FixedNetwork
from golden.lm.integer import IntegerModel
from golden.reference import State
from golden.streamed import CompiledStream
from hw.config import CoreConfig
from hw.errors import Error
from hw.load_bus import LoadKind
from sim.events import Events
from sim.memories import MEMORIES, PIECE_BYTES
from sim.simulator import NO_WORDS, Simulator
from sim.text_check import Theory, compare
from sim.verilate import SimulationError

ENTRIES_ON_CHIP = 1 << 17  #: of all lanes: 8-bit weights for which an ECP5-85F has block RAM (docs/results.md)


class Chunk(NamedTuple):
    """Tokens to read, and where from.

    sequence, number : int
        Which sequence of the text, which chunk of it.
    first : int
        Number of the chunk's first token in its sequence.
    tokens, targets : int64 (tokens,)
        With the one before the chunk, of all chunks but the first; a target is the token that follows.
    h, y : int32 (units,)
        Of all layers, before the first of these tokens; None at the beginning of a sequence.
    """

    sequence: int
    number: int
    first: int
    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    h: NDArray[np.int32] | None
    y: NDArray[np.int32] | None

    @property
    def before(self) -> int:
        """Tokens before the chunk's own: none or one."""
        return int(self.number > 0)


@dataclass(frozen=True)
class Setup:
    """What a core is simulated in; ``memory`` is a name of :data:`sim.memories.MEMORIES`."""

    config: CoreConfig
    mode: str
    memory: str
    core_mhz: float


def configure(
    network: FixedNetwork, activity: NDArray[np.float64], *, lanes: int, cell_units: int, lists: str
) -> CoreConfig:
    """Return a core for a language model; ``lists`` are on "chip", in "memory", or where "auto" finds room for them.

    On chip there is room for :data:`ENTRIES_ON_CHIP` weights. ``activity`` is that of each source, events a step.

    Raises
    ------
    ValueError
        If no core holds the network so.
    """
    kernels = [kernel for layer in network.layers for kernel in (layer.kernel, layer.recurrent_kernel)]
    entries = sum(int(np.count_nonzero(kernel)) for kernel in (*kernels, network.readout.kernel))
    streamed = lists == "memory" or (lists == "auto" and entries > ENTRIES_ON_CHIP)
    try:
        return CoreConfig.fitting(
            network, lanes, activity=activity, sum_bits=IntegerModel(network).accumulator_bits, streamed=streamed,
            cell_units=cell_units, split_banks=True,
        )  # fmt: skip
    except ValueError as error:
        if streamed or lists == "auto":
            raise
        raise ValueError(f"{error}; --lists memory puts the lists into external memory") from None


def compile_text(network: FixedNetwork, config: CoreConfig, activity: NDArray[np.float64]) -> Compiled | CompiledStream:
    """Compile a language model for a core, with sums as wide as one word a step needs them.

    Raises
    ------
    golden.fanout.CompileError, golden.beats.BeatError
        If it does not fit.
    """
    return config.compile(network, activity=activity, sum_bits=IntegerModel(network).accumulator_bits)


def state_records(compiled: Compiled | CompiledStream, h: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Return the STATE records, uint32 (words,), that write h, int (units,) by their sources, into a core."""
    image, network = compiled.image, compiled.network
    lane_bits = (compiled.placement.lanes // len(image.present) - 1).bit_length()
    unit_rows = image.layers[-1].base if image.readout else image.row_count
    cell, address = np.nonzero(image.present[:, : unit_rows << lane_bits])
    unit = image.identity[cell, address] - network.inputs
    records = np.stack([LoadKind.STATE.value << 24 | cell << 16 | 1, address, h[unit] & 0xFFFF], axis=1)
    return records.astype(np.uint32).ravel()


class TextCore:
    """A language model on a simulated core; chunks may be run from several threads, each a process of its own.

    Parameters
    ----------
    network : FixedNetwork
        That :class:`golden.lm.integer.IntegerModel` takes.
    activity : float64 (sources,)
        Events a step of each source, by which units are dealt to lanes.

    Raises
    ------
    ValueError
        If the network is no language model, or does not fit the core.
    """

    def __init__(self, network: FixedNetwork, activity: NDArray[np.float64], setup: Setup):
        self.network, self.setup = network, setup
        self.compiled = compile_text(network, setup.config, activity)
        self.lists = self.compiled.lists.beats if setup.config.streamed else None
        self.theory = Theory(network, self.compiled.lists.count if setup.config.streamed else None)
        self._simulator = Simulator(setup.config)
        self._oracle, self._lock = IntegerModel(network), threading.Lock()

    def build(self) -> str:
        """Compile the core's Verilog if need be; return the name of the model, a digest of all that made it.

        Raises
        ------
        SimulationError
        """
        return self._simulator.executable.parent.name

    def stop(self) -> None:
        """End the chunks that are under way in other threads; they raise SimulationError."""
        self._simulator.stop()

    def run(self, chunk: Chunk) -> dict[str, Any]:
        """Run a chunk; return what was counted and compared, as JSON holds it (``docs/long-runs.md``).

        Raises
        ------
        SimulationError
            If the core refuses the image, meets an error, or hangs; the message names the chunk.
        """
        where = f"sequence {chunk.sequence}, chunk {chunk.number}"
        events, setup = self._events(chunk), self.setup
        states = NO_WORDS if chunk.h is None else state_records(self.compiled, chunk.h)
        try:
            result = self._simulator.run(
                self.compiled.words, [events], states=states, mode=setup.mode, ends=False, trace_updates=True,
                lists=self.lists, memory=MEMORIES[setup.memory], core_mhz=setup.core_mhz,
            )  # fmt: skip
        except SimulationError as error:
            raise SimulationError(f"{where}: {error}") from None
        if result.error != Error.NONE:
            raise SimulationError(f"{where}: the core met error {result.error.name}, detail {result.detail:#x}")
        with self._lock:  # its scratch memory is for one run at a time
            trace = self._oracle.run(chunk.tokens[:, None], self._state(chunk))
        expected = self.theory.expect(chunk.tokens, trace)
        # Of a restored unit the whole list is read, of which the recurrent part is walked.
        restored = PIECE_BYTES * self.theory.beats[events.restored[:, 0]].sum()
        compared = compare(self.network, expected, result, chunk, int(expected.bytes.sum() + restored))
        return {**compared, "tokens": chunk.tokens[chunk.before :].tolist(), "cycles_simulated": result.cycles}

    def _events(self, chunk: Chunk) -> Events:
        count, lists = len(chunk.tokens), self._oracle.lists
        index = chunk.tokens[:, None] * lists + np.arange(lists)
        restored = np.zeros((0, 2), np.int64)
        if chunk.y is not None:
            (active,) = np.nonzero(chunk.y)
            restored = np.stack([self.network.inputs + active, chunk.y[active]], axis=1)
        step = np.repeat(np.arange(count), lists)
        return Events(count, step, index.ravel(), np.tile(self._oracle.values, count), restored)

    def _state(self, chunk: Chunk) -> State | None:
        if chunk.h is None or chunk.y is None:
            return None
        ends = np.cumsum([layer.units for layer in self.network.layers])[:-1]
        h, y = (tuple(part[None] for part in np.split(array, ends)) for array in (chunk.h, chunk.y))
        return State(h, y)

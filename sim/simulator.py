"""Run the core's Verilog, compiled by Verilator, and record everything that it does.

    simulator = Simulator(config)
    result = simulator.run(compiled.words, [inputs])

The model is compiled once for each configuration and kept in ``build/sim``.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from amaranth.lib import data

from hw.config import CoreConfig
from hw.counters import counter_map
from hw.errors import Error
from hw.event import NULL_INDEX, OutputBeat, UnitUpdate
from hw.step_counts import StepRecord
from sim.events import Events, pack_beats
from sim.memories import IDEAL, DramMemory, ExternalMemory, Fault, pack
from sim.memory_model import Counts
from sim.verilate import SimulationError, compile_core

NO_WORDS = np.zeros(0, np.uint32)
MODES = ("stream", "stepwise", "isolated")
STALL_PERIOD = 65_521  #: cycles after which a random stall pattern repeats; a prime, so that two never line up
PATIENCE = 1_000_000  #: cycles without any progress that count as a hang


@dataclass(frozen=True)
class RunResult:
    """What a core did. Cycles count from the end of loading.

    outputs : structured (beats,)
        ``index``, ``value``, ``last``, ``user``, ``cycle`` of each beat; a silent step's null beat included.
    steps : structured (steps,)
        ``events`` and ``macs`` (groups,); the cycles ``counted`` (the counts were complete), ``first_input`` and
        ``last_input`` (beats accepted), ``output`` (last beat taken); ``best``, the largest output's index, -1 after a
        silent step.
    updates : structured (updates,)
        ``source``, ``h``, ``fires``, ``y``, ``cycle`` of each unit's update, in order; empty unless asked for.
    counters : dict
        All counters by name (:func:`hw.counters.counter_map`) at the end.
    cycles : int
    seconds : float
        Processor time that the simulation of these cycles took; loading is not in it.
    error, detail
        The first error that the core met.
    memory : dict
        What external memory counted, by the names of :class:`sim.memory_model.Counts`; all 0 without one.
    """

    outputs: np.ndarray
    steps: np.ndarray
    updates: np.ndarray
    counters: dict[str, int]
    cycles: int
    seconds: float
    error: Error
    detail: int
    memory: dict[str, int]

    @property
    def speed(self) -> float:
        """Cycles simulated a second of processor time."""
        return self.cycles / self.seconds

    def dense_outputs(self, outputs: int) -> np.ndarray:
        """Return the outputs as int64 (steps, outputs), 0 where a step sent none."""
        dense = np.zeros((len(self.steps), outputs), np.int64)
        step = np.cumsum(self.outputs["last"]) - self.outputs["last"]
        real = self.outputs["index"] != NULL_INDEX
        dense[step[real], self.outputs["index"][real]] = self.outputs["value"][real]
        return dense


class Simulator:
    """A compiled model of one core configuration.

    Parameters
    ----------
    config : CoreConfig
    trace : bool
        Build the model that can write waveforms; it is several times slower, and kept beside the other.
    """

    def __init__(self, config: CoreConfig, *, trace: bool = False):
        self.config, self._trace = config, trace
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    def stop(self) -> None:
        """End all runs that are under way in other threads, and begin no more; they raise SimulationError."""
        self._stopped = True
        for process in tuple(self._running):
            process.kill()

    @cached_property
    def executable(self) -> Path:
        """The compiled model; compile it if it is not there."""
        return compile_core(self.config, self._trace)

    def run(
        self,
        image: np.ndarray,
        sequences: Sequence[np.ndarray | Events],
        *,
        states: np.ndarray = NO_WORDS,
        mode: str = "stream",
        ends: bool = True,
        trace_updates: bool = False,
        input_stall: float | Sequence[bool] = 0.0,
        output_stall: float | Sequence[bool] = 0.0,
        vcd: str | os.PathLike[str] | None = None,
        max_cycles: int = 1 << 62,
        progress: Callable[[int, int], None] | None = None,
        lists: np.ndarray | None = None,
        memory: ExternalMemory = IDEAL,
        core_mhz: float = 100.0,
        faults: Sequence[Fault] = (),
    ) -> RunResult:
        """Load an image and run sequences, one after the other.

        Parameters
        ----------
        image : uint32 (words,)
            As the compiler wrote it for this configuration.
        sequences : list of int (steps, inputs) or Events
            Each value that is not 0 is an event.
        states : uint32 (words,)
            STATE records, which are sent when the network is there.
        mode : "stream", "stepwise" or "isolated"
            Offer the input as early as the core takes it; or each step's after the previous step's output was taken; or
            only when nothing of the previous step is under way any more.
        ends : bool
            Whether the last step of each sequence ends it; the next one starts from states of 0 then.
        trace_updates : bool
            Keep every unit's update.
        input_stall, output_stall : float or sequence of bool
            Share of the cycles, drawn at random, in which no new beat is offered or taken; or a pattern, repeated.
        vcd : path, optional
            Waveform to write; the simulator must be built with ``trace``.
        max_cycles : int
            Give up after so many.
        progress : function of (steps, cycles), optional
            Called now and then.
        lists : uint64 (beats, 2)
            Of a core with lists in external memory: what is in it, from byte 0 on.
        memory : IdealMemory or DramMemory
            How fast it is.
        core_mhz : float
            Clock of the core, beside which that of the memory runs.
        faults : sequence of Fault
            What goes wrong in it.

        Raises
        ------
        SimulationError
            If the core refuses the image, stops making progress, or takes more than ``max_cycles``.
        ValueError
            If an argument is wrong.
        """
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
        beats, steps = pack_beats(self.config, sequences, ends=ends)
        stalls = [_stall_pattern(stall, seed) for seed, stall in enumerate((input_stall, output_stall))]
        counters = counter_map(self.config) if self.config.counters else {}
        external = None
        if self.config.streamed:
            if lists is None:
                raise ValueError("lists is None; a core with lists in external memory needs them")
            if isinstance(memory, DramMemory) and lists.nbytes > memory.size:
                raise ValueError(f"lists take {lists.nbytes:,} bytes, {memory.name} has {memory.size:,}")
            external = pack(memory, core_mhz=core_mhz, data_bits=self.config.port_bits, faults=faults), lists
        settings = [MODES.index(mode), trace_updates, max_cycles, PATIENCE, steps, len(counters)]
        with tempfile.TemporaryDirectory() as folder:
            job, answer = Path(folder, "job"), Path(folder, "answer")
            write_job(job, settings, image, beats, stalls, external, states)
            command = [str(self.executable), str(job), str(answer), *([os.fspath(vcd)] if vcd else [])]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                self._running.add(process)
                if self._stopped:  # after that was looked for
                    process.kill()
                try:
                    for line in process.stdout:
                        if progress and line.startswith("progress "):
                            progress(*map(int, line.split()[1:]))
                    message = process.stderr.read()
                except BaseException:
                    process.kill()  # nobody waits for it any more
                    raise
                finally:
                    self._running.discard(process)
            if self._stopped:  # even if it was faster
                raise SimulationError("the compiled model was stopped")
            if process.returncode:
                raise SimulationError(f"the compiled model failed: {message.strip() or process.returncode}")
            with answer.open("rb") as file:
                return read_answer(self.config, file, steps, len(beats), counters)


def write_job(
    path: Path,
    settings: Sequence[int],
    image: np.ndarray,
    beats: np.ndarray,
    stalls: Sequence[np.ndarray],
    external: tuple[np.ndarray, np.ndarray] | None = None,
    states: np.ndarray = NO_WORDS,
) -> None:
    """Write the job that the harness reads; ``external``: the numbers of external memory, and its content."""
    image, states = (np.ascontiguousarray(words, np.uint32) for words in (image, states))
    memory, lists = external or (np.zeros(0, np.uint64), np.zeros((0, 2), np.uint64))
    header = [*settings, len(image), len(states), len(beats), *map(len, stalls), len(memory), lists.nbytes]
    with path.open("wb") as file:
        for array in (np.array(header, np.uint64), beats, image, states, *stalls, memory, lists):
            file.write(array.tobytes())


def _stall_pattern(stall: float | Sequence[bool], seed: int) -> np.ndarray:
    if isinstance(stall, (int, float)):
        if not 0 <= stall < 1:
            raise ValueError(f"stall is {stall}; as a share of the cycles it must be at least 0 and less than 1")
        return (np.random.default_rng(seed).random(STALL_PERIOD if stall else 1) < stall).astype(np.uint8)
    return np.asarray(stall, bool).astype(np.uint8)


# Reading the answer.


def _field(words: np.ndarray, field: data.Field, base: int = 0) -> np.ndarray:
    """Return a field of at most 32 bits of packed rows, uint32 (rows, words), as int64 (rows,)."""
    word, shift = divmod(base + field.offset, 32)
    value = words[:, word].astype(np.uint64)
    if word + 1 < words.shape[1]:
        value |= words[:, word + 1].astype(np.uint64) << np.uint64(32)
    shape = data.Shape.cast(field.shape)
    value = ((value >> np.uint64(shift)) & np.uint64((1 << shape.width) - 1)).astype(np.int64)
    return np.where(value >> (shape.width - 1) & shape.signed, value - (1 << shape.width), value)


def read_answer(config: CoreConfig, file: BinaryIO, steps: int, beats: int, counters: dict[str, int]) -> RunResult:
    """Read what the harness wrote of so many steps, beats and counters.

    Raises
    ------
    SimulationError
        If the core refused the image, hung, or ran out of cycles, or the harness ended.
    """

    def take(kind: type, count: int) -> np.ndarray:
        raw = file.read(count * np.dtype(kind).itemsize)
        if len(raw) != count * np.dtype(kind).itemsize:
            raise SimulationError("the compiled model ended in the middle of its answer")
        return np.frombuffer(raw, kind)

    status, cycles, microseconds, code, detail, beats_taken, outputs_done, times, counts = map(int, take(np.uint64, 9))
    error = Error(code)
    where = (
        f"after {cycles:,} cycles, {beats_taken:,} of {beats:,} input beats taken, {outputs_done:,} of {steps:,} steps "
        f"out, error {error.name}, detail {detail:#x}"
    )
    if status == 1:
        raise SimulationError(f"the core did not accept the image: error {error.name}, detail {detail:#x}")
    if status == 2:
        raise SimulationError(f"the core hangs: nothing moved for {PATIENCE:,} cycles, {where}")
    if status == 3:
        raise SimulationError(f"the limit of cycles was reached, {where}; allow more with max_cycles")

    when = take(np.int64, 5 * times).reshape(times, 5)
    totals = take(np.int64, counts)
    sections = []
    for _ in range(3):
        rows, size = map(int, take(np.uint64, 2))
        sections.append(take(np.uint32, size).reshape(rows, -1 if rows else 0))
    outputs, records, updates = sections
    memory = take(np.uint64, len(Counts._fields)).tolist()

    table = np.zeros(steps, [
        ("events", np.int64, config.groups), ("macs", np.int64, config.groups),
        *((name, np.int64) for name in ("counted", "first_input", "last_input", "output", "best")),
    ])  # fmt: skip
    for name, column in (("first_input", 0), ("last_input", 1), ("output", 2)):
        table[name] = when[:, column]
    table["best"] = np.where(when[:, 3], when[:, 4], -1)
    if config.counters and steps:
        layout = StepRecord(config)
        table["counted"] = records[:, 0]
        for name in ("events", "macs"):
            for group in range(config.groups):
                table[name][:, group] = _field(records[:, 2:], layout[name].shape[group], layout[name].offset)
    return RunResult(
        outputs=_records(outputs, OutputBeat(), ("index", "value", "last", "user")),
        steps=table,
        updates=_records(updates, UnitUpdate(config), ("source", "h", "fires", "y")),
        counters={name: int(totals[index]) for name, index in counters.items()},
        cycles=cycles,
        seconds=microseconds * 1e-6,
        error=error,
        detail=detail,
        memory=dict(zip(Counts._fields, memory, strict=True)),
    )


def _records(words: np.ndarray, layout: data.Layout, names: Sequence[str]) -> np.ndarray:
    table = np.zeros(len(words), [(name, np.int64) for name in (*names, "cycle")])
    if len(words):
        table["cycle"] = words[:, 0].astype(np.int64) | words[:, 1].astype(np.int64) << 32
        for name in names:
            table[name] = _field(words[:, 2:], layout[name])
    return table

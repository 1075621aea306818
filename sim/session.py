"""A core that is asked step by step: what is offered next may depend on what came out.

with Session(config, compiled.words) as session:
    result = session.step(inputs)
"""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from hw.config import CoreConfig
from sim.events import pack_beats
from sim.simulator import MODES, PATIENCE, RunResult, read_answer, write_job
from sim.verilate import SimulationError, compile_core


class Session:
    """One sequence on a Verilated core, in steps that are offered when nothing is under way any more.

    Parameters
    ----------
    config : CoreConfig
    image : uint32 (words,)
        As the compiler wrote it for this configuration.

    Raises
    ------
    SimulationError
        If the core refuses the image.
    """

    def __init__(self, config: CoreConfig, image: np.ndarray):
        self.config = config
        executable = compile_core(config)
        settings = [MODES.index("isolated"), True, 1 << 62, PATIENCE, 0, 0]
        no_stall = np.zeros(1, np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            job = Path(folder, "job")
            write_job(job, settings, image, np.zeros(0, np.uint64), [no_stall] * 2)
            self._process = subprocess.Popen(
                [str(executable), str(job), "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            try:
                self._answer(0, 0)
            except BaseException:
                self.close()
                raise

    def step(self, inputs: np.ndarray) -> RunResult:
        """Offer a step's inputs, int (inputs,), and wait until all that follows from it is done.

        Cycles in the result count from the offer; it has no counters but those of the step.

        Raises
        ------
        SimulationError
            If the core stops making progress.
        ValueError
            If a value does not fit the core.
        """
        beats, steps = pack_beats(self.config, [np.asarray(inputs)[None]], ends=False)
        try:
            self._process.stdin.write(np.uint64(len(beats)).tobytes() + beats.tobytes())
            self._process.stdin.flush()
        except OSError:
            raise SimulationError("the compiled model has ended") from None
        return self._answer(steps, len(beats))

    def _answer(self, steps: int, beats: int) -> RunResult:
        return read_answer(self.config, self._process.stdout, steps, beats, {})

    def close(self) -> None:
        """End the simulation."""
        with suppress(OSError):  # of a step that was not taken
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

"""The SoC, simulated by Verilator under cocotb: what it says on its serial line."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from cocotb_tools.runner import get_runner

from hw.config import CoreConfig
from hw.emit import emit
from hw.soc import cpu, ram
from hw.soc.program import Program, write_program
from hw.soc.soc import Soc
from sim.cocotb_model import IDENTITY, compile_model, lock
from sim.native import CACHE
from sim.verilate import ROOT, SimulationError

TOP = "egret_soc"
PORTS = ("clk", "rst", "rx", "tx", "busy", "loaded", "error")
PERIOD = 10  #: ns, of the simulated clock
BIT_CYCLES = 8  #: of a bit on the line: a real line is slower, and a simulation of it takes longer
END_OF_RUN = 4  #: the character after which nothing comes
CYCLES_MAX = 50_000_000
POLL = 0.2  #: seconds between looks at what the line has said


@dataclass(frozen=True)
class Outcome:
    """What a simulated SoC did.

    Attributes
    ----------
    lines : list of str
        From its serial line.
    loaded, error : bool
        Its lights in the end.
    """

    lines: list[str]
    loaded: bool
    error: bool


def compile_soc(config: CoreConfig) -> Path:
    """Compile the SoC unless it is there; return the program. Safe in two processes at once.

    Raises
    ------
    SimulationError, hw.soc.cpu.MissingPackage
    """
    clock_hz = 1e9 / PERIOD
    text = emit(Soc(config, clock_hz=clock_hz, baud=round(clock_hz / BIT_CYCLES)), TOP)
    sources = [cpu.verilog(), ram.VERILOG]
    identity = repr((text, *(source.read_bytes() for source in sources), PORTS, IDENTITY))
    folder = CACHE / f"soc-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    with lock(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / f"{TOP}.v").write_text(text)
            foreign = f"*{cpu.VARIANT}"
            compile_model(folder, TOP, PORTS, sources=[folder / f"{TOP}.v", *sources], foreign=foreign)
            (folder / "complete").touch()
    return folder / TOP


def run(
    model: Path, program: Program, work: Path, *, runs: int = 1, progress: Callable[[list[str]], None] = lambda _: None
) -> Outcome:
    """Let a compiled SoC run a program to the end.

    Parameters
    ----------
    work : Path
        Folder for what goes in and what comes out, ``uart.txt`` and ``simulation.log``.
    runs : int
        How often; each but the first begins with a character from the line.
    progress : callable
        Gets the lines so far, a few times a second.

    Raises
    ------
    SimulationError
        If it does not come to an end.
    """
    work.mkdir(parents=True, exist_ok=True)
    write_program(program, work / ram.PROGRAM)
    said, log, results = work / "uart.txt", work / "simulation.log", work / "results.xml"
    for file in (said, results):
        file.unlink(missing_ok=True)
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # the simulation gets this path

    def simulate():
        get_runner("verilator").test(
            test_module="sim.soc.listen", hdl_toplevel=TOP, hdl_toplevel_lang="verilog", build_dir=model.parent,
            test_dir=work, results_xml=str(results.resolve()), log_file=log, seed=1,
            plusargs=[f"+said={said.resolve()}", f"+runs={runs}"],
        )  # fmt: skip

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(simulate)
        while not done.done():
            sleep(POLL)
            progress(_lines(said))
    try:
        done.result()
    except (SystemExit, RuntimeError) as error:
        raise SimulationError(f"the simulation broke off ({error}); see {log}") from None
    text = said.read_text(errors="replace") if said.exists() else ""
    lights = re.search(r"^lights (\d) (\d)$", text, re.MULTILINE)
    if lights is None:
        raise SimulationError(f"the SoC did not come to an end; see {log}, and {said} for what it said")
    return Outcome(_lines(said)[:-1], lights[1] == "1", lights[2] == "1")


def _lines(said: Path) -> list[str]:
    """Return the whole lines so far."""
    text = said.read_text(errors="replace") if said.exists() else ""
    return [line.rstrip("\r") for line in text.split("\n")[:-1]]

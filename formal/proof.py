"""A proof, and how SymbiYosys checks it.

Each proof is checked twice: that its properties hold, by k-induction or up to a depth, and that its covers are reached,
so that no assumption contradicts another. Native tools on the PATH are used when present, else those of the YoWASP
packages. Designs, logs and traces of failures stay in the work folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib.wiring import Component

from formal.bench import Bench

TOOLS = {"sby": "yosys", "yosys": "yosys", "yosys-smtbmc": "yosys", "yosys-witness": "yosys", "boolector": "boolector"}
PASSED, FAILED, UNKNOWN = 0, 2, 4  #: exit statuses of sby


class ToolError(Exception):
    """A tool is missing or does not run; one sentence."""


@dataclass(frozen=True)
class Outcome:
    """What became of a proof; ``reason`` is empty when it holds."""

    seconds: float
    covers: int
    reason: str

    @property
    def holds(self) -> bool:
        return not self.reason


@dataclass(frozen=True)
class Proof:
    """What is to be proven.

    Parameters
    ----------
    name : str
        Subject and property.
    bench : callable
        Makes the component with its environment and properties.
    depth : int
        The k of the k-induction, or the cycles of a bounded proof.
    cover_depth : int
        Cycles within which every cover is reached.
    bounded : bool
        Whether only runs of ``depth`` cycles from reset are looked at.
    """

    name: str
    bench: Callable[[], Bench]
    depth: int
    cover_depth: int = 12
    bounded: bool = False

    @property
    def mode(self) -> str:
        return "bounded" if self.bounded else "k-induction"

    def check(self, work: Path) -> Outcome:
        """Check the proof in the folder ``work``, which :func:`find_tools` has prepared."""
        started = time.monotonic()
        bench = self.bench()
        if not bench.covers:
            raise ValueError(f"the proof {self.name!r} has no cover")
        folder = new_folder(work, self.name)
        (folder / "design.il").write_text(rtlil.convert(bench, name="top", ports=()))
        (folder / "holds.sby").write_text(_script("bmc" if self.bounded else "prove", self.depth))
        (folder / "reached.sby").write_text(_script("cover", self.cover_depth))
        reason = _sby("holds", folder, work) or _sby("reached", folder, work)
        return Outcome(time.monotonic() - started, bench.covers, reason)


@dataclass(frozen=True)
class Paths:
    """What must not hang together within a cycle, told from the netlist: a proof about its structure.

    Parameters
    ----------
    name : str
    component : callable
        Makes the component.
    absent, present : tuple of (str, str)
        Input and output, by their names in the Verilog, without and with a path of gates in between. An asterisk
        stands for all inputs. What is present shows that paths are found at all.
    """

    name: str
    component: Callable[[], Component]
    absent: tuple[tuple[str, str], ...]
    present: tuple[tuple[str, str], ...]

    mode = "netlist"
    depth = 1

    def check(self, work: Path) -> Outcome:
        """Check the proof in the folder ``work``, which :func:`find_tools` has prepared."""
        started = time.monotonic()
        folder = new_folder(work, self.name)
        (folder / "design.il").write_text(rtlil.convert(self.component(), name="top"))
        expected = dict.fromkeys(self.absent, False) | dict.fromkeys(self.present, True)
        lines = ["read_rtlil design.il", "hierarchy -top top", "proc", "flatten", "memory -nordff -nomap", "memory_map"]
        lines += ["opt_clean", "dffunmap"]
        for k, (start, end) in enumerate(expected):
            lines += [f"select -assert-any i:{start}", f"select -assert-any o:{end}"]
            lines.append(f"tee -q -o path{k} select -list o:{end} %ci*:-$dff i:{start} %i")
        (folder / "paths.ys").write_text("\n".join(lines) + "\n")
        command = [work / "tools" / "yosys", "-q", "-l", "paths.log", "paths.ys"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            wrong = [f"yosys failed: {done.stderr.strip()}"]
        else:
            found = [bool((folder / f"path{k}").read_text().strip()) for k in range(len(expected))]
            wrong = [
                f"{'' if there else 'no '}path from {start} to {end}"
                for ((start, end), wanted), there in zip(expected.items(), found, strict=True)
                if there != wanted
            ]
        reason = f"{', '.join(wrong)}; see {folder}" if wrong else ""
        return Outcome(time.monotonic() - started, len(self.present), reason)


def find_tools(work: Path) -> None:
    """Gather the tools, under the names by which they call each other, in ``work/tools``.

    Raises
    ------
    ToolError
        If one is not installed or does not run.
    """
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    folder = work / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in TOOLS.items():
        path = shutil.which(name, path=search) or shutil.which(f"yowasp-{name}", path=search)
        if path is None:
            raise ToolError(f"{name} is not installed; pip install yowasp-{package}")
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    # The first call of a YoWASP tool prints a note while it prepares, which would break the dialogue with the solver.
    for name in ("yosys", "boolector"):
        if subprocess.run([folder / name, "--version"], capture_output=True).returncode:
            raise ToolError(f"{name} does not run; pip install --force-reinstall yowasp-{TOOLS[name]}")


def new_folder(work: Path, name: str) -> Path:
    """Return an empty folder for a proof."""
    folder = work / re.sub(r"\W+", "_", name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _script(mode: str, depth: int) -> str:
    """Return the input of sby."""
    return f"""[options]
mode {mode}
depth {depth}

[engines]
smtbmc boolector

[script]
read_rtlil design.il
# Memories begin with any content.
delete */t:$meminit_v2
prep -top top

[files]
design.il
"""


def _sby(name: str, folder: Path, work: Path) -> str:
    """Run sby on ``name.sby``; return an empty string if it passes, else what it says."""
    environment = os.environ | {"PATH": os.pathsep.join([str(work / "tools"), os.environ["PATH"]])}
    done = subprocess.run(["sby", "-f", f"{name}.sby"], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode == PASSED:
        return ""
    return _reason(done.stdout + done.stderr, done.returncode) + f"; see {folder / name}"


def _reason(log: str, status: int) -> str:
    """Return what sby's log says of a check that did not pass."""
    places = [Path(place).name for place in re.findall(r"summary: .*\.check_\d+ at (\S+:\d+)", log)]
    where = ", ".join(dict.fromkeys(places))
    if status == FAILED:
        return f"not reached: {where}" if "unreached" in log else f"wrong: {where}"
    if status == UNKNOWN:
        return f"not inductive: {where}"
    errors = [line for line in log.splitlines() if "ERROR" in line]
    return errors[0] if errors else "sby failed"

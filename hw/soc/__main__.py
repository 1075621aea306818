"""The SoC as Verilog with its program, or as a bitstream: ``python -m hw.soc --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firmware.compile import ProgramError
from hw.boards import BAUD, BOARDS
from hw.build_folder import DIGITS, configure
from hw.implement import Implementation, implement
from hw.report import print_report
from hw.soc import ram
from hw.soc.build import board_design, check_soc_out, write_soc
from hw.soc.cpu import MissingPackage
from hw.soc.program import Program, compile_program, write_program
from hw.soc.soc import MEMORY_BYTES
from hw.tools import FlowError
from hw.watch import Display
from sim.inputs import read_inputs

BOARD = "ulx3s-85f"
CLOCK = 50.0  #: MHz


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hw.soc",
        description="Write a SoC without any operating system: VexRiscv, memory, a serial line and a core on one bus, "
        "as Verilog, with a program that loads the bundled digits network, classifies test images and tells results "
        "and counts on the line, 8N1. With --board it goes on to a bitstream. Simulated it is by python -m sim.soc.",
        epilog=f"examples: python -m hw.soc --out build/soc; python -m hw.soc --board {BOARD} --seeds 2",
    )
    parser.add_argument("--lanes", type=int, default=8, help="multiply-accumulates a cycle (default: %(default)s)")
    parser.add_argument("--images", type=int, default=50, metavar="N", help="test images (default: %(default)s)")
    parser.add_argument("--frequency", type=float, default=CLOCK, metavar="MHZ", help="clock (default: %(default)s)")
    parser.add_argument("--baud", type=int, default=BAUD, help="bits a second on the line (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder to write (default: build/soc-LANES)")
    group = parser.add_argument_group("bitstreams, with Yosys and nextpnr (docs/boards.md)")
    group.add_argument("--board", choices=[BOARD], help="build a bitstream; logs stay in OUT.work")
    group.add_argument("--seeds", type=int, default=1, help="placements to try (default: %(default)s)")
    group.add_argument("--jobs", type=int, default=1, help="placements to try at once (default: %(default)s)")
    options = parser.parse_args(arguments)
    for name in ("images", "frequency", "baud", "seeds", "jobs"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} is {getattr(options, name)}; it must be more than 0")
    return options


def run_tools(options: argparse.Namespace, config, program: Program, out: Path, console: Console) -> Implementation:
    """Implement the SoC for the board; print the report.

    Raises
    ------
    FlowError, ValueError, MissingPackage
    """
    with console.status("writing Verilog for the tools"):
        planned = board_design(config, BOARDS[options.board], options.frequency, options.baud)
    work = out.with_name(f"{out.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    write_program(program, work / ram.PROGRAM)
    with Display(console) as display:
        done = implement(planned, work, seeds=options.seeds, jobs=options.jobs, display=display)
    print_report(done.report, Console())
    if done.missed:
        raise FlowError(done.missed)
    return done


def main(arguments: list[str] | None = None) -> int:
    options, console = parse(arguments), Console(stderr=True)
    out = options.out or Path("build") / "-".join(filter(None, ("soc", str(options.lanes), options.board)))
    try:
        check_soc_out(out)
        with console.status("configuring the core, compiling the program"):
            build = configure(DIGITS, options.lanes)
            images = read_inputs(f"digits:{options.images}", build.compiled.network).integers
            words = build.compiled.words.tolist()
            work = out.with_name(f"{out.name}.work")
            program = compile_program(words, images, work / "program", memory_bytes=MEMORY_BYTES)
        clock_hz, extra = options.frequency * 1e6, []
        if options.board:
            done = run_tools(options, build.config, program, out, console)
            clock_hz, extra = done.report["target"]["clock_mhz"] * 1e6, done.files
        with console.status("writing Verilog"):
            files = write_soc(build.config, program, out, clock_hz=clock_hz, baud=options.baud, extra=extra)
    except (ValueError, ProgramError, FlowError, MissingPackage) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was built", file=sys.stderr)
        return 130
    table = Table(title=f"SoC with {options.lanes} lanes", show_header=False)
    for file in files:
        table.add_row(str(file), f"{file.stat().st_size:,} bytes")
    table.add_row("program without network and images", f"{program.code:,} bytes")
    table.add_row("memory used", f"{4 * len(program.words):,} of {MEMORY_BYTES:,} bytes")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The SoC for a board: ``python -m hw.litex.build --help``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from golden.fanout import CompileError
from hw.litex import ecpix5, options
from hw.litex.implement import implement, system_speed, write_board
from hw.litex.networks import digits
from hw.litex.program import ProgramError
from hw.tools import FlowError


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hw.litex.build",
        description="Write a LiteX SoC for a board: a VexRiscv, LiteDRAM and its DDR3 chip, a UART, and an Egret core "
        "that reads its lists from DRAM. Its program initialises and tests DRAM, runs handwritten digits through the "
        "core and says PASS at 115200 baud.",
        epilog="example: python -m hw.litex.build --board ecpix5-85f --lanes 8 --clock 75 --build --seeds 1 2 3",
    )
    parser.add_argument("--board", choices=(ecpix5.NAME,), default=ecpix5.NAME)
    options.add_core(parser)
    parser.add_argument("--images", type=int, default=2, metavar="N", help="digits to run (default: %(default)s)")
    parser.add_argument("--build", action="store_true", help="synthesise, place and route, pack a bitstream")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], metavar="N", help="route with each, take the fastest (default: 1)"
    )
    parser.add_argument("--out", type=Path, help="folder (default: build/litex/BOARD-LANES)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    chosen, console = parse(arguments), Console(stderr=True)
    options.quiet()
    try:
        config, clock = options.config(chosen), chosen.clock * 1e6
        out = chosen.out or options.ROOT / "build" / "litex" / f"{chosen.board}-{config.lanes}"
        written = write_board(config, [digits(chosen.images)], out, clock=clock)
        console.print(f"{written.folder}: Verilog, constraints")
        if not chosen.build:
            return 0
        report, bitstream = implement(written, clock=clock, seeds=chosen.seeds, say=console.print)
    except (ValueError, CompileError, ProgramError, FlowError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    table = Table("", "", box=box.SIMPLE, show_header=False)
    table.add_row("seed", str(report.seed))
    table.add_row("clock asked for, reached", f"{chosen.clock:g} MHz, {system_speed(report):.1f} MHz")
    for name, speed in report.fmax.items():
        table.add_row(f"clock {name}", f"{speed:.1f} MHz")
    for kind, (used, available) in report.utilisation.items():
        if used:
            table.add_row(kind, f"{used} of {available} ({used / available:.0%})")
    table.add_row("bitstream", str(bitstream))
    Console().print(table)
    return int(system_speed(report) < chosen.clock)


if __name__ == "__main__":
    raise SystemExit(main())

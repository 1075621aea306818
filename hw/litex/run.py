"""The SoC in simulation: ``python -m hw.litex.run --help``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from golden.fanout import CompileError
from hw.litex import options
from hw.litex.networks import NETWORKS
from hw.litex.peripheral import PORT_BITS
from hw.litex.program import ProgramError
from hw.litex.simulate import SimulationError, simulate

BEATS_MAX = 0.5  #: a cycle: a burst of 8 on 16 pins at four times the clock


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hw.litex.run",
        description="Simulate the LiteX SoC with all that is in it, LiteDRAM's model of the DDR3 chip included. Its "
        "program initialises DRAM, writes a network's lists into it, loads the network, sends steps and compares "
        "results and counts with the oracle's. Then what the core's memory port did is shown.",
        epilog="example: python -m hw.litex.run --case digits square --lanes 8",
    )
    options.add_core(parser)
    parser.add_argument(
        "--case", nargs="+", default=["digits"], choices=NETWORKS, metavar="CASE",
        help=f"networks to run: {', '.join(NETWORKS)} (default: digits)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="steps, or digits (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=options.ROOT / "build" / "litex" / "simulated", help="folder")
    return parser.parse_args(arguments)


FIGURES = (
    "steps", "beats", "bursts", "busy cycles", "beats a busy cycle", "MB/s", "cycles held", "cycles a step",
    "ms a step", "of the peak",
)  # fmt: skip


def figures(did: dict[str, int], steps: int, clock: float) -> list[str]:
    """Return what the memory port did in so many steps, at a clock in MHz, in the order of ``FIGURES``."""
    rate, cycles = did["beats"] / max(1, did["busy"]), did["running"] / steps
    return [
        f"{steps:,}", f"{did['beats']:,}", f"{did['bursts']:,}", f"{did['busy']:,}", f"{rate:.3f}",
        f"{PORT_BITS // 8 * rate * clock:.0f}", f"{did['held']:,}", f"{cycles:,.0f}", f"{cycles / clock / 1e3:.3f}",
        f"{did['beats'] / (BEATS_MAX * did['running']):.2f}",
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    chosen, console = parse(arguments), Console(stderr=True)
    options.quiet()
    try:
        cases = [NETWORKS[name](chosen.steps) for name in chosen.case]
        outcome = simulate(options.config(chosen), cases, chosen.out, clock=chosen.clock * 1e6, say=console.print)
    except (ValueError, CompileError, ProgramError, SimulationError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    print(outcome.text.replace("\r", ""))
    steps = {case.name: sum(map(len, case.sequences)) for case in cases}
    columns = {name: figures(did, steps[name], chosen.clock) for name, did in outcome.traffic.items()}
    table = Table("network", *columns, box=box.SIMPLE)
    for cells in zip(FIGURES, *columns.values(), strict=True):
        table.add_row(*cells)
    Console().print(table)
    return int(not outcome.passed)


if __name__ == "__main__":
    raise SystemExit(main())

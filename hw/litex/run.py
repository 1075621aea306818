"""The SoC in simulation: ``python -m hw.litex.run --help``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from golden.fanout import CompileError
from hw.litex import options
from hw.litex.cases import Case
from hw.litex.program import ProgramError
from hw.litex.simulate import SimulationError, simulate
from sim.workloads import WORKLOADS


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
        "--case", nargs="+", default=["digits"], choices=["digits", *WORKLOADS], metavar="CASE",
        help=f"networks to run: digits, or one of the benchmark, {', '.join(WORKLOADS)} (default: digits)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="steps, or digits (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=options.ROOT / "build" / "litex" / "simulated", help="folder")
    return parser.parse_args(arguments)


def draw(name: str, steps: int) -> Case:
    """Return a case by its name."""
    if name == "digits":
        return options.digits(steps)
    workload = WORKLOADS[name]()
    return Case(name, workload.network, [workload.inputs(steps)])


def main(arguments: list[str] | None = None) -> int:
    chosen, console = parse(arguments), Console(stderr=True)
    options.quiet()
    try:
        cases = [draw(name, chosen.steps) for name in chosen.case]
        outcome = simulate(options.config(chosen), cases, chosen.out, clock=chosen.clock * 1e6, say=console.print)
    except (ValueError, CompileError, ProgramError, SimulationError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    print(outcome.text.replace("\r", ""))
    table = Table("network", "beats", "bursts", "busy cycles", "beats a cycle", "MB/s", "held", box=box.SIMPLE)
    for name, did in outcome.traffic.items():
        rate = did["beats"] / did["busy"] if did["busy"] else 0
        table.add_row(
            name, f"{did['beats']:,}", f"{did['bursts']:,}", f"{did['busy']:,}", f"{rate:.3f}",
            f"{16 * rate * chosen.clock:.0f}", f"{did['held']:,}",
        )  # fmt: skip
    Console().print(table)
    return int(not outcome.passed)


if __name__ == "__main__":
    raise SystemExit(main())

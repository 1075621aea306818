"""Measure lane efficiency and latency against the bars: ``python -m sim.bench``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from golden.files import write_whole
from golden.page import markdown_table, write_section
from sim.bench.cases import CASES, DIGITS, Case
from sim.bench.measure import Efficiency, Latency, efficiency, latency
from sim.simulator import SimulationError

RESULTS = Path(__file__).parents[2] / "docs" / "results.md"
SECTION = "sim.bench"  #: of the page
SWITCHES = ("split_banks", "forwarding")  #: options of a core that are on or off


def parse(arguments: list[str] | None) -> argparse.Namespace:
    names = [case.name for case in (*CASES, DIGITS)]
    parser = argparse.ArgumentParser(
        prog="python -m sim.bench",
        description="Run networks of stated sparsity and activity through the Verilated core and report the share of "
        "its cycles in which a lane multiplies, whole steps included. Models are compiled once; minutes for 64 lanes.",
        epilog="example: python -m sim.bench --only stack-16 --cell-units 4",
    )
    parser.add_argument(
        "--only", action="append", choices=names, metavar="CASE", help=f"run only this: {', '.join(names)}"
    )
    parser.add_argument("--steps", type=int, default=100, help="steps measured (default: %(default)s)")
    parser.add_argument("--images", type=int, default=360, help="test images of the digits case (default: %(default)s)")
    parser.add_argument("--cell-units", type=int, help="instead of each case's own")
    parser.add_argument("--queue-depth", type=int, help="instead of each case's own")
    for switch in SWITCHES:
        name = f"--{switch.replace('_', '-')}"
        parser.add_argument(name, type=int, choices=(0, 1), help="instead of each case's own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--write", action="store_true", help="put the table into docs/results.md; runs every case")
    options = parser.parse_args(arguments)
    if options.steps < 1 or options.images < 2:
        parser.error("--steps must be at least 1, --images at least 2")
    if options.write and (options.only or changes(options)):
        parser.error("--write records the cases as they are: leave out --only and what changes a case")
    return options


def changes(options: argparse.Namespace) -> dict[str, int | bool]:
    """Return what the options change of every case."""
    given = {name: getattr(options, name) for name in ("cell_units", "queue_depth", *SWITCHES)}
    return {name: bool(value) if name in SWITCHES else value for name, value in given.items() if value is not None}


def row(case: Case, measured: Efficiency | Latency) -> list[str]:
    """One row of the table: case, core, early, late, barrier, MACs a step, lost to hazards, to drains."""
    core = (
        f"{case.lanes} lanes, {case.cell_units} cell units"
        + (", split banks" if case.split_banks else "")
        + (", forwarding" if case.forwarding else "")
        + (f", queue {case.queue_depth}" if case.queue_depth != 16 else "")
        + (f", {case.hops} hops" if case.hops > 1 else "")
        + (", distributed cells" if case.distributed_cells else "")
    )
    if isinstance(measured, Latency):
        early = f"{measured.last_event:.0f} cycles{mark(measured.last_event, case.early, most=True)}, "
        early += f"{measured.burst:.0f} after a burst"
        late = f"{measured.step:.0f} cycles a step{mark(measured.step, case.late, most=True)}"
        return [case.description, core, early, late, "", "", "", ""]
    return [
        case.description, core,
        f"{measured.early:.3f}{mark(measured.early, case.early)}",
        f"{measured.late:.3f}{mark(measured.late, case.late)}",
        f"{measured.barrier:.2f}", f"{measured.macs:,.0f}", f"{measured.hazard:.1%}", f"{measured.drain:.1%}",
    ]  # fmt: skip


def mark(figure: float, bar: float | None, *, most: bool = False) -> str:
    """Return whether a figure meets its bar, the least, or most, that it may be; nothing where there is none."""
    if bar is None:
        return ""
    return f" ({'meets' if (figure <= bar if most else figure >= bar) else 'misses'} {bar:g})"


HEADINGS = (
    "network", "core", "inputs early", "input after output", "barrier a list", "MACs a step", "hazards", "drains",
)  # fmt: skip


def markdown(rows: list[list[str]], options: argparse.Namespace) -> str:
    command = f"python -m sim.bench --steps {options.steps} --images {options.images} --write"
    return f"`{command}`\n\n{markdown_table(HEADINGS, rows)}"


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = Console()
    cases = [case for case in (*CASES, DIGITS) if not options.only or case.name in options.only]
    cases = [dataclasses.replace(case, **changes(options)) for case in cases]
    figures, rows = {}, []
    with Progress(console=Console(stderr=True), transient=True) as bars:
        for case in cases:
            is_digits = case.workload == DIGITS.workload
            task = bars.add_task(f"{case.name}: drawing, compiling", total=None)

            def report(steps: int, cycles: int, task=task, name=case.name) -> None:
                bars.update(task, description=f"{name}: {steps:,} steps, {cycles:,} cycles")

            try:
                measured = (
                    latency(case, options.images, report) if is_digits else efficiency(case, options.steps, report)
                )
            except (SimulationError, ValueError) as error:
                print(f"sim.bench: {case.name}: {error}", file=sys.stderr)
                return 2
            bars.remove_task(task)
            figures[case.name] = {"case": dataclasses.asdict(case), **dataclasses.asdict(measured)}
            rows.append(row(case, measured))
            if options.json:  # after each case: compiling the next one may take minutes
                write_whole(options.json, json.dumps(figures, indent=2, default=float) + "\n")

    table = Table(*HEADINGS, box=box.SIMPLE, title="Lane efficiency: MACs / (lanes x cycles)")
    for cells in rows:
        table.add_row(*cells)
    table.caption = (
        "Barrier: estimated from the lists' lengths, all else free. Digits: cycles from the last input event to the "
        "result, and a step back to back."
    )
    console.print(table)
    if options.write:
        write_section(RESULTS, SECTION, markdown(rows, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())

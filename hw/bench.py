"""Place and route whole cores against the bars: ``python -m hw.bench``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from golden.page import markdown_table, read_section, write_section
from hw.config import CoreConfig
from hw.implement import device_design, implement
from hw.tools import FlowError
from hw.vendor import DEVICES
from hw.watch import Display

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results.md"
SECTION = "hw.bench"  #: of the page
HEADINGS = (
    "core",
    "on",
    "weights it holds",
    "MHz, median (of seeds)",
    "LUT",
    "FF",
    "RAM",
    "multipliers",
    "a lane, LUT",
)


@dataclass(frozen=True)
class Case:
    """A core on a device, with the clock in MHz that it must reach and the most LUTs of a lane, where bars say so.

    ``rip_up``: ``aim`` can be met, so slow connections are led anew until it is.
    """

    name: str
    device: str
    config: CoreConfig
    aim: float
    rip_up: bool = False
    clock: float | None = None
    lane_luts: int | None = None


CASES = (
    Case(
        "ecp5-16",
        "lfe5u-85f",
        CoreConfig(lanes=16, cell_units=2, rows=32, entries=7168, sources=512, hops=3),
        aim=155,
        rip_up=True,
        clock=150,
        lane_luts=350,
    ),
    Case(
        "ecp5-64",
        "lfe5u-85f",
        CoreConfig(
            lanes=64,
            cell_units=4,
            queue_depth=32,
            rows=8,
            entries=2048,
            sources=1024,
            layers=3,
            weight_bits=4,
            acc_bits=20,
            forwarding=True,
            counters=False,
            hops=3,
            distributed_cells=True,
        ),
        aim=104,
        rip_up=True,
        clock=100,
    ),
    # The published language model's shape, its lists in external memory.
    Case(
        "ecp5-16-streamed",
        "lfe5u-85f",
        CoreConfig(
            lanes=16,
            cell_units=2,
            rows=376,
            sources=16384,
            acc_bits=28,
            counters=False,
            hops=3,
            gap_bits=5,
            lists=3456,
        ),
        aim=120,
    ),
    Case("ecp5-8", "lfe5u-85f", CoreConfig(lanes=8, cell_units=2, rows=32, entries=2048, sources=256, hops=2), aim=150),
    Case(
        "gowin-8",
        "gw2ar-18",
        CoreConfig(lanes=8, cell_units=1, rows=8, entries=2048, sources=256, acc_bits=20, counters=False),
        aim=75,
    ),
    Case(
        "up5k-4",
        "up5k",
        CoreConfig(
            lanes=4,
            cell_units=1,
            rows=64,
            entries=16384 - 4 * 256,
            sources=256,
            acc_bits=24,
            counters=False,
            compact=True,
        ),
        aim=24,
        clock=24,
    ),
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hw.bench",
        description="Synthesise, place and route cores alone, between registers, with several seeds, and compare clock "
        "and area with the bars. Minutes for each seed of a large core.",
        epilog="example: python -m hw.bench --only ecp5-8 --seeds 1",
    )
    names = [case.name for case in CASES]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="CASE", help=f"run only this: {', '.join(names)}"
    )
    parser.add_argument("--seeds", type=int, default=5, help="routes of each, of which the median counts (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="routes at once (default: 1)")
    parser.add_argument(
        "--resume", action="store_true", help="keep what an earlier run of the same hardware, tools and options routed"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench", help="folder for logs and reports")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/results.md, in place of theirs")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs must be at least 1")
    return options


def describe(config: CoreConfig) -> str:
    """Return what distinguishes a configuration, as the table tells it."""
    parts = [f"{config.lanes} lanes", f"{config.cell_units} cell unit{'s' * (config.cell_units > 1)}"]
    parts += [f"{config.weight_bits}-bit weights"] * (config.weight_bits != 8)
    parts += [
        name.replace("_", " ")
        for name in ("compact", "split_banks", "forwarding", "distributed_cells")
        if getattr(config, name)
    ]
    parts += [f"{config.hops} hops"] * (config.hops > 1)
    parts += [f"lists in external memory, {config.port_bits} bits"] * config.streamed
    return ", ".join(parts)


def row(case: Case, report: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    fmax, used, config = report["fmax_mhz"], {}, case.config
    lane = sum(part["takes"].get("LUT", 0) for part in report["components"] if "lane" in part["name"])
    for part in report["components"]:
        if part["name"] == "around it":  # the registers between which the core is measured
            continue
        for resource, count in part["takes"].items():
            used[resource] = used.get(resource, 0) + count * part["count"]
    seeds = fmax["seeds"].values()
    spread = f"{min(seeds):.1f} to {max(seeds):.1f}, {len(seeds)} seeds" if len(seeds) > 1 else "1 seed"
    speed = f"{fmax['median']:.1f} ({spread})"
    if case.clock is not None:
        speed += f", {'meets' if fmax['median'] >= case.clock else 'misses'} {case.clock:g}"
    area = f"{lane:.0f}"
    if case.lane_luts is not None:
        area += f", {'meets' if lane <= case.lane_luts else 'misses'} {case.lane_luts}"
    return [
        f"`{case.name}`: {describe(config)}", case.device,
        "" if config.streamed else f"{config.lanes * config.entries:,}", speed,
        *(f"{used.get(name, 0):,.0f}" for name in ("LUT", "FF", "RAM", "multiplier")), area,
    ]  # fmt: skip


def write_results(rows: list[list[str]], page: Path) -> None:
    """Put rows into the table of a page, each in place of an earlier one of its case."""
    table = read_section(page, SECTION)
    names = [cells[0].split(":")[0] for cells in rows]
    kept = [line for line in table.splitlines() if line.startswith("| `") and not line[2:].startswith(tuple(names))]
    *heading, new = markdown_table(HEADINGS, rows).split("\n", 2)
    lines = sorted(
        [*kept, *new.splitlines()], key=lambda line: [f"| `{case.name}`" in line for case in CASES].index(True)
    )
    write_section(page, SECTION, "\n".join([*heading, *lines]))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    reports, rows = {}, []
    for case in CASES:
        if options.only and case.name not in options.only:
            continue
        try:
            with Display(Console(stderr=True)) as display:
                design = device_design(case.config, DEVICES[case.device], case.aim, rip_up=case.rip_up)
                done = implement(
                    design, options.work / case.name, seeds=options.seeds, jobs=options.jobs, display=display,
                    resume=options.resume,
                )  # fmt: skip
        except (FlowError, ValueError) as error:
            print(f"hw.bench: {case.name}: {error}", file=sys.stderr)
            return 2
        reports[case.name] = {"config": asdict(case.config), **done.report}
        rows.append(row(case, done.report))
        if options.json:
            options.json.write_text(json.dumps(reports, indent=2) + "\n")
        if options.write:
            write_results(rows[-1:], RESULTS)
    table = Table(*HEADINGS, box=box.SIMPLE, title="Cores alone, between registers, routed by nextpnr")
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure cores whose lists are in external memory against the bars: ``python -m sim.bench.streamed``.

Networks have the shape of the published language model, random weights, and the activity of a trained smaller one
(:mod:`sim.token_workloads`); a token is a step.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from golden.beats import kinds
from golden.files import write_whole
from golden.page import markdown_table, write_section
from golden.streamed import CompiledStream
from hw.config import CoreConfig
from sim.bench.__main__ import mark
from sim.memories import DDR3_800, IDEAL, MEMORIES, ExternalMemory
from sim.simulator import SimulationError, Simulator
from sim.token_workloads import TokenWorkload, language_model

RESULTS = Path(__file__).parents[2] / "docs" / "results.md"
SECTION = "sim.bench.streamed"  #: of the page
WARM_UP = 5  #: tokens before the measurement begins


@dataclass(frozen=True)
class Case:
    """A network on a core before a memory, and what is to be reached, where a bar says so.

    port : share of the port's cycles in which a transfer comes, at least
    efficiency : of the lanes, at least
    milliseconds : a token, at most
    """

    name: str
    density: float
    readout: bool
    memory: ExternalMemory
    port: float | None = None
    efficiency: float | None = None
    milliseconds: float | None = None
    lanes: int = 16
    cell_units: int = 2
    port_bits: int = 128
    split_banks: bool = False
    queue_depth: int = 16
    hops: int = 3  # as ``ecp5-16-streamed`` of hw.bench has, whose clock the times are told at


CASES = (
    # So wide that the lanes are what there is too little of.
    Case("wide-85", 0.15, False, IDEAL, efficiency=0.97, port_bits=512, split_banks=True, queue_depth=64),
    Case("ideal-85", 0.15, False, IDEAL, port=0.95),
    Case("ddr3-85", 0.15, False, DDR3_800, port=0.80, milliseconds=1.2),
    Case("ddr3-85-readout", 0.15, True, DDR3_800),
    Case("ddr3-95", 0.05, False, DDR3_800, milliseconds=0.5),
)


@dataclass(frozen=True)
class Measured:
    """Of the tokens after the warm-up: cycles from the output of one to that of the next, and what they hold.

    port : transfers over cycles; efficiency : MACs over lanes times cycles
    readout : share of the beats that are for the readout
    """

    cycles: tuple[int, ...]
    macs: float
    port: float
    efficiency: float
    readout: float
    bits: float

    def milliseconds(self, core_mhz: float) -> tuple[float, float, float, float]:
        """Return mean, median, 99th percentile and worst of the time of a token."""
        times = np.array(self.cycles) / (1e3 * core_mhz)
        return float(times.mean()), *(float(np.percentile(times, q)) for q in (50, 99, 100))


@cache
def network(density: float, readout: bool) -> TokenWorkload:
    """Return a workload; drawing one takes half a minute, and several cases share one."""
    return language_model(f"density {density}", density=density, readout=readout)


@cache
def compiled(density: float, readout: bool, lanes: int, **options: int) -> tuple[CoreConfig, CompiledStream]:
    drawn = network(density, readout)
    config = CoreConfig.fitting(drawn.network, lanes, activity=drawn.rates, streamed=True, **options)
    found = config.compile(drawn.network, activity=drawn.rates)
    assert isinstance(found, CompiledStream)
    return config, found


def measure(case: Case, tokens: int, core_mhz: float, progress=None) -> Measured:
    """Run tokens back to back, the input as early as the core takes it."""
    drawn = network(case.density, case.readout)
    options = {name: getattr(case, name) for name in ("cell_units", "port_bits", "split_banks", "queue_depth", "hops")}
    config, lists = compiled(case.density, case.readout, case.lanes, **options)
    result = Simulator(config).run(
        lists.words, [drawn.inputs(WARM_UP + tokens)], lists=lists.lists.beats, memory=case.memory, core_mhz=core_mhz,
        progress=progress,
    )  # fmt: skip
    cycles = np.diff(result.steps["output"][WARM_UP - 1 :])
    macs = result.steps["macs"][WARM_UP:].sum()
    return Measured(
        cycles=tuple(cycles.tolist()),
        macs=macs / tokens,
        port=result.memory["transfers"] / result.cycles,
        efficiency=macs / case.lanes / cycles.sum(),
        readout=readout_share(lists, drawn.rates),
        bits=config.port_bits * result.memory["transfers"] / result.steps["macs"].sum(),
    )


def readout_share(lists: CompiledStream, rates: np.ndarray) -> float:
    """Return the share of the beats of a mean token that are for the readout; both halves of a beat are alike."""
    source = np.repeat(np.arange(len(lists.lists.count)), lists.lists.count)
    found = {kind.name: 0.0 for kind in kinds(lists.lists)}
    for kind in kinds(lists.lists):
        found[kind.name] += rates[source[kind.beat]].sum() * (1.0 if kind.words.shape[1] == 2 else 0.5)
    return found["readout"] / sum(found.values())


HEADINGS = (
    "case", "memory", "ms a token", "p50, p99, worst", "cycles", "MACs", "port busy", "efficiency", "bits a MAC",
    "readout",
)  # fmt: skip


def row(case: Case, measured: Measured, core_mhz: float) -> list[str]:
    mean, *others = measured.milliseconds(core_mhz)
    return [
        f"{1 - case.density:.0%} sparse, {'with' if case.readout else 'no'} readout, {case.lanes} lanes"
        + ", split banks" * case.split_banks
        + f", queue {case.queue_depth}" * (case.queue_depth != 16),
        f"{case.memory.name}, {case.port_bits} bits",
        f"{mean:.3f}{mark(mean, case.milliseconds, most=True)}",
        ", ".join(f"{each:.3f}" for each in others),
        f"{np.mean(measured.cycles):,.0f}",
        f"{measured.macs:,.0f}",
        f"{measured.port:.3f}{mark(measured.port, case.port)}",
        f"{measured.efficiency:.3f}{mark(measured.efficiency, case.efficiency)}",
        f"{measured.bits:.2f}",
        f"{measured.readout:.0%} of beats" if case.readout else "",
    ]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(
        prog="python -m sim.bench.streamed",
        description="Run networks of the published language model's shape (1350-1350-750 units, 10,000 words, its "
        "embedding folded) through the Verilated core with their lists in simulated external memory, and report the "
        "time of a token, and how busy port and lanes are. About a minute to draw and compile a network, and as long "
        "for a hundred tokens.",
        epilog="example: python -m sim.bench.streamed --only ddr3-85 --tokens 20 --memory sdr-133",
    )
    parser.add_argument("--only", action="append", choices=names, metavar="CASE", help=f"only this: {', '.join(names)}")
    parser.add_argument("--tokens", type=int, default=100, help="tokens measured (default: %(default)s)")
    parser.add_argument(
        "--core-mhz", type=float, default=100.0, help="clock of the core, beside the memory's (default: %(default)g)"
    )
    parser.add_argument("--memory", choices=sorted(MEMORIES), help="instead of each case's own")
    parser.add_argument("--lanes", type=int, help="instead of each case's own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--write", action="store_true", help="put the table into docs/results.md; runs every case")
    options = parser.parse_args(arguments)
    if options.tokens < 1:
        parser.error("--tokens must be at least 1")
    if options.write and (options.only or options.memory or options.lanes):
        parser.error("--write records the cases as they are: leave out --only and what changes a case")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    changes = {"memory": MEMORIES.get(options.memory), "lanes": options.lanes}
    changes = {name: value for name, value in changes.items() if value is not None}
    cases = [dataclasses.replace(case, **changes) for case in CASES if not options.only or case.name in options.only]
    figures, rows = {}, []
    with Progress(console=Console(stderr=True), transient=True) as bars:
        for case in cases:
            task = bars.add_task(f"{case.name}: drawing, compiling", total=None)

            def report(steps: int, cycles: int, task=task, name=case.name) -> None:
                bars.update(task, description=f"{name}: {steps:,} tokens, {cycles:,} cycles")

            try:
                measured = measure(case, options.tokens, options.core_mhz, report)
            except (SimulationError, ValueError) as error:
                print(f"sim.bench.streamed: {case.name}: {error}", file=sys.stderr)
                return 2
            bars.remove_task(task)
            figures[case.name] = {"core_mhz": options.core_mhz, **dataclasses.asdict(measured)}
            rows.append(row(case, measured, options.core_mhz))
            if options.json:
                write_whole(options.json, json.dumps(figures, indent=2) + "\n")

    title = f"Lists in external memory, core at {options.core_mhz:g} MHz"
    table = Table(*HEADINGS, box=box.SIMPLE, title=title)
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)
    if options.write:
        command = f"python -m sim.bench.streamed --tokens {options.tokens} --core-mhz {options.core_mhz:g} --write"
        write_section(RESULTS, SECTION, f"`{command}`\n\n{markdown_table(HEADINGS, rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

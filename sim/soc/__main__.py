"""Handwritten digits on the simulated SoC: ``python -m sim.soc --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from firmware.compile import ProgramError
from hw.build_folder import DIGITS, configure
from hw.soc.cpu import MissingPackage
from hw.soc.program import Program, compile_program
from hw.soc.soc import MEMORY_BYTES
from sim.inputs import Inputs, read_inputs
from sim.soc.check import WAYS, Said, differences, expect, read, too_slow
from sim.soc.model import Outcome, compile_soc, run
from sim.verilate import SimulationError

NAMES = {"driver": "by calls of the driver", "queues": "by loads and stores"}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sim.soc",
        description="Compile the SoC of hw/soc with Verilator, and its program with the bundled digits network and "
        "test images in its memory. Its processor loads the network, classifies every image, in two ways, and tells "
        "results and counts on its serial line; they are compared with the integer oracle and theory. Exits with "
        "status 1 if anything differs, or if the core stands still for the processor too long.",
        epilog="example: python -m sim.soc --images 10 --lanes 4",
    )
    parser.add_argument("--images", type=int, default=50, metavar="N", help="test images (default: %(default)s)")
    parser.add_argument("--lanes", type=int, default=8, help="multiply-accumulates a cycle (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/soc-sim"), help="folder (default: %(default)s)")
    return parser.parse_args(arguments)


def simulate(model: Path, program: Program, out: Path, images: int) -> Outcome:
    """Run it under a bar that counts images."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} images"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading the network", total=len(WAYS) * images)

        def progress(lines: list[str]) -> None:
            done = sum(line.split(" ")[0] in WAYS for line in lines)
            bar.update(task, completed=done, description="classifying" if done else "loading the network")

        return run(model, program, out, progress=progress)


def print_summary(said: Said, inputs: Inputs, program: Program, found: list[str], console: Console) -> None:
    images = len(inputs.labels)
    table = Table(title=f"{images} handwritten digits on the SoC", show_header=False)
    for way in WAYS:
        guesses = [index for index, _ in said.best[way]]
        right = sum(guess == label for guess, label in zip(guesses, inputs.labels, strict=False))
        table.add_row(f"right, {NAMES[way]}", f"{right} of {images}")
    table.add_row("differences from oracle and theory, results and counts", f"{len(found)}")
    for way, speed in said.speed.items():
        table.add_section()
        table.add_row(f"{NAMES[way]}: cycles a step", f"{speed.elapsed:,.1f}")
        table.add_row("of these with a step under way in the core", f"{speed.core:,.1f}")
        table.add_row("host cycles: the core stands still for the processor", f"{speed.elapsed - speed.core:,.1f}")
        table.add_row("overhead, host cycles over the core's", f"{speed.overhead:.3f}")
        table.add_row("cycles that the processor sends and reads, hidden or not", f"{speed.own:,.1f}")
    table.add_section()
    table.add_row("loading the network, cycles", f"{said.load_cycles:,}")
    table.add_row("program without network and images, bytes", f"{program.code:,}")
    console.print(table)
    for line in found[:10]:
        console.print(f"difference: {line}", markup=False)


def main(arguments: list[str] | None = None) -> int:
    options, status = parse(arguments), Console(stderr=True)
    try:
        with status.status("configuring the core"):
            build = configure(DIGITS, options.lanes)
            network = build.compiled.network
            inputs = read_inputs(f"digits:{options.images}", network)
        with status.status("compiling the program"):
            words = build.compiled.words.tolist()
            program = compile_program(words, inputs.integers, options.out / "program", memory_bytes=MEMORY_BYTES)
        with status.status("compiling the SoC with Verilator (minutes, once)"):
            model = compile_soc(build.config)
        outcome = simulate(model, program, options.out, options.images)
    except (ValueError, ProgramError, SimulationError, MissingPackage, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    time, batch, _ = inputs.integers.shape
    said = read(outcome.lines, time * batch)
    found = differences(said, expect(network, inputs.integers))
    found += too_slow(said)
    print_summary(said, inputs, program, found, Console())
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

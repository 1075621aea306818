"""The demonstration: handwritten digits through the Verilated core, against float and integer models.

python -m sim.demo --images 20
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from golden.float_reference import run_float
from golden.macs import count
from hw.build_folder import DIGITS, MANIFEST, configure, write_build
from sim.inputs import read_inputs
from sim.run import Run, as_json, replace, run_network, with_progress
from sim.verilate import SimulationError, compile_core

LANES = 8


def accuracy_rows(done: Run) -> list[tuple[str, str]]:
    """Rows of accuracy after the last step, float, integer and RTL, on the same images."""
    network, labels = done.build.model.float_network, done.inputs.labels
    results = done.result.steps["best"].reshape(len(labels), -1)[:, -1]
    rows = [("integer oracle", done.trace.logits[-1].argmax(axis=1)), ("RTL, simulated", results)]
    if network is not None:
        rows.insert(0, ("float model", run_float(network, done.inputs.real).logits[-1].argmax(axis=1)))
    return [(f"accuracy, {name}", f"{(guess == labels).mean():.2%}") for name, guess in rows]


def exactness_rows(done: Run) -> list[tuple[str, str]]:
    comparison = done.comparison
    return [
        ("RTL against oracle, unit updates that differ", f"{comparison.update_differences} of {comparison.updates:,}"),
        ("RTL against oracle, logits that differ", f"{comparison.output_differences} of {comparison.outputs:,}"),
        ("steps whose counts differ from theory", f"{comparison.count_differences} of {comparison.steps:,}"),
    ]


def mac_rows(done: Run) -> list[tuple[str, str]]:
    """Rows of MACs a step: theory with none, one and both sparsities, and what the hardware counted."""
    time, batch, _ = done.inputs.integers.shape
    ends = np.zeros((time, batch), bool)
    ends[-1] = True
    theory = count(done.build.compiled.network, done.trace, done.inputs.integers, sequence_end=ends)[-1]
    counted = done.result.steps["macs"].sum(axis=1).mean()

    def saved(macs: float) -> str:
        return f"{macs:,.0f} ({theory.dense / macs:.1f} times fewer)"

    return [
        ("MACs a step, dense", f"{theory.dense:,}"),
        ("MACs a step, weight sparsity alone", saved(theory.weight_sparse)),
        ("MACs a step, activity sparsity alone", saved(theory.activity_sparse.mean())),
        ("MACs a step, both, product of the densities", saved(theory.product)),
        ("MACs a step, both, theory from the recorded activity", saved(theory.both.mean())),
        ("MACs a step, counted by the hardware", saved(counted)),
    ]


def speed_rows(done: Run) -> list[tuple[str, str]]:
    return [
        ("cycles a step, images back to back", f"{done.cycles_a_step:,.0f}"),
        ("lane efficiency, MACs / (lanes x cycles)", f"{done.efficiency:.3f}"),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sim.demo",
        description="Build the bundled digits network for 8 lanes, run real handwritten digits through its Verilog, "
        "and compare accuracy, every unit's update and every count with the models.",
    )
    parser.add_argument("--images", type=int, default=360, help="test images, 1 to 360 (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        with console.status("building the core: configuration, Verilog, memory image"):
            build = configure(DIGITS, LANES)
            inputs = read_inputs(f"digits:{options.images}", build.compiled.network)
            write_build(build, options.out)
        with console.status("compiling the Verilog with Verilator (a minute or two, once)"):
            compile_core(build.config)
        done = with_progress(
            f"{options.images} handwritten digits",
            options.images * len(inputs.integers),
            lambda report: run_network(build, inputs, progress=report),
        )
        figures = options.out.parent / f"{options.out.name}.json"
        replace(figures, json.dumps(as_json(done), indent=1) + "\n")
    except (ValueError, SimulationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table(title=f"{options.images} handwritten digits, {LANES} lanes", show_header=False)
    for rows in (accuracy_rows(done), exactness_rows(done), mac_rows(done), speed_rows(done)):
        for row in rows:
            table.add_row(*row)
        table.add_section()
    for what, path in (
        ("Verilog, plain streams", "egret_core.v"), ("Verilog, with buses", "egret.v"), ("memory image", "image.bin"),
        ("manifest", MANIFEST),
    ):  # fmt: skip
        table.add_row(what, str(options.out / path))
    table.add_row("all counters, each step and layer", str(figures))
    table.caption = (
        "The product would be right if activity and weights were independent; busy sources have more weights."
    )
    console.print(table)
    for difference in done.comparison.first:
        console.print(f"first difference: {difference}")
    return 0 if done.comparison.exact else 1


if __name__ == "__main__":
    sys.exit(main())

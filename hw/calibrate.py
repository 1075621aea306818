"""Measure cores and fit the estimate of :mod:`hw.fit` to them: ``python -m hw.calibrate``."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from golden.files import write_whole
from hw import fit
from hw.area import BESIDE, RESOURCES, components, module_paths, passed_through
from hw.boards import TOP
from hw.config import CoreConfig
from hw.fit_points import POINTS, Point
from hw.fit_regression import Measured, clock_classes, fit_logic, scale_logic, total
from hw.flow import FAMILIES, any_pins, place_and_route, synthesize
from hw.implement import Design, router_options
from hw.tools import FlowError, run_tool, tool_versions

ROOT = Path(__file__).parents[1]
OWN = (fit.BASE, "ice40-compact")  #: models that are fitted alone; others start from the base's, a factor a component
EMITTING = threading.Lock()  #: Amaranth elaborates one design at a time


def measure(point: Point, folder: Path, work: Path) -> dict[str, Any]:
    """Return what a core takes, by component as synthesised and as a whole as packed, and its clock if it is routed.

    The same Verilog through the same tools is measured once: figures are kept in ``folder``.
    """
    with EMITTING:
        design = point.design()
    family = FAMILIES[design.device.family]
    tools = tool_versions(["yosys", family.program])
    made_of = [design.verilog, tools]
    if design.device.family in BESIDE:  # where it has changed what cells count as
        made_of += [RESOURCES[design.device.family], BESIDE[design.device.family]]
    fingerprint = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    kept = folder / f"{point.name}.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    if found.get("fingerprint") != fingerprint:
        found = {"fingerprint": fingerprint, "revision": _revision(), "tools": tools}
    if "packed" in found and ("mhz" in found or not point.routed):
        return found
    netlist = synthesize(design.verilog, TOP, design.device, work)
    parts = components(netlist, TOP, design.device.family, module_paths(design.verilog))
    found["components"] = {part.name: {k: round(n * part.count) for k, n in part.takes.items()} for part in parts}
    found["packed"] = packed(netlist, design)
    _write(kept, found)
    if point.routed:
        constraints = _constraints(netlist, design)
        routed = place_and_route(
            netlist, design.device, frequency=design.frequency, constraints=constraints, options=router_options(design)
        )
        found["mhz"] = round(routed.speed, 1)
        found["routed"] = fit.counted(routed.utilisation, design.device.family)
        _write(kept, found)
    return found


def packed(netlist: Path, design: Design) -> dict[str, int]:
    """Return what nextpnr counts of each resource once it has packed a netlist, and what routing adds to it.

    That is nothing but on a Gowin device, and there what is known beforehand (:func:`hw.area.passed_through`).
    """
    family, log = FAMILIES[design.device.family], netlist.parent / f"{TOP}.packing.log"
    arguments = [*design.device.options, "--json", netlist.name, "--pack-only", *family.unconstrained]
    if constraints := _constraints(netlist, design):
        *before, last = family.constraints
        arguments += [*before, f"{last}{constraints.name}"] if before else [last, constraints.name]
    run_tool(family.program, arguments, netlist.parent, log)
    found = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", log.read_text(), re.MULTILINE)
    takes = fit.counted({name: (int(used), int(has)) for name, used, has in found}, design.device.family, packed=True)
    cells = json.loads(netlist.read_text())["modules"][TOP]["cells"]
    takes["LUT"] += len(passed_through(cells, design.device.family))
    return takes


def _constraints(netlist: Path, design: Design) -> Path | None:
    """Write the pins and clocks of a board, or any pins where nextpnr chooses none itself."""
    if design.constraints is None:
        return any_pins(netlist, design.device, TOP) if design.device.pins else None
    name, content = design.constraints
    (netlist.parent / name).write_text(content)
    return netlist.parent / name


def _write(path: Path, contents: dict[str, Any]) -> None:
    """Write a file whole or not at all; what holds no other dictionary is one line."""
    text = re.sub(r"\{[^{}]*\}", lambda inner: " ".join(inner[0].split()), json.dumps(contents, indent=1))
    write_whole(path, text + "\n")


def assemble(measured: Sequence[Measured]) -> dict[str, Any]:
    """Return the content of ``hw/fit.json``."""
    contents: dict[str, Any] = {
        "about": "Written by `python -m hw.calibrate`: coefficients of hw.fit, and the measured cores behind them.",
        "revisions": sorted({figures["revision"] for _, figures in measured}),
        "tools": {name: version for _, figures in measured for name, version in figures["tools"].items()},
        "models": {},
    }
    for model in dict.fromkeys((fit.BASE, *FAMILIES, *(point.model for point, _ in measured))):
        of_model = [each for each in measured if each[0].model == model]
        fitted = [each for each in of_model if not each[0].held_out]
        family = model.removesuffix("-compact")
        resources = [name for name in ("LUT", "FF") if name in fit.COUNTED[family]]
        if model in OWN:
            logic = {resource: fit_logic(fitted, resource) for resource in resources}
        else:
            base = contents["models"][fit.BASE]["logic"]
            logic = {
                resource: fit_logic(fitted, resource, scale_logic(base[resource], fitted, resource))
                for resource in resources
            }
        routes = defaultdict[str, list[tuple[float, float]]](list)
        for point, figures in of_model:
            if "mhz" in figures:
                fill = max(count / point.device.has[name] for name, count in figures["packed"].items() if count)
                routes[fit.clock_key(point.config)].append((fill, figures["mhz"]))
        packing = {resource: _packing(fitted, resource) for resource in resources}
        classes = {name: clock_classes(reached) for name, reached in routes.items()}
        contents["models"][model] = {"logic": logic, "packing": packing, **classes}
    for kind, held_out in (("fitted", False), ("held_out", True)):
        contents[kind] = [
            {"target": point.target, "config": asdict(point.config), "takes": figures.get("routed", figures["packed"])}
            | ({"mhz": figures["mhz"]} if "mhz" in figures else {})
            for point, figures in measured if point.held_out == held_out
        ]  # fmt: skip
    return contents


def _packing(measured: Sequence[Measured], resource: str) -> float:
    """Return what nextpnr counts of what synthesis made, in the mean; 1 where nothing is measured."""
    shares = [figures["packed"][resource] / total(figures, resource) for _, figures in measured]
    return round(statistics.fmean(shares or [1.0]), 4)


def _revision() -> str:
    """Return the revision of the hardware that is measured."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hw.calibrate",
        description="Synthesise and pack a list of cores, route some of them, and fit the estimate of hw.fit to what "
        "they take. An hour or more; what an earlier run measured of the same Verilog is not measured again.",
        epilog="example: python -m hw.calibrate --only gowin",
    )
    parser.add_argument(
        "--only", choices=sorted(FAMILIES), help="measure new cores of this family only; fit to all that are measured"
    )
    parser.add_argument("--no-measuring", action="store_true", help="fit to what is measured already")
    parser.add_argument("--jobs", type=int, default=1, help="cores measured at once (default: 1)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "calibrate", help="folder for figures and logs")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    return options


def errors(contents: dict[str, Any]) -> Table:
    """Return a table of what was measured and by how much the estimates are off."""
    title = "measured cores, and by how much their estimate is off"
    table = Table("core", "MHz", *fit.RESOURCES, title=title, box=box.SIMPLE)
    for kind in ("fitted", "held_out"):
        for core in contents[kind]:
            point = Point(core["target"], CoreConfig(**core["config"]))
            found = fit.estimate(point.config, point.device, host_link=point.host_link).takes
            cells = [
                f"{core['takes'][name]:,} ({found.get(name, 0) / core['takes'][name] - 1:+.1%})"
                if core["takes"].get(name) else ""
                for name in fit.RESOURCES
            ]  # fmt: skip
            table.add_row(point.name, f"{core['mhz']:g}" if "mhz" in core else "", *cells)
        table.add_section()
        if kind == "fitted":
            table.add_row("[bold]held out of the fit")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)

    def figures(point: Point) -> dict[str, Any] | None:
        if options.only in (None, point.device.family) and not options.no_measuring:
            return measure(point, options.work, options.work / "tools" / point.name)
        kept = options.work / f"{point.name}.json"
        return json.loads(kept.read_text()) if kept.is_file() else None

    measured = []
    columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields[core]}"))
    try:
        with (
            Progress(*columns, console=Console(stderr=True)) as progress,
            ThreadPoolExecutor(options.jobs) as pool,
        ):
            task = progress.add_task("measuring", total=len(POINTS), core="")
            futures = [pool.submit(figures, point) for point in POINTS]
            try:
                for point, future in zip(POINTS, futures, strict=True):
                    progress.update(task, core=point.name)
                    if found := future.result():
                        measured.append((point, found))
                    progress.advance(task)
            finally:
                pool.shutdown(cancel_futures=True)  # the user may have stopped it: start no other core
    except (FlowError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is measured is kept", file=sys.stderr)
        return 130
    contents = assemble(measured)
    _write(fit.COEFFICIENTS, contents)
    fit.coefficients.cache_clear()
    Console().print(errors(contents))
    return 0


if __name__ == "__main__":
    sys.exit(main())

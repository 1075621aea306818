"""Report an implementation: speed, critical path, area and run time, as a dictionary and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from hw.area import Component, module_of, short_path
from hw.fit import RESOURCES, Estimate, counted
from hw.flow import Report

FORMAT, FORMAT_VERSION = "egret-report", "1.0"  #: a reader refuses another major version


def describe(
    target: Mapping[str, Any],
    frequency: float,
    reports: Sequence[Report],
    *,
    seeds: Iterable[int],
    paths: Collection[str],
    parts: Iterable[Component],
    tools: Mapping[str, str],
    options: Sequence[str],
    seconds: Mapping[str, float],
    estimate: Estimate | None = None,
) -> dict[str, Any]:
    """Return the content of ``report.json``.

    Parameters
    ----------
    target : dict
        What the design is for.
    frequency : float
        MHz that were aimed for.
    reports : sequence of Report
        One of each seed that routed.
    seeds : iterable of int
        All seeds tried.
    paths : collection of str
        Paths of the design's modules.
    parts, tools, options, seconds
        Area of each component, versions of the tools, nextpnr's options, run time of each stage.
    estimate : Estimate
        What was expected before.
    """
    best = max(reports, key=lambda report: report.speed)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "target": dict(target),
        "frequency_mhz": frequency,
        "fmax_mhz": {
            "best": round(best.speed, 2),
            "best_seed": best.seed,
            "median": round(statistics.median(report.speed for report in reports), 2),
            "margin": round(best.speed - frequency, 2),
            "seeds": {report.seed: round(report.speed, 2) for report in reports},
            "not_routed": sorted(set(seeds) - {report.seed for report in reports}),
        },
        "critical_path": critical_path(best, paths),
        "utilisation": {
            name: {"used": used, "available": available}
            for name, (used, available) in best.utilisation.items()
            if used
        },
        "estimate": None if estimate is None else _compared(estimate, best),
        "components": [asdict(part) for part in parts],
        "tools": dict(tools),
        "options": list(options),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }  # fmt: skip


def _compared(estimate: Estimate, report: Report) -> dict[str, Any]:
    """Return what was estimated beside what it is."""
    actual = counted(report.utilisation, estimate.device.family)
    return {
        "mhz_class": estimate.mhz,
        "resources": {
            name: {"estimated": count, "actual": actual[name]} for name, count in estimate.takes.items() if count
        },
    }


def critical_path(report: Report, paths: Collection[str]) -> dict[str, Any]:
    """Return the longest path of the slowest clock: its ends and its steps by module, delays in ns."""
    slowest = min(report.fmax, key=report.fmax.__getitem__)
    steps = report.paths[f"{slowest} -> {slowest}"]
    named = [(short_path(module_of(step.cell, paths)), step) for step in steps]
    merged: list[dict[str, Any]] = []
    for module, step in named:
        if not merged or merged[-1]["module"] != module:
            merged.append({"module": module, "logic": 0.0, "routing": 0.0})
        merged[-1]["routing" if step.net else "logic"] += step.delay
    return {
        "clock": slowest,
        "from": named[0][0],
        "to": named[-1][0],
        "logic": round(sum(step.delay for step in steps if not step.net), 3),
        "routing": round(sum(step.delay for step in steps if step.net), 3),
        "steps": [{k: round(v, 3) if isinstance(v, float) else v for k, v in step.items()} for step in merged],
    }


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print a report as one table."""
    fmax, path, target = report["fmax_mhz"], report["critical_path"], report["target"]
    table = Table(title=f"{target.get('board', 'core alone')} ({target['device']})", show_header=False, box=box.SIMPLE)
    table.add_column(style="bold")
    table.add_column()
    margin = f"{fmax['margin']:+.1f}"
    verdict = f"[green]{margin}[/]" if fmax["margin"] >= 0 else f"[red]{margin}[/]"
    table.add_row("clock, MHz", f"{report['frequency_mhz']:g} wanted, {fmax['best']:.1f} reached ({verdict})")
    each = ", ".join(f"{seed}: {speed:.1f}" for seed, speed in fmax["seeds"].items())
    lost = f"; not routed: {', '.join(map(str, fmax['not_routed']))}" if fmax["not_routed"] else ""
    table.add_row("seeds", f"{each}; best {fmax['best_seed']}, median {fmax['median']:.1f} MHz{lost}")
    table.add_row(
        "critical path",
        f"{path['from']} -> {path['to']}, {path['logic']:.1f} ns in logic, {path['routing']:.1f} ns in routing",
    )
    table.add_row(
        "", " > ".join(f"{step['module']} ({step['logic']:.1f} + {step['routing']:.1f})" for step in path["steps"])
    )
    for name, cells in report["utilisation"].items():
        share = f" ({cells['used'] / cells['available']:.0%})" if cells["available"] else ""
        table.add_row(name, f"{cells['used']:,} of {cells['available']:,}{share}")
    if expected := report["estimate"]:
        for name, each in expected["resources"].items():
            off = f" ({each['estimated'] / each['actual'] - 1:+.0%})" if each["actual"] else ""
            table.add_row(f"estimate, {RESOURCES[name]}", f"{each['estimated']:,} for {each['actual']:,}{off}")
        if expected["mhz_class"]:
            table.add_row("estimate, clock", f"class of {expected['mhz_class']} MHz")
    for part in report["components"]:
        takes = ", ".join(f"{_amount(part['takes'][name])} {name}" for name in RESOURCES if name in part["takes"])
        table.add_row(part["name"], f"{part['count']} x {takes}" if part["count"] > 1 else takes)
    table.add_row("tools", ", ".join(f"{name} {version}" for name, version in report["tools"].items()))
    table.add_row("run time", ", ".join(f"{name} {value:.0f} s" for name, value in report["seconds"].items()))
    console.print(table)


def _amount(mean: float) -> str:
    """Return a mean with three digits or more."""
    return f"{mean:,.0f}" if mean >= 100 or mean == int(mean) else f"{mean:.1f}"

"""Run Yosys, nextpnr and a packer: from Verilog to a placed and routed design, its report and its bitstream.

Each tool is a process of its own, so several seeds can run at once. Native tools on the PATH are used when present,
else those of the YoWASP packages. Logs stay in the work folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hw.area import top_module
from hw.tools import FlowError, Watch, run_tool, unwatched
from hw.vendor import Device


@dataclass(frozen=True)
class Family:
    """How the tools are called for a family: what Yosys does, nextpnr's and the packer's programs and options."""

    synthesis: tuple[str, ...]  #: scripts, one after the other, from {top}.v to {top}.json
    program: str
    result: str  #: option that names the file of the routed design
    suffix: str  #: of that file
    constraints: tuple[str, ...]  #: options that name a file of constraints; the last one ends right before the name
    unconstrained: tuple[str, ...]  #: options without one
    packer: str
    packing: tuple[str, ...]  #: its options, the routed design and the bitstream in braces
    bitstream: str  #: suffix of that file


#: How Yosys goes on with an ECP5: flat, with the modules' memories mapped already. Nets keep one name each, for nextpnr
#: would take ``sums[2]``, an element of an array, for bit 2 of ``sums``. ABC9's third script maps 16 lanes to 3 % fewer
#: LUTs, in less time, than its first. ABC9 takes wires that are named as bits, as elements of arrays are, for bits.
_FLAT_ECP5 = (
    "scratchpad -copy abc9.script.flow3 abc9.script; read_rtlil {top}.il; delete =A:blackbox; "
    "synth_ecp5 {options} -top {top} -noflatten -run begin:coarse; "
    "flatten; opt_expr -mux_undef -undriven -fine; opt_merge; opt_clean -purge; rename -hide w:*]; "
    "synth_ecp5 {options} -top {top} -noflatten -run map_gates: -json {top}.json"
)

FAMILIES = {
    # Memories module by module, for of a flat design of 64 lanes that takes longer than all else together; in two runs,
    # for in one ABC9 ends without a word.
    "ecp5": Family(
        (
            "read_verilog {top}.v; synth_ecp5 {options} -top {top} -noflatten -run begin:map_gates; "
            "write_rtlil {top}.il", _FLAT_ECP5,
        ),
        "nextpnr-ecp5", "--textcfg", ".config", ("--lpf",), ("--lpf-allow-unconstrained",),
        "ecppack", ("--compress", "--input", "{routed}", "--bit", "{bitstream}"), ".bit",
    ),
    # Without -dsp, which takes multipliers that are instances for its own and drops their registers and addends.
    "ice40": Family(
        ("read_verilog {top}.v; synth_ice40 -device u {options} -top {top} -json {top}.json",),
        "nextpnr-ice40", "--asc", ".asc", ("--pcf",), ("--pcf-allow-unconstrained",),
        "icepack", ("{routed}", "{bitstream}"), ".bin",
    ),
    "gowin": Family(
        ("read_verilog {top}.v; synth_gowin -family gw2a {options} -top {top} -json {top}.json",),
        "nextpnr-himbaechel-gowin", "--write", ".json", ("--vopt", "cst="), (),
        "gowin_pack", ("-d", "GW2A-18C", "-o", "{bitstream}", "{routed}"), ".fs",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A step of a critical path: the delay in ns through a cell, or along a net to a cell."""

    cell: str
    net: str  #: empty for the delay through a cell
    delay: float


@dataclass(frozen=True)
class Report:
    """What nextpnr reports of a routed design.

    Parameters
    ----------
    fmax : dict
        MHz that each clock reaches.
    utilisation : dict
        Used and available cells of each of nextpnr's types.
    paths : dict
        Critical path of each pair of clock domains, ``from -> to``.
    """

    device: str
    seed: int
    fmax: Mapping[str, float]
    utilisation: Mapping[str, tuple[int, int]]
    paths: Mapping[str, tuple[Step, ...]]
    log: Path
    routed: Path

    @property
    def speed(self) -> float:
        """MHz that all clocks reach; 0 for a design without any."""
        return min(self.fmax.values(), default=0.0)


def synthesize(
    verilog: str,
    top: str,
    device: Device,
    work: Path,
    *,
    options: Sequence[str] = (),
    watch: Watch = unwatched,
) -> Path:
    """Synthesise the module ``top``; return the netlist, a JSON file in the folder ``work``.

    Raises
    ------
    FlowError
    """
    work.mkdir(parents=True, exist_ok=True)
    (work / f"{top}.v").write_text(verilog)
    for stage, script in zip(("synthesis", "mapping"), FAMILIES[device.family].synthesis, strict=False):
        commands = script.format(top=top, options=" ".join(options))
        run_tool("yosys", ["-p", commands], work, work / f"{top}.{stage}.log", stage=stage, watch=watch)
    return work / f"{top}.json"


def place_and_route(
    netlist: Path,
    device: Device,
    *,
    seed: int = 1,
    frequency: float | None = None,
    constraints: Path | None = None,
    options: Sequence[str] = (),
    watch: Watch = unwatched,
) -> Report:
    """Place and route a netlist; logs, report and routed design are named after it and the seed, in its folder.

    Parameters
    ----------
    frequency : float
        MHz to aim for. A design that misses it is routed all the same: the report tells.
    constraints : Path
        Pins and clocks, in the family's own format (LPF, PCF, CST), in the folder of the netlist. Without it pins go
        anywhere.

    Raises
    ------
    FlowError
        If a tool is missing or fails, or the design does not fit or does not route.
    """
    family, work = FAMILIES[device.family], netlist.parent
    routed, report, log = _files(netlist, device, seed)
    for file in (routed, report):
        file.unlink(missing_ok=True)
    arguments = [
        *device.options, "--json", netlist.name, "--seed", str(seed), "--timing-allow-fail",
        "--report", report.name, family.result, routed.name, *family.unconstrained, *options,
    ]  # fmt: skip
    if frequency is not None:
        arguments += ["--freq", f"{frequency:g}"]
    if constraints is None and device.pins:
        constraints = any_pins(netlist, device, log.stem)
    if constraints is not None:
        *before, last = family.constraints
        arguments += [*before, f"{last}{constraints.name}"] if before else [last, constraints.name]
    run_tool(family.program, arguments, work, log, stage=f"place and route, seed {seed}", watch=watch)
    return read_report(netlist, device, seed)


def read_report(netlist: Path, device: Device, seed: int) -> Report:
    """Return what :func:`place_and_route` found, from the files that it left.

    Raises
    ------
    FlowError
        If there is no report, or it cannot be read.
    """
    family = FAMILIES[device.family]
    routed, report, log = _files(netlist, device, seed)
    try:
        contents = json.loads(report.read_text())
        fmax = {_clock(name): clock["achieved"] for name, clock in contents["fmax"].items()}
        utilisation = {name: (each["used"], each["available"]) for name, each in contents["utilization"].items()}
        paths = {
            f"{_clock(path['from'])} -> {_clock(path['to'])}": tuple(
                Step(step["to"].get("cell") or step["from"]["cell"], step.get("net", ""), step["delay"])
                for step in path["path"]
            )
            for path in contents["critical_paths"]
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FlowError(f"{family.program} left no report that can be read ({error}); see {log}") from None
    return Report(device.name, seed, fmax, utilisation, paths, log, routed)


def _files(netlist: Path, device: Device, seed: int) -> tuple[Path, Path, Path]:
    """Return the routed design, the report and the log of a seed."""
    suffixes = (FAMILIES[device.family].suffix, ".report.json", ".log")
    routed, report, log = (netlist.parent / f"{netlist.stem}.seed{seed}{suffix}" for suffix in suffixes)
    return routed, report, log


def route_seeds(
    netlist: Path, device: Device, seeds: Iterable[int], *, jobs: int = 1, resume: bool = False, **options
) -> list[Report]:
    """Place and route a netlist once for each seed, ``jobs`` at once; options as for :func:`place_and_route`.

    With ``resume`` a seed that an earlier run with the same netlist and options routed is only read.

    Raises
    ------
    FlowError
        If no seed routes; seeds that do not are left out otherwise.
    """

    def run(seed: int) -> Report:
        if resume:
            with contextlib.suppress(FlowError):
                return read_report(netlist, device, seed)
        return place_and_route(netlist, device, seed=seed, **options)

    reports, failures = [], []
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run, seed) for seed in seeds]
        try:
            for future in futures:
                try:
                    reports.append(future.result())
                except FlowError as error:
                    failures.append(error)
        finally:
            pool.shutdown(cancel_futures=True)  # the user may have stopped it: start no other seed
    if not reports:
        raise failures[0]
    return reports


def pack(
    report: Report, device: Device, bitstream: Path, *, options: Sequence[str] = (), watch: Watch = unwatched
) -> None:
    """Pack a routed design to a bitstream, a file in the design's folder that appears whole or not at all.

    Raises
    ------
    FlowError
    """
    family, work = FAMILIES[device.family], report.routed.parent
    part = bitstream.with_suffix(f".part{bitstream.suffix}")
    names = {"{routed}": report.routed.name, "{bitstream}": part.name}
    arguments = [*options, *(names.get(word, word) for word in family.packing)]
    log = work / f"{bitstream.stem}.pack.log"
    run_tool(family.packer, arguments, work, log, stage="bitstream", watch=watch)
    if not part.is_file() or not part.stat().st_size:
        raise FlowError(f"{family.packer} left no bitstream; see {log}")
    os.replace(part, bitstream)


def any_pins(netlist: Path, device: Device, stem: str) -> Path:
    """Write constraints, in Gowin's format, that give each port of a netlist a pin."""
    top = top_module(json.loads(netlist.read_text()))
    ports = [
        name if len(port["bits"]) == 1 else f"{name}[{k}]"
        for name, port in top["ports"].items()
        for k in range(len(port["bits"]))
    ]
    if len(ports) > len(device.pins):
        raise FlowError(
            f"{netlist.stem} has {len(ports)} pins and {device.name} here {len(device.pins)}; give constraints"
        )
    constraints = netlist.parent / f"{stem}.cst"
    pairs = zip(ports, device.pins, strict=False)
    constraints.write_text("".join(f'IO_LOC "{port}" {pin};\n' for port, pin in pairs))
    return constraints


def _clock(name: str) -> str:
    """Return a clock's name without what nextpnr adds for its network and pin, and without the edge."""
    return re.sub(r"^posedge |\$glbnet\$|\$TRELLIS_IO_IN$|\$SB_IO_IN(_\$glb_clk)?$", "", name)

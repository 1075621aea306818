"""Implement a core: on a board to a bitstream, or alone on a device to a report."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from amaranth.lib.wiring import Component

from hw.area import components, module_paths
from hw.bare import BareCore
from hw.boards import BAUD, TOP, Board, emit_board
from hw.bus.uart import divisor
from hw.config import CoreConfig
from hw.emit import emit
from hw.fit import Estimate, covers, estimate
from hw.floorplan import floorplan
from hw.flow import FAMILIES, Report, pack, route_seeds, synthesize
from hw.pll import MHZ, Setting
from hw.registered import Registered
from hw.report import describe
from hw.tools import FlowError, find_tool, has_option, tool_versions
from hw.uart_top import UartTop
from hw.vendor import Device
from hw.watch import Display

REPORT = "report.json"
RUN = f"{TOP}.run.json"  #: what the routes of a work folder are of
#: MHz to aim for on a device without a board.
AIMS = {"ecp5": 150.0, "ice40": 24.0, "gowin": 75.0}
#: Options for a core alone. This router is faster on buses to many lanes; boards have nextpnr's default: on a ULX3S
#: with 4 lanes at 60 MHz that one came to an end, at 92 MHz, and this one did not.
#: In a core of 16 lanes thousands of paths are nearly as long as the longest, so the placer is to weigh them alike, and
#: more than wire. The parallel engine refines a placement better than simulated annealing does, with one thread always
#: in the same way.
OPTIONS = {
    "ecp5": (
        "--router", "router2", "--placer-heap-timingweight", "40", "--placer-heap-critexp", "1", "--parallel-refine",
        "--threads", "1",
    ),
}  # fmt: skip
#: Further ones for an aim that can be met, without which they may go on for long. With its usual weights the router
#: leads some connections of busy nets around in wide arcs (one placement of 16 lanes came to 118 MHz, with the others
#: to 135); and connections are led anew for as long as some are too slow.
RIP_UP = {"ecp5": ("--router2-alt-weights", "--tmg-ripup")}
#: Builds of nextpnr without threads, as YoWASP's is, do not have the first of these, and their placements miss the aims
#: that the second is for.
THREADED = ("--parallel-refine", "--tmg-ripup")


@dataclass(frozen=True)
class Design:
    """What the tools are given.

    Parameters
    ----------
    target : dict
        What it is for, as report and manifest tell it.
    frequency : float
        MHz to aim for; on a board, to run at.
    constraints : tuple
        Name and content of their file; None for pins anywhere.
    board : Board
        None for a device without one, for which there is no bitstream.
    options : tuple of str
        Further ones of nextpnr.
    estimate : Estimate
        What it was expected to take; None where it is not known.
    """

    target: dict[str, Any]
    device: Device
    frequency: float
    verilog: str
    constraints: tuple[str, str] | None = None
    board: Board | None = None
    options: tuple[str, ...] = ()
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Implementation:
    """The report; the bitstream and the report's file; a sentence where the design misses its clock."""

    report: dict[str, Any]
    files: list[Path]
    missed: str | None


def board_design(config: CoreConfig, board: Board, frequency: float | None = None, baud: int = BAUD) -> Design:
    """Return a core with a host link and a UART on a board, clocked at ``frequency`` MHz or the nearest below.

    Raises
    ------
    ValueError
        If there is no such clock, or it does not suit ``baud``.
    """
    setting = board.clock(board.frequency if frequency is None else frequency)
    clock_hz = float(setting.output)
    divisor(clock_hz, baud)  # before a component is made, which Amaranth would warn of as unused
    design = place_on(board, setting, UartTop(config, clock_hz=clock_hz, baud=baud), baud=baud)
    if covers(config, board.device):
        design = replace(design, estimate=estimate(config, board.device, host_link=True))
    return design


def place_on(board: Board, setting: Setting, component: Component, **details: Any) -> Design:
    """Return any component with the ports of :class:`hw.uart_top.UartTop` on a board."""
    verilog, constraints = emit_board(board, setting, component)
    frequency = float(setting.output / MHZ)
    target = {"board": board.name, "device": board.device.name, "clock_mhz": frequency, **details}
    return Design(target, board.device, frequency, verilog, constraints, board)


def device_design(
    config: CoreConfig, device: Device, frequency: float | None = None, *, rip_up: bool = False
) -> Design:
    """Return a core alone between registers; ``frequency`` in MHz, with ``rip_up`` one that it will surely reach once
    slow connections are led anew: until then the router does not end.
    """
    aim = AIMS[device.family] if frequency is None else frequency
    verilog = emit(Registered(BareCore(config)), TOP, device)
    target = {"device": device.name, "aim_mhz": aim}
    options = OPTIONS.get(device.family, ()) + (RIP_UP.get(device.family, ()) if rip_up else ())
    expected = estimate(config, device) if covers(config, device) else None
    return Design(target, device, aim, verilog, options=options, estimate=expected)


def router_options(design: Design) -> list[str]:
    """Return the options of a design that suit the nextpnr at hand.

    Raises
    ------
    FlowError
        If there is none.
    """
    program = FAMILIES[design.device.family].program
    left_out = () if has_option(program, THREADED[0]) else THREADED
    return [option for option in design.options if option not in left_out]


def implement(
    design: Design, work: Path, *, seeds: int, jobs: int, display: Display, resume: bool = False
) -> Implementation:
    """Synthesise, place and route a design with seeds 1 to ``seeds``, and pack the best one if it meets its clock.

    All files are written into the folder ``work``, where logs stay whatever happens. Those of an earlier run are
    deleted first; with ``resume``, if it was of the same design and tools, its netlist and what it routed are kept.

    Raises
    ------
    FlowError
        If a tool is missing or fails, the design does not fit, or no seed routes.
    """
    device, family = design.device, FAMILIES[design.device.family]
    tools = ["yosys", family.program, *([family.packer] if design.board else [])]
    for tool in tools:
        find_tool(tool)
    versions, options = tool_versions(tools), router_options(design)
    run = {
        "verilog": hashlib.sha256(design.verilog.encode()).hexdigest(), "constraints": design.constraints,
        "mhz": design.frequency, "tools": versions, "options": options,
    }  # fmt: skip
    try:
        netlist, constraints = work / f"{TOP}.json", work / design.constraints[0] if design.constraints else None
        resume = resume and _is_of(work, run)
        if not resume:
            _prepare(design, work)
            synthesize(design.verilog, TOP, device, work, watch=display.watch)
            floorplan(netlist, device)
            (work / RUN).write_text(json.dumps(run, indent=2) + "\n")
        reports = route_seeds(
            netlist, device, range(1, seeds + 1), jobs=jobs, resume=resume, frequency=design.frequency,
            constraints=constraints, options=options, watch=display.watch,
        )  # fmt: skip
        best = max(reports, key=lambda report: report.speed)
        files, missed = [], None
        if design.board and best.speed < design.frequency:
            missed = _missed(design, best, seeds)
        elif design.board:
            files.append(work / f"{TOP}{family.bitstream}")
            pack(best, device, files[0], options=design.board.pack_options, watch=display.watch)
        paths = module_paths(design.verilog)
        report = describe(
            design.target, design.frequency, reports, seeds=range(1, seeds + 1), paths=paths,
            parts=components(netlist, TOP, device.family, paths), tools=versions, options=options,
            seconds=display.seconds(), estimate=design.estimate,
        )  # fmt: skip
        files.append(work / REPORT)
        files[-1].write_text(json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise FlowError(f"cannot write {work}: {error.strerror or error}; choose another --out") from None
    return Implementation(report, files, missed)


def _is_of(work: Path, run: dict[str, Any]) -> bool:
    """Return whether the folder holds the netlist and perhaps routes of a run."""
    try:
        return json.loads((work / RUN).read_text()) == json.loads(json.dumps(run))
    except (OSError, ValueError):
        return False


def _prepare(design: Design, work: Path) -> None:
    """Empty the folder of what an earlier run left and write the constraints."""
    work.mkdir(parents=True, exist_ok=True)
    for file in (*work.glob(f"{TOP}.*"), work / REPORT):
        file.unlink(missing_ok=True)
    if design.constraints is not None:
        name, content = design.constraints
        (work / name).write_text(content)


def _missed(design: Design, best: Report, seeds: int) -> str:
    of_seeds = f"the best of {seeds} seeds, {best.seed}," if seeds > 1 else "its only seed"
    return (
        f"the core on {design.target['board']} reaches {best.speed:.1f} MHz with {of_seeds} and is to run at "
        f"{design.frequency:g} MHz; choose --frequency {math.floor(best.speed)} or less, more --seeds, or fewer "
        f"--lanes; see {best.log}"
    )

"""Place and route the SoC for the board with Egret's own flow: Yosys, nextpnr-ecp5, ecppack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.config import CoreConfig
from hw.flow import Report, pack, place_and_route
from hw.litex import ecpix5
from hw.litex.builder import core_verilog, write_soc
from hw.litex.cases import Case, encode
from hw.litex.program import compile_program
from hw.tools import run_tool

TOP = "egret_soc"
ROM_BYTES = 1 << 16
TEST_BYTES = 1 << 21  #: as LiteX has it
#: What begins the names of the other clocks: of the oscillator, of the PHY's initialisation, of its pins.
OTHER_CLOCKS = ("clk100", "init_clk", "sys2x_clk")
#: In one go: :func:`hw.flow.synthesize`, which maps memories module by module, ends in a failed assertion of Yosys 0.70
#: with the SoC around the core.
SYNTHESIS = f"read_verilog {TOP}_all.v; synth_ecp5 -top {TOP} -json {TOP}.json"


@dataclass(frozen=True)
class Written:
    """A SoC as a folder of files: its Verilog as one text, and where constraints and initial contents are."""

    verilog: str
    folder: Path
    constraints: Path


def write_board(config: CoreConfig, cases: Sequence[Case], work: Path, *, clock: float) -> Written:
    """Compile the firmware and write the SoC for the board; ``clock`` in Hz.

    Raises
    ------
    hw.litex.program.ProgramError, golden.fanout.CompileError
    """
    encoded = encode(cases, config)

    def program(include: Path) -> list[int]:
        return compile_program(include, work / "firmware", encoded, rom_bytes=ROM_BYTES, test_bytes=TEST_BYTES)

    soc = ecpix5.Ecpix5SoC(clock=clock, rom_bytes=ROM_BYTES, program=program)
    folder = write_soc(soc, work, TOP)
    sources = [folder / f"{TOP}.v", *(folder / name for name, *_ in soc.platform.sources if Path(name).stem != TOP)]
    core = core_verilog(config, ecpix5.DEVICE)
    texts = [*(source.read_text() for source in sources), core]
    return Written("\n".join(texts), folder, folder / f"{TOP}.lpf")


def implement(
    written: Written, *, clock: float, seeds: Sequence[int], say: Callable[[str], None] = lambda _: None
) -> tuple[Report, Path]:
    """Synthesise, route with each seed, pack the fastest; return its report and the bitstream.

    Raises
    ------
    hw.tools.FlowError
    """
    say("synthesis")
    routing = written.folder / "routing"
    routing.mkdir(exist_ok=True)
    for file in (written.constraints, *written.folder.glob("*.init")):
        (routing / file.name).write_bytes(file.read_bytes())
    (routing / f"{TOP}_all.v").write_text(written.verilog)
    run_tool("yosys", ["-p", SYNTHESIS], routing, routing / "synthesis.log", stage="synthesis")
    netlist, constraints = routing / f"{TOP}.json", routing / written.constraints.name
    reports = []
    for seed in seeds:
        say(f"place and route, seed {seed}")
        reports.append(
            place_and_route(netlist, ecpix5.DEVICE, seed=seed, frequency=clock / 1e6, constraints=constraints)
        )
    best = max(reports, key=system_speed)
    bitstream = routing / f"{TOP}.bit"
    pack(best, ecpix5.DEVICE, bitstream)
    return best, bitstream


def system_speed(report: Report) -> float:
    """Return the MHz that the clock of CPU, core and controller reaches, which synthesis names after any of them."""
    return min(speed for name, speed in report.fmax.items() if not name.startswith(OTHER_CLOCKS))

"""Route single memories and multipliers, as plain HDL and as a device's own blocks: ``python -m hw.vendor.measure``."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from amaranth import signed, unsigned
from amaranth.lib.wiring import Component
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hw.emit import emit
from hw.flow import FlowError, Report, route_seeds, synthesize
from hw.registered import Registered
from hw.vendor import DEVICES, Device
from hw.vendor.generic import Multiplier, PipelinedMemory

COMPONENTS: dict[str, Callable[[], Component]] = {
    "memory 24 x 512": lambda: PipelinedMemory(shape=24, depth=512),
    "memory 24 x 16": lambda: PipelinedMemory(shape=24, depth=16),
    "ROM 27 x 512": lambda: PipelinedMemory(shape=27, depth=512, init=range(512)),
    "multiplier s8 x s17": lambda: Multiplier(signed(8), signed(17)),
    "multiplier u15 x s18": lambda: Multiplier(unsigned(15), signed(18)),
    "multiplier u11 x u7": lambda: Multiplier(unsigned(11), unsigned(7)),
}


def measure(
    component: Component, device: Device, platform: Device | None, frequency: float, seeds: int
) -> list[Report]:
    """Route a component between registers; return a report for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        verilog = emit(Registered(component), "top", platform)
        netlist = synthesize(verilog, "top", device, Path(folder))
        return route_seeds(netlist, device, range(1, seeds + 1), frequency=frequency)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hw.vendor.measure",
        description="Route single memories and multipliers between registers, as plain HDL and as the device's blocks.",
        epilog="example: python -m hw.vendor.measure --device lfe5u-85f --seeds 3",
    )
    parser.add_argument("--device", choices=sorted(DEVICES), default="lfe5u-85f", help="(default: %(default)s)")
    parser.add_argument("--frequency", type=float, default=300, help="MHz to aim for (default: %(default)g)")
    parser.add_argument("--seeds", type=int, default=1, help="routes of each, of which the median counts (default: 1)")
    arguments = parser.parse_args(argv)
    device, console = DEVICES[arguments.device], Console()
    table = Table(title=f"{device.name}: median Fmax in MHz of {arguments.seeds} seed(s)")
    for column in ("block", "plain HDL", "device's blocks"):
        table.add_column(column, justify="left" if column == "block" else "right")
    try:
        for name, component in track(COMPONENTS.items(), "routing", console=console, transient=True):
            cells = []
            for platform in (None, device):
                reports = measure(component(), device, platform, arguments.frequency, arguments.seeds)
                fmax = [value for report in reports for value in report.fmax.values()]
                cells.append(f"{statistics.median(fmax):.0f}" if fmax else "untimed")
            table.add_row(name, *cells)
    except FlowError as error:
        print(error, file=sys.stderr)
        return 2
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

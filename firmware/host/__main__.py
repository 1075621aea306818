"""The host's command: classify, bench and selftest on a board or in simulation.

python -m firmware.host selftest --simulate
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from firmware.host.device import Device
from firmware.host.digits import classification, read_digits, run_digits, speed
from firmware.host.overlay import open_overlay
from firmware.host.selftest import as_table, self_test
from firmware.host.uart import BAUD, TIMEOUT, open_uart
from firmware.requester import LinkError
from hw.build_folder import DIGITS, configure

LANES, IMAGES = 8, 20
ERROR, DIFFERENCE = 2, 1


COMMANDS = {
    "selftest": "replay the shipped vectors on the core and compare outputs, states and counters, bit for bit",
    "classify": "let the core classify handwritten digits, and compare every output with the integer oracle's",
    "bench": "measure steps a second, cycles a step, and the time that transfers take",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m firmware.host",
        description="Use an Egret core on a board or in simulation: selftest first, then classify and bench.",
        epilog="status 0: all numbers are the integer oracle's; 1: some differ; 2: it could not be tried, and why. "
        "Guide: docs/host.md",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"example: python -m firmware.host {name} --port /dev/ttyUSB0",
        )  # fmt: skip
        _add_place(command)
        if name != "selftest":
            command.add_argument(
                "--images", type=int, default=IMAGES, help="test images, 1 to 360 (default: %(default)s)"
            )
            command.add_argument("--model", type=Path, default=DIGITS, help="model file (default: the bundled digits)")
    return parser


def _add_place(command: argparse.ArgumentParser) -> None:
    """Add the options that tell where the core is."""
    place = command.add_argument_group("where the core is (one of the first three)")
    one = place.add_mutually_exclusive_group(required=True)
    one.add_argument(
        "--port", metavar="NAME", help="behind a serial port: /dev/ttyUSB0, COM3; a bitstream of hw.build --board"
    )
    one.add_argument("--overlay", metavar="FILE", help="on this PYNQ board: the bitstream to load; needs --build")
    one.add_argument(
        "--simulate", action="store_true", help="in simulation: egret.v, by Verilator, built for the digits"
    )
    place.add_argument("--baud", type=int, default=BAUD, help="of the serial port (default: %(default)s)")
    place.add_argument(
        "--build", type=Path, help="of the overlay: the folder that hw.build wrote, with its register map"
    )
    place.add_argument(
        "--core", default="egret_0", help="of the overlay: name of the core's block (default: %(default)s)"
    )
    place.add_argument("--dma", default="axi_dma_0", help="of the overlay: name of its DMA (default: %(default)s)")
    place.add_argument("--lanes", type=int, default=LANES, help="of the simulated core (default: %(default)s)")
    place.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        help="seconds without progress before giving up (default: %(default)s)",
    )


def _open(options: argparse.Namespace, console: Console) -> Device:
    if not options.timeout > 0:
        raise ValueError(f"--timeout is {options.timeout}; it must be more than 0 seconds")
    if options.port is not None:
        return open_uart(options.port, options.baud, timeout=options.timeout, progress=True)
    if options.overlay is not None:
        if options.build is None:
            raise ValueError("--overlay needs --build, the folder with the core's register map")
        return open_overlay(
            options.overlay, options.build, core=options.core, dma=options.dma, timeout=options.timeout, progress=True
        )
    from firmware.host.simulated import open_simulated  # a board's host needs no Verilator
    from sim.verilate import SimulationError

    config = configure(DIGITS, options.lanes).config
    try:
        with console.status("compiling egret.v (a minute or two, once)"):
            return open_simulated(config, timeout=options.timeout, progress=True)
    except SimulationError as error:
        raise LinkError(str(error)) from None


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    console, notes = Console(), Console(stderr=True)
    try:
        work = None if options.command == "selftest" else read_digits(options.model, options.images)
        with _open(options, notes) as device:
            if work is None:
                compared = self_test(device)
                console.print(as_table(compared))
                return DIFFERENCE if any(row.differ for row in compared) else 0
            done = run_digits(device, *work)
            console.print(classification(done) if options.command == "classify" else speed(done, device.identity))
            return 0 if done.exact else DIFFERENCE
    except (LinkError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR


if __name__ == "__main__":
    sys.exit(main())

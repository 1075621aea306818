"""The command line of ``python -m hw.build``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from hw.boards import BAUD, BOARDS
from hw.vendor import DEVICES

AUTO = "auto"  #: number of lanes to be chosen


class OptionError(ValueError):
    """Options that do not go together or make no sense."""


def parse(arguments: list[str] | None, *, model: Path) -> argparse.Namespace:
    """Return the options; ``model`` is the model file without ``--model``."""
    parser = argparse.ArgumentParser(
        prog="python -m hw.build",
        description="Configure a core for a network and write its Verilog (egret_core.v: plain streams; egret.v: with "
        "AXI4-Lite registers and AXI4-Stream events; egret_wishbone.v: with Wishbone registers), files for "
        "FuseSoC, Vivado and IP-XACT tools, the network's memory image, and a manifest. Another network that fits the "
        "capacities can be loaded later, without a new synthesis.",
        epilog="examples: python -m hw.build --model models/digits/digits.safetensors --lanes 8 --out build/digits; "
        "python -m hw.build --board ulx3s-85f --lanes auto; python -m hw.build --device lfe5u-85f --lanes 16 --seeds 4;"
        " python -m hw.build --model model.safetensors --lists memory --lanes 16",
    )
    parser.add_argument("--model", type=Path, default=model, help="model file (default: the bundled digits network)")
    parser.add_argument(
        "--lanes",
        type=_lanes,
        metavar="N|auto",
        help="multiply-accumulates a cycle; auto: the fastest core that fits the board or device, by estimate, with as "
        "many cell units as usual or fewer (default: the board's, else 8)",
    )
    parser.add_argument(
        "--cell-units",
        type=int,
        help="a divisor of the lanes (default: as many as lanes up to 8 lanes, else about one for 16 lanes)",
    )
    parser.add_argument("--queue-depth", type=int, default=16, help="events a lane queues (default: %(default)s)")
    parser.add_argument(
        "--compact",
        action=argparse.BooleanOptionalAction,
        help="a small core rather than a fast one, for a device of a few thousand cells: one cell unit that takes its "
        "time, no counters (default: as suits the board, else no)",
    )
    parser.add_argument(
        "--split-banks",
        action=argparse.BooleanOptionalAction,
        help="accumulator banks in memories of their own: reading sums then costs lanes nothing (default: yes; not in "
        "a compact core)",
    )
    parser.add_argument(
        "--forwarding",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="pass sums on before they are stored; pays for many lanes and short lists (default: no)",
    )
    parser.add_argument(
        "--hops",
        type=int,
        default=1,
        help="registers in each bus between lanes and the rest: 1, or up to 3 where a core fills a large device "
        "(default: 1)",
    )
    parser.add_argument(
        "--distributed-cells",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="a cell unit's biases, thresholds and states in distributed RAM; pays where lanes need all block "
        "RAM (default: no)",
    )
    parser.add_argument(
        "--lists",
        choices=("chip", "memory"),
        default="chip",
        help="where the network's weights are: on chip, or in external memory behind an AXI4 port; lists.bin is then "
        "what that holds, from the first byte of the window on (default: chip)",
    )
    parser.add_argument(
        "--port-bits",
        type=int,
        choices=(64, 128, 256, 512),
        help="width of the port to external memory (default: 128)",
    )
    parser.add_argument(
        "--ranked",
        type=int,
        default=0,
        metavar="K",
        help="for language models: registers that tell the K largest outputs of a step, 1 to 16, and the probability "
        "of one, and generation (docs/ranking.md; default: 0, none of these)",
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
    group.add_argument(
        "--fit-check",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="refuse, before any tool runs, a core that is too large by estimate (default: yes)",
    )
    group.add_argument("--baud", type=int, help=f"bits a second on the board's serial line (default: {BAUD})")
    return parser.parse_args(arguments)


def _lanes(text: str) -> int | str:
    """Return a number of lanes, or ``AUTO``."""
    if text != AUTO and not text.removeprefix("-").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {AUTO!r}")
    return AUTO if text == AUTO else int(text)


def check_target(options: argparse.Namespace) -> None:
    """Raise OptionError for options that do not go together or make no sense."""
    if options.lists == "chip" and options.port_bits is not None:
        raise OptionError("--port-bits is for lists in external memory; give --lists memory, too")
    if options.lists == "memory" and options.board is not None:
        raise OptionError(
            f"--lists memory needs a memory controller, and the design for {options.board} has none; give --device "
            "for the core alone, or build a SoC around it with python -m hw.litex.build"
        )
    if options.board is None and options.baud is not None:
        raise OptionError("--baud is for a board; give --board, too")
    if options.lanes == AUTO and options.board is None and options.device is None:
        raise OptionError("--lanes auto is for what a board or a device holds; give --board or --device, too")
    for name in ("frequency", "seeds", "jobs", "baud"):
        value = getattr(options, name)
        if value is None:
            continue
        if options.board is None and options.device is None:
            raise OptionError(f"--{name} is for a board or a device; give --board or --device, too")
        if not (math.isfinite(value) and value > 0):
            raise OptionError(f"--{name} is {value:g}; it must be more than 0")

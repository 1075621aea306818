"""What both command lines share: the core and its clock."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from hw.config import CoreConfig
from hw.litex.peripheral import PORT_BITS

ROOT = Path(__file__).parents[2]
CLOCK = 75.0  #: MHz; DRAM takes four transfers a cycle


def add_core(parser: argparse.ArgumentParser) -> None:
    """Add the options of the core and of the clock."""
    group = parser.add_argument_group("core", "see hw/config.py; lists are in DRAM")
    for name, default, what in (
        ("lanes", 8, "multiply-accumulates a cycle"),
        ("cell-units", 1, "a divisor of the lanes"),
        ("rows", 256, "units a lane can hold"),
        ("sources", 32768, "inputs and units together"),
        ("layers", 4, "layers, the readout included"),
        ("acc-bits", 28, "width of a sum"),
        ("gap-bits", 5, "width of a gap in a list"),
        ("lists", 4096, "lists that the directory knows"),
        ("hops", 1, "registers in each bus between the lanes and the rest"),
    ):
        group.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (default: %(default)s)")
    parser.add_argument(
        "--clock", type=float, default=CLOCK, metavar="MHZ", help="of CPU, core and controller (default: %(default)s)"
    )


def config(options: argparse.Namespace) -> CoreConfig:
    """Return the configuration that the options ask for."""
    names = ("lanes", "cell_units", "rows", "sources", "layers", "acc_bits", "gap_bits", "lists", "hops")
    return CoreConfig(**{name: getattr(options, name) for name in names}, port_bits=PORT_BITS)


def quiet() -> None:
    """Let LiteX say what is wrong, and nothing else."""
    logging.disable(logging.INFO)

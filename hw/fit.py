"""Estimate what a core takes of a device and how fast it may run: ``python -m hw.fit``.

Block RAMs and multipliers are counted by the rules that they are built by. LUTs and flip-flops are added up from the
sizes of the components by coefficients that ``python -m hw.calibrate`` fitted to measured cores, and so is the class
of clock; it keeps both in ``hw/fit.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from hw.boards import BOARDS
from hw.config import CoreConfig
from hw.fit_blocks import inferred_blocks, inventory
from hw.fit_logic import sizes
from hw.vendor import DEVICES, Device

COEFFICIENTS = Path(__file__).with_name("fit.json")
RESOURCES = {"LUT": "LUTs", "FF": "flip-flops", "RAM": "block RAMs", "SPRAM": "SPRAMs", "multiplier": "multipliers"}
#: How many of a resource each of the types takes that nextpnr counts.
COUNTED: dict[str, dict[str, dict[str, int]]] = {
    "ecp5": {
        "LUT": {"TRELLIS_COMB": 1}, "FF": {"TRELLIS_FF": 1}, "RAM": {"DP16KD": 1}, "multiplier": {"MULT18X18D": 1}
    },
    "ice40": {
        "LUT": {"ICESTORM_LC": 1}, "RAM": {"ICESTORM_RAM": 1}, "SPRAM": {"ICESTORM_SPRAM": 1},
        "multiplier": {"ICESTORM_DSP": 1},
    },
    "gowin": {
        # a memory holds four LUTs and six flip-flops more than it consists of
        "LUT": {"LUT4": 1, "ALU": 1, "RAM16SDP4": 4}, "FF": {"DFF": 1, "RAM16SDP4": 6}, "RAM": {"BSRAM": 1},
        "multiplier": {"MULT18X18": 1},
    },
}  # fmt: skip
#: The same of what is packed only: what adders and memories of a Gowin device hold is there among LUTs and flip-flops.
COUNTED_PACKED = COUNTED | {"gowin": COUNTED["gowin"] | {"LUT": {"LUT4": 1}, "FF": {"DFF": 1}}}
BASE = "ecp5"  #: of which all kinds of cores but compact ones were measured
FULL = 0.9  #: share of a device's LUTs or flip-flops beyond which routing gets slow and clocks low, or fails


@dataclass(frozen=True)
class Estimate:
    """What a core takes of a device, by resource, and the class of its clock in MHz.

    The class is what routed cores of the family that fill their device as much reached, with a margin. It is no promise
    for one core, and None where none was routed.
    """

    device: Device
    takes: Mapping[str, int]
    mhz: int | None

    @property
    def shares(self) -> dict[str, float]:
        """What it takes of each resource, 1 for all."""
        has = self.device.has
        return {name: count / has[name] if name in has else float("inf") for name, count in self.takes.items()}

    @property
    def over(self) -> list[str]:
        """Resources of which there are too few."""
        return [name for name, count in self.takes.items() if count > self.device.has.get(name, 0)]

    @property
    def fits(self) -> bool:
        return not self.over

    @property
    def crowded(self) -> list[str]:
        """Logic of which so much is taken that routing may fail."""
        return [name for name in ("LUT", "FF") if self.shares.get(name, 0.0) > FULL]

    def told(self, names: Sequence[str]) -> str:
        """Return the numbers of some resources in words."""
        each = [f"{self.takes[name]:,} of {self.device.has.get(name, 0):,} {RESOURCES[name]}" for name in names]
        return " and ".join(filter(None, (", ".join(each[:-1]), *each[-1:])))


def model_name(config: CoreConfig, family: str) -> str:
    """Return the name of the coefficients for a core on a family: compact ones have their own."""
    return f"{family}-compact" if config.compact else family


def covers(config: CoreConfig, device: Device) -> bool:
    """Return whether there is an estimate of a core on a device: see :func:`uncovered`."""
    return uncovered(config, device) is None


def uncovered(config: CoreConfig, device: Device) -> str | None:
    """Return of which cores there is no estimate, and what to choose; None where there is one.

    Compact ones were measured on iCE40 only, ranked ones and those with lists in external memory on ECP5 only.
    """
    if model_name(config, device.family) not in coefficients()["models"]:
        return f"compact cores for {device.name}; choose an iCE40, or no compact core"
    if config.streamed and device.family != BASE:
        return f"cores with lists in external memory for {device.name}; choose an ECP5, or lists on chip"
    if config.ranked and device.family != BASE:
        return f"ranked cores for {device.name}; choose an ECP5, or no ranking"
    return None


def estimate(config: CoreConfig, device: Device, *, host_link: bool = False) -> Estimate:
    """Return what a core takes, within milliseconds and without any tool.

    Parameters
    ----------
    host_link : bool
        Whether it stands behind a host link, as on a board, or alone between registers (:mod:`hw.registered`).

    Raises
    ------
    ValueError
        If the estimate does not cover such cores, or there are none: behind a host link there is no external memory.
    """
    if why := uncovered(config, device):
        raise ValueError(f"there is no estimate of {why}")
    if host_link and config.streamed:
        raise ValueError(
            f"gap_bits is {config.gap_bits}; it must be 0 on a board, where there is no external memory behind the core"
        )
    fitted = coefficients()["models"][model_name(config, device.family)]
    blocks = inventory(config, device.family, host_link=host_link)
    logic = dict.fromkeys(fitted["logic"], 0.0)
    for component, measures in sizes(config, blocks, host_link=host_link).items():
        for resource, of_components in fitted["logic"].items():
            each = of_components.get(component, {})  # what is new since the calibration counts as nothing
            logic[resource] += sum(each.get(name, 0.0) * size for name, size in measures.items())
    takes = {resource: round(fitted["packing"][resource] * count) for resource, count in logic.items()}
    takes |= blocks.totals
    takes["RAM"] += inferred_blocks(config, device.family)
    fill = max(count / device.has[resource] for resource, count in takes.items() if resource in device.has)
    return Estimate(device, takes, clock_class(model_name(config, device.family), fill, config))


def clock_class(model: str, fill: float, config: CoreConfig) -> int | None:
    """Return the MHz that cores reach which take a share ``fill`` of what they take most of; None if unknown."""
    classes = coefficients()["models"][model].get(clock_key(config))
    if classes is None:
        return None
    return next((mhz for limit, mhz in classes if fill <= limit), classes[-1][1])


def clock_key(config: CoreConfig) -> str:
    """Return under which name the classes of cores are kept: those with more than one hop are built for speed, those
    with lists in external memory have longer paths.
    """
    return "mhz" + "_streamed" * config.streamed + "_with_hops" * (config.hops > 1)


@functools.cache
def coefficients() -> dict[str, Any]:
    """Return what ``python -m hw.calibrate`` wrote."""
    return json.loads(COEFFICIENTS.read_text())


def counted(utilisation: Mapping[str, tuple[int, int]], family: str, *, packed: bool = False) -> dict[str, int]:
    """Return what a design takes of each resource, from what is used, and available, of each of nextpnr's types."""
    return {
        resource: sum(count * utilisation[name][0] for name, count in types.items() if name in utilisation)
        for resource, types in (COUNTED_PACKED if packed else COUNTED)[family].items()
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hw.fit",
        description="Estimate LUTs, flip-flops, block RAMs, multipliers and the class of clock of a core from its "
        "configuration alone, beside what a device has. Exit status 1 if it does not fit.",
        epilog="example: python -m hw.fit --device lfe5u-85f --lanes 16 --cell-units 2 --entries 7168 --sources 512. "
        "For a network, `python -m hw.build --lanes auto` finds the configuration.",
    )
    targets = parser.add_mutually_exclusive_group(required=True)
    targets.add_argument("--board", choices=sorted(BOARDS), help="a board: with its host link")
    targets.add_argument(
        "--device", choices=sorted(DEVICES), metavar="DEVICE", help=f"the core alone: {', '.join(sorted(DEVICES))}"
    )
    group = parser.add_argument_group("the core, as hw.config.CoreConfig describes it")
    for parameter in dataclasses.fields(CoreConfig):
        name = f"--{parameter.name.replace('_', '-')}"
        if isinstance(parameter.default, bool):
            kind: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        else:
            kind = {"type": int, "metavar": "N"}
        group.add_argument(name, default=parameter.default, help=f"(default: {parameter.default})", **kind)
    return parser.parse_args(arguments)


def table(found: Estimate, title: str) -> Table:
    """Return an estimate beside what its device has."""
    rows = Table("", "takes", "of", "share", title=title, box=box.SIMPLE)
    for column in rows.columns[1:]:
        column.justify = "right"
    for name, share in found.shares.items():
        colour = "red" if share > 1 else "yellow" if share > FULL else "green"
        rows.add_row(
            RESOURCES[name], f"{found.takes[name]:,}", f"{found.device.has.get(name, 0):,}", f"[{colour}]{share:.0%}[/]"
        )
    rows.add_row("clock, class", f"{found.mhz} MHz" if found.mhz else "not measured", "", "")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        config = CoreConfig(**{
            parameter.name: getattr(options, parameter.name) for parameter in dataclasses.fields(CoreConfig)
        })  # fmt: skip
        device = BOARDS[options.board].device if options.board else DEVICES[options.device]
        found = estimate(config, device, host_link=bool(options.board))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Console().print(table(found, f"{config.lanes} lanes on {options.board or device.name}, estimated"))
    return 0 if found.fits else 1


if __name__ == "__main__":
    sys.exit(main())

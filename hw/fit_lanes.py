"""Choose the number of lanes: the fastest core of a network that fits, or the nearest to one that does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from golden.beats import BEAT_BITS, GAP_BITS
from golden.fanout import CompileError, compile, predict_cycles
from golden.network import FixedNetwork
from golden.streamed import predict_cycles_streamed
from hw.boards import BOARDS
from hw.cell_egru import stages
from hw.config import CoreConfig
from hw.fit import FULL, RESOURCES, Estimate, estimate
from hw.list_fetch import ListFetch
from hw.vendor import DEVICES, Device

LANES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)  #: that are considered
ACTIVITY = 0.2  #: share of the sources that are taken to be active, as in a build's manifest
#: Cycles from a lane's last entry of a layer to the first that follows from it, beside the cell unit's: to the sums and
#: back to the lanes (docs/results.md); those of each further hop; and what else the second one brings.
LOOP, HOP, FAR = 18, 5, 5
#: Of a compact core: cycles of a unit, of one of the readout (:class:`hw.compact.cell_group.CellGroup`), and of an
#: event beside its entries (:class:`hw.compact.lane.Lane`).
UPDATE, READ, EVENT = 37, 6, 6
SAME = 0.98  #: share of the greatest speed from which on a core counts as fast as it


class FitError(ValueError):
    """A core that does not fit; the message has the numbers and what to do."""


@dataclass(frozen=True)
class Target:
    """What a core is to fit: a device, alone or on a board, where it has a host link and a clock in MHz."""

    name: str
    device: Device
    clock: float | None = None

    @classmethod
    def of(cls, board: str | None, device: str | None, frequency: float | None = None) -> Target:
        """Return the board, or else the device, of a name; ``frequency`` in MHz is that of a board."""
        if board is not None:
            return cls(board, BOARDS[board].device, frequency or BOARDS[board].frequency)
        assert device is not None
        return cls(device, DEVICES[device])

    def estimate(self, config: CoreConfig, device: Device | None = None) -> Estimate:
        """Return what a core takes here, or on another device in this one's place."""
        return estimate(config, device or self.device, host_link=self.clock is not None)


@dataclass(frozen=True)
class Candidate:
    """A core for a network, what it takes, and, where it fits, about how many cycles a step takes."""

    config: CoreConfig
    estimate: Estimate
    cycles: float | None
    clock: float | None  #: MHz that it is to run at, where that is given

    @property
    def mhz(self) -> float | None:
        """The class of clock, or the clock that is given if lower."""
        return min((mhz for mhz in (self.estimate.mhz, self.clock) if mhz), default=None)

    @property
    def meets(self) -> bool:
        """Whether the class is not below the clock that is given."""
        return self.clock is None or self.mhz == self.clock

    @property
    def speed(self) -> float:
        """Steps a second; where no clock is known, steps in a million cycles."""
        return 0.0 if self.cycles is None else 1e6 * (self.mhz or 1) / self.cycles


def told(config: CoreConfig) -> str:
    """Return lanes and cell units in words."""
    lanes, cells = config.lanes, config.cell_units
    return f"{lanes} lane{'s' * (lanes > 1)} and {cells} cell unit{'s' * (cells > 1)}"


def default_cell_units(lanes: int) -> int:
    """Return one cell unit a lane for small cores, where latency counts; for larger ones about one for 16 lanes."""
    wanted = lanes if lanes <= 8 else max(2, lanes // 16)
    return max(units for units in range(1, wanted + 1) if lanes % units == 0)


def check(config: CoreConfig, network: FixedNetwork, target: Target, **options: Any) -> Estimate:
    """Return the estimate of a core for a network.

    Parameters
    ----------
    options
        Of :meth:`hw.config.CoreConfig.fitting`, for other numbers of lanes.

    Raises
    ------
    FitError
        If it does not fit.
    """
    found = target.estimate(config)
    if found.fits:
        return found
    others = sorted({*LANES, config.lanes}, key=lambda lanes: (abs(lanes - config.lanes), lanes))
    near = (candidate(network, target, lanes, **options) for lanes in others)
    nearest = next((one for one in near if one and one.estimate.fits), None)
    family = [device for device in DEVICES.values() if device.family == target.device.family]
    family.sort(key=lambda device: device.has["LUT"])
    larger = next((device for device in family if target.estimate(config, device).fits), None)
    ways = [f"the nearest that fits has {told(nearest.config)}"] if nearest else []
    ways += [f"a device {larger.name} would hold it"] if larger else []
    raise FitError(
        f"{told(config)} need {found.told(found.over)} of {target.name}, by estimate; "
        f"{', and '.join(ways) or 'no number of lanes fits, nor a larger device of its family'}; "
        "--no-fit-check tries it all the same"
    )


def candidates(
    network: FixedNetwork, target: Target, cell_units: int | None = None, **options: Any
) -> Iterator[Candidate]:
    """Yield a core of each number of lanes that can hold a network; parameters are those of :func:`candidate`.

    Raises
    ------
    ValueError
        If an option is wrong whatever the network.
    """
    units = 1 if cell_units is None else cell_units
    given = dict(options)
    if given.pop("streamed", False):
        given |= {"gap_bits": GAP_BITS[0], "lists": 1}
    CoreConfig(lanes=units, cell_units=units, **given)
    for lanes in LANES:
        if lanes % units == 0 and (one := candidate(network, target, lanes, cell_units, **options)):
            yield one


def candidate(
    network: FixedNetwork, target: Target, lanes: int, cell_units: int | None = None, **options: Any
) -> Candidate | None:
    """Return the core of so many lanes with the most cell units, up to the usual number, with which it fits.

    None where no configuration of so many lanes holds the network.

    Parameters
    ----------
    cell_units : int
        Their number, if it is given.
    options
        Further ones of :meth:`hw.config.CoreConfig.fitting`.
    """
    most = cell_units or (1 if options.get("compact") else default_cell_units(lanes))
    try:
        config = CoreConfig.fitting(network, lanes, cell_units=most, **options)
    except ValueError:
        return None
    found = target.estimate(config)
    for units in range(most - 1, 0, -1) if cell_units is None else ():
        if found.fits:
            break
        if lanes % units == 0:
            config = replace(config, cell_units=units)
            found = target.estimate(config)
    try:
        cycles = cycles_a_step(network, config) if found.fits else None
    except CompileError:  # lists in external memory are longer than a directory can tell
        return None
    return Candidate(config, found, cycles, target.clock)


def cycles_a_step(network: FixedNetwork, config: CoreConfig) -> float:
    """Return about how many cycles a step takes, a fifth of the sources active: its work and the loop of each layer.

    A compact core's lanes take some cycles for each event, and its cell unit, which is the same for all, for each unit.
    External memory is taken to give what its port carries; of inputs whose lists are dense, as a folded embedding's,
    one is taken to be active.
    """
    active = np.full(network.source_count, ACTIVITY)
    if config.streamed:
        compiled = config.compile(network)
        if compiled.lists.format.dense_inputs:
            active[: network.inputs] = 1 / network.inputs
        walked = predict_cycles_streamed(
            compiled, active, beats_a_cycle=config.port_bits / BEAT_BITS, lookup=ListFetch.CYCLES
        )
    else:
        walked = predict_cycles(compile(network, config.capacity), active)
    if config.compact:
        outputs = 0 if network.readout is None else network.readout.units
        updates = UPDATE * sum(layer.units for layer in network.layers) + READ * outputs
        return walked + EVENT * ACTIVITY * network.source_count + updates
    loop = LOOP + stages(config).latency + HOP * (config.hops - 1) + FAR * (config.hops > 1)
    return walked + loop * len(network.layers)


def fastest(found: Sequence[Candidate], target: Target) -> Candidate:
    """Return the core with the most steps a second, of those that meet a board's clock and can be routed easily.

    Of nearly equal ones it is the smallest.

    Raises
    ------
    FitError
        If none fits.
    """
    fitting = [one for one in found if one.estimate.fits]
    if not fitting:
        least = min(found, key=lambda one: max(one.estimate.shares.values()), default=None)
        needs = (
            f"{told(least.config)} need {least.estimate.told(least.estimate.over)}, by estimate"
            if least
            else "it is beyond what any configuration holds"
        )
        raise FitError(
            f"no core for this network fits {target.name}: {needs}; choose a larger device or a smaller network"
        )
    best = fitting
    for wish in (lambda one: one.meets, lambda one: not one.estimate.crowded):
        best = [one for one in best if wish(one)] or best
    speed = max(one.speed for one in best)
    return next(one for one in best if one.speed >= SAME * speed)


def candidates_table(found: Iterable[Candidate], chosen: Candidate, target: Target) -> Table:
    """Return what was considered and what was chosen."""
    names = [name for name in RESOURCES if target.device.has.get(name)]
    title = f"cores for the network on {target.name}, estimated; {ACTIVITY:.0%} of the sources active"
    table = Table("lanes", "cell units", *(RESOURCES[name] for name in names), "MHz", "cycles a step", "", title=title)
    table.box = box.SIMPLE
    for one in found:
        cells = []
        for name in names:
            share = one.estimate.shares.get(name, 0.0)
            colour = "red" if share > 1 else "yellow" if share > FULL else "green"
            cells.append(f"{one.estimate.takes.get(name, 0):,} ([{colour}]{share:.0%}[/])")
        mhz = "" if one.mhz is None else f"{one.mhz:g}" if one.meets else f"[red]{one.mhz:g}[/]"
        cycles = "" if one.cycles is None else f"{one.cycles:,.0f}"
        verdict = "[bold green]chosen[/]" if one is chosen else "" if one.estimate.fits else "does not fit"
        table.add_row(str(one.config.lanes), str(one.config.cell_units), *cells, mhz, cycles, verdict)
    return table

"""Compile a network into fan-out lists, dealt to lanes, and a memory image.

    python -m golden.fanout models/digits/digits.safetensors --lanes 16

Every input and every unit is a source; its list in a lane holds the non-zero weights from it to the lane's units. The
steps: check the network, deal its units to lanes (:mod:`golden.lanes`), collect the lists (:mod:`golden.lists`), write
the image (:mod:`golden.image`). ``docs/compiler.md`` explains them.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from rich.console import Console
from rich.table import Table

from golden.image import Image, Words, encode, write
from golden.lanes import Floats, Placement, deal
from golden.lists import bits_per_nonzero, collect, entries_per_lane, matrices
from golden.network import FixedNetwork, accumulator_bits, load

LANES_MAX = 64
UNITS_MAX = (1 << 16) - 1  #: sources, or outputs; an index of 16 ones marks a silent step
ROWS_MAX = (1 << 14) - 1  #: so that the length of a list, at most four gates a row, fits in 16 bits


class CompileError(ValueError):
    """A network that cannot be compiled for a core; the message says what it needs, what there is, and the remedy."""


@dataclass(frozen=True)
class Capacity:
    """What a core can hold, and its widths: all that the compiler has to know of a configuration."""

    lanes: int
    cell_units: int
    rows: int
    entries: int
    sources: int
    layers: int
    weight_bits: int
    y_bits: int
    value_bits: int
    acc_bits: int
    config_id: int
    gap_bits: int = 0  #: of lists in external memory; 0 if they are on chip
    lists: int = 0  #: in external memory that the directory knows
    beats_at_once: int = 1  #: of them that are read together; each list has a multiple of these


@dataclass(frozen=True, eq=False)
class Compiled:
    """A network on its lanes.

    activity : float64 (sources,)
        Expected events a step of each source, as the units were dealt by.
    words : uint32 (words,)
        The memory image, as a core is loaded with it.
    """

    network: FixedNetwork
    activity: Floats
    placement: Placement
    image: Image
    words: Words


def compile(
    network: FixedNetwork, capacity: Capacity, *, activity: ArrayLike | None = None, sum_bits: int | None = None
) -> Compiled:
    """Deal a network to the lanes of a core and write its memory image.

    Parameters
    ----------
    activity : float (sources,), optional
        Expected events a step of each source (inputs, then the units of each layer), from a recorded run. Without
        it every source counts as active at every step.
    sum_bits : int, optional
        Signed width that holds every sum, where that is less than for all inputs active together
        (:func:`golden.network.accumulator_bits`).

    Raises
    ------
    CompileError
        If the network does not fit the core, or the number formats.
    """
    active = check_activity(network, activity)
    placement = _place(network, capacity.lanes, active)
    needs = _requirements(network, placement, sum_bits)
    check_capacity(network, capacity, needs)
    image = collect(network, placement, capacity.cell_units, capacity.config_id, needs["acc_bits"])
    return Compiled(network, active, placement, image, encode(image))


def check_capacity(network: FixedNetwork, capacity: Capacity, requirements: dict[str, int]) -> None:
    """Raise CompileError where a core has less than a network needs."""
    if capacity.lanes % capacity.cell_units:
        raise CompileError(f"{capacity.cell_units} cell units cannot share {capacity.lanes} lanes; choose a divisor")
    if network.y_bits != capacity.y_bits:
        raise CompileError(
            f"the network's events have y_bits {network.y_bits}, the core's {capacity.y_bits}; "
            f"quantise the network for y_bits {capacity.y_bits} or build a core with y_bits {network.y_bits}"
        )
    for name, need in requirements.items():
        have = getattr(capacity, name)
        if need > have:
            raise CompileError(f"the network needs {name} {need}, the core has {have}; build a core with {name} {need}")


def required(
    network: FixedNetwork, lanes: int, *, activity: ArrayLike | None = None, sum_bits: int | None = None
) -> dict[str, int]:
    """Return the smallest capacities and widths of a core of ``lanes`` lanes that holds a network.

    The keys are those of :class:`Capacity` without ``cell_units``, which may be any divisor of the lanes, and without
    ``config_id``. The deal, and so the entries of a lane, depends on ``activity``: give what :func:`compile` is given.
    """
    return _requirements(network, _place(network, lanes, check_activity(network, activity)), sum_bits)


def _requirements(network: FixedNetwork, placement: Placement, sum_bits: int | None = None) -> dict[str, int]:
    entries = int(entries_per_lane(network, placement).max())
    return {"entries": entries, **size_requirements(network, placement, sum_bits)}


def size_requirements(network: FixedNetwork, placement: Placement, sum_bits: int | None) -> dict[str, int]:
    """Return what a network needs wherever its lists are."""
    return {
        "lanes": placement.lanes,
        "rows": placement.row_count,
        "sources": network.source_count,
        "layers": len(placement.rows),
        "weight_bits": network.weight_bits,
        "y_bits": network.y_bits,
        "value_bits": max(network.input_bits, network.y_bits + 1),
        "acc_bits": accumulator_bits(network) if sum_bits is None else sum_bits,
    }


def _place(network: FixedNetwork, lanes: int, active: Floats) -> Placement:
    """Deal a network that the memory image can describe, whatever the core."""
    check_sizes(network, lanes)
    placement = deal(network, lanes, active)
    if placement.row_count > ROWS_MAX:
        raise CompileError(
            f"the network needs {placement.row_count} rows a lane, at most {ROWS_MAX} fit; use more lanes"
        )
    return placement


def check_sizes(network: FixedNetwork, lanes: int) -> None:
    """Raise CompileError where the memory image cannot number lanes, sources or outputs."""
    if not 1 <= lanes <= LANES_MAX:
        raise CompileError(f"lanes is {lanes}; it must be from 1 to {LANES_MAX}")
    outputs = 0 if network.readout is None else network.readout.units
    if max(network.source_count, outputs) > UNITS_MAX:
        raise CompileError(
            f"the network has {network.source_count} sources and {outputs} outputs; at most {UNITS_MAX} can be numbered"
        )


def check_activity(network: FixedNetwork, activity: ArrayLike | None) -> Floats:
    """Return the events a step of each source, 1 of all without ``activity``; raise CompileError if it is none."""
    if activity is None:
        return np.ones(network.source_count)
    active = np.asarray(activity, np.float64)
    if active.shape != (network.source_count,):
        raise CompileError(
            f"activity has shape {active.shape}; give {network.source_count} numbers, one for each source"
        )
    if not (np.isfinite(active) & (active >= 0)).all():
        raise CompileError("activity has values that are negative or not finite; give the events a step of each source")
    return active


def expected_entries_per_lane(compiled: Compiled, activity: ArrayLike | None = None) -> Floats:
    """Return the entries that each lane multiplies in a step, float64 (lanes, phases).

    Phases are the events of the inputs, then of each EGRU layer. ``activity`` is what :func:`compile` was given if
    left out.
    """
    active = compiled.activity if activity is None else check_activity(compiled.network, activity)
    return np.add.reduceat(compiled.image.count * active, _first_sources(compiled.network), axis=1)


def predict_cycles(compiled: Compiled, activity: ArrayLike | None = None) -> float:
    """Return a lower bound of the cycles of a step, steps back to back.

    The busiest lane spends a cycle on each of its expected entries, the broadcaster one on each expected event and on
    the marker that ends each phase, the busiest cell unit one on each of its units. Events that bunch up, hazards and
    the order of updates come on top.
    """
    active = compiled.activity if activity is None else check_activity(compiled.network, activity)
    walk = (compiled.image.count @ active).max()
    events = active.sum() + len(compiled.network.layers) + 1
    return float(max(walk, events, compiled.image.present.sum(axis=1).max()))


def _first_sources(network: FixedNetwork) -> list[int]:
    """Return the first source of each phase."""
    return [0, *np.cumsum([network.inputs, *(layer.units for layer in network.layers[:-1])]).tolist()]


def balance(load: Floats) -> float:
    """Return the load of the busiest lane relative to the mean lane; 1 is level."""
    return float(load.max() / load.mean()) if load.any() else 1.0


def _read_activity(path: Path) -> list[float]:
    try:
        return [float(word) for word in path.read_text().split()]
    except (OSError, ValueError) as error:
        raise CompileError(f"activity file {path}: {error}; give a text file of one number for each source") from None


def _print_report(name: str, compiled: Compiled) -> None:
    network, image = compiled.network, compiled.image
    lanes, sources = image.count.shape
    table = Table(title=f"{name} on {lanes} lanes", show_header=False)
    load = expected_entries_per_lane(compiled)
    phases = ["inputs", *(f"layer {l}" for l in range(len(network.layers)))]
    for title, value in (
        ("sources, lists", f"{sources:,}, {lanes * sources:,}"),
        ("empty lists", f"{np.mean(image.count == 0):.1%}"),
        ("entries", f"{image.count.sum():,}, of {sum(m.weights.size for m in matrices(network)):,} weights"),
        ("entries a list, longest", f"{image.count.mean():.1f}, {image.count.max()}"),
        ("entries a step, expected", f"{load.sum():,.0f}"),
        ("cycles a step, at least", f"{predict_cycles(compiled):,.0f}"),
        *((f"busiest lane / mean, events of {p}", f"{balance(load[:, i]):.4f}") for i, p in enumerate(phases)),
        ("busiest lane / mean, step", f"{balance(load.sum(axis=1)):.4f}"),
        *((f"bits a non-zero, {key}", f"{bits:.2f}") for key, bits in bits_per_nonzero(network, image).items()),
        *((f"needs {key}", f"{need:,}") for key, need in _requirements(network, compiled.placement).items()),
    ):
        table.add_row(title, value)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m golden.fanout",
        description="Deal a network to lanes, report balance and storage, and write its memory image.",
        epilog="example: python -m golden.fanout models/digits/digits.safetensors --lanes 8 --out build/image",
    )
    parser.add_argument("model", type=Path, help="model file with an integer network")
    parser.add_argument("--lanes", type=int, default=8, help="lanes of the core (default %(default)s)")
    parser.add_argument("--cell-units", type=int, default=1, help="cell units of the core (default %(default)s)")
    parser.add_argument("--activity", type=Path, help="text file, the events a step of each source; default: all 1")
    parser.add_argument("--out", type=Path, help="folder for image.bin and image.hex")
    parser.add_argument(
        "--config-id", type=lambda text: int(text, 0), default=0, help="identity of the core that is to load the image"
    )
    arguments = parser.parse_args()
    try:
        model = load(arguments.model)
        if model.fixed is None:
            raise CompileError(f"{arguments.model} holds no integer network; quantise it first")
        activity = None if arguments.activity is None else _read_activity(arguments.activity)
        need = required(model.fixed, arguments.lanes, activity=activity)
        capacity = Capacity(cell_units=arguments.cell_units, config_id=arguments.config_id, **need)
        compiled = compile(model.fixed, capacity, activity=activity)
        _print_report(model.name, compiled)
        for path in [] if arguments.out is None else write(compiled.words, arguments.out):
            print(f"wrote {path}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

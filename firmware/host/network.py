"""What a host has to know of a network: where its image put each unit, and how to compile it for a core it met."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware.port import Identity
from firmware.requester import LinkError
from golden.beats import BEAT_BITS
from golden.fanout import Capacity, Compiled, compile
from golden.fixed import event_value
from golden.image import ImageError, StreamedImage, lane_bits, parse
from golden.network import FixedNetwork
from golden.streamed import CompiledStream, compile_streamed
from hw.build_folder import LISTS

IMAGE = "image.bin"
CELL_SHIFT = 24  #: of the cell unit in STATE_SELECT
STATE_RECORD, STATE_SELECT_SHIFT = 12, 16  #: kind of a record of the memory image that writes a state
FIRES_BIT = 16  #: of a state's word


class ImageMismatchError(LinkError):
    """An image that is damaged or that the core would refuse; nothing of it was written."""


@dataclass(frozen=True, eq=False)
class States:
    """What units carry from step to step, one array a layer.

    h : int16 (units,), Q0.15
    fires : bool (units,), whether the unit fired in the last step
    """

    h: tuple[NDArray[np.int16], ...]
    fires: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, eq=False)
class Network:
    """A memory image, and what follows from it.

    words : uint32 (words,)
    inputs, outputs : int
    units : units of each event-based layer
    cell, address : int64 (all units,), where each unit is, in the order of sources
    threshold : int64 (all units,), Q0.15
    lists : uint64 (beats, 2), or None where they are on chip
    """

    words: NDArray[np.uint32]
    inputs: int
    outputs: int
    units: tuple[int, ...]
    cell: NDArray[np.int64]
    address: NDArray[np.int64]
    threshold: NDArray[np.int64]
    lists: NDArray[np.uint64] | None

    @property
    def selections(self) -> list[int]:
        """The words for STATE_SELECT, of all units."""
        return [int(word) for word in self.cell << CELL_SHIFT | self.address]

    def split(self, words: NDArray[np.int64]) -> States:
        """Return the states of words of STATE_DATA, int64 (all units,)."""
        at = np.cumsum(self.units)[:-1]
        h = (words & 0xFFFF).astype(np.uint16).view(np.int16)
        return States(tuple(np.split(h, at)), tuple(np.split((words >> FIRES_BIT & 1).astype(bool), at)))

    def state_records(self, states: States) -> list[int]:
        """Return the records that write states, for LOAD_DATA.

        Raises
        ------
        ValueError
            If the states are not those of such a network.
        """
        h, fires = self._join(states)
        words = (h & 0xFFFF) | fires << FIRES_BIT
        heads = STATE_RECORD << 24 | self.cell << STATE_SELECT_SHIFT | 1
        return [int(word) for word in np.stack([heads, self.address, words], axis=1).ravel()]

    def restore_events(self, states: States, y_bits: int) -> list[tuple[int, int]]:
        """Return source and y of all units whose y is not 0."""
        h, fires = self._join(states)
        y = event_value(h + self.threshold, y_bits) * fires
        return [(self.inputs + int(unit), int(y[unit])) for unit in np.flatnonzero(y)]

    def _join(self, states: States) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        for name, arrays in (("h", states.h), ("fires", states.fires)):
            shapes = [np.shape(array) for array in arrays]
            if shapes != [(units,) for units in self.units]:
                raise ValueError(
                    f"states have {name} of shapes {shapes}; the network's layers have {list(self.units)} units"
                )
        return np.concatenate(states.h).astype(np.int64), np.concatenate(states.fires).astype(np.int64)


def read_network(image: NDArray[np.uint32] | Path | str, lists: NDArray[np.uint64] | None, core: Identity) -> Network:
    """Read an image, words or a folder of ``hw.build``, for a core.

    Raises
    ------
    ImageMismatchError
        If it is damaged, or compiled for another core; or lists are missing.
    """
    where = "the image"
    if isinstance(image, (str, Path)):
        where = f"the image of {image}"
        image, lists = _read_folder(Path(image), lists)
    words = np.ascontiguousarray(image, np.uint32)
    try:
        parsed = parse(words)
    except ImageError as error:
        raise ImageMismatchError(f"{where}: {error}") from None
    if parsed.config_id != core.config_id:
        raise ImageMismatchError(
            f"{where} is for a core of configuration {parsed.config_id:#010x}, this one is {core.config_id:#010x}; "
            "compile the network for this core, or load the bitstream of its build"
        )
    streamed = isinstance(parsed, StreamedImage)
    if streamed and lists is None:
        raise ImageMismatchError(f"{where} has its lists in external memory; give them, too ({LISTS} of its build)")
    layers = parsed.layers[: -1 if parsed.readout else None]
    shift = lane_bits(core.capacities["lanes"], core.capacities["cell_units"])
    is_unit = (parsed.present == 1) & (
        np.arange(parsed.present.shape[1]) >> shift < sum(layer.rows for layer in layers)
    )
    cell, address = np.nonzero(is_unit)
    order = np.argsort(parsed.identity[cell, address])
    cell, address = cell[order], address[order]
    return Network(
        words, parsed.inputs, parsed.layers[-1].units, tuple(layer.units for layer in layers), cell, address,
        parsed.threshold[cell, address], lists if streamed else None,
    )  # fmt: skip


def _read_folder(
    folder: Path, lists: NDArray[np.uint64] | None
) -> tuple[NDArray[np.uint32], NDArray[np.uint64] | None]:
    try:
        words = np.frombuffer((folder / IMAGE).read_bytes(), "<u4")
        if lists is None and (folder / LISTS).exists():
            lists = np.frombuffer((folder / LISTS).read_bytes(), "<u8").reshape(-1, 2)
    except OSError as error:
        raise ImageMismatchError(
            f"the image of {folder} cannot be read ({error.strerror}); name a folder that hw.build wrote"
        ) from None
    except ValueError:
        raise ImageMismatchError(f"the image of {folder} is no whole number of words; build again") from None
    return words, lists


def compile_for(network: FixedNetwork, core: Identity) -> Compiled | CompiledStream:
    """Compile a network for the capacities that a core tells of.

    Raises
    ------
    golden.fanout.CompileError
        If it does not fit.
    """
    told = core.capacities
    names = (
        "lanes",
        "cell_units",
        "rows",
        "entries",
        "sources",
        "layers",
        "weight_bits",
        "y_bits",
        "value_bits",
        "acc_bits",
    )
    capacity = Capacity(**{name: told[name] for name in names}, config_id=core.config_id)
    if "gap_bits" not in told:
        return compile(network, capacity)
    at_once = max(1, told["port_bits"] // BEAT_BITS)
    streamed = replace(capacity, gap_bits=told["gap_bits"], lists=told["lists"], beats_at_once=at_once)
    return compile_streamed(network, streamed)

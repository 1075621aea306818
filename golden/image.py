"""The memory image: what a core is loaded with, as one stream of 32-bit words. See ``docs/memory-image.md``.

:func:`encode` writes an :class:`Image` as words, :func:`parse` reads words back and refuses what a core could not run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import fixed
from golden.files import write_whole

Integers = NDArray[np.int64]
Words = NDArray[np.uint32]

MAGIC = int.from_bytes(b"EGRT", "little")
VERSION = 1
RECORD_WORDS = 65534  #: data words of a record at most; even, so that a directory splits between sources
ROW_BITS = 16  #: of a row in an entry


#: Kinds of an image's records by when they come: lanes follow the layers, each its directory and its entries; then cell
#: units, each its units and its biases. A state is no part of an image.
ORDER = {1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 5, 8: 5, 9: 5, 10: 5, 11: 5, 15: 6}


class ImageError(ValueError):
    """Words that are no memory image; the message says where and why."""


class Kind(IntEnum):
    BEGIN = 1
    NETWORK = 2
    LAYER = 3
    DIRECTORY = 4
    ENTRY = 5
    UNIT = 6
    BIAS = 8  #: of gx; those of z, r and gh are 9, 10 and 11
    END = 15


@dataclass(frozen=True)
class LayerPlace:
    """Where a layer is: its rows, its sources (for the readout, what would follow the last source) and its shifts."""

    base: int
    rows: int
    shifts: tuple[int, int, int, int]
    first_source: int
    units: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Units:
    """What every compiled network has, wherever its lists are.

    threshold, present, identity : int64 (cell units, unit addresses)
        Of a row of the readout with several outputs: how many there are, whether there is any, the first one.
    bias : int64 (4, cell units, unit addresses)
    """

    config_id: int
    acc_bits: int
    inputs: int
    readout: bool
    layers: tuple[LayerPlace, ...]
    threshold: Integers
    present: Integers
    identity: Integers
    bias: Integers

    @property
    def row_count(self) -> int:
        return sum(layer.rows for layer in self.layers)


@dataclass(frozen=True, eq=False, kw_only=True)
class Image(Units):
    """A compiled network with its lists in the lanes.

    start, forward, count : int64 (lanes, sources)
        Of each list: its first entry, and its entries in the forward part and in all.
    entries : uint32 (entries,), one array a lane
        See :func:`pack_entries`.
    """

    start: Integers
    forward: Integers
    count: Integers
    entries: tuple[Words, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedImage(Units):
    """A compiled network with its lists in external memory (:mod:`golden.beats`).

    first, beats : int64 (lists,)
        Of each list: its first beat, and how many.
    input_beats : beats of each list of an input, if those are dense and so not among ``first``; else 0
    dense_readout : whether what of a list goes to the readout is dense
    """

    first: Integers
    beats: Integers
    input_beats: int
    dense_readout: bool


def pack_entries(weight: Integers, gate: Integers, row: Integers) -> Words:
    return ((weight & 0xFF) | gate << 8 | row << 10).astype(np.uint32)


def unpack_entries(words: Words) -> tuple[Integers, Integers, Integers]:
    """Return weight, gate and row of entries."""
    weight = (words & 0xFF).astype(np.uint8).view(np.int8).astype(np.int64)
    return weight, (words >> 8 & 3).astype(np.int64), (words >> 10).astype(np.int64)


def lane_bits(lanes: int, cell_units: int) -> int:
    """Return the width of a lane's number inside the group that a cell unit serves."""
    return (lanes // cell_units - 1).bit_length()


def encode(image: Image | StreamedImage) -> Words:
    """Return the words of an image, uint32 (words,)."""
    last = image.layers[-2 if image.readout else -1]
    network = [
        image.inputs, len(image.layers), image.readout, image.row_count, last.first_source, image.layers[-1].units,
    ]  # fmt: skip
    if isinstance(image, StreamedImage):
        network += [image.input_beats, image.dense_readout]
    records = [
        *_records(Kind.BEGIN, 0, np.array([MAGIC, VERSION, image.config_id, image.acc_bits])),
        *_records(Kind.NETWORK, 0, np.array(network)),
    ]
    for l, layer in enumerate(image.layers):
        shifts = sum(shift + fixed.SHIFT_GUARD << 8 * gate for gate, shift in enumerate(layer.shifts))
        data = (layer.base | layer.rows << 16, shifts, layer.first_source | layer.units << 16)
        records += _records(Kind.LAYER, l, np.array(data))
    if isinstance(image, StreamedImage):
        records += _records(Kind.DIRECTORY, 0, np.stack([image.first, image.beats], axis=1).ravel())
    else:
        for lane, entries in enumerate(image.entries):
            counts = image.forward[lane] | image.count[lane] << 16
            records += _records(Kind.DIRECTORY, lane, np.stack([image.start[lane], counts], axis=1).ravel())
            records += _records(Kind.ENTRY, lane, entries)
    for cell, units in enumerate(image.threshold | image.present << 15 | image.identity << 16):
        records += _records(Kind.UNIT, cell, units)
        for gate in range(4):
            records += _records(Kind.BIAS + gate, cell, image.bias[gate, cell])
    words = np.concatenate(records)
    return np.concatenate([words, *_records(Kind.END, 0, np.array([_checksum(words)]))])


def _checksum(words: Words) -> int:
    return zlib.crc32(words.astype("<u4").tobytes())


def _words_each(kind: int) -> int:
    """Data words that share an address."""
    return 2 if kind == Kind.DIRECTORY else 1


def _records(kind: int, select: int, data: NDArray[np.integer]) -> Iterator[Words]:
    for at in range(0, len(data), RECORD_WORDS):
        part = data[at : at + RECORD_WORDS]
        yield np.array([kind << 24 | select << 16 | len(part), at // _words_each(kind)], np.uint32)
        yield part.astype(np.int64).astype(np.uint32)  # through int64, so that negative biases wrap


def parse(words: Words) -> Image | StreamedImage:
    """Read words back.

    Raises
    ------
    ImageError
        If they are cut short, damaged, or not what ``docs/memory-image.md`` says.
    """
    runs = _gather(words)
    magic, version, config_id, acc_bits = _fields(runs, Kind.BEGIN, 0, 4)
    if (magic, version) != (MAGIC, VERSION):
        raise ImageError(f"magic {magic:#010x}, version {version}: only {MAGIC:#010x}, version {VERSION} can be read")
    streamed = len(runs.get((Kind.NETWORK, 0), ())) == 8
    inputs, layer_count, readout, row_count, _, outputs, *streams = _fields(runs, Kind.NETWORK, 0, 8 if streamed else 6)
    layers = []
    for l in range(layer_count):
        place, shifts, units = _fields(runs, Kind.LAYER, l, 3)
        gx, z, r, gh = ((shifts >> 8 * gate & 31) - fixed.SHIFT_GUARD for gate in range(4))
        layers.append(LayerPlace(place & 0xFFFF, place >> 16, (gx, z, r, gh), units & 0xFFFF, units >> 16))
    if not layers or sum(layer.rows for layer in layers) != row_count or layers[-1].units != outputs:
        raise ImageError("the rows or outputs of the network are not those of its layers")

    cell_units = 1 + max((select for kind, select in runs if kind == Kind.UNIT), default=-1)
    sources = inputs + sum(layer.units for layer in layers[: -1 if readout else None])
    lists: dict[str, Any]
    if streamed:
        lists = _streamed_lists(runs, sources, inputs, *streams)
        addresses = len(runs.get((Kind.UNIT, 0), ()))  # how many lanes there are shows nowhere else
    else:
        lanes = 1 + max((select for kind, select in runs if kind == Kind.DIRECTORY), default=-1)
        if not cell_units or lanes % cell_units:
            raise ImageError(f"{cell_units} cell units cannot share {lanes} lanes")
        lists = _lane_lists(runs, lanes, sources, row_count)
        addresses = row_count << lane_bits(lanes, cell_units)

    cells = range(cell_units)
    unit = np.array([_fields(runs, Kind.UNIT, cell, addresses) for cell in cells], np.int64)
    bias = np.array(
        [[_fields(runs, Kind.BIAS + gate, cell, addresses) for cell in cells] for gate in range(4)], np.uint32
    )
    if runs:
        kind, select = next(iter(runs))
        raise ImageError(
            f"records of kind {kind}, select {select}, belong to no lane, cell unit or layer of the network"
        )
    units_of: dict[str, Any] = dict(
        config_id=config_id, acc_bits=acc_bits, inputs=inputs, readout=bool(readout), layers=tuple(layers),
        threshold=unit & 0x7FFF, present=unit >> 15 & 1, identity=unit >> 16, bias=bias.view(np.int32).astype(np.int64),
    )  # fmt: skip
    return StreamedImage(**units_of, **lists) if streamed else Image(**units_of, **lists)


def _lane_lists(runs: dict[tuple[int, int], Words], lanes: int, sources: int, row_count: int) -> dict[str, Any]:
    """Take the directories and entries of all lanes."""
    lists = np.array([_fields(runs, Kind.DIRECTORY, lane, 2 * sources) for lane in range(lanes)], np.int64)
    start, counts = lists.reshape(lanes, sources, 2).transpose(2, 0, 1)
    forward, count = counts & 0xFFFF, counts >> 16
    entries = tuple(runs.pop((Kind.ENTRY, lane), np.zeros(0, np.uint32)) for lane in range(lanes))
    for lane in range(lanes):
        _check_lists(lane, start[lane], forward[lane], count[lane], entries[lane], row_count)
    return {"start": start, "forward": forward, "count": count, "entries": entries}


def _streamed_lists(
    runs: dict[tuple[int, int], Words], sources: int, inputs: int, input_beats: int, dense_readout: int
) -> dict[str, Any]:
    """Take the directory of lists in external memory."""
    listed = sources - (inputs if input_beats else 0)
    first, beats = np.array(_fields(runs, Kind.DIRECTORY, 0, 2 * listed), np.int64).reshape(listed, 2).T
    if (first != inputs * input_beats + np.cumsum(beats) - beats).any():
        raise ImageError("the lists in external memory do not lie one after the other")
    return {"first": first, "beats": beats, "input_beats": input_beats, "dense_readout": bool(dense_readout)}


def _gather(words: Words) -> dict[tuple[int, int], Words]:
    """Check the frame of an image, its order and checksum; return the data of every kind and select but END."""
    runs: dict[tuple[int, int], list[Words]] = {}
    at, stage = 0, (0, 0, 0)
    while True:
        if at + 2 > len(words):
            raise ImageError(f"the image is cut short: it ends at word {len(words)} without an END record")
        head, address = int(words[at]), int(words[at + 1])
        kind, select, count = head >> 24, head >> 16 & 0xFF, head & 0xFFFF
        data = words[at + 2 : at + 2 + count]
        if kind not in ORDER or not 0 < count <= RECORD_WORDS or len(data) < count:
            raise ImageError(f"word {at} is {head:#010x}, which starts no record of a memory image that ends in time")
        if kind == Kind.END:
            break
        previous, stage = stage, (ORDER[kind], select, kind)
        run = runs.setdefault((kind, select), [])
        if stage < previous or address * _words_each(kind) != sum(map(len, run)):
            raise ImageError(
                f"the record at word {at} (kind {kind}, select {select}, address {address}) is out of order"
            )
        run.append(data)
        at += 2 + count
    if (select, address, count) != (0, 0, 1) or at + 3 != len(words):
        raise ImageError(f"the END record at word {at} is not the last three words, select and address 0")
    if int(data[0]) != _checksum(words[:at]):
        raise ImageError("the checksum does not match: the image is damaged; compile it again")
    return {key: np.concatenate(run) for key, run in runs.items()}


def _fields(runs: dict[tuple[int, int], Words], kind: int, select: int, count: int) -> list[int]:
    """Take the data of one kind and select, which must have ``count`` words."""
    data = runs.pop((kind, select), np.zeros(0, np.uint32))
    if len(data) != count:
        raise ImageError(f"records of kind {kind}, select {select}, have {len(data)} words; the network needs {count}")
    return data.tolist()


def _check_lists(lane: int, start: Integers, forward: Integers, count: Integers, entries: Words, rows: int) -> None:
    """Check that the lists tile the lane's entries and that each part of a list ascends within the rows."""
    if (forward > count).any() or (start != np.cumsum(count) - count).any() or count.sum() != len(entries):
        raise ImageError(f"the directory of lane {lane} does not tile its {len(entries)} entries")
    _, gate, row = unpack_entries(entries)
    if (row >= rows).any():
        raise ImageError(f"lane {lane} has an entry for row {row.max()}; the network has {rows} rows")
    target = gate << ROW_BITS | row
    part = np.repeat(np.arange(2 * len(count)), np.stack([forward, count - forward], axis=1).ravel())
    if ((np.diff(target) <= 0) & (np.diff(part) == 0)).any():
        raise ImageError(f"a list of lane {lane} does not ascend")


def write(words: Words, folder: Path) -> list[Path]:
    """Write ``image.bin`` (little-endian words) and ``image.hex`` (for ``$readmemh``), each whole or not at all."""
    contents = {
        "image.bin": words.astype("<u4").tobytes(),
        "image.hex": (words.astype(">u4").tobytes().hex("\n", 4) + "\n").encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [write_whole(folder / name, content) for name, content in contents.items()]

"""Collect a dealt network into what the lanes and cell units hold: fan-out lists, thresholds and biases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden import fixed
from golden.image import Image, LayerPlace, Words, lane_bits, pack_entries
from golden.lanes import Integers, Placement
from golden.network import FixedNetwork


class Matrix(NamedTuple):
    """A weight matrix, int8 (sources, gates * units), and what it joins.

    gates : the sum (index into :data:`golden.fixed.GATES`) that each block of columns adds to
    layer : the layer of its targets; the readout follows the last
    recurrent : 1 if its entries are the recurrent part of a list, 0 if the forward part
    """

    name: str
    weights: NDArray[np.int8]
    first_source: int
    layer: int
    gates: tuple[int, ...]
    recurrent: int


def matrices(network: FixedNetwork) -> Iterator[Matrix]:
    """Yield every weight matrix of a network. The columns of a kernel are z, r, g; g has a sum for each kernel."""
    below, own = 0, network.inputs
    for l, layer in enumerate(network.layers):
        yield Matrix(f"kernel of layer {l}", layer.kernel, below, l, (1, 2, 0), 0)
        yield Matrix(f"recurrent kernel of layer {l}", layer.recurrent_kernel, own, l, (1, 2, 3), 1)
        below, own = own, own + layer.units
    if network.readout is not None:
        yield Matrix("kernel of the readout", network.readout.kernel, below, len(network.layers), (0,), 0)


def entries_per_lane(network: FixedNetwork, placement: Placement) -> Integers:
    """Return the entries that each lane stores, int64 (lanes,)."""
    entries = np.zeros(placement.lanes, np.int64)
    for matrix in matrices(network):
        per_unit = np.count_nonzero(matrix.weights, axis=0).reshape(len(matrix.gates), -1).sum(axis=0)
        np.add.at(entries, placement.lane[matrix.layer], per_unit)
    return entries


def collect_lists(network: FixedNetwork, placement: Placement) -> tuple[Integers, Integers, tuple[Words, ...]]:
    """Return the length of the forward part and of the whole of every list, and the entries of every lane.

    Lengths are int64 (lanes, sources), entries uint32, one array a lane; see :class:`golden.image.Image`.
    """
    keys = []
    for matrix in matrices(network):
        source, column = np.nonzero(matrix.weights)
        weight = matrix.weights[source, column].astype(np.int64)
        block, unit = np.divmod(column, matrix.weights.shape[1] // len(matrix.gates))
        gate = np.array(matrix.gates)[block]
        lane, row = placement.lane[matrix.layer][unit], placement.row[matrix.layer][unit]
        # All of an entry in one integer, so that one plain sort brings the entries into the order of the lists.
        list_of = lane << 16 | (matrix.first_source + source)
        keys.append(list_of << 27 | matrix.recurrent << 26 | gate << 24 | row << 8 | weight & 0xFF)
    key = np.sort(np.concatenate(keys))
    entries = pack_entries(weight=key & 0xFF, gate=key >> 24 & 3, row=key >> 8 & 0xFFFF)
    list_of = (key >> 43) * network.source_count + (key >> 27 & 0xFFFF)
    shape = (placement.lanes, network.source_count)
    count = np.bincount(list_of, minlength=shape[0] * shape[1]).reshape(shape)
    recurrent = np.bincount(list_of[key >> 26 & 1 == 1], minlength=shape[0] * shape[1]).reshape(shape)
    return count - recurrent, count, tuple(np.split(entries, np.cumsum(count.sum(axis=1))[:-1]))


def collect(network: FixedNetwork, placement: Placement, cell_units: int, config_id: int, acc_bits: int) -> Image:
    """Return the image of a network for ``cell_units`` cell units, which share the lanes equally."""
    forward, count, entries = collect_lists(network, placement)
    return Image(
        **collect_units(network, placement, cell_units, config_id, acc_bits),
        start=np.cumsum(count, axis=1) - count,
        forward=forward,
        count=count,
        entries=entries,
    )


def collect_units(
    network: FixedNetwork, placement: Placement, cell_units: int, config_id: int, acc_bits: int, outputs_a_row: int = 1
) -> dict[str, Any]:
    """Return the fields of :class:`golden.image.Units`.

    Of several outputs in a row of the readout, output k is sum ``k // lanes % outputs_a_row`` of it.
    """
    lanes_per_cell = placement.lanes // cell_units
    bits = lane_bits(placement.lanes, cell_units)
    places = [
        (lane // lanes_per_cell, row << bits | lane % lanes_per_cell)
        for lane, row in zip(placement.lane, placement.row, strict=True)
    ]
    shape = (cell_units, placement.row_count << bits)
    threshold, present, identity = (np.full(shape, value, np.int64) for value in (fixed.STATE_MAX, 0, 0))
    bias = np.zeros((4, *shape), np.int64)
    layers, first = [], network.inputs
    for layer, place, base, rows in zip(network.layers, places, placement.base, placement.rows, strict=False):
        threshold[place], present[place], identity[place] = layer.threshold, 1, first + np.arange(layer.units)
        bias[:, *place] = layer.bias + fixed.half_step(layer.shifts)[:, None]
        layers.append(LayerPlace(base, rows, layer.shifts, first, layer.units))
        first += layer.units
    if network.readout is not None:
        cell, address = places[-1]
        output = np.arange(network.readout.units)
        gate = output // placement.lanes % outputs_a_row
        present[cell, address] = 1
        bias[gate, cell, address] = network.readout.bias
        leads = gate == 0
        identity[cell[leads], address[leads]] = output[leads]
        if outputs_a_row > 1:
            threshold[:, placement.base[-1] << bits :] = 0  # the readout's rows are the last
            np.add.at(threshold, (cell, address), 1)
        layers.append(LayerPlace(placement.base[-1], placement.rows[-1], (0, 0, 0, 0), first, network.readout.units))
    return {
        "config_id": config_id, "acc_bits": acc_bits, "inputs": network.inputs,
        "readout": network.readout is not None, "layers": tuple(layers), "threshold": threshold, "present": present,
        "identity": identity, "bias": bias,
    }  # fmt: skip


def bits_per_nonzero(network: FixedNetwork, image: Image) -> dict[str, float]:
    """Return what a non-zero weight costs, its position included, as stored and as it might be.

    entry, directory : in the lanes' memories, as wide as this network needs; stored : both together
    image : in the words of the memory image that hold lists
    entropy : at best, for zeros that lie anywhere with the density of their matrix; no directory
    """
    lanes, sources = image.count.shape
    nonzeros = max(1, int(image.count.sum()))
    longest = int(max(len(entries) for entries in image.entries))
    entry = network.weight_bits + 2 + max(1, (image.row_count - 1).bit_length())
    widths = max(1, (longest - 1).bit_length()) + 2 * int(image.count.max()).bit_length()
    directory = lanes * sources * widths / nonzeros
    entropy = 0.0
    for matrix in matrices(network):
        density = np.count_nonzero(matrix.weights) / max(1, matrix.weights.size)
        if 0 < density < 1:
            entropy -= matrix.weights.size * (density * np.log2(density) + (1 - density) * np.log2(1 - density))
    return {
        "entry": entry,
        "directory": directory,
        "stored": entry + directory,
        "image": 32 * (nonzeros + 2 * lanes * sources) / nonzeros,
        "entropy": network.weight_bits + float(entropy) / nonzeros,
    }

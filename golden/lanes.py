"""Deal the units of a network to lanes, so that every lane has the same work in every phase of a step.

A lane multiplies once a cycle and waits for nobody, so a step takes as long as its most loaded lane. Work comes in
*phases*, one a group of sources: the events of the inputs, then those of layer 0, of layer 1, and so on. In phase p a
unit of layer p works on its input entries, a unit of layer p-1 on its recurrent entries. A good deal is level in each
phase by itself: lanes that differ in one and make up for it in another would still wait wherever phases meet.

The work of a unit in a phase is expected: the sum over the phase's sources of activity times entries to the unit.
Units go longest first to the lane where they add least to the sum of squared loads; then pairs of units of two lanes
are swapped while that sum falls. A layer that is level with its units dealt in turn, as bank-balanced pruning makes it,
is dealt in turn. The same network always gets the same deal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.network import FixedNetwork

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

LEVEL = 3e-4  #: excess of a lane, relative to the mean work of a step, that is not worth a swap

CANDIDATES = 128  #: units of a lane, at least, that are tried for a swap; bounds time and memory of very long layers


@dataclass(frozen=True)
class Placement:
    """Where every unit is. The tuples have one item a layer, the readout last.

    lane, row : int64 (units,)
    base, rows : first row, and rows, of the layer; the same in all lanes
    """

    lanes: int
    lane: tuple[Integers, ...]
    row: tuple[Integers, ...]
    base: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def row_count(self) -> int:
        return sum(self.rows)


def unit_work(network: FixedNetwork, activity: Floats) -> list[Floats]:
    """Return the expected entries a step of every unit, for each layer and then the readout.

    Parameters
    ----------
    activity : float64 (sources,)
        Expected events a step of each source.

    Returns
    -------
    list of float64 (units, phases)
        Phases are the inputs, then each EGRU layer.
    """
    phases = len(network.layers) + 1
    active = np.split(activity, np.cumsum([network.inputs, *(layer.units for layer in network.layers)])[:-1])
    work = []
    for phase, layer in enumerate(network.layers):
        load = np.zeros((layer.units, phases))
        for column, matrix in ((phase, layer.kernel), (phase + 1, layer.recurrent_kernel)):
            load[:, column] = (active[column] @ (matrix != 0)).reshape(3, layer.units).sum(axis=0)
        work.append(load)
    if network.readout is not None:
        load = np.zeros((network.readout.units, phases))
        load[:, -1] = active[-1] @ (network.readout.kernel != 0)
        work.append(load)
    return work


def deal(network: FixedNetwork, lanes: int, activity: Floats) -> Placement:
    """Give every unit a lane and a row.

    Each layer takes ``ceil(units / lanes)`` rows in all lanes, one block after the other. Layers are dealt in order,
    each on top of the work that the layer before left in the phase they share.
    """
    load = np.zeros((lanes, len(network.layers) + 1))
    lane_of: list[Integers] = []
    row_of: list[Integers] = []
    base: list[int] = []
    rows: list[int] = []
    for work in unit_work(network, activity):
        base.append(sum(rows))
        rows.append(-(-len(work) // lanes))
        phases = work.any(axis=0)
        lane = _deal_layer(work[:, phases], load[:, phases], rows[-1])
        np.add.at(load, lane, work)
        lane_of.append(lane)
        row_of.append(base[-1] + _rank_in_lane(lane))
    return Placement(lanes, tuple(lane_of), tuple(row_of), tuple(base), tuple(rows))


def _rank_in_lane(lane: Integers) -> Integers:
    """Number the units of each lane from 0, in the network's order."""
    order = np.argsort(lane, kind="stable")
    count = np.bincount(lane)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(lane)) - np.repeat(np.cumsum(count) - count, count)
    return rank


def _deal_layer(work: Floats, load: Floats, rows: int) -> Integers:
    """Return the lane of each unit of a layer: work (units, phases) on top of the lanes' load (lanes, phases)."""
    lanes = len(load)
    tolerance = LEVEL * (load.sum() + work.sum()) / lanes
    in_turn = np.arange(len(work)) % lanes
    load_in_turn = load.copy()
    np.add.at(load_in_turn, in_turn, work)
    if _unevenness(load_in_turn).max() <= tolerance:
        return in_turn
    load = load.copy()
    slots = np.full((lanes, rows), -1, np.int64)  # unit in each place, -1 where there is none
    filled = np.zeros(lanes, np.int64)
    for unit in np.argsort(-work.sum(axis=1), kind="stable"):
        # The sum of squares grows by 2 work.load + work.work: least where work.load is.
        cost = np.where(filled < rows, load @ work[unit], np.inf)
        lane = int(np.argmin(cost))
        slots[lane, filled[lane]] = unit
        filled[lane] += 1
        load[lane] += work[unit]
    _swap(slots, work, load, tolerance)
    lane_of = np.empty(len(work), np.int64)
    lane_of[slots[slots >= 0]] = np.nonzero(slots >= 0)[0]
    return lane_of


def _unevenness(load: Floats) -> Floats:
    """Return how far each lane is from the mean, in the phase where it is furthest."""
    return np.abs(load - load.mean(axis=0)).max(axis=1, initial=0)


def _swap(slots: Integers, work: Floats, load: Floats, tolerance: float) -> None:
    """Swap units between lanes, in place, until all are level or no swap with an uneven lane helps.

    An empty place swaps like a unit without work, so a swap can also be a move.
    """
    units = np.concatenate([work, np.zeros((1, work.shape[1]))])  # index -1 is the unit without work
    placed = units[slots]  # (lanes, rows, phases)
    own = np.arange(slots.shape[1])[:: max(1, slots.shape[1] // CANDIDATES)]  # spread from much work to little
    stuck = np.zeros(len(load), bool)
    while True:
        uneven = np.where(stuck, 0, _unevenness(load))
        lane = int(np.argmax(uneven))
        if uneven[lane] <= tolerance:
            return
        # If lane a gives unit i for unit j of lane b, it gains d = work[j] - work[i], which lane b loses, and the sum
        # of squares grows by 2 d.(d + load[a] - load[b]).
        gain = placed[None] - placed[lane, own][:, None, None]
        change = (gain * (gain + (load[lane] - load)[:, None])).sum(axis=-1)
        k, other, j = np.unravel_index(int(np.argmin(change)), change.shape)
        if change[k, other, j] >= -(tolerance**2):
            stuck[lane] = True
            continue
        i = own[k]
        load[lane] += gain[k, other, j]
        load[other] -= gain[k, other, j]
        slots[lane, i], slots[other, j] = slots[other, j], slots[lane, i]
        placed[lane, i], placed[other, j] = units[slots[lane, i]], units[slots[other, j]]
        stuck[:] = False

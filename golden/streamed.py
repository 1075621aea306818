"""Compile a network whose lists are in external memory: deal it, choose their format, write beats and memory image.

``docs/beats.md`` has the beats, ``docs/memory-image.md`` the image; the lists of an image begin at beat 0 of the window
that the host tells the core.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from golden.beats import READOUT_PLACES, StreamedLists, choose_format, encode_lists, place_streamed
from golden.fanout import Capacity, CompileError, check_activity, check_capacity, check_sizes, size_requirements
from golden.image import StreamedImage, Words, encode
from golden.lanes import Floats, Placement
from golden.lists import collect_units, matrices
from golden.network import FixedNetwork

LIST_BEATS_MAX = (1 << 12) - 1  #: of one list; with the next, so that a word of the directory has 36 bits, as block RAM
ALL_BEATS_MAX = (1 << 24) - 1  #: of all lists together


@dataclass(frozen=True, eq=False)
class CompiledStream:
    """A network on its lanes, and its lists in external memory.

    activity : float64 (sources,)
        Expected events a step of each source, as the units were dealt by.
    words : uint32 (words,)
        The memory image, as a core is loaded with it.
    """

    network: FixedNetwork
    activity: Floats
    placement: Placement
    lists: StreamedLists
    image: StreamedImage
    words: Words


def compile_streamed(
    network: FixedNetwork, capacity: Capacity, *, activity: ArrayLike | None = None, sum_bits: int | None = None
) -> CompiledStream:
    """Deal a network to the lanes of a core, and write its lists and its memory image.

    Parameters
    ----------
    activity : float (sources,), optional
    sum_bits : int, optional
        As of :func:`golden.fanout.compile`.

    Raises
    ------
    CompileError, golden.beats.BeatError
        If the network does not fit the core, the number formats, or the format of beats.
    """
    check_sizes(network, capacity.lanes)
    active = check_activity(network, activity)
    placement = place_streamed(network, capacity.lanes, active)
    # Weights as wide as the core reads them; a network of wider ones is refused below.
    as_read = replace(network, weight_bits=max(network.weight_bits, capacity.weight_bits))
    form = choose_format(as_read, placement, (capacity.gap_bits,))
    lists = encode_lists(network, placement, form, multiple=capacity.beats_at_once)
    needs = _requirements(network, placement, lists, sum_bits)
    check_capacity(network, capacity, needs)
    for what, beats, most in (
        ("the longest list takes", int(lists.count.max(initial=0)), LIST_BEATS_MAX),
        ("all lists take", len(lists.beats), ALL_BEATS_MAX),
    ):
        if beats > most:
            raise CompileError(
                f"{what} {beats} beats, at most {most} can be told; prune the network or make it smaller"
            )
    dense = lists.format.dense_inputs
    image = StreamedImage(
        **collect_units(network, placement, capacity.cell_units, capacity.config_id, needs["acc_bits"], READOUT_PLACES),
        first=lists.first[network.inputs if dense else 0 :],
        beats=lists.count[network.inputs if dense else 0 :],
        input_beats=int(lists.count[0]) if dense else 0,
        dense_readout=lists.format.dense_readout,
    )
    return CompiledStream(network, active, placement, lists, image, encode(image))


def required_streamed(
    network: FixedNetwork, lanes: int, *, activity: ArrayLike | None = None, sum_bits: int | None = None
) -> dict[str, int]:
    """Return the smallest capacities and widths of a core of ``lanes`` lanes that holds a network.

    As :func:`golden.fanout.required`, and ``gap_bits``, the width of gaps by which lists take the fewest beats.
    """
    check_sizes(network, lanes)
    placement = place_streamed(network, lanes, check_activity(network, activity))
    form = choose_format(network, placement)
    lists = encode_lists(network, placement, form)
    return {**_requirements(network, placement, lists, sum_bits), "gap_bits": form.gap_bits}


def predict_cycles_streamed(
    compiled: CompiledStream, activity: ArrayLike | None = None, *, beats_a_cycle: float = 1.0, lookup: int = 1
) -> float:
    """Return a lower bound of the cycles of a step, as :func:`golden.fanout.predict_cycles` does for lists on chip.

    Memory gives the beats of all expected events, the busiest lane spends a cycle on each of its expected weights, and
    a lookup takes each event some cycles.
    """
    network, placement = compiled.network, compiled.placement
    active = compiled.activity if activity is None else check_activity(network, activity)
    walk = np.zeros(placement.lanes)
    for matrix in matrices(network):
        rates = active[matrix.first_source :][: len(matrix.weights)].astype(np.float32)
        expected = (rates @ (matrix.weights != 0)).reshape(len(matrix.gates), -1).sum(axis=0)
        np.add.at(walk, placement.lane[matrix.layer], expected)
    return float(max(walk.max(), compiled.lists.count @ active / beats_a_cycle, lookup * active.sum()))


def _requirements(
    network: FixedNetwork, placement: Placement, lists: StreamedLists, sum_bits: int | None
) -> dict[str, int]:
    dense_inputs = network.inputs if lists.format.dense_inputs else 0
    return {**size_requirements(network, placement, sum_bits), "lists": network.source_count - dense_inputs}

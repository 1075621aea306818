"""Fan-out lists for external memory: beats of 128 bits that decode on their own.

A beat holds entries of one list for one lane, so that a lane can start on whatever beat comes; a beat of two halves
holds a few entries for each of two lanes, for the ends of lists. ``docs/beats.md`` has the bits, and why these.

Targets of a list ascend. A target is a row and a *place* in it, which says to which of a unit's sums a weight belongs:
what is recurrent adds to z, r and gh, what goes forward to gx, z and r, so with three places a row targets count on
without a hole from row to row, and from the rows of a layer into those of the next. A row of the readout is four
outputs, one in each sum, and has four places. Beats never mix rows of three and of four places.

In a *sparse* list a gap of g between two weights says that the second's target is ``g + 1`` places after the first's;
weights of 0, which no list holds, bridge wider gaps and fill the rest of a beat. In a *dense* list, for rows of a
folded embedding and a dense readout, every weight is one place further and zeros are stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.lanes import Floats, Integers, Placement, deal
from golden.lists import Matrix, matrices
from golden.network import FixedNetwork

BEAT_BITS, HALF_BITS, HEADER_BITS = 128, 64, 16
GAP_BITS = (4, 5, 6)  #: that a format can have
PLACES, READOUT_PLACES = 3, 4  #: of a row of units, and of the readout
READOUT_TURN, LAST_TURN = 1 << 16, 1 << 17  #: of beats for the readout, and of halves: later than any other of a list
SOURCES_AT_ONCE = 256  #: of dense lists, to bound memory

Beats = NDArray[np.uint64]


class BeatError(ValueError):
    """A network that does not fit the format, or beats that describe none; the message says why."""


@dataclass(frozen=True)
class BeatFormat:
    """How beats are read.

    lanes : 1 to 64
    weight_bits : 8 or 4
    gap_bits : 4 to 6, of sparse lists
    dense_inputs, dense_readout : whether the lists of inputs, and what of a list goes to the readout, are dense
    """

    lanes: int
    weight_bits: int
    gap_bits: int
    dense_inputs: bool
    dense_readout: bool

    @property
    def lane_bits(self) -> int:
        return (self.lanes - 1).bit_length()

    @property
    def row_bits(self) -> int:
        """Width of a row in a header, behind a bit for halves, the lane, and two bits for the place."""
        return HEADER_BITS - 1 - self.lane_bits - 2

    def slots(self, dense: bool, *, half: bool = False) -> int:
        """Return how many weights a beat, or one of its halves, has room for."""
        room = (HALF_BITS if half else 2 * HALF_BITS) - HEADER_BITS - self.weight_bits
        return 1 + room // (self.weight_bits + (0 if dense else self.gap_bits))


@dataclass(frozen=True, eq=False)
class StreamedLists:
    """The lists of a network in external memory.

    beats : uint64 (beats, 2), the lower half first
    first, count : int64 (sources,), of each list in beats; lists lie one after the other
    inputs : sources that are inputs
    readout_base : the first row of the readout; all rows, where there is none
    """

    format: BeatFormat
    inputs: int
    readout_base: int
    beats: Beats
    first: Integers
    count: Integers


def place_streamed(network: FixedNetwork, lanes: int, activity: Floats) -> Placement:
    """Deal a network to lanes, the readout in turn, four outputs a row: output k is sum ``k // lanes % 4`` of it."""
    placement = deal(network, lanes, activity)
    if network.readout is None:
        return placement
    output = np.arange(network.readout.units)
    base, rows = placement.base[-1], -(-len(output) // (READOUT_PLACES * lanes))
    return replace(
        placement,
        lane=(*placement.lane[:-1], output % lanes),
        row=(*placement.row[:-1], base + output // (READOUT_PLACES * lanes)),
        rows=(*placement.rows[:-1], rows),
    )


def choose_format(network: FixedNetwork, placement: Placement, gap_bits: Sequence[int] = GAP_BITS) -> BeatFormat:
    """Return the format that takes the fewest beats: dense where that is less, and the best of some widths of gaps."""
    form = BeatFormat(placement.lanes, network.weight_bits, GAP_BITS[1], False, False)
    least = form.slots(False) / form.slots(True)  # density from which a dense list is shorter

    def is_dense(weights: NDArray[np.int8]) -> bool:
        return bool(np.count_nonzero(weights) > least * weights.size)

    dense_inputs = is_dense(network.layers[0].kernel)
    dense_readout = network.readout is not None and is_dense(network.readout.kernel)
    tried = replace(network, readout=None) if dense_readout else network
    if dense_inputs:  # alike in all formats, and most of a language model
        first = replace(network.layers[0], kernel=network.layers[0].kernel[:1])
        tried = replace(tried, layers=(first, *network.layers[1:]))
    forms = [replace(form, gap_bits=bits) for bits in gap_bits]
    best = forms[0]
    if len(forms) > 1:
        best = min(forms, key=lambda each: len(encode_lists(tried, placement, each).beats))
    return replace(best, dense_inputs=dense_inputs, dense_readout=dense_readout)


def encode_lists(network: FixedNetwork, placement: Placement, form: BeatFormat, *, multiple: int = 1) -> StreamedLists:
    """Return the lists of a network, placed by :func:`place_streamed`, as beats, of each list a multiple of so many.

    Raises
    ------
    BeatError
        If the network needs more rows than a header can tell.
    """
    rows, told = placement.row_count, 1 << form.row_bits
    if rows > told:
        raise BeatError(
            f"the network needs {rows} rows a lane, a beat for {form.lanes} lanes can tell {told}; use other --lanes"
        )
    parts: list[_Part] = []
    sparse: dict[int, list[_Entries]] = {}
    for matrix in matrices(network):
        to_readout = matrix.layer == len(network.layers)
        if form.dense_readout if to_readout else form.dense_inputs and matrix.first_source == 0:
            found = _dense_parts(matrix, placement, form)
        elif to_readout:
            found = _sparse_parts(_entries(matrix, placement), form)
        else:  # recurrent and forward entries of a unit in one run
            sparse.setdefault(matrix.first_source, []).append(_entries(matrix, placement))
            continue
        # Beats for the readout come last, so that no lane gets two in a row.
        parts += [part._replace(turn=part.turn + to_readout * READOUT_TURN) for part in found]
    for together in sparse.values():
        parts += _sparse_parts(_Entries(*map(np.concatenate, zip(*together, strict=True))), form)
    return _arrange(network, placement, form, parts, multiple)


class _Entries(NamedTuple):
    """Entries of sparse lists, int64 each; ``target`` counts places from row 0 on, as if all rows had ``places``."""

    source: Integers
    lane: Integers
    target: Integers
    places: Integers
    weight: Integers


class _Part(NamedTuple):
    """Beats, uint64 (n, 2), or halves, uint64 (n, 1), and where they go: by source, then turn, then lane."""

    source: Integers
    turn: Integers
    lane: Integers
    words: Beats


def _targets(matrix: Matrix, placement: Placement) -> tuple[Integers, Integers, int]:
    """Return lane and target of each column of a matrix, and the places of a row of its targets."""
    lane, row = placement.lane[matrix.layer], placement.row[matrix.layer]
    if matrix.layer == len(placement.rows) - 1 and matrix.gates == (0,):
        return lane, row * READOUT_PLACES + np.arange(len(row)) // placement.lanes % READOUT_PLACES, READOUT_PLACES
    place = np.repeat(np.array(matrix.gates) - matrix.recurrent, len(row))
    return np.tile(lane, PLACES), np.tile(row * PLACES, PLACES) + place, PLACES


def _entries(matrix: Matrix, placement: Placement) -> _Entries:
    lane, target, places = _targets(matrix, placement)
    source, column = np.nonzero(matrix.weights)
    weight = matrix.weights[source, column].astype(np.int64)
    return _Entries(matrix.first_source + source, lane[column], target[column], np.full(len(source), places), weight)


def _sparse_parts(entries: _Entries, form: BeatFormat) -> Iterator[_Part]:
    """Yield the beats of sparse lists: the first one of every list, then the second one, and so on."""
    if not len(entries.source):
        return
    order = np.lexsort((entries.target, entries.lane, entries.source))
    source, lane, target, places, weight = (field[order] for field in entries)
    begins = np.flatnonzero(np.diff(source << 6 | lane, prepend=-1))
    ends = np.append(begins[1:], len(source))

    # Entries with what bridges the gaps before them: ``entry`` is whose each place is, ``nth`` its number among them.
    before = np.concatenate([[0], target[:-1]])
    before[begins] = target[begins] - 1
    bridges = target - before - 1 >> form.gap_bits
    entry = np.repeat(np.arange(len(source)), bridges + 1)
    real = np.cumsum(bridges + 1) - 1  # the place of each entry itself
    nth = np.arange(len(entry)) - (real - bridges)[entry]
    is_bridge = nth < bridges[entry]
    at = np.where(is_bridge, before[entry] + (nth + 1 << form.gap_bits), target[entry])
    value = np.where(is_bridge, 0, weight[entry])

    here, end = real[begins], real[ends - 1] + 1
    half = form.slots(False, half=True)
    for turn in itertools.count():
        if not len(here):
            return
        ending = end - here <= half
        for is_half in (False, True):
            first, stop = here[ending == is_half], end[ending == is_half]
            index = first[:, None] + np.arange(form.slots(False, half=is_half))
            within = index < stop[:, None]
            index = np.where(within, index, first[:, None])
            gaps = np.where(within[:, 1:], at[index[:, 1:]] - at[index[:, :-1]] - 1, 0)
            head = entry[first]
            words = _pack(form, lane[head], at[first], places[head], np.where(within, value[index], 0), gaps)
            yield _Part(source[head], np.full(len(head), turn), lane[head], words)
        here, end = here[~ending] + form.slots(False), end[~ending]
        here, end = here[here < end], end[here < end]
        here = real[entry[here]]  # a beat begins with an entry


def _dense_parts(matrix: Matrix, placement: Placement, form: BeatFormat) -> Iterator[_Part]:
    """Yield the beats of dense lists, which all have equally many."""
    lane, target, places = _targets(matrix, placement)
    base, length = placement.base[matrix.layer] * places, placement.rows[matrix.layer] * places
    for start in range(0, len(matrix.weights), SOURCES_AT_ONCE):
        some = matrix.weights[start : start + SOURCES_AT_ONCE]
        table = np.zeros((len(some), placement.lanes, length), np.int64)
        table[:, lane, target - base] = some
        rows = table.reshape(-1, length)
        source = np.repeat(matrix.first_source + start + np.arange(len(some)), placement.lanes)
        lanes = np.tile(np.arange(placement.lanes), len(some))
        for turn, at in enumerate(range(0, length, form.slots(True))):
            slots = form.slots(True, half=length - at <= form.slots(True, half=True))
            weights = np.zeros((len(source), slots), np.int64)
            weights[:, : length - at] = rows[:, at : at + slots]
            words = _pack(form, lanes, np.full(len(lanes), base + at), np.full(len(lanes), places), weights, None)
            yield _Part(source, np.full(len(source), turn), lanes, words)


def _pack(
    form: BeatFormat, lane: Integers, target: Integers, places: Integers, weights: Integers, gaps: Integers | None
) -> Beats:
    """Return beats, or halves if there are as few ``weights`` (n, slots); ``gaps`` (n, slots - 1) of a sparse list."""
    is_half = weights.shape[1] == form.slots(gaps is None, half=True)
    words = np.zeros((len(weights), 1 if is_half else 2), np.uint64)

    def put(value: Integers, offset: int, width: int) -> None:
        field = value.astype(np.uint64) & np.uint64((1 << width) - 1)
        word, shift = divmod(offset, HALF_BITS)
        words[:, word] |= field << np.uint64(shift)
        if shift + width > HALF_BITS:
            words[:, word + 1] |= field >> np.uint64(HALF_BITS - shift)

    put(np.full(len(weights), is_half), 0, 1)
    put(lane, 1, form.lane_bits)
    put(target // places << 2 | target % places, 1 + form.lane_bits, form.row_bits + 2)
    gap_bits = 0 if gaps is None else form.gap_bits
    for k in range(weights.shape[1]):
        offset = HEADER_BITS + k * (form.weight_bits + gap_bits)
        put(weights[:, k], offset, form.weight_bits)
        if k and gaps is not None:
            put(gaps[:, k - 1], offset - gap_bits, gap_bits)
    return words


def _arrange(
    network: FixedNetwork, placement: Placement, form: BeatFormat, parts: list[_Part], multiple: int
) -> StreamedLists:
    """Put beats in order, and halves in pairs behind them; a half that is left alone becomes a beat.

    Behind a list whose beats are no multiple come beats without a weight, for one lane after the other.
    """
    nothing = np.zeros(0, np.int64)
    wholes = [_Part(nothing, nothing, nothing, np.zeros((0, 2), np.uint64))]  # also if no list has any entry
    wholes += [part for part in parts if part.words.shape[1] == 2]
    source, turn, lane = (np.concatenate([part[field] for part in wholes]) for field in range(3))
    beats = np.concatenate([part.words for part in wholes])
    halves = [part for part in parts if part.words.shape[1] == 1]
    if halves:
        owner, when, to = (np.concatenate([part[field] for part in halves]) for field in range(3))
        words = np.concatenate([part.words[:, 0] for part in halves])
        # Neighbours are of two lanes, except perhaps where those for the readout begin.
        order = np.lexsort((to, when >= READOUT_TURN, owner))
        owner, to, words = owner[order], to[order], words[order]
        nth = np.arange(len(owner)) - np.searchsorted(owner, owner)
        with_next = (nth % 2 == 0) & (np.append(owner[1:], -1) == owner) & (np.append(to[1:], -1) != to)
        with_last = np.roll(with_next, 1)
        lower = np.where(with_next, words, words - np.uint64(1))
        upper = np.where(with_next, np.append(words[1:], words[:1]), np.uint64(0))
        beats = np.concatenate([beats, np.stack([lower, upper], axis=1)[~with_last]])
        source = np.concatenate([source, owner[~with_last]])
        turn = np.concatenate([turn, np.full(np.count_nonzero(~with_last), LAST_TURN)])
        lane = np.concatenate([lane, nth[~with_last]])
    count = np.bincount(source, minlength=network.source_count)
    missing = -count % multiple
    fill = np.repeat(np.arange(network.source_count), missing)
    to = np.arange(len(fill)) % placement.lanes
    nothing = np.zeros((len(fill), form.slots(False)), np.int64)
    padding = _pack(form, to, nothing[:, 0], np.full(len(fill), PLACES), nothing, nothing[:, 1:])
    beats, source = np.concatenate([beats, padding]), np.concatenate([source, fill])
    turn, lane = np.concatenate([turn, np.full(len(fill), LAST_TURN + 1)]), np.concatenate([lane, to])
    count += missing
    order = np.lexsort((lane, turn, source))
    readout_base = placement.row_count if network.readout is None else placement.base[-1]
    return StreamedLists(form, network.inputs, readout_base, beats[order], np.cumsum(count) - count, count)


class Decoded(NamedTuple):
    """Entries of beats, int64 each, zeros left out: number of the beat, lane, row, place, weight."""

    beat: Integers
    lane: Integers
    row: Integers
    place: Integers
    weight: Integers


def decode(lists: StreamedLists) -> Decoded:
    """Return the entries of all beats, in the order of beat, lane, row and place."""
    found = [unpack(lists.format, kind) for kind in kinds(lists)]
    fields = Decoded(*map(np.concatenate, zip(*found, strict=True)))
    order = np.lexsort((fields.place, fields.row, fields.lane, fields.beat))
    return Decoded(*(field[order] for field in fields))


class Kind(NamedTuple):
    """Beats (n, 2) or halves (n, 1) of one kind, and the numbers of their beats."""

    name: str
    words: Beats
    beat: Integers
    dense: bool
    places: int


def kinds(lists: StreamedLists) -> Iterator[Kind]:
    """Sort beats and halves by kind, which is told by what they are of, an input or a unit, and by their first row."""
    form, beats = lists.format, lists.beats
    is_input = np.repeat(np.arange(len(lists.count)) < lists.inputs, lists.count)
    is_halves, number = beats[:, 0] & np.uint64(1) == 1, np.arange(len(beats))
    for words, of in (
        (beats[~is_halves], number[~is_halves]),
        *((beats[is_halves, k : k + 1], number[is_halves]) for k in range(2)),
    ):
        to_readout = _take(words, 1 + form.lane_bits + 2, form.row_bits) >= lists.readout_base
        for name, chosen, dense, places in (
            ("inputs", is_input[of], form.dense_inputs, PLACES),
            ("units", ~is_input[of] & ~to_readout, False, PLACES),
            ("readout", ~is_input[of] & to_readout, form.dense_readout, READOUT_PLACES),
        ):
            yield Kind(name, words[chosen], of[chosen], dense, places)


def unpack(form: BeatFormat, kind: Kind) -> Decoded:
    """Return the entries of beats or halves of one kind."""
    words, dense, places = kind.words, kind.dense, kind.places
    lane, base = _take(words, 1, form.lane_bits), _take(words, 1 + form.lane_bits, form.row_bits + 2)
    target = (base >> 2) * places + (base & 3)
    gap_bits, top = 0 if dense else form.gap_bits, 1 << form.weight_bits - 1
    targets, weights = [], []
    for k in range(form.slots(dense, half=words.shape[1] == 1)):
        offset = HEADER_BITS + k * (form.weight_bits + gap_bits)
        if k:
            target = target + 1 + (0 if dense else _take(words, offset - gap_bits, gap_bits))
        targets.append(target)
        weights.append((_take(words, offset, form.weight_bits) ^ top) - top)
    at, weight = np.stack(targets, axis=1), np.stack(weights, axis=1)
    beat, slot = np.nonzero(weight)
    row, place = np.divmod(at[beat, slot], places)
    return Decoded(kind.beat[beat], lane[beat], row, place, weight[beat, slot])


def _take(words: Beats, offset: int, width: int) -> Integers:
    """Return a field of beats, or of halves."""
    word, shift = divmod(offset, HALF_BITS)
    value = words[:, word] >> np.uint64(shift)
    if shift + width > HALF_BITS:
        value = value | words[:, word + 1] << np.uint64(HALF_BITS - shift)
    return (value & np.uint64((1 << width) - 1)).astype(np.int64)

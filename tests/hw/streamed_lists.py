"""Random networks' lists as beats, as whoever walks them gets to see them."""

import random

import numpy as np

from golden.beats import HEADER_BITS, BeatFormat, decode, encode_lists, place_streamed
from hw.config import CoreConfig
from hw.event import EventKind, ListPart
from tests.networks import random_fixed_network

LANES = 4
GAP_BITS = 5
CONFIG = CoreConfig(
    lanes=LANES, cell_units=1, queue_depth=8, rows=64, sources=128, layers=3, value_bits=9, acc_bits=24,
    gap_bits=GAP_BITS, lists=128,
)  # fmt: skip


class Lists:
    """A network's lists, and what comes to a lane of each, as beats and as operations."""

    def __init__(self, gap_bits, dense, density):
        rng = np.random.default_rng(random.randrange(1 << 32))
        self.network = random_fixed_network(rng, inputs=9, layers=[40, 33], outputs=70, weight_density=density)
        self.placement = placement = place_streamed(self.network, LANES, np.ones(self.network.source_count))
        form = BeatFormat(LANES, 8, gap_bits, *dense)
        self.lists = encode_lists(self.network, placement, form)
        sizes = [self.network.inputs, *(layer.units for layer in self.network.layers)]
        self.group = np.repeat(np.arange(3), sizes)
        self.boundaries = [placement.base[0], *placement.base[1:]]  #: of each group of sources
        self.first_unit = np.cumsum(sizes)[:-1].tolist()  #: of each layer
        self.boundary = np.array(self.boundaries)[self.group]
        self.of = np.repeat(np.arange(self.network.source_count), self.lists.count)
        self.entries = decode(self.lists)

    def event(self, source):
        return {
            "part": random.choice(list(ListPart)), "value": random.randrange(-256, 256), "bank": random.randrange(2),
            "group": int(self.group[source]),
        }  # fmt: skip

    def beats(self, source, event, lane):
        """Return the beats of a list for a lane, cut from their words as the document says."""
        form, found = self.lists.format, []
        for number in range(self.lists.first[source], self.lists.first[source] + self.lists.count[source]):
            low, high = (int(word) for word in self.lists.beats[number])
            words = [low, high] if low & 1 else [low | high << 64]
            for word in words:
                header, body = word & ((1 << HEADER_BITS) - 1), word >> HEADER_BITS
                if header >> 1 & (LANES - 1) != lane:
                    continue
                place, row = header >> 3 & 3, header >> 5
                readout = source >= self.network.inputs and row >= self.lists.readout_base
                dense = form.dense_inputs if source < self.network.inputs else readout and form.dense_readout
                found.append({
                    "kind": EventKind.EVENT, "dense": dense, "readout": readout, "place": place, "row": row,
                    "boundary": int(self.boundary[source]), "body": body, **event,
                })  # fmt: skip
        return found

    def operations(self, source, event, lane):
        """Return what a lane is to do, of the part of the list that the event walks."""
        here = (self.of[self.entries.beat] == source) & (self.entries.lane == lane)
        found = []
        for _, _, row, place, weight in zip(*(field[here] for field in self.entries), strict=True):
            recurrent = bool(row < self.boundary[source])
            if event["part"] in (ListPart.WHOLE, ListPart.RECURRENT if recurrent else ListPart.FORWARD):
                entry = {"weight": int(weight), "gate": int(place) + recurrent, "row": int(row)}
                brought = {name: event[name] for name in ("value", "bank", "group")}
                found.append({"kind": EventKind.EVENT, **brought, "entry": entry})
        return found

    def crowd(self, lane):
        """Let every beat, and the upper half of each that has halves, be for one lane, and lower halves for the next.

        No compiler makes such lists; a lane gets no more at once from any.
        """
        beats, field = self.lists.beats, np.uint64((LANES - 1) << 1)
        halves = beats[:, 0] & np.uint64(1) == 1
        beats[:, 0] = beats[:, 0] & ~field | np.where(halves, np.uint64((lane + 1) % LANES << 1), np.uint64(lane << 1))
        beats[halves, 1] = beats[halves, 1] & ~field | np.uint64(lane << 1)
        self.entries = decode(self.lists)

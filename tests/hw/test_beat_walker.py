"""Walking beats: every entry of every list becomes one operation, whatever its format and however the lane stalls."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden.beats import GAP_BITS, HEADER_BITS, BeatFormat, decode, encode_lists, place_streamed
from hw.beat_walker import BODY_BITS, BeatWalker
from hw.config import CoreConfig
from hw.event import EventKind, ListPart
from tests.hw.bench import STALLS, StreamSource, start
from tests.hw.operations import OperationSink
from tests.hw.pins import Pins, Together
from tests.networks import random_fixed_network

LANES, LANE = 4, 2  #: of which one is walked
CONFIG = CoreConfig(lanes=LANES, cell_units=1, rows=64, entries=256, sources=128, layers=3, value_bits=9, acc_bits=24)
KINDS = {f"gaps_{gap}": gap for gap in GAP_BITS}


def walkers():
    return Together(**{name: BeatWalker(CONFIG, gap_bits=gap) for name, gap in KINDS.items()})


class Lists:
    """A network's lists, and what comes to one lane of each, as beats and as operations."""

    def __init__(self, gap_bits, dense, density):
        rng = np.random.default_rng(random.randrange(1 << 32))
        self.network = random_fixed_network(rng, inputs=9, layers=[40, 33], outputs=70, weight_density=density)
        placement = place_streamed(self.network, LANES, np.ones(self.network.source_count))
        form = BeatFormat(LANES, 8, gap_bits, *dense)
        self.lists = encode_lists(self.network, placement, form)
        sizes = [self.network.inputs, *(layer.units for layer in self.network.layers)]
        self.group = np.repeat(np.arange(3), sizes)
        self.boundary = np.array([placement.base[0], *placement.base[1:]])[self.group]
        self.of = np.repeat(np.arange(self.network.source_count), self.lists.count)
        self.entries = decode(self.lists)

    def event(self, source):
        return {
            "part": random.choice(list(ListPart)), "value": random.randrange(-256, 256), "bank": random.randrange(2),
            "group": int(self.group[source]),
        }  # fmt: skip

    def beats(self, source, event):
        """Return the beats of a list for the lane, cut from their words as the document says."""
        form, found = self.lists.format, []
        for number in range(self.lists.first[source], self.lists.first[source] + self.lists.count[source]):
            low, high = (int(word) for word in self.lists.beats[number])
            words = [low, high] if low & 1 else [low | high << 64]
            for word in words:
                header, body = word & ((1 << HEADER_BITS) - 1), word >> HEADER_BITS
                if header >> 1 & (LANES - 1) != LANE:
                    continue
                place, row = header >> 3 & 3, header >> 5
                readout = source >= self.network.inputs and row >= self.lists.readout_base
                dense = form.dense_inputs if source < self.network.inputs else readout and form.dense_readout
                found.append({
                    "kind": EventKind.EVENT, "dense": dense, "readout": readout, "place": place, "row": row,
                    "boundary": int(self.boundary[source]), "body": body, **event,
                })  # fmt: skip
        return found

    def operations(self, source, event):
        """Return what the lane is to do, of the part of the list that the event walks."""
        here = (self.of[self.entries.beat] == source) & (self.entries.lane == LANE)
        found = []
        for _, _, row, place, weight in zip(*(field[here] for field in self.entries), strict=True):
            recurrent = bool(row < self.boundary[source])
            if event["part"] in (ListPart.WHOLE, ListPart.RECURRENT if recurrent else ListPart.FORWARD):
                entry = {"weight": int(weight), "gate": int(place) + recurrent, "row": int(row)}
                brought = {name: event[name] for name in ("value", "bank", "group")}
                found.append({"kind": EventKind.EVENT, **brought, "entry": entry})
        return found


def marker():
    kind = random.choice((EventKind.INPUT_END, EventKind.LAYER_END))
    return {
        "kind": kind, "part": ListPart.WHOLE, "dense": 0, "readout": 0, "place": 0, "row": 0, "boundary": 0, "value": 0,
        "bank": 0, "group": 0, "body": 0,
    }  # fmt: skip


@cocotb.test()
@cocotb.parametrize(
    kind=list(KINDS), density=[0.03, 0.2, 0.9], dense=[(False, False), (True, True)], source_stall=STALLS[:2],
    sink_stall=STALLS[::2],
)  # fmt: skip
async def walks_every_entry(dut, kind, density, dense, source_stall, sink_stall):
    lists = Lists(KINDS[kind], dense, density)
    pins = Pins(dut, BeatWalker(CONFIG, gap_bits=KINDS[kind]), f"{kind}__")
    source = StreamSource(dut, f"{kind}__i", pins.shape("i__payload"), stall=source_stall)
    sink = OperationSink(dut, kind, pins, stall=sink_stall)
    await start(dut)
    expected = []
    for _ in range(60):
        number = random.randrange(lists.network.source_count)
        event = lists.event(number)
        source.send(*lists.beats(number, event))
        expected += lists.operations(number, event)
        if random.random() < 0.3:
            end = marker()
            source.send(end)
            expected.append({"kind": end["kind"], "entry": None} | {name: 0 for name in ("value", "bank", "group")})
    received = await sink.receive(len(expected))
    for got, want in zip(received, expected, strict=True):
        assert got == want
    for _ in range(3 * BODY_BITS):
        await RisingEdge(dut.clk)
    assert not sink.received


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def leaves_no_bubble(dut, kind):
    """Where no part is left out and the lane is always ready, beats take a cycle a slot up to their last weight."""
    lists = Lists(KINDS[kind], (False, False), 0.3)
    pins = Pins(dut, BeatWalker(CONFIG, gap_bits=KINDS[kind]), f"{kind}__")
    source = StreamSource(dut, f"{kind}__i", pins.shape("i__payload"))
    sink = OperationSink(dut, kind, pins)
    await start(dut)
    slots, expected = 0, 0
    for number in range(0, lists.network.source_count, 3):
        event = lists.event(number) | {"part": ListPart.WHOLE}
        beats = lists.beats(number, event)
        source.send(*beats)
        slots += sum(used(lists.lists.format, beat) for beat in beats)
        expected += len(lists.operations(number, event))
    while not (pins.get("i__valid") and pins.get("i__ready")):
        await RisingEdge(dut.clk)
    cycles = 0
    while len(sink.received) < expected:
        await RisingEdge(dut.clk)
        cycles += 1
    assert cycles == slots + BeatWalker.LATENCY  # the sink tells an operation a cycle later


def used(form, beat):
    """Return the slots of a beat up to its last weight that is not 0."""
    width = form.weight_bits + (0 if beat["dense"] else form.gap_bits)
    weights = [beat["body"] >> k * width & 0xFF for k in range(form.slots(bool(beat["dense"])))]
    return max(k for k, weight in enumerate(weights, 1) if weight or k == 1)


def test_beat_walker(simulate):
    simulate(walkers())

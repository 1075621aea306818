"""Walking beats: every entry of every list becomes one operation, whatever its format and however the lane stalls."""

import random
from dataclasses import replace

import cocotb
from cocotb.triggers import RisingEdge

from golden.beats import GAP_BITS
from hw.beat_walker import BODY_BITS, BeatWalker
from hw.event import EventKind, ListPart
from tests.hw.bench import STALLS, StreamSource, start
from tests.hw.operations import OperationSink
from tests.hw.pins import Pins, Together
from tests.hw.streamed_lists import CONFIG, Lists

LANE = 2  #: the one that is walked
KINDS = {f"gaps_{gap}": replace(CONFIG, gap_bits=gap) for gap in GAP_BITS}


def walkers():
    return Together(**{name: BeatWalker(config) for name, config in KINDS.items()})


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
    lists = Lists(KINDS[kind].gap_bits, dense, density)
    pins = Pins(dut, BeatWalker(KINDS[kind]), f"{kind}__")
    source = StreamSource(dut, f"{kind}__i", pins.shape("i__payload"), stall=source_stall)
    sink = OperationSink(dut, kind, pins, stall=sink_stall)
    await start(dut)
    expected = []
    for _ in range(60):
        number = random.randrange(lists.network.source_count)
        event = lists.event(number)
        source.send(*lists.beats(number, event, LANE))
        expected += lists.operations(number, event, LANE)
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
    lists = Lists(KINDS[kind].gap_bits, (False, False), 0.3)
    pins = Pins(dut, BeatWalker(KINDS[kind]), f"{kind}__")
    source = StreamSource(dut, f"{kind}__i", pins.shape("i__payload"))
    sink = OperationSink(dut, kind, pins)
    await start(dut)
    slots, expected = 0, 0
    for number in range(0, lists.network.source_count, 3):
        event = lists.event(number) | {"part": ListPart.WHOLE}
        beats = lists.beats(number, event, LANE)
        source.send(*beats)
        slots += sum(used(lists.lists.format, beat) for beat in beats)
        expected += len(lists.operations(number, event, LANE))
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

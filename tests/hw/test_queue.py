"""Queue: order, no loss, no duplication, latency, throughput."""

import gc
import random

import cocotb
import pytest

from hw.queue import Queue
from tests.hw.bench import STALLS, StreamSink, StreamSource, start
from tests.hw.pins import Pins, Together

WIDTH = 16
DEPTHS = (2, 16)
ITEMS = 300


def queues():
    return Together(**{f"depth_{depth}": Queue(shape=WIDTH, depth=depth) for depth in DEPTHS})


def pins(dut, depth):
    return Pins(dut, Queue(shape=WIDTH, depth=depth), f"depth_{depth}__")


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS, source_stall=STALLS, sink_stall=STALLS)
async def keeps_every_item_in_order(dut, depth, source_stall, sink_stall):
    queue = pins(dut, depth)
    source = StreamSource(dut, f"depth_{depth}__i", WIDTH, stall=source_stall)
    sink = StreamSink(dut, f"depth_{depth}__o", WIDTH, stall=sink_stall)
    await start(dut)
    items = [random.randrange(1 << WIDTH) for _ in range(ITEMS)]
    source.send(*items)
    held = 0
    while len(sink.received) < ITEMS:
        await queue.cycle()
        was = held
        held += queue.get("i__valid") and queue.get("i__ready")
        held -= queue.get("o__valid") and queue.get("o__ready")
        assert 0 <= held <= depth + 1 and queue.get("empty") == (was == 0)
    assert sink.received == items


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def passes_an_item_in_two_cycles_when_empty(dut, depth):
    queue = pins(dut, depth)
    await start(dut)
    await queue.cycle(i__valid=1, i__payload=0x1234, o__ready=1)
    assert queue.get("i__ready") and not queue.get("o__valid")
    await queue.cycle(i__valid=0)
    assert not queue.get("o__valid")
    await queue.cycle()
    assert queue.get("o__valid") and queue.get("o__payload") == 0x1234
    await queue.cycle()
    assert not queue.get("o__valid")


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS, held=(0, 1))
async def takes_and_gives_one_item_a_cycle(dut, depth, held):
    """Whatever the number of items that wait in it."""
    queue = pins(dut, depth)
    await start(dut)
    for item in range(held):
        await queue.cycle(i__valid=1, i__payload=item)
    for item in range(held, 50):
        await queue.cycle(i__valid=1, i__payload=item, o__ready=1)
        assert queue.get("i__ready")
        assert queue.get("o__valid") == (item > 1)
        if item > 1:
            assert queue.get("o__payload") == item - 2


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def holds_as_many_items_as_it_says(dut, depth):
    queue = pins(dut, depth)
    await start(dut)
    for item in range(depth + 1):
        while True:
            await queue.cycle(i__valid=1, i__payload=item)
            if queue.get("i__ready"):
                break
    for _ in range(3):
        await queue.cycle(i__valid=1, i__payload=999)
        assert not queue.get("i__ready")
    await queue.cycle(i__valid=0, o__ready=1)
    for item in range(depth + 1):
        assert queue.get("o__valid") and queue.get("o__payload") == item
        await queue.cycle()
    assert not queue.get("o__valid")


def test_queue(simulate):
    simulate(queues())


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("depth", [0, 1, 3, 12])
def test_depth_must_be_a_power_of_two(depth):
    with pytest.raises(ValueError, match=f"^depth is {depth}; it must be a power of two, 2 or more$"):
        Queue(shape=8, depth=depth)
    gc.collect()  # the half-made component goes now, while the warning about it is ignored

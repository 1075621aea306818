"""Queue: order, no loss, no duplication, latency, throughput."""

import gc
import random

import cocotb
import pytest

from hw.queue import Queue
from tests.hw.bench import STALLS, StreamSink, StreamSource, start
from tests.hw.pins import Pins, Together

WIDTH = 16
KINDS = {
    "two": {"depth": 2}, "sixteen": {"depth": 16},
    "two_direct": {"depth": 2, "direct": True}, "sixteen_direct": {"depth": 16, "direct": True},
}  # fmt: skip
ITEMS = 300


def queues():
    return Together(**{name: Queue(shape=WIDTH, **kind) for name, kind in KINDS.items()})


def pins(dut, kind):
    return Pins(dut, Queue(shape=WIDTH, **KINDS[kind]), f"{kind}__")


def latency(kind):
    return 2 - KINDS[kind].get("direct", False)


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), source_stall=STALLS, sink_stall=STALLS)
async def keeps_every_item_in_order(dut, kind, source_stall, sink_stall):
    queue = pins(dut, kind)
    source = StreamSource(dut, f"{kind}__i", WIDTH, stall=source_stall)
    sink = StreamSink(dut, f"{kind}__o", WIDTH, stall=sink_stall)
    await start(dut)
    items = [random.randrange(1 << WIDTH) for _ in range(ITEMS)]
    source.send(*items)
    held = 0
    while len(sink.received) < ITEMS:
        await queue.cycle()
        was = held
        held += queue.get("i__valid") and queue.get("i__ready")
        held -= queue.get("o__valid") and queue.get("o__ready")
        assert 0 <= held <= KINDS[kind]["depth"] + 1 and queue.get("empty") == (was == 0)
    assert sink.received == items


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def passes_an_item_when_empty(dut, kind):
    queue = pins(dut, kind)
    await start(dut)
    await queue.cycle(i__valid=1, i__payload=0x1234, o__ready=1)
    assert queue.get("i__ready") and not queue.get("o__valid")
    await queue.cycle(i__valid=0)
    if latency(kind) == 2:
        assert not queue.get("o__valid")
        await queue.cycle()
    assert queue.get("o__valid") and queue.get("o__payload") == 0x1234
    await queue.cycle()
    assert not queue.get("o__valid")


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), held=(0, 1))
async def takes_and_gives_one_item_a_cycle(dut, kind, held):
    """Whatever the number of items that wait in it."""
    queue = pins(dut, kind)
    await start(dut)
    for item in range(held):
        await queue.cycle(i__valid=1, i__payload=item)
    for item in range(held, 50):
        await queue.cycle(i__valid=1, i__payload=item, o__ready=1)
        assert queue.get("i__ready")
        assert queue.get("o__valid") == (item >= latency(kind))
        if item >= latency(kind):
            assert queue.get("o__payload") == item - latency(kind)


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def holds_as_many_items_as_it_says(dut, kind):
    queue, depth = pins(dut, kind), KINDS[kind]["depth"]
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


@pytest.mark.parametrize("depth", [0, 1, 3, 12])
def test_depth_must_be_a_power_of_two(depth):
    with pytest.raises(ValueError, match=f"^depth is {depth}; it must be a power of two, 2 or more$"):
        Queue(shape=8, depth=depth)
    gc.collect()  # the half-made component goes now, while the warning about it is ignored

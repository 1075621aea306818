"""Fan-out lists on chip: the right part of each list, one entry a cycle, nothing lost when lanes are slow."""

import random
from collections import deque

import cocotb

from hw.config import CoreConfig
from hw.directory import Directory
from hw.event import EventKind, ListPart
from hw.fanout_onchip import FanoutOnChip, Walker
from hw.vendor.generic import MEMORY_LATENCY
from tests.hw.bench import (
    STALLS,
    StreamSource,
    directory_word,
    fields,
    packed_directory_word,
    start,
    wait_until,
)
from tests.hw.operations import OperationSink, everywhere
from tests.hw.pins import Pins, Together

CONFIG = CoreConfig(
    lanes=2, cell_units=1, queue_depth=8, rows=16, entries=256, sources=64, layers=3, weight_bits=8, y_bits=8,
    value_bits=9, acc_bits=24,
)  # fmt: skip
#: From the ``ready`` that allows an event to its arrival: a register for the tree of ``ready``, one for the event, and
#: the lane's relay. The rest of ``slack`` is inside.
BROADCAST_DELAY = 3


def parts():
    return Together(directory=Directory(CONFIG), walker=Walker(CONFIG), fanout=FanoutOnChip(CONFIG))


def random_entry():
    return {"weight": random.randrange(-128, 128), "gate": random.randrange(4), "row": random.randrange(CONFIG.rows)}


def random_directory(longest=12):
    """Return (start, forward, count) of each source; a quarter of the lists, and of their parts, are empty."""
    words, start = [], 0
    for source in range(CONFIG.sources):
        room = min(longest, CONFIG.entries - start)
        forward, recurrent = (random.choice((0, *range(room // 2))) if room > 1 else 0 for _ in range(2))
        if source % 4 == 3:
            forward = recurrent = 0
        words.append((start, forward, forward + recurrent))
        start += forward + recurrent
    return words


def random_event():
    kind = random.choices(list(EventKind), (8, 1, 1))[0]
    return {
        "kind": kind,
        "part": random.choice(list(ListPart)) if kind == EventKind.EVENT else ListPart.WHOLE,
        "source": random.randrange(CONFIG.sources),
        "value": random.randrange(-256, 256),
        "bank": random.randrange(2),
        "group": random.randrange(CONFIG.groups + 1),
    }


def find(directory, event):
    """Return (start, count) of the list of an event, None where it is empty; a marker counts as 1."""
    start, forward, count = directory[event["source"]]
    if event["kind"] != EventKind.EVENT:
        return start, 1
    if event["part"] == ListPart.FORWARD:
        count = forward
    elif event["part"] == ListPart.RECURRENT:
        start, count = start + forward, count - forward
    return (start, count) if count else None


def walk(entries, kind, start, count, event):
    """Return the operations that a list becomes; a marker's entry has no meaning."""
    brought = {name: event[name] for name in ("value", "bank", "group")}
    return [
        {"kind": kind, **brought, "entry": entries[at] if kind == EventKind.EVENT else None}
        for at in range(start, start + count)
    ]


@cocotb.test()
async def finds_the_list_of_every_event(dut):
    pins = Pins(dut, Directory(CONFIG), "directory__")
    await start(dut)
    directory = random_directory()
    for source, (first, forward, count) in enumerate(directory):
        word = directory_word(CONFIG, first, forward, count)
        await pins.cycle(write_en=1, write_addr=source, write_data=word)
    await pins.cycle(write_en=0)
    pipeline = deque([None] * MEMORY_LATENCY)
    for _ in range(1000):
        event, valid = random_event(), random.random() < 0.8
        await pins.cycle(i=event, valid=valid)
        pipeline.append(event if valid else None)
        old = pipeline.popleft()
        found = old and find(directory, old)
        assert pins.get("o_valid") == bool(found)
        if found:
            expected = {name: old[name] for name in ("kind", "value", "bank", "group")}
            if old["kind"] == EventKind.EVENT:
                expected |= {"start": found[0], "stop": sum(found) % (1 << CONFIG.offset_bits)}
            o = fields(pins.get("o"))
            assert {name: o[name] for name in expected} == expected


async def load_walker(pins):
    entries = [random_entry() for _ in range(CONFIG.entries)]
    for address, entry in enumerate(entries):
        await pins.cycle(write_en=1, write_addr=address, write_data=entry)
    await pins.cycle(write_en=0)
    return entries


def random_lists(lengths):
    """Return FanoutLists of the lengths given; 0 stands for a marker."""
    lists = []
    for length in lengths:
        event = random_event()
        event["kind"] = EventKind.EVENT if length else random.choice((EventKind.INPUT_END, EventKind.LAYER_END))
        first = random.randrange(CONFIG.entries - length + 1)
        where = {"start": first, "stop": first + length & (1 << CONFIG.offset_bits) - 1}
        lists.append({name: event[name] for name in ("kind", "value", "bank", "group")} | where)
    return lists


@cocotb.test()
@cocotb.parametrize(source_stall=STALLS, sink_stall=STALLS)
async def walks_every_list(dut, source_stall, sink_stall):
    pins = Pins(dut, Walker(CONFIG), "walker__")
    source = StreamSource(dut, "walker__i", pins.shape("i__payload"), stall=source_stall)
    await start(dut)
    entries = await load_walker(pins)
    lengths = random.choices((0, 1, 2, 3, 9), k=60)
    lists = random_lists(lengths)
    sink = OperationSink(dut, "walker", pins, stall=sink_stall)
    source.send(*lists)
    expected = [
        step
        for item, length in zip(lists, lengths, strict=True)
        for step in walk(entries, item["kind"], item["start"], max(1, length), item)
    ]
    assert await sink.receive(len(expected)) == expected
    for _ in range(10):
        await pins.cycle()
    assert not sink.received


@cocotb.test()
@cocotb.parametrize(lengths=((1,) * 40, (0,) * 10, (1, 0) * 10, (7, 1, 0, 1, 2, 0, 0, 3, 1, 1, 20, 1), (64,)))
async def walks_one_entry_a_cycle(dut, lengths):
    """No bubble between lists of any length; a marker costs one cycle; latency 4."""
    pins = Pins(dut, Walker(CONFIG), "walker__")
    source = StreamSource(dut, "walker__i", pins.shape("i__payload"))
    await start(dut)
    await load_walker(pins)
    source.send(*random_lists(lengths))
    pins.set(advance=everywhere(1))
    while not pins.get("i__valid"):
        await pins.cycle()
    steps = sum(max(1, length) for length in lengths)
    expected = [False] * Walker(CONFIG).latency + [True] * steps + [False] * 5
    for cycle, valid in enumerate(expected):
        assert pins.get("o_valid") == valid, f"cycle {cycle}"
        await pins.cycle()


async def load_fanout(pins):
    directory, entries = random_directory(), [random_entry() for _ in range(CONFIG.entries)]
    for source, (first, forward, count) in enumerate(directory):
        word = packed_directory_word(CONFIG, first, forward, count)
        await pins.cycle(load_directory=1, load_addr=source, load_data=word)
    pins.set(load_directory=0)
    for address, entry in enumerate(entries):
        word = entry["weight"] & 0xFF | entry["gate"] << 8 | entry["row"] << 10
        await pins.cycle(load_entry=1, load_addr=address, load_data=word)
    pins.set(load_entry=0)
    return directory, entries


@cocotb.test()
@cocotb.parametrize(event_stall=STALLS, sink_stall=(0.0, 0.5, 0.98))
async def loses_no_event(dut, event_stall, sink_stall):
    """The broadcaster sends whenever ``ready`` allowed it three cycles ago, as late as it may."""
    pins = Pins(dut, FanoutOnChip(CONFIG), "fanout__")
    await start(dut)
    directory, entries = await load_fanout(pins)
    sink = OperationSink(dut, "fanout", pins, stall=sink_stall)
    expected = []
    seen = deque([False] * BROADCAST_DELAY, BROADCAST_DELAY)
    for _ in range(600):
        event = random_event()
        valid = seen[0] and random.random() >= event_stall
        await pins.cycle(event=event, valid=valid)
        seen.append(bool(pins.get("ready")))
        found = valid and find(directory, event)
        if found:
            expected += walk(entries, event["kind"], *found, event)
    pins.set(valid=0)
    sink.stall = 0
    await wait_until(dut.clk, lambda: len(sink.received) >= len(expected), timeout=len(expected) + 50)
    assert sink.received == expected


@cocotb.test()
async def uses_its_whole_queue_and_is_ready_again_when_it_is_empty(dut):
    """With a blocked output all but ``slack`` places fill for certain, beside those inside the walker."""
    pins = Pins(dut, FanoutOnChip(CONFIG), "fanout__")
    await start(dut)
    seen, sent = deque([False] * BROADCAST_DELAY, BROADCAST_DELAY), 0
    for _ in range(50):
        valid = seen[0]
        await pins.cycle(event={"kind": EventKind.INPUT_END}, valid=valid)
        seen.append(bool(pins.get("ready")))
        sent += valid
    assert not pins.get("ready")
    places = CONFIG.queue_depth + 1  # none in the walker, which stands still
    assert places - FanoutOnChip(CONFIG).slack < sent <= places
    pins.set(advance=everywhere(1), valid=0)
    passed = 0
    for _ in range(2 * places + Walker(CONFIG).latency):
        await pins.cycle()
        passed += pins.get("o_valid")
    assert passed == sent and pins.get("ready")


def test_fanout_onchip(simulate):
    simulate(parts())

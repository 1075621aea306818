"""Event queues against lists: every event in order with its marks, steps whole, results, room, and what is lost."""

import random

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from hw.bus.axi4stream import BUS_NULL_INDEX, BUS_RESTORE_FLAG, BusBeat
from hw.soc.event_queues import EVENT_INDEX_BITS, EventQueues, Word
from tests.hw.bench import STALLS, StreamSink, StreamSource, fields, start, wait_until
from tests.hw.wishbone_manager import manager

DEPTH = 8
ROOM = DEPTH + 1
NO_SOURCE = (1 << EVENT_INDEX_BITS) - 1


def word(index, value):
    return (value << EVENT_INDEX_BITS | index) & 0xFFFFFFFF


class Processor:
    """Loads and stores as the firmware makes them."""

    def __init__(self, dut, **options):
        self._bus = manager(dut, **options)

    async def write(self, number, content):
        ((accepted, _),) = await self._bus.access((1, number, content, 15))
        assert accepted

    async def read(self, number):
        ((accepted, content),) = await self._bus.access((0, number, 0, 15))
        assert accepted
        return content

    async def room(self):
        return await self.read(Word.STATUS) & 0xFFFF

    async def empty(self):
        return await self.read(Word.STATUS) >> 30 & 1

    async def lost(self):
        return await self.read(Word.STATUS) >> 31

    async def send(self, beat):
        """Send a beat as the core is to see it."""
        index = beat["index"]
        number = Word.EVENT | beat["last"] | beat["user"] << 1
        if index == BUS_NULL_INDEX:
            index = NO_SOURCE
        elif index & BUS_RESTORE_FLAG:
            number |= 4
        await self.write(number, word(index & NO_SOURCE, beat["value"]))

    async def take(self):
        """Wait for a result: index, value, whether it ends step and sequence."""
        while not (head := await self.read(Word.RESULT)) >> 31:
            pass
        return head & 0xFFFF, await self.read(Word.VALUE), head >> 30 & 1, head >> 29 & 1


def random_beat(rng, last):
    index = rng.choice([rng.randrange(NO_SOURCE), rng.randrange(NO_SOURCE) | BUS_RESTORE_FLAG, BUS_NULL_INDEX])
    user = int(last and rng.random() < 0.3)
    return {"index": index, "value": rng.randrange(-(1 << 16), 1 << 16), "last": int(last), "user": user}


async def prepare(dut, stall, name):
    rng = random.Random(f"{cocotb.RANDOM_SEED} {name} {stall}")
    processor = Processor(dut, stall=stall, rng=random.Random(rng.random()))
    sink = StreamSink(dut, "o", BusBeat(), stall=stall, rng=random.Random(rng.random()))
    source = StreamSource(dut, "i", BusBeat(), stall=stall, rng=random.Random(rng.random()))
    await start(dut)
    return rng, processor, sink, source


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def passes_events_on(dut, stall):
    rng, processor, sink, _ = await prepare(dut, stall, "events")
    sent = []
    for _ in range(30):
        count = rng.randrange(1, 2 * ROOM)  # steps that fit, and some that do not
        for number in range(count):
            while not await processor.room():
                pass
            sent.append(random_beat(rng, number == count - 1))
            await processor.send(sent[-1])
    received = await sink.receive(len(sent))
    assert [fields(beat) for beat in received] == sent
    assert await processor.room() == ROOM and await processor.empty() and not await processor.lost()


@cocotb.test()
async def gives_the_core_whole_steps(dut):
    """Nothing of a step leaves before its end is there, unless it is too long for the queue."""
    rng, processor, sink, _ = await prepare(dut, 0.0, "whole")
    beats = [random_beat(rng, number == ROOM - 1) for number in range(ROOM)]
    for beat in beats[:-1]:
        await processor.send(beat)
    await ClockCycles(dut.clk, 20)
    assert not sink.received and await processor.room() == 1 and not await processor.empty()
    await processor.send(beats[-1])
    assert [fields(beat) for beat in await sink.receive(ROOM)] == beats
    beats = [random_beat(rng, False) for _ in range(ROOM)]
    for beat in beats:
        await processor.send(beat)
    assert [fields(beat) for beat in await sink.receive(ROOM)] == beats


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def keeps_results(dut, stall):
    rng, processor, _, source = await prepare(dut, stall, "results")
    beats = [
        {"index": rng.choice([rng.randrange(1 << 15), BUS_NULL_INDEX]), "value": rng.randrange(-(1 << 31), 1 << 31),
         "last": rng.randrange(2), "user": rng.randrange(2)}
        for _ in range(100)
    ]  # fmt: skip
    source.send(*beats)
    taken = [await processor.take() for _ in beats]
    assert taken == [(b["index"] & 0xFFFF, b["value"] & 0xFFFFFFFF, b["last"], b["user"]) for b in beats]
    assert await processor.empty() and not await processor.read(Word.RESULT) >> 31


@cocotb.test()
async def drops_and_tells_what_has_no_room(dut):
    rng, processor, sink, _ = await prepare(dut, 0.0, "lost")
    sink.stall = 1.0
    await ClockCycles(dut.clk, 2)
    beats = [random_beat(rng, False) for _ in range(ROOM + 3)]
    for beat in beats:
        await processor.send(beat)
    assert not await processor.room() and await processor.lost()
    sink.stall = 0.0
    assert [fields(beat) for beat in await sink.receive(ROOM)] == beats[:ROOM]
    await ClockCycles(dut.clk, 20)
    assert not sink.received
    await processor.write(Word.CLEAR, 0)
    assert not await processor.lost()


@cocotb.test()
async def counts_busy_cycles(dut):
    """A step is under way from its first event to its last result; two at once count once."""
    _, processor, sink, source = await prepare(dut, 0.0, "busy")
    begun = 0

    async def count():
        nonlocal begun
        while True:
            await RisingEdge(dut.clk)
            begun += int(dut.busy.value)

    cocotb.start_soon(count())
    event = {"index": 1, "value": 1, "last": 1, "user": 0}
    result = {"index": 0, "value": 5, "last": 1, "user": 0}
    assert not dut.busy.value
    for steps in (1, 2):
        for _ in range(steps):
            await processor.send(event)
        await sink.receive(steps)
        for remaining in range(steps, 0, -1):
            await ClockCycles(dut.clk, 10 * remaining)
            assert dut.busy.value
            source.send(result)
            await processor.take()
        await wait_until(dut.clk, lambda: not dut.busy.value)
    await ClockCycles(dut.clk, 2)
    assert await processor.read(Word.BUSY) == begun > 40
    await processor.write(Word.CLEAR, 0)
    assert await processor.read(Word.BUSY) == 0


@cocotb.test()
async def forgets_everything(dut):
    """A clear empties both queues, and a step under way is none any more."""
    rng, processor, sink, source = await prepare(dut, 0.0, "clear")
    await processor.send({"index": 1, "value": 1, "last": 1, "user": 0})
    await sink.receive(1)
    source.send({"index": 0, "value": 5, "last": 0, "user": 0})
    await source.wait()
    for _ in range(3):
        await processor.send(random_beat(rng, False))
    assert dut.busy.value and not await processor.empty()
    await processor.write(Word.CLEAR, 0)
    await ClockCycles(dut.clk, 1)
    assert not dut.busy.value and await processor.empty() and await processor.room() == ROOM
    beat = random_beat(rng, True)
    await processor.send(beat)
    assert [fields(one) for one in await sink.receive(1)] == [beat]


def test_event_queues(simulate):
    simulate(EventQueues(depth=DEPTH))


def test_refuses_a_depth():
    with pytest.raises(ValueError, match="^depth is 3; it must be a power of two, 2 or more$"):
        EventQueues(depth=3)

"""Events between the bus and the core: nothing lost, bad events dropped and told, packets whole even after a reset."""

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from hw.bus.axi4stream import BUS_NULL_INDEX, BUS_RESTORE_FLAG, BusBeat, EventInput, EventOutput
from hw.config import CoreConfig
from hw.errors import Error
from hw.event import NULL_INDEX, RESTORE_FLAG, InputBeat, OutputBeat
from tests.hw.bench import STALLS, StreamSink, StreamSource, fields, start
from tests.hw.pins import Pins, Together

CONFIG = CoreConfig(value_bits=11, y_bits=10)
LIMIT = 1 << (CONFIG.value_bits - 1)
SOURCES = 1 << 15  #: that the core has bits for
INDEX_LAST = (1 << 32) - 1


def parts():
    return Together(input=EventInput(CONFIG), output=EventOutput())


def beat(index, value=0, last=0, user=0):
    return {"index": index, "value": value, "last": last, "user": user}


def random_input(rng):
    """Draw a bus beat of any kind; return it with the beat for the core, or None, and the error, or None."""
    kind = rng.choice(["event", "event", "event", "null", "restore", "index", "value"])
    last = rng.random() < 0.3
    user = last and rng.random() < 0.5
    index = rng.choice([0, 1, SOURCES - 2, rng.randrange(SOURCES - 1)])
    value = rng.choice([-LIMIT, LIMIT - 1, 0, rng.randrange(-LIMIT, LIMIT)])
    core = beat(NULL_INDEX, last=last, user=user) if last else None
    if kind == "event":
        index = rng.choice([index, SOURCES - 1])
        return beat(index, value, last, user), beat(index, value, last, user), None
    if kind == "restore":
        return beat(index | BUS_RESTORE_FLAG, value, last, user), beat(index | RESTORE_FLAG, value, last, user), None
    if kind == "null":
        return beat(BUS_NULL_INDEX, value, last, user), beat(NULL_INDEX, value, last, user), None
    if kind == "index":
        index = rng.choice([
            SOURCES, BUS_RESTORE_FLAG - 1, BUS_RESTORE_FLAG | (SOURCES - 1), BUS_RESTORE_FLAG | SOURCES, INDEX_LAST - 1,
            rng.randrange(SOURCES, INDEX_LAST),
        ])  # fmt: skip
        return beat(index, value, last, user), core, (Error.INDEX, index)
    value = rng.choice([-LIMIT - 1, LIMIT, -(1 << 31), (1 << 31) - 1, rng.randrange(LIMIT, 1 << 31)])
    return beat(index, value, last, user), core, (Error.VALUE, value & 0xFFFFFFFF)


def without_value(item):
    """A null beat's value means nothing."""
    return item | {"value": 0} if item["index"] in (NULL_INDEX, BUS_NULL_INDEX) else item


@cocotb.test()
@cocotb.parametrize(source_stall=STALLS, sink_stall=STALLS)
async def takes_every_kind_of_beat(dut, source_stall, sink_stall):
    rng = random.Random(cocotb.RANDOM_SEED)
    pins = Pins(dut, parts())
    source = StreamSource(dut, "input__i", BusBeat(), stall=source_stall, rng=random.Random(rng.random()))
    sink = StreamSink(dut, "input__o", InputBeat(CONFIG), stall=sink_stall, rng=random.Random(rng.random()))
    errors = []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            if pins.get("input__error") != Error.NONE:
                errors.append((pins.get("input__error"), pins.get("input__detail")))

    cocotb.start_soon(watch())
    await start(dut)
    beats, wanted, wanted_errors = zip(*(random_input(rng) for _ in range(300)), strict=True)
    source.send(*beats)
    wanted = [item for item in wanted if item]
    received = await sink.receive(len(wanted))
    assert [without_value(fields(item)) for item in received] == [without_value(item) for item in wanted]
    await source.wait()
    await ClockCycles(dut.clk, 3)
    assert errors == [error for error in wanted_errors if error]
    assert not sink.received


@cocotb.test()
async def drops_the_held_beat_at_a_reset(dut):
    pins = Pins(dut, parts())
    source = StreamSource(dut, "input__i", BusBeat())
    await start(dut)
    source.send(beat(1), beat(2), beat(3, last=1))
    await ClockCycles(dut.clk, 10)
    assert source.sent == 1, "one is held, the others wait"
    await pins.cycle(input__reset=1)
    await pins.cycle(input__reset=1)
    assert not pins.get("input__i__ready") and not pins.get("input__o__valid")
    await pins.cycle(input__reset=0)
    received = []
    for _ in range(10):
        await pins.cycle(input__o__ready=1)
        if pins.get("input__o__valid"):
            received.append(pins.get("input__o__payload").index)
    assert received == [2, 3]


@cocotb.test()
@cocotb.parametrize(source_stall=STALLS, sink_stall=STALLS)
async def gives_every_beat(dut, source_stall, sink_stall):
    rng = random.Random(cocotb.RANDOM_SEED)
    Pins(dut, parts())
    source = StreamSource(dut, "output__i", OutputBeat(), stall=source_stall, rng=random.Random(rng.random()))
    sink = StreamSink(dut, "output__o", BusBeat(), stall=sink_stall, rng=random.Random(rng.random()))
    await start(dut)
    beats = [
        beat(rng.choice([NULL_INDEX, 0, rng.randrange(NULL_INDEX)]), rng.randrange(-(1 << 31), 1 << 31),
             *rng.choice([(0, 0), (1, 0), (1, 1)]))
        for _ in range(300)
    ]  # fmt: skip
    source.send(*beats)
    wanted = [item | {"index": BUS_NULL_INDEX} if item["index"] == NULL_INDEX else item for item in beats]
    assert [fields(item) for item in await sink.receive(len(beats))] == wanted


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def closes_the_packet_that_a_reset_cuts(dut, stall):
    rng = random.Random(cocotb.RANDOM_SEED)
    pins = Pins(dut, parts())
    sink = StreamSink(dut, "output__o", BusBeat(), stall=stall, rng=random.Random(rng.random()))
    await start(dut)
    steps = 0
    for _ in range(100):
        # A few beats, the last of them perhaps the end of the step, then a reset that finds some still held.
        sent = [beat(index, index) for index in range(rng.randrange(4))]
        if sent and rng.random() < 0.5:
            sent[-1]["last"] = 1
        for item in sent:
            await pins.cycle(output__i__valid=1, output__i__payload=item)
            while not pins.get("output__i__ready"):
                await pins.cycle()
        # The core still offers something while it is being reset: not to be taken.
        offered = {"output__i__valid": 1, "output__i__payload": beat(99, 99)}
        await pins.cycle(output__reset=1, **offered)
        assert not pins.get("output__i__ready")
        await pins.cycle(output__reset=1, **offered)
        assert not pins.get("output__i__ready")
        await pins.cycle(output__reset=0, output__i__valid=0)
        while not pins.get("output__empty"):
            steps += pins.get("output__step")
            await pins.cycle()
        await ClockCycles(dut.clk, 2)
        is_open = bool(sent) and not sent[-1]["last"]
        closing = [beat(BUS_NULL_INDEX, 0, 1, 1)] if is_open else []
        assert [fields(item) for item in sink.received] == sent + closing
        sink.received.clear()
    assert steps or stall == 0.0


@cocotb.test()
async def tells_the_end_of_a_step_when_it_leaves(dut):
    pins = Pins(dut, parts())
    sink = StreamSink(dut, "output__o", BusBeat(), stall=1.0)
    await start(dut)
    await pins.cycle(output__i__valid=1, output__i__payload=beat(1, last=1))
    pins.set(output__i__valid=0)
    for _ in range(10):
        await pins.cycle()
        assert not pins.get("output__step") and not pins.get("output__empty")
    sink.stall = 0.0
    seen = 0
    for _ in range(10):
        await pins.cycle()
        seen += pins.get("output__step")
    assert seen == 1 and pins.get("output__empty")


def test_axi4stream(simulate):
    simulate(parts())

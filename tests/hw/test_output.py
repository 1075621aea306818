"""Output: packets, silent steps, the largest value, stalls."""

import random

import cocotb

from hw.broadcast import OutputItem
from hw.config import CoreConfig
from hw.event import NULL_INDEX, OutputBeat
from hw.output import Output
from tests.hw.bench import STALLS, StreamSink, StreamSource, fields, start
from tests.hw.pins import Pins

CONFIG = CoreConfig(lanes=1, cell_units=1, rows=4, entries=16, sources=64, layers=2, acc_bits=20)
ITEM = OutputItem(CONFIG)
LATENCY = 2


def value(index, number):
    return {"end": 0, "ending": 0, "index": index, "value": number}


def end(ending=0):
    return {"end": 1, "ending": ending, "index": 0, "value": 0}


def packet(values, base, ending, argmax_only):
    """Return the beats of a step; ``values`` are (index, value)."""
    values = [(index - base & 0xFFFF, number) for index, number in values]
    if argmax_only and values:
        values = [best(values)]
    values = values or [(NULL_INDEX, 0)]
    return [
        {"index": index, "value": number, "last": at == len(values) - 1, "user": at == len(values) - 1 and ending}
        for at, (index, number) in enumerate(values)
    ]


def best(values):
    """Return the largest value, the lowest index first."""
    return min(values, key=lambda item: (-item[1], item[0]))


def random_step(numbers):
    indices = random.sample(range(20, 60), random.choice((0, 1, 2, 9)))
    return [(index, random.choice(numbers)) for index in indices]


@cocotb.test()
@cocotb.parametrize(argmax_only=(0, 1), base=(0, 20), source_stall=STALLS, sink_stall=STALLS)
async def packs_steps(dut, argmax_only, base, source_stall, sink_stall):
    """Values of either sign and many ties, in any order of indices; silent steps among them."""
    pins = Pins(dut, Output(CONFIG))
    source = StreamSource(dut, "i", ITEM, stall=source_stall)
    sink = StreamSink(dut, "o", OutputBeat(), stall=sink_stall)
    await start(dut)
    pins.set(base=base, argmax_only=argmax_only)
    extremes = -(1 << CONFIG.acc_bits - 1), (1 << CONFIG.acc_bits - 1) - 1
    expected = []
    for _ in range(30):
        step, ending = random_step((-3, -1, 0, 0, 1, 7, *extremes)), random.random() < 0.3
        source.send(*(value(*item) for item in step), end(ending))
        expected += packet(step, base, ending, argmax_only)
    assert [fields(beat) for beat in await sink.receive(len(expected))] == expected
    await pins.cycle()
    await pins.cycle()
    assert pins.get("empty") and not sink.received


@cocotb.test()
async def tells_the_best_of_the_last_complete_step(dut):
    pins = Pins(dut, Output(CONFIG))
    source, sink = StreamSource(dut, "i", ITEM), StreamSink(dut, "o", OutputBeat())
    await start(dut)
    pins.set(base=20)
    before = None
    for _ in range(60):
        step = random_step((-5, -4, 2, 2, 2))
        source.send(*(value(*item) for item in step))
        await source.wait()
        if before is not None:
            assert (pins.get("best_valid"), pins.get("best_index"), pins.get("best_value")) == before or not before[0]
            assert pins.get("best_valid") == before[0]
        source.send(end())
        await sink.receive(max(1, len(step)))
        index, number = best(step) if step else (20, 0)
        before = bool(step), index - 20, number
        assert pins.get("best_valid") == before[0]
        if step:
            assert (pins.get("best_index"), pins.get("best_value")) == before[1:]


@cocotb.test()
async def takes_one_item_a_cycle_and_two_cycles(dut):
    pins = Pins(dut, Output(CONFIG))
    await start(dut)
    pins.set(o__ready=1)
    items = [value(1, 10), value(2, 20), end(), end(1), value(3, 30), end(), end()]
    beats = [None, None, (1, 10, 0), (2, 20, 1), (NULL_INDEX, 0, 1), None, (3, 30, 1), (NULL_INDEX, 0, 1), None]
    for item, beat in zip([*items, None, None], beats, strict=True):
        await pins.cycle(i__valid=item is not None, **({"i__payload": item} if item else {}))
        assert pins.get("i__ready")
        assert pins.get("o__valid") == (beat is not None)
        if beat:
            o = pins.get("o__payload")
            assert (o.index, o.value, o.last) == beat
    assert len(items) + LATENCY == len(beats) and pins.get("empty")


@cocotb.test()
async def is_empty_only_when_nothing_is_held(dut):
    pins = Pins(dut, Output(CONFIG))
    await start(dut)
    await pins.cycle()
    assert pins.get("empty")
    await pins.cycle(i__valid=1, i__payload=value(1, 1))
    await pins.cycle(i__valid=0)
    assert not pins.get("empty")  # the last value waits for the end of its step
    await pins.cycle(i__valid=1, i__payload=end())
    await pins.cycle(i__valid=0)
    assert not pins.get("empty") and pins.get("o__valid")
    await pins.cycle(o__ready=1)
    await pins.cycle()
    assert pins.get("empty")


def test_output(simulate):
    simulate(Output(CONFIG))

"""The bench itself: a queue is the smallest design with a stream on both sides."""

import random

import cocotb
import pytest
from amaranth import signed, unsigned
from amaranth.lib import data, enum

from hw.queue import Queue
from tests.hw.bench import STALLS, StreamSink, StreamSource, fields, pack, start, unpack


class Colour(enum.Enum, shape=unsigned(2)):
    RED = 0
    BLUE = 2


ITEM = data.StructLayout({"value": signed(9), "colour": Colour, "flag": 1})
ITEMS = 200


@cocotb.test()
@cocotb.parametrize(source_stall=STALLS, sink_stall=STALLS)
async def keeps_every_item(dut, source_stall, sink_stall):
    rng = random.Random(cocotb.RANDOM_SEED)
    source = StreamSource(dut, "i", ITEM, stall=source_stall, rng=random.Random(rng.random()))
    sink = StreamSink(dut, "o", ITEM, stall=sink_stall, rng=random.Random(rng.random()))
    await start(dut)
    items = [
        {"value": rng.randrange(-256, 256), "colour": rng.choice(list(Colour)), "flag": rng.randrange(2)}
        for _ in range(ITEMS)
    ]
    source.send(*items)
    received = await sink.receive(ITEMS)
    assert [fields(item) for item in received] == items
    assert source.sent_all and source.sent == ITEMS


@cocotb.test()
async def reports_a_failure(dut):
    await start(dut)
    assert "fail" not in cocotb.plusargs, "told to fail"


def test_stalls_on_both_sides(simulate):
    simulate(Queue(shape=ITEM, depth=4))


def test_a_failing_cocotb_test_fails_with_its_message(simulate):
    with pytest.raises(pytest.fail.Exception, match="told to fail"):
        simulate(Queue(shape=ITEM, depth=4), parameters={"fail": 1}, only="reports_a_failure")


def test_no_cocotb_test_at_all_fails(simulate):
    with pytest.raises(pytest.fail.Exception, match="no_such_test"):
        simulate(Queue(shape=ITEM, depth=4), only="no_such_test")


@pytest.mark.parametrize(
    "shape, value, bits",
    [
        (5, 19, 19),
        (signed(4), -3, 0b1101),
        (Colour, Colour.BLUE, 2),
        (ITEM, {"value": -1, "flag": 1}, 0x9FF),
    ],
)
def test_pack_and_unpack(shape, value, bits):
    assert pack(shape, value) == bits
    assert pack(shape, unpack(shape, bits)) == bits

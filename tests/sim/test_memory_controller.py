"""What the controller before a simulated DRAM does, and an ideal memory: what goes when, and what there is room for."""

from dataclasses import replace

import numpy as np
import pytest

from sim.memories import DDR3_800, DDR3_800_IN_TURN, SDR_133, Limit, ideal
from sim.memory_model import CommandKind, MemoryModel
from tests.sim.memory_bench import ask_all, at, same_clock, sent, times


def test_addresses_fall_into_banks():
    """Row, bank, column: the next row of bytes is the next bank's."""
    model = same_clock(SDR_133)
    ask_all(model, *((at(SDR_133, bank, row, 32), 1) for row, bank in ((0, 0), (0, 3), (5, 1), (8191, 2))))
    reads = model.commands[model.commands["kind"] == CommandKind.READ]
    assert list(zip(reads["bank"].tolist(), reads["row"].tolist(), strict=True)) == [(0, 0), (3, 0), (1, 5), (2, 8191)]


def test_rows_are_opened_ahead():
    """With lookahead the next row costs nothing; without, its bank is activated after the last read before it."""
    t, border = times(DDR3_800), DDR3_800.row_bytes - 64
    for memory, gap in ((DDR3_800, 4), (DDR3_800_IN_TURN, 1 + t["rcd"])):
        cycles = ask_all(same_clock(memory), (border, 4), (border + 64, 4))
        assert np.diff(cycles).tolist() == [4, 4, 4, gap, 4, 4, 4]


@pytest.mark.parametrize("lookahead", [0, 1, 2, 63])
def test_no_further_ahead_than_told(lookahead):
    """The row of a piece is opened once the piece so many and one before it is read."""
    memory = replace(DDR3_800, lookahead=lookahead, buffer=200)
    model = same_clock(memory)
    ask_all(model, *((256 * k, 16) for k in range(8)), (at(memory, 1, 0), 1))
    (_, activate), reads = sent(model, CommandKind.ACTIVATE), sent(model, CommandKind.READ)
    seen = reads[128 - 1 - lookahead] + 1
    assert seen <= activate <= seen + 3  # the next clock without another command


def test_one_command_a_clock():
    """An activation waits for a clock in which nothing is read: here tRRD after one its read goes out."""
    memory = replace(DDR3_800, t_rcd=Limit(8), t_rrd=Limit(8), t_faw=Limit())
    model = same_clock(memory)
    ask_all(model, *((at(memory, bank, 0), 1) for bank in range(3)))
    front = memory.front
    assert sent(model, CommandKind.ACTIVATE).tolist() == [front, front + 9, front + 18]
    assert sent(model, CommandKind.READ).tolist() == [front + 8, front + 17, front + 26]


@pytest.mark.parametrize("buffer", [1, 5, 32])
def test_nothing_is_read_that_there_is_no_room_for(buffer):
    memory = replace(DDR3_800, buffer=buffer)
    model = same_clock(memory)
    for burst in range(4):
        model.ask(256 * burst, 16)
        model.tick()
    model.tick(2000)
    assert len(sent(model, CommandKind.READ)) == buffer
    model.take()
    taken = model.cycle
    model.tick(50)
    reads = sent(model, CommandKind.READ)
    assert len(reads) == buffer + 1 and reads[-1] == taken + 1
    assert model.counts.held >= 1900


@pytest.mark.parametrize("memory", [replace(DDR3_800, queue=3), ideal(20, queue=3)], ids=["dram", "ideal"])
def test_queue(memory):
    model = MemoryModel(memory, core_mhz=100, size=4096)
    for _ in range(3):
        assert model.ready
        model.ask(0, 1)
        model.tick()
    assert not model.ready
    while not model.transfer:
        model.tick()
    model.take()
    assert not model.ready  # not before the next cycle, as a register's output
    model.tick()
    assert model.ready


@pytest.mark.parametrize(("outstanding", "latency"), [(1, 7), (4, 1), (4, 30)])
def test_ideal(outstanding, latency):
    """The latency once a burst where one waits for the other, and then a transfer a cycle."""
    model = MemoryModel(ideal(latency), core_mhz=100, size=1 << 16)
    cycles = model.serve(256 * np.arange(12), np.full(12, 16), outstanding)
    asked, ends, wanted, free = [], [], [], 0
    for burst in range(12):
        asked.append(max(asked[-1] + 1 if asked else 0, ends[burst - outstanding] + 1 if burst >= outstanding else 0))
        first = max(asked[-1] + latency, free)
        wanted += range(first, first + 16)
        free = first + 16
        ends.append(free - 1)
    assert cycles.tolist() == wanted


def test_gaps():
    """The first burst goes at once, those after it no earlier than their gaps and the turnaround say."""
    model = MemoryModel(ideal(10), core_mhz=100, size=4096)
    model.tick(5)
    assert model.serve([0, 16, 32, 48], [1, 1, 1, 1], 8, gaps=[9, 1, 30, 4]).tolist() == [15, 16, 46, 50]
    start = model.cycle
    cycles = model.serve([0, 16, 32, 48], [1, 2, 1, 1], 2, turnaround=5)
    assert (cycles - start).tolist() == [10, 11, 12, 25, 27]

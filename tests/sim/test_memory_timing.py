"""What a DRAM takes for one read, for one after another, and for refreshes: every rule as the data sheet has it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.memories import DDR3_800, DDR3_800_IN_TURN, SDR_133, Limit
from sim.memory_model import CommandKind, MemoryModel
from tests.sim.memory_bench import (
    ALL_DRAMS,
    BOTH,
    CLOCKS,
    REFRESH_NS,
    ask_all,
    at,
    overhead,
    same_clock,
    sent,
    times,
)


@BOTH
def test_closed_bank(memory):
    cycles = ask_all(same_clock(memory), (at(memory, 1, 7), 1))
    assert cycles.tolist() == [times(memory)["rcd"] + overhead(memory)]


@BOTH
def test_row_hits_come_back_to_back(memory):
    model = same_clock(memory)
    cycles = ask_all(model, (at(memory, 0, 3), 5), (at(memory, 0, 3, 256), 2))
    assert np.diff(cycles).tolist() == [CLOCKS[memory]["burst"]] * 6
    assert model.counts[5:8] == (6, 1, 0)


@BOTH
def test_row_conflict(memory):
    """The bank has been idle: precharge, activate, read."""
    model, t = same_clock(memory), times(memory)
    ask_all(model, (at(memory, 2, 5), 1))
    model.tick(100)
    start = model.cycle
    cycles = ask_all(model, (at(memory, 2, 6), 1))
    assert cycles.tolist() == [start + t["rp"] + t["rcd"] + overhead(memory)]
    assert model.counts[5:8] == (0, 1, 1)


@BOTH
def test_open_row_after_a_while(memory):
    model = same_clock(memory)
    ask_all(model, (at(memory, 2, 5), 1))
    model.tick(100)
    start = model.cycle
    assert ask_all(model, (at(memory, 2, 5, 64), 1)).tolist() == [start + overhead(memory)]


@BOTH
def test_conflict_at_once(memory):
    """A row stays open for tRAS and until its data is out; rows of a bank are opened tRC apart."""
    t = times(memory)
    cycles = ask_all(same_clock(memory), (at(memory, 0, 1), 1), (at(memory, 0, 2), 1))
    activate = max(max(t["ras"], t["rcd"] + t["rtp"]) + t["rp"], t["rc"])
    assert np.diff(cycles).tolist() == [activate]


@pytest.mark.parametrize(
    ("changed", "between"),
    [
        ({"t_rc": Limit(40)}, 40),
        ({"t_ras": Limit(30)}, 30 + 6),
        ({"t_rtp": Limit(20)}, 6 + 20 + 6),
        ({"t_rp": Limit(9)}, 15 + 9),
    ],
)
def test_what_holds_back_a_conflict(changed, between):
    memory = replace(DDR3_800, **changed)
    cycles = ask_all(same_clock(memory), (at(memory, 0, 1), 1), (at(memory, 0, 2), 1))
    assert np.diff(cycles).tolist() == [between]


def test_read_to_precharge():
    """Of a row that is open for long: tRTP is what is left."""
    memory, t = DDR3_800, times(DDR3_800)
    model = same_clock(memory)
    ask_all(model, (at(memory, 0, 1), 1))
    model.tick(100)
    cycles = ask_all(model, (at(memory, 0, 1, 16), 1), (at(memory, 0, 2), 1))
    assert np.diff(cycles).tolist() == [t["rtp"] + t["rp"] + t["rcd"]]


def test_five_banks():
    """Activations come tRRD apart, and four at most in tFAW."""
    t = times(DDR3_800)
    model = same_clock(DDR3_800)
    cycles = ask_all(model, *((at(DDR3_800, bank, 9), 1) for bank in range(8)))
    first = DDR3_800.front
    opened = [first + k * t["rrd"] for k in range(4)]
    opened += [opened[0] + t["faw"] + k * t["rrd"] for k in range(4)]
    assert t["faw"] == 20 and t["rrd"] == 4 and sent(model, CommandKind.ACTIVATE).tolist() == opened
    assert cycles.tolist() == [start + t["rcd"] + overhead(DDR3_800) - first for start in opened]


def test_activate_to_activate():
    for memory, clocks in ((SDR_133, times(SDR_133)["rrd"]), (replace(DDR3_800, t_rrd=Limit(7), t_faw=Limit()), 7)):
        model = same_clock(memory)
        ask_all(model, *((at(memory, bank, 9), 1) for bank in range(4)))
        gaps = np.diff(sent(model, CommandKind.ACTIVATE))
        assert (gaps >= clocks).all() and gaps[0] == clocks


def test_read_to_read():
    memory = replace(DDR3_800, t_ccd=Limit(6))
    assert np.diff(ask_all(same_clock(memory), (0, 4))).tolist() == [6] * 3


@BOTH
def test_refresh_before_what_is_due(memory):
    """A read that could go a clock before the refresh goes; one of the same clock waits for all of it."""
    t, due = times(memory), math.floor(REFRESH_NS[memory] * memory.clock_mhz / 1000)
    assert due == {DDR3_800: 3120, SDR_133: 1039}[memory]
    for early, rows_open in ((1, True), (0, True), (0, False)):
        model = same_clock(memory)
        if rows_open:
            ask_all(model, (at(memory, 0, 1), 1))
        command = due - early - (0 if rows_open else t["rcd"])  # the first one, without a refresh
        model.tick(command - memory.front - model.cycle)
        cycles = ask_all(model, (at(memory, 0, 1, 16), 1))
        closed = due + t["rp"] if rows_open else due
        read = due - 1 if early else closed + t["rfc"] + t["rcd"]
        assert cycles.tolist() == [read + overhead(memory) - memory.front]
        assert model.counts.refreshes == 1 - early
        assert sent(model, CommandKind.REFRESH).tolist() == ([] if early else [closed])


@BOTH
def test_refreshes_in_time(memory):
    """As many as there should be, each as soon as it is due and the rows can be closed; those of idle times too."""
    t, due = times(memory), math.floor(REFRESH_NS[memory] * memory.clock_mhz / 1000)
    model = same_clock(memory)
    ask_all(model, *((at(memory, k // 4 % memory.banks, 0, 256 * (k % 4)), 16) for k in range(400)))
    model.tick(10 * due + due // 2)
    ask_all(model, (0, 1))
    refreshes = sent(model, CommandKind.REFRESH)
    assert len(refreshes) == model.counts.refreshes == (model.cycle - memory.back - 1) // due
    late = refreshes - due * (1 + np.arange(len(refreshes)))
    assert (late >= 0).all() and late.max() <= max(t["ras"], t["rtp"]) + t["rp"]
    assert (late[-9:] == 0).all()  # nothing was open


@ALL_DRAMS
@pytest.mark.parametrize("core_mhz", [50, 66.7, 100, 133])
def test_clocks_of_any_ratio(memory, core_mhz):
    """Into the clock of the memory, and out of it, at the next edge."""
    sheet = DDR3_800 if memory is DDR3_800_IN_TURN else memory
    model, t = MemoryModel(memory, core_mhz=core_mhz, size=1 << 20), times(sheet)
    model.tick(7)
    (cycle,) = ask_all(model, (0, 1))
    clock = math.ceil(round((7 + memory.front) * memory.clock_mhz / core_mhz, 6)) + t["rcd"] + t["cl"] + t["burst"]
    assert cycle == math.ceil(round(clock * core_mhz / memory.clock_mhz, 6)) + memory.back

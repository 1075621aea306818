"""What tests of simulated memories share: the data sheets' numbers, addresses, bursts, a master of the port.

Where a memory runs at the clock of the core, a cycle is a clock, and what a test expects is a sum of data sheet
numbers. They are written here once more, and rounded up here.
"""

import math

import numpy as np
import pytest

from sim.memories import DDR3_800, DDR3_800_IN_TURN, IDEAL, SDR_133
from sim.memory_model import MemoryModel, split_runs

DRAMS = (DDR3_800, DDR3_800_IN_TURN, SDR_133)
NS = {
    DDR3_800: {"rcd": 15, "rp": 15, "ras": 37.5, "rc": 52.5, "faw": 50, "rfc": 160, "rrd": 10},
    SDR_133: {"rcd": 20, "rp": 20, "ras": 44, "rc": 66, "faw": 0, "rfc": 66, "rrd": 15},
}
CLOCKS = {DDR3_800: {"cl": 6, "burst": 4, "rtp": 4}, SDR_133: {"cl": 3, "burst": 8, "rtp": 8}}
REFRESH_NS = {DDR3_800: 7800, SDR_133: 64e6 / 8192}
BOTH = pytest.mark.parametrize("memory", [DDR3_800, SDR_133], ids=lambda memory: memory.name)
ALL_DRAMS = pytest.mark.parametrize("memory", DRAMS, ids=lambda memory: memory.name)
BASE = 0x4000_0000


def times(memory):
    """Return the data sheet's times in clocks."""
    return {name: math.ceil(ns * memory.clock_mhz / 1000) for name, ns in NS[memory].items()} | CLOCKS[memory]


def at(memory, bank, row, column=0):
    """Return the address of a byte: row, bank, column."""
    return (row * memory.banks + bank) * memory.row_bytes + column


def same_clock(memory, **options):
    return MemoryModel(memory, core_mhz=memory.clock_mhz, size=memory.size, log=True, **options)


def ask_all(model, *bursts):
    """Ask for bursts of (address, beats), one a cycle; return the cycles of all transfers."""
    addresses, beats = zip(*bursts, strict=True)
    return model.serve(addresses, beats, outstanding=len(bursts))


def sent(model, kind):
    commands = model.commands
    return commands["clock"][commands["kind"] == kind]


def overhead(memory):
    """Return the cycles from the first command to a transfer that are not the chip's, and those of its data."""
    return memory.front + memory.back + CLOCKS[memory]["cl"] + CLOCKS[memory]["burst"]


def random_bursts(rng, memory, count, spread):
    """Draw runs within ``spread`` bytes, as bursts of up to 16 beats."""
    beats = rng.choice([1, 2, 4, 16, 40], count)
    return split_runs(16 * rng.integers(0, spread // 16 - 40, count), beats, 16)[:2]


def play(model, bursts, rng, stall):
    """Play a master that sometimes neither asks nor takes; return (cycle, transfer) of each."""
    waiting, got, total = list(bursts), [], sum(transfers for _, transfers in bursts)
    shown = None
    while len(got) < total:
        transfer = model.transfer
        assert shown is None or transfer == shown, "a transfer changed while it waited"
        if waiting and model.ready and rng.random() >= stall:
            model.ask(*waiting.pop(0))
        shown = transfer
        if transfer and rng.random() >= stall:
            got.append((model.cycle, model.take()))
            shown = None
        model.tick()
        assert model.cycle < 200_000
    return got


def faulty(*faults, memory=IDEAL, **options):
    content = np.arange(1, 1025, dtype=np.uint8)
    return MemoryModel(memory, core_mhz=100, base=BASE, content=content, faults=faults, **options)

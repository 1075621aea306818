"""Simulated external memories: their peaks, their packed form, what is refused in one sentence, the table."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim import memories, memory_model, native
from sim.memories import DDR3_800, IDEAL, MEMORIES, SDR_133, Fault, FaultKind, ddr3, ideal, pack, sdr
from sim.memory_model import MemoryModel, split_runs
from tests.sim.memory_bench import BASE, faulty


def test_peaks():
    assert DDR3_800.peak == 1.6e9 and SDR_133.peak == 266e6
    assert DDR3_800.size == 2**31 // 8 and SDR_133.size == 2**28 // 8


def test_packed_form():
    """What the compiled model of a core reads from a job."""
    fault = Fault(kind=FaultKind.STALL, address=0x100, amount=7)
    assert pack(DDR3_800, core_mhz=100, base=BASE, faults=[fault]).tolist() == [
        1, 128, BASE, 16, 0, 4, 1, 4, 8, 32, 16, 3, 2048, 4, 4, 6, 6, 6, 15, 21, 4, 20, 4, 3120, 64, 1,
        1, 1, 0x100, 7,
    ]  # fmt: skip
    assert pack(SDR_133, core_mhz=100, data_bits=64).tolist() == [
        1, 64, 0, 16, 0, 133, 100, 4, 8, 32, 16, 2, 1024, 8, 1, 3, 3, 3, 6, 9, 2, 0, 8, 1039, 9, 0,
    ]  # fmt: skip
    assert pack(ideal(10), core_mhz=100).tolist() == [0, 128, 0, 64, 10, *[0] * 21]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ideal(0), "latency is 0; it must be 1 or more"),
        (lambda: pack(IDEAL, core_mhz=100, data_bits=32), "data_bits is 32; it must be 64, 128, 256 or 512"),
        (lambda: pack(SDR_133, core_mhz=100, data_bits=256), "data_bits is 256; it must be 64 or 128 before a DRAM"),
        (lambda: pack(IDEAL, core_mhz=100, base=8), "base is 0x8; it must be a multiple of 16 of at most 32 bits"),
        (lambda: pack(IDEAL, core_mhz=0), "core_mhz is 0; it must be more than 0"),
        (lambda: pack(replace(sdr(), banks=3), core_mhz=100), "banks is 3; it must be a power of two"),
        (lambda: pack(replace(sdr(), lookahead=64), core_mhz=100), "lookahead is 64; it must be 0 to 63"),
        (
            lambda: pack(ddr3(), core_mhz=33.33333),
            "the clocks, 400 and 33.33333 MHz, are as 40000000 to 3333333; take a ratio of numbers below 65536",
        ),
        (lambda: Fault(kind=FaultKind.STALL), "a fault has a transfer or an address, and not both"),
        (lambda: Fault(kind=FaultKind.RESPONSE, transfer=1), "amount is 0; the response of a fault is 2 or 3"),
        (lambda: Fault(kind=FaultKind.STALL, transfer=1, amount=-1), "amount is -1; it must not be negative"),
        (lambda: faulty(memory=replace(ddr3(), buffer=0)), "a parameter of a DRAM is 0"),
        (lambda: faulty(memory=replace(ddr3(), row_bytes=8)), "a DRAM's row is no power of two of 16 bytes"),
        (lambda: faulty(memory=replace(ddr3(), t_refi_ns=200)), "a DRAM does nothing but refresh"),
        (
            lambda: MemoryModel(SDR_133, core_mhz=100, size=1 << 26),
            "the content has 67,108,864 bytes; sdr-133 has 33,554,432",
        ),
        (lambda: faulty().serve([0], [1, 2], 1), r"addresses are (1,) and beats (2,); both must be (bursts,)"),
        (lambda: faulty().serve([0], [1], 0), "outstanding is 0; it must be 1 or more"),
        (lambda: faulty().serve([0], [1], 1, turnaround=0), "turnaround is 0; it must be 1 or more"),
        (lambda: faulty().serve([0, 16], [1, 1], 1, gaps=[1, 0]), "a gap is less than 1"),
        (lambda: faulty().serve([0, 4080], [1, 2], 1), "burst 1, 2 beats at 0xff0, is none that AXI4 allows"),
        (lambda: faulty().ask(0, 0), "transfers is 0; it must be 1 to 256"),
        (lambda: split_runs([0], [0], 16), "a run has no beats"),
        (lambda: split_runs([0], [1], 12), "burst_beats is 12; it must be a power of two from 1 to 256"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1] * 25, "a memory's parameters are cut short"),
        ([0, 128, 0, 1, 1, *[0] * 20, 1], "a memory's faults are cut short"),
        ([0, 128, 0, 1, 1, *[0] * 20, 1, 9, 0, 0, 0], "a memory's fault is of no known kind"),
        ([7, 128, 0, 1, 1, *[0] * 21], "a memory is of no known kind"),
        ([0, 32, 0, 1, 1, *[0] * 21], "a memory's port is not 64, 128, 256 or 512 bits"),
        ([0, 64, 0, 0, 1, *[0] * 21], "a memory takes no burst"),
        ([0, 64, 0, 1, 0, *[0] * 21], "a memory answers in the cycle in which it is asked"),
    ],
)
def test_numbers_that_no_memory_has(numbers, message):
    """As ``memory.h`` tells a harness."""
    numbers = np.array(numbers, np.uint64)
    assert memory_model.build().egret_memory_check(numbers.ctypes.data, len(numbers)).decode() == message


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    with pytest.raises(native.CompilerError, match="^g\\+\\+ is missing; install it with your system's package"):
        memory_model.build.__wrapped__()


def test_table(capsys):
    assert memories.main(["--core-mhz", "50", "--bus", "64", "--outstanding", "2", "--burst", "8"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("core 50 MHz, port 64 bits, bursts of up to 8 beats, 2 under way;")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if "-" in line and "|" in line
    ]
    assert [row[0] for row in rows[1:]] == list(MEMORIES)
    assert [row[1:3] for row in rows[1:]] == [["", "400"], ["1600", "400"], ["1600", "400"], ["266", "400"]]
    assert [row[3] for row in rows[1:3]] == ["10", str(math.ceil((4 * 8 + 6 + 6 + 4) / 8) + 8)]
    shares = np.array([row[4:] for row in rows[1:]], float)
    assert (shares > 0.1).all() and (shares <= 1).all() and (np.diff(shares[:, 1:]) >= 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--burst", "3"], "error: --burst is 3; it must be a power of two from 1 to 256"),
        (["--outstanding", "0"], "error: --outstanding is 0; it must be 1 or more"),
        (["--core-mhz", "-1"], "error: core_mhz is -1.0; it must be more than 0"),
        (["--lookahead", "70"], "error: lookahead is 70; it must be 0 to 63"),
    ],
)
def test_table_of_nothing(capsys, arguments, message):
    assert memories.main(arguments) == 2
    assert capsys.readouterr().err == message + "\n"


def test_help(capsys):
    with pytest.raises(SystemExit):
        memories.main(["--help"])
    assert "example: python -m sim.memories" in capsys.readouterr().out

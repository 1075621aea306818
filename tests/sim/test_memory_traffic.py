"""Many reads of a simulated memory: their bandwidth, no command against the rules, every transfer once and in order."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.memories import DDR3_800, IDEAL, MEMORIES, Limit, ideal
from sim.memory_model import CommandKind, MemoryModel, bandwidth, split_runs
from tests.sim.memory_bench import ALL_DRAMS, BASE, BOTH, DRAMS, REFRESH_NS, play, random_bursts, times


def test_split_runs():
    rng = np.random.default_rng(0)
    starts, beats = rng.integers(0, 1000, 200), rng.integers(1, 70, 200)
    wanted = []
    for start, count in zip(starts.tolist(), beats.tolist(), strict=True):
        gap = 3
        while count:
            taken = min(count, 16 - start % 16)
            wanted.append((16 * start, taken, gap))
            start, count, gap = start + taken, count - taken, 2
    assert list(zip(*map(np.ndarray.tolist, split_runs(16 * starts, beats, 16)), strict=True)) == wanted


@BOTH
@pytest.mark.parametrize("core_mhz", [100, 133])
def test_long_sequential_reads(memory, core_mhz):
    """All of the peak but what refreshes take, and the latency once."""
    t = times(memory)
    got = bandwidth(memory, None, core_mhz=core_mhz, data_bits=128, outstanding=7, burst_beats=16) / memory.peak
    lost = t["rtp"] + t["rp"] + t["rfc"] + t["rcd"] - t["burst"]
    wanted = 1 - lost / math.floor(REFRESH_NS[memory] * memory.clock_mhz / 1000)
    assert got >= 0.9 and wanted - 0.005 <= got <= wanted + 0.001


@ALL_DRAMS
@pytest.mark.parametrize("core_mhz", [66.7, 100, 400])
def test_peak_is_never_exceeded(memory, core_mhz):
    """Between any two pieces there is time for all of them at the peak, but for the edge of a cycle."""
    addresses, beats = random_bursts(np.random.default_rng(1), memory, 2000, 1 << 15)
    cycles = MemoryModel(memory, core_mhz=core_mhz, size=1 << 15).serve(addresses, beats, 8)
    a_piece = 16 / memory.peak * core_mhz * 1e6
    early = cycles - np.arange(len(cycles)) * a_piece
    assert (np.maximum.accumulate(early) - early).max() < 1
    assert (np.diff(cycles) >= 1).all()


def broken_rules(memory, commands):
    """Return what a list of commands does that the data sheet forbids, or a controller should not."""
    c = {name: getattr(memory, f"t_{name}").at(memory.clock_mhz) for name in ("rcd", "rp", "ras", "rc", "rrd", "faw")}
    c |= {name: getattr(memory, f"t_{name}").at(memory.clock_mhz) for name in ("ccd", "rtp", "rfc")}
    never, wrong = -(10**9), []
    rows, opened, closed, read = (
        {bank: value for bank in range(memory.banks)} for value in (None, never, never, never)
    )
    opens, last_read, refreshed = [never] * 4, never, never

    def want(rule, clock, since, clocks):
        if clock < since + clocks:
            wrong.append(f"{rule} at {clock}: {clock - since} of {clocks}")

    ordered = np.sort(commands, order=["clock"])
    if (np.diff(ordered["clock"]) == 0).any():
        wrong.append("two commands in a clock")
    for clock, kind, bank, row in ordered.tolist():
        if kind == CommandKind.ACTIVATE:
            if rows[bank] is not None:
                wrong.append(f"bank {bank} is open at {clock}")
            want("tRP", clock, closed[bank], c["rp"])
            want("tRC", clock, opened[bank], c["rc"])
            want("tRRD", clock, opens[-1], c["rrd"])
            want("tFAW", clock, opens[-4], c["faw"])
            want("tRFC", clock, refreshed, c["rfc"])
            rows[bank], opened[bank] = row, clock
            opens.append(clock)
        elif kind == CommandKind.READ:
            if rows[bank] != row:
                wrong.append(f"row {rows[bank]} is open at {clock}, not {row}")
            want("tRCD", clock, opened[bank], c["rcd"])
            want("tCCD", clock, last_read, max(c["ccd"], memory.burst_clocks))
            read[bank] = last_read = clock
        elif kind in (CommandKind.PRECHARGE, CommandKind.PRECHARGE_ALL):
            for one in [bank] if kind == CommandKind.PRECHARGE else [b for b in rows if rows[b] is not None]:
                want("tRAS", clock, opened[one], c["ras"])
                want("tRTP", clock, read[one], c["rtp"])
                rows[one], closed[one] = None, clock
        else:
            if any(value is not None for value in rows.values()):
                wrong.append(f"a row is open at the refresh at {clock}")
            want("tRP before a refresh", clock, max(closed.values()), c["rp"])
            want("tRFC", clock, refreshed, c["rfc"])
            refreshed = clock
    return wrong


def drawn_memory(rng):
    """Draw a chip with times that no data sheet has."""
    times = {f"t_{name}": Limit(int(rng.integers(1, 25))) for name in ("rcd", "rp", "ras", "rc", "rrd", "ccd", "rtp")}
    return replace(
        DDR3_800, **times, t_faw=Limit(int(rng.integers(0, 60))), t_rfc=Limit(int(rng.integers(1, 80))),
        t_refi_ns=float(rng.integers(500, 3000)), cl=int(rng.integers(1, 12)), lookahead=int(rng.integers(0, 64)),
        buffer=int(rng.integers(1, 80)), banks=int(rng.choice([1, 2, 8, 16])), row_bytes=int(rng.choice([64, 2048])),
    )  # fmt: skip


@pytest.mark.parametrize("number", range(12))
def test_commands_break_no_rule(number):
    rng = np.random.default_rng(number)
    memory = DRAMS[number] if number < len(DRAMS) else drawn_memory(rng)
    model = MemoryModel(memory, core_mhz=float(rng.choice([50, 100, 133, 400])), size=1 << 18, log=True)
    for spread in (1 << 12, 1 << 14, 1 << 18):
        addresses, beats = random_bursts(rng, memory, 300, spread)
        model.serve(addresses, beats, int(rng.integers(1, 16)))
        model.tick(int(rng.integers(0, 2000)))
    commands, counts = model.commands, model.counts
    assert broken_rules(memory, commands) == []
    kinds = [int((commands["kind"] == kind).sum()) for kind in CommandKind]
    assert kinds[CommandKind.READ] == counts.hits + counts.misses + counts.conflicts == counts.transfers
    assert kinds[CommandKind.ACTIVATE] == counts.misses + counts.conflicts
    assert kinds[CommandKind.PRECHARGE] == counts.conflicts and kinds[CommandKind.REFRESH] == counts.refreshes > 0
    assert counts.data_clocks == memory.burst_clocks * counts.transfers


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=lambda memory: memory.name)
@pytest.mark.parametrize("data_bits", [64, 128])
@pytest.mark.parametrize("stall", [0, 0.2, 0.7])
def test_every_transfer_once_in_order(memory, data_bits, stall):
    rng = np.random.default_rng(3)
    content, size = rng.integers(0, 256, 1 << 16, np.uint8), data_bits // 8
    setup = {"core_mhz": 100, "data_bits": data_bits, "base": BASE, "content": content}
    addresses, beats = random_bursts(rng, memory, 60, 1 << 16)
    bursts = [(BASE + int(a), int(b) * 16 // size) for a, b in zip(addresses, beats, strict=True)]
    model = MemoryModel(memory, **setup)
    got = play(model, bursts, rng, stall)
    wanted = [
        (int.from_bytes(content[(at := address - BASE + k * size) : at + size].tobytes(), "little"), 0, k + 1 == count)
        for address, count in bursts
        for k in range(count)
    ]
    assert [tuple(transfer) for _, transfer in got] == wanted
    counts = model.counts
    assert counts[:3] == (len(bursts), len(wanted), len(wanted) * size) and not counts.outside
    if not stall:  # the same as all at once, and never before the shortest way through the chip
        served = MemoryModel(memory, **setup).serve(BASE + addresses, beats, 1000)
        assert served.tolist() == [cycle for cycle, _ in got]
        if memory is not IDEAL:
            clocks = memory.cl + memory.burst_clocks
            least = ideal(memory.front + memory.back + int(clocks * 100 / memory.clock_mhz), queue=memory.queue)
            assert (served >= MemoryModel(least, **setup).serve(BASE + addresses, beats, 1000)).all()


def test_parts_of_a_piece():
    """A port of 64 bits may begin and end within 16 bytes."""
    content = np.arange(256, dtype=np.uint8)
    model = MemoryModel(DDR3_800, core_mhz=100, data_bits=64, content=content)
    got = play(model, [(8, 2), (24, 1), (40, 5)], np.random.default_rng(0), 0)
    wanted = [content[at : at + 8].tobytes() for at in (8, 16, 24, 40, 48, 56, 64, 72)]
    assert [transfer.data.to_bytes(8, "little") for _, transfer in got] == wanted
    assert model.counts.hits + model.counts.misses == 2 + 1 + 3


@pytest.mark.parametrize("data_bits", [256, 512])
def test_a_wide_port(data_bits):
    """Of an ideal memory."""
    size = data_bits // 8
    content = np.random.default_rng(5).integers(0, 256, 1 << 12, np.uint8)
    model = MemoryModel(IDEAL, core_mhz=100, data_bits=data_bits, base=BASE, content=content)
    model.ask(BASE + 64, 3)
    found = []
    while len(found) < 3:
        model.tick()
        if (transfer := model.transfer) is not None:
            found.append((transfer.data, transfer.last))
            model.take()
    expected = [content[64 + k * size :][:size].tobytes() for k in range(3)]
    assert found == [(int.from_bytes(data, "little"), k == 2) for k, data in enumerate(expected)]


def test_the_same_again():
    addresses, beats = random_bursts(np.random.default_rng(5), DDR3_800, 500, 1 << 20)
    first, second = (MemoryModel(DDR3_800, core_mhz=75, size=1 << 20) for _ in range(2))
    assert (first.serve(addresses, beats, 4) == second.serve(addresses, beats, 4)).all()
    assert first.counts == second.counts

"""Simulated external memories: every rule of timing as the data sheets have it, every transfer once, faults as told.

Where a memory runs at the clock of the core, a cycle is a clock, and what a test expects is a sum of data sheet
numbers. They are written here once more, and rounded up here.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim import memories, memory_model, native
from sim.memories import (
    DDR3_800,
    DDR3_800_IN_TURN,
    IDEAL,
    MEMORIES,
    SDR_133,
    Fault,
    FaultKind,
    Limit,
    ddr3,
    ideal,
    pack,
    sdr,
)
from sim.memory_model import CommandKind, MemoryModel, bandwidth, split_runs

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


# What a chip takes for one read, and for one after another.


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


# The controller.


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


# Bandwidth.


def test_peaks():
    assert DDR3_800.peak == 1.6e9 and SDR_133.peak == 266e6
    assert DDR3_800.size == 2**31 // 8 and SDR_133.size == 2**28 // 8


@BOTH
@pytest.mark.parametrize("core_mhz", [100, 133])
def test_long_sequential_reads(memory, core_mhz):
    """All of the peak but what refreshes take, and the latency once."""
    t = times(memory)
    got = bandwidth(memory, None, core_mhz=core_mhz, data_bits=128, outstanding=7, burst_beats=16) / memory.peak
    lost = t["rtp"] + t["rp"] + t["rfc"] + t["rcd"] - t["burst"]
    wanted = 1 - lost / math.floor(REFRESH_NS[memory] * memory.clock_mhz / 1000)
    assert got >= 0.9 and wanted - 0.005 <= got <= wanted + 0.001


def random_bursts(rng, memory, count, spread):
    """Draw runs within ``spread`` bytes, as bursts of up to 16 beats."""
    beats = rng.choice([1, 2, 4, 16, 40], count)
    return split_runs(16 * rng.integers(0, spread // 16 - 40, count), beats, 16)[:2]


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


# Whatever is asked.


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


def test_the_same_again():
    addresses, beats = random_bursts(np.random.default_rng(5), DDR3_800, 500, 1 << 20)
    first, second = (MemoryModel(DDR3_800, core_mhz=75, size=1 << 20) for _ in range(2))
    assert (first.serve(addresses, beats, 4) == second.serve(addresses, beats, 4)).all()
    assert first.counts == second.counts


# What goes wrong.


def faulty(*faults, memory=IDEAL, **options):
    content = np.arange(1, 1025, dtype=np.uint8)
    return MemoryModel(memory, core_mhz=100, base=BASE, content=content, faults=faults, **options)


TWO_BURSTS = [(BASE, 8), (BASE + 256, 8)]
WHERE = [{"transfer": 11}, {"address": BASE + 256 + 48}]
EITHER = pytest.mark.parametrize("where", WHERE, ids=["by transfer", "by address"])


def without(fault_kind, where, **amount):
    """Return what is seen with a fault and without it."""
    fault = Fault(kind=fault_kind, **where, **amount)
    rng = np.random.default_rng(0)
    return play(faulty(fault), TWO_BURSTS, rng, 0), play(faulty(), TWO_BURSTS, rng, 0)


@EITHER
@pytest.mark.parametrize("response", [2, 3])
def test_error_response(where, response):
    seen, good = without(FaultKind.RESPONSE, where, amount=response)
    assert seen[11] == (good[11][0], (0, response, False))
    assert [*seen[:11], *seen[12:]] == [*good[:11], *good[12:]]


@EITHER
def test_stall(where):
    seen, good = without(FaultKind.STALL, where, amount=9)
    assert [transfer for _, transfer in seen] == [transfer for _, transfer in good]
    late = [a - b for (a, _), (b, _) in zip(seen, good, strict=True)]
    assert late == [0] * 11 + [9] * 5


@EITHER
@pytest.mark.parametrize("memory", [IDEAL, DDR3_800], ids=["ideal", "dram"])
def test_late(where, memory):
    """The first burst that meets it is held up once, each one after it anew."""
    fault = Fault(kind=FaultKind.LATE, **where, amount=9)
    firsts = []
    for model in (faulty(fault, memory=memory), faulty(memory=memory)):
        play(model, TWO_BURSTS, np.random.default_rng(0), 0)
        start = model.cycle
        firsts.append([cycle - start for cycle, _ in play(model, [(BASE + 512, 4)], np.random.default_rng(0), 0)])
    assert np.subtract(*firsts).tolist() == [9] * 4
    seen, good = without(FaultKind.LATE, where, amount=9)
    assert [a - b for (a, _), (b, _) in zip(seen, good, strict=True)] == [0] * 11 + [9] * 5


@EITHER
def test_silence(where):
    model = faulty(Fault(kind=FaultKind.SILENCE, **where))
    addresses, beats = zip(*TWO_BURSTS, strict=True)
    assert len(model.serve(addresses, beats, 4, patience=500)) == 11
    assert not model.ready and model.transfer is None
    model.tick(10_000)
    assert not model.ready and model.transfer is None


@pytest.mark.parametrize("transfer", [7, 11])
def test_last_at_the_wrong_place(transfer):
    seen, good = without(FaultKind.LAST, {"transfer": transfer})
    assert [bool(t.last) for _, t in good] == [k in (7, 15) for k in range(16)]
    assert [bool(t.last) for _, t in seen] == [(k in (7, 15)) != (k == transfer) for k in range(16)]
    assert [(c, t.data) for c, t in seen] == [(c, t.data) for c, t in good]


@pytest.mark.parametrize("address", [BASE - 16, BASE + 1024, 0])
def test_where_nothing_is(address):
    model = faulty()
    ((_, transfer),) = play(model, [(address, 1)], np.random.default_rng(0), 0)
    assert transfer == (0, 3, True) and model.counts.outside == 1 and model.counts.bytes == 0


def test_a_part_of_a_transfer_is_none():
    model = MemoryModel(IDEAL, core_mhz=100, content=np.ones(40, np.uint8))
    got = play(model, [(16, 2)], np.random.default_rng(0), 0)
    assert [transfer.response for _, transfer in got] == [0, 3] and got[1][1].data == 0


# Arguments, and what is printed.


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


def test_gaps():
    """The first burst goes at once, those after it no earlier than their gaps and the turnaround say."""
    model = MemoryModel(ideal(10), core_mhz=100, size=4096)
    model.tick(5)
    assert model.serve([0, 16, 32, 48], [1, 1, 1, 1], 8, gaps=[9, 1, 30, 4]).tolist() == [15, 16, 46, 50]
    start = model.cycle
    cycles = model.serve([0, 16, 32, 48], [1, 2, 1, 1], 2, turnaround=5)
    assert (cycles - start).tolist() == [10, 11, 12, 25, 27]


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


def test_what_the_port_does_not_allow():
    model = faulty()
    with pytest.raises(RuntimeError, match="^there is no transfer to take in this cycle$"):
        model.take()
    model = faulty(memory=ideal(1, queue=1))
    model.ask(BASE, 1)
    model.tick()
    with pytest.raises(RuntimeError, match="^the memory accepts no address in this cycle$"):
        model.ask(BASE, 1)


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


def test_addresses_fall_into_banks():
    """Row, bank, column: the next row of bytes is the next bank's."""
    model = same_clock(SDR_133)
    ask_all(model, *((at(SDR_133, bank, row, 32), 1) for row, bank in ((0, 0), (0, 3), (5, 1), (8191, 2))))
    reads = model.commands[model.commands["kind"] == CommandKind.READ]
    assert list(zip(reads["bank"].tolist(), reads["row"].tolist(), strict=True)) == [(0, 0), (3, 0), (1, 5), (2, 8191)]


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

"""The AXI4 read master: every beat of every run in order, bursts as AXI has them, faults that can be left."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from hw.bus.axi4_read import BEAT_BYTES, PAGE_BYTES, Axi4Read, ReadFault
from tests.hw.axi4_memory import Memory
from tests.hw.bench import STALLS, StreamSink, StreamSource, start, wait_until
from tests.hw.pins import Pins, Together

ADDRESS_BITS, COUNT_BITS = 14, 9
BASE, SIZE = 0x4003_2000, 12_000  #: of the window: its first byte, its beats
TIMEOUT = 300
KINDS = {
    "wide": {"data_bits": 128, "burst_beats": 16, "outstanding": 4},
    "narrow": {"data_bits": 64, "burst_beats": 8, "outstanding": 2},
    "long": {"data_bits": 128, "burst_beats": 256, "outstanding": 2},
}  # fmt: skip


def master(kind):
    return Axi4Read(address_bits=ADDRESS_BITS, count_bits=COUNT_BITS, timeout=TIMEOUT, **KINDS[kind])


def masters():
    return Together(**{kind: master(kind) for kind in KINDS})


def content(address):
    """Return the beat at a byte address of memory."""
    return random.Random(address).getrandbits(128)


def random_run():
    beats = random.choice((1, 2, random.randrange(1, 40), random.randrange(1, 1 << COUNT_BITS)))
    return {"address": random.randrange(SIZE - beats + 1), "beats": beats}


def expected(run):
    return [
        (content(BASE + (run["address"] + k) * BEAT_BYTES), k + 1 == run["beats"]) for k in range(run["beats"])
    ]  # fmt: skip


def got(payloads):
    return [(payload.data, bool(payload.last)) for payload in payloads]


class Setup:
    """A master with its memory, source of runs and sink of beats."""

    def __init__(self, dut, kind, *, run_stall=0.0, beat_stall=0.0, **memory):
        self.pins = Pins(dut, master(kind), f"{kind}__")
        window = range(BASE, BASE + SIZE * BEAT_BYTES)
        bus = {name: KINDS[kind][name] for name in ("data_bits", "burst_beats")}
        self.memory = Memory(dut, self.pins, content, window, **bus, **memory)
        self.runs = StreamSource(dut, f"{kind}__runs", self.pins.shape("runs__payload"), stall=run_stall)
        self.beats = StreamSink(dut, f"{kind}__o", self.pins.shape("o__payload"), stall=beat_stall)
        self.pins.set(base=BASE | random.randrange(PAGE_BYTES), size=SIZE)
        self._clock = dut.clk

    async def reads(self, *runs):
        """Send runs and check what comes."""
        self.runs.send(*runs)
        wanted = [beat for run in runs for beat in expected(run)]
        assert got(await self.beats.receive(len(wanted))) == wanted
        await self.cycles(2 * TIMEOUT)
        assert not self.beats.received and self.pins.get("idle") and self.pins.get("fault") == ReadFault.NONE

    async def cycles(self, count):
        for _ in range(count):
            await RisingEdge(self._clock)

    async def faults(self, fault):
        await wait_until(self._clock, lambda: self.pins.get("fault") != ReadFault.NONE)
        assert self.pins.get("fault") == fault

    async def restarts(self):
        """Restart, drop what waits to be taken, and read again."""
        await self.pins.cycle(restart=1)
        await self.pins.cycle(restart=0)
        await wait_until(self._clock, lambda: self.runs.sent_all, timeout=20 * TIMEOUT)
        await self.cycles(2 * TIMEOUT)
        self.beats.received.clear()
        await self.reads(random_run(), random_run())


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), stall=STALLS, latency=[0, 40])
async def reads_every_beat_in_order(dut, kind, stall, latency):
    setup = Setup(dut, kind, run_stall=stall / 2, beat_stall=stall, stall=stall, latency=latency)
    await start(dut)
    runs = [random_run() for _ in range(25)]
    await setup.reads(*runs, {"address": SIZE - 1, "beats": 1}, {"address": 0, "beats": 300})
    assert setup.memory.asked == sum(run["beats"] for run in runs) + 301
    if latency:
        assert setup.memory.most > 1, "one burst waited for another"


@cocotb.test()
async def keeps_the_bus_busy(dut):
    """Of a memory that answers a beat a cycle after a while, every cycle is used."""
    setup = Setup(dut, "wide", latency=0)
    await start(dut)
    setup.runs.send(*({"address": 48 * k, "beats": 40} for k in range(60)))
    await setup.beats.receive(100)
    for _ in range(500):
        await RisingEdge(dut.clk)
    assert len(setup.beats.received) >= 0.99 * 500


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), run=[(SIZE - 5, 6), (SIZE, 1), ((1 << ADDRESS_BITS) - 1, 500), (7, 0)])
async def stays_within_the_window(dut, kind, run):
    setup = Setup(dut, kind)
    await start(dut)
    before = random_run()
    await setup.reads(before)
    address, beats = run
    setup.runs.send({"address": address, "beats": beats})
    await setup.faults(ReadFault.RANGE)
    assert setup.pins.get("fault_address") == address and setup.memory.asked == before["beats"]
    await setup.restarts()


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), wrong=[{"resp": 2}, {"resp": 3}, {"last": True}, {"last": False}])
async def stops_at_a_wrong_answer(dut, kind, wrong):
    run, bad = {"address": 500, "beats": 100}, 537
    end = next(
        at for at in range(bad, 600) if (at + 1) % KINDS[kind]["burst_beats"] == 0 or at == 599
    )  # of the burst  # fmt: skip
    at_fault = end if wrong == {"last": False} else bad
    where = (at_fault + 1) * BEAT_BYTES - KINDS[kind]["data_bits"] // 8 + BASE

    def spoil(address, transfer):
        return transfer | wrong if address == where else transfer

    if wrong == {"last": True} and end == bad:
        return
    setup = Setup(dut, kind, spoil=spoil)
    await start(dut)
    setup.runs.send(run)
    await setup.faults(ReadFault.RESPONSE)
    assert setup.pins.get("fault_address") == at_fault
    taken = got(setup.beats.received)
    assert taken == expected(run)[: len(taken)] and len(taken) <= at_fault - 500


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def leaves_a_fault_by_a_restart(dut, kind):
    """What memory still answers to the old run is not taken for the new one."""
    broken = [True]

    def spoil(address, transfer):
        return transfer | {"resp": 2} if broken[0] and address == BASE + 540 * BEAT_BYTES else transfer

    setup = Setup(dut, kind, spoil=spoil, latency=30, stall=0.3)
    await start(dut)
    setup.runs.send({"address": 500, "beats": 200})
    await setup.faults(ReadFault.RESPONSE)
    broken[0] = False
    await setup.restarts()


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), after=[0, 50])
async def gives_up_a_memory_that_does_not_answer(dut, kind, after):
    setup = Setup(dut, kind)
    await start(dut)
    setup.memory.silent = not after
    setup.runs.send({"address": 500, "beats": 200})
    await setup.cycles(after + 1)
    setup.memory.silent = True
    await setup.cycles(TIMEOUT // 2)
    assert setup.pins.get("fault") == ReadFault.NONE
    await setup.faults(ReadFault.TIMEOUT)
    await setup.pins.cycle(restart=1)
    await setup.pins.cycle(restart=0)
    await setup.cycles(TIMEOUT // 2)
    assert setup.pins.get("fault") == ReadFault.NONE
    await setup.cycles(3 * TIMEOUT)
    assert setup.pins.get("fault") == ReadFault.TIMEOUT  # again
    setup.beats.received.clear()
    setup.memory.silent = False  # what it owes comes now, and is dropped
    await setup.reads(random_run())
    assert setup.pins.get("fault") == ReadFault.NONE


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def restarts_at_any_moment(dut, kind):
    setup = Setup(dut, kind, latency=20, stall=0.2)
    await start(dut)
    for _ in range(20):
        setup.runs.send({"address": random.randrange(1000), "beats": 100})
        await setup.cycles(random.randrange(150))
        await setup.pins.cycle(restart=1)
        await setup.pins.cycle(restart=0)
        await wait_until(dut.clk, lambda: setup.runs.sent_all)
        await setup.cycles(600)
        setup.beats.received.clear()
        await setup.reads(random_run())


def test_axi4_read(simulate):
    simulate(masters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_bits": 32}, "data_bits is 32; it must be 64, 128, 256 or 512"),
        ({"burst_beats": 512}, "burst_beats is 512; it must be a power of two from 2 to 256"),
        ({"data_bits": 64, "burst_beats": 256}, "burst_beats is 256; it must be a power of two from 2 to 128"),
        ({"outstanding": 3}, "outstanding is 3; it must be a power of two from 2 to 64"),
        ({"timeout": 0}, "timeout is 0; it must be 1 or more"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Axi4Read(address_bits=8, count_bits=4, **options)

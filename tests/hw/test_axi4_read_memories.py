"""The AXI4 read master before the simulated memories: as fast as foretold, and every fault told or borne."""

import random
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from hw.bus.axi4_read import BEAT_BYTES, Axi4Read, ReadFault
from sim.memories import DDR3_800, IDEAL, MEMORIES, SDR_133, Fault, FaultKind
from sim.memory_model import MemoryModel
from tests.hw.bench import StreamSink, StreamSource, start, wait_until
from tests.hw.faulty_memory import CompiledMemory
from tests.hw.pins import Pins, Together

ADDRESS_BITS, COUNT_BITS = 14, 8
BASE, SIZE = 0x2000_0000, 10_000  #: of the window: its first byte, its beats
TIMEOUT = 400
CORE_MHZ = 100
KINDS = {
    "wide": {"data_bits": 128, "burst_beats": 16, "outstanding": 4},
    "narrow": {"data_bits": 64, "burst_beats": 16, "outstanding": 4},
}  # fmt: skip


def master(kind):
    return Axi4Read(address_bits=ADDRESS_BITS, count_bits=COUNT_BITS, timeout=TIMEOUT, **KINDS[kind])


class Setup:
    """A master with a memory full of random bytes, source of runs, sink of beats."""

    def __init__(self, dut, kind, memory, *, beat_stall=0.0, faults=()):
        self.pins = Pins(dut, master(kind), f"{kind}__")
        self.content = np.frombuffer(random.randbytes(SIZE * BEAT_BYTES), np.uint8)
        self.options = {"core_mhz": CORE_MHZ, "data_bits": KINDS[kind]["data_bits"], "base": BASE}
        self.memory = CompiledMemory(dut, self.pins, memory, content=self.content, faults=faults, **self.options)
        self.runs = StreamSource(dut, f"{kind}__runs", self.pins.shape("runs__payload"))
        self.beats = StreamSink(dut, f"{kind}__o", self.pins.shape("o__payload"), stall=beat_stall)
        self.pins.set(base=BASE, size=SIZE)
        self._clock = dut.clk

    def expected(self, runs):
        beats = self.content.reshape(-1, BEAT_BYTES)
        return [
            (int.from_bytes(beats[run["address"] + k].tobytes(), "little"), k + 1 == run["beats"])
            for run in runs
            for k in range(run["beats"])
        ]

    async def reads(self, runs):
        self.runs.send(*runs)
        wanted = self.expected(runs)
        got = [(beat.data, bool(beat.last)) for beat in await self.beats.receive(len(wanted))]
        assert got == wanted and self.pins.get("fault") == ReadFault.NONE

    async def faults(self, fault):
        await wait_until(self._clock, lambda: self.pins.get("fault") != ReadFault.NONE, timeout=5 * TIMEOUT)
        assert self.pins.get("fault") == fault

    async def restarts(self):
        await self.pins.cycle(restart=1)
        await self.pins.cycle(restart=0)
        await ClockCycles(self._clock, 3 * TIMEOUT)
        self.beats.received.clear()
        await self.reads([{"address": 77, "beats": 200}])


def random_runs(count, most):
    lengths = [random.randrange(1, most + 1) for _ in range(count)]
    return [{"address": random.randrange(SIZE - beats + 1), "beats": beats} for beats in lengths]


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), memory=list(MEMORIES), most=[4, 100])
async def as_fast_as_foretold(dut, kind, memory, most):
    """Each transfer comes in the cycle that :meth:`sim.memory_model.MemoryModel.read` foretells."""
    setup = Setup(dut, kind, MEMORIES[memory])
    await start(dut)
    runs = random_runs(1200 // most + 20, most)
    await setup.reads(runs)
    model = MemoryModel(MEMORIES[memory], content=setup.content, **setup.options)
    model.tick(setup.memory.asked[0])
    sizes = {name: KINDS[kind][name] for name in ("burst_beats", "outstanding")}
    addresses, beats = [BASE + run["address"] * BEAT_BYTES for run in runs], [run["beats"] for run in runs]
    assert setup.memory.taken == model.read(addresses, beats, **sizes).tolist()


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), memory=list(MEMORIES), stall=[0.3, 0.7])
async def loses_nothing_when_beats_wait(dut, kind, memory, stall):
    setup = Setup(dut, kind, MEMORIES[memory], beat_stall=stall)
    await start(dut)
    await setup.reads(random_runs(12, 100))
    waits = stall > 0.5 and memory != "sdr-133"  # which is slower than the beats are taken
    assert setup.memory.model.counts.held > 0 or not waits


@cocotb.test()
@cocotb.parametrize(
    kind=list(KINDS),
    memory=["ideal-10", "ddr3-800"],
    what=[(FaultKind.RESPONSE, 2), (FaultKind.RESPONSE, 3), (FaultKind.LAST, 0)],
)
async def tells_of_a_wrong_answer(dut, kind, memory, what):
    number = random.randrange(100, 160)
    fault = Fault(kind=what[0], transfer=number, amount=what[1])
    setup = Setup(dut, kind, MEMORIES[memory], faults=[fault])
    await start(dut)
    setup.runs.send({"address": 48, "beats": 200})
    await setup.faults(ReadFault.RESPONSE)
    beat = number * KINDS[kind]["data_bits"] // (8 * BEAT_BYTES)
    assert setup.pins.get("fault_address") == 48 + beat
    got = [(beat.data, bool(beat.last)) for beat in setup.beats.received]
    assert got == setup.expected([{"address": 48, "beats": 200}])[: len(got)] and len(got) <= beat
    if what[0] == FaultKind.RESPONSE:  # a wrong end leaves the master and the memory of two minds about what is owed
        await setup.restarts()


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), late=[(FaultKind.STALL, TIMEOUT // 2), (FaultKind.LATE, TIMEOUT // 2)])
async def bears_a_late_answer(dut, kind, late):
    setup = Setup(dut, kind, DDR3_800, faults=[Fault(kind=late[0], transfer=100, amount=late[1])])
    await start(dut)
    await setup.reads([{"address": 48, "beats": 200}])
    assert max(np.diff(setup.memory.taken)) > TIMEOUT // 2


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def gives_up_what_takes_too_long(dut, kind):
    """And goes on when the rest has come after all."""
    setup = Setup(dut, kind, IDEAL, faults=[Fault(kind=FaultKind.STALL, transfer=100, amount=2 * TIMEOUT)])
    await start(dut)
    setup.runs.send({"address": 48, "beats": 200})
    await setup.faults(ReadFault.TIMEOUT)
    await setup.restarts()


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS))
async def gives_up_a_memory_that_fell_silent(dut, kind):
    setup = Setup(dut, kind, DDR3_800, faults=[Fault(kind=FaultKind.SILENCE, transfer=100)])
    await start(dut)
    setup.runs.send({"address": 48, "beats": 200})
    await setup.faults(ReadFault.TIMEOUT)
    assert len(setup.memory.taken) == 100


@cocotb.test()
@cocotb.parametrize(kind=list(KINDS), queue=[1, 2])
async def does_not_give_up_what_is_slow_but_goes_on(dut, kind, queue):
    """Addresses wait for transfers nearly always, and something comes every few cycles."""
    setup = Setup(dut, kind, replace(SDR_133, queue=queue))
    await start(dut)
    await setup.reads(random_runs(30, 100))


@cocotb.test()
async def tells_where_nothing_is(dut):
    """The window is larger than what is in memory."""
    setup = Setup(dut, "wide", IDEAL)
    setup.pins.set(size=SIZE + 16)
    await start(dut)
    setup.runs.send({"address": SIZE - 4, "beats": 8})
    await setup.faults(ReadFault.RESPONSE)
    assert setup.pins.get("fault_address") == SIZE and setup.memory.model.counts.outside >= 1


def test_axi4_read_before_memories(simulate):
    simulate(Together(**{kind: master(kind) for kind in KINDS}))

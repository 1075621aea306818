"""AXI4-Lite in front of a small register file: every access answered once, in order, whatever stalls."""

import gc
import random

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from hw.bus.axi4lite import Axi4Lite, ReadData, Response, WriteData
from hw.bus.registers import ADDRESS_BITS
from tests.hw.bench import STALLS, StreamSink, StreamSource, start
from tests.hw.register_file import WORDS, Axi4LiteRegisterFile

READ_WAIT = 3


class Bench:
    """Sources and sinks on the five channels; what was refused."""

    def __init__(self, dut, stall):
        rng = random.Random(cocotb.RANDOM_SEED)

        def connect(kind, name, shape):
            return kind(dut, name, shape, stall=stall(), rng=random.Random(rng.random()))

        self.aw, self.ar = (connect(StreamSource, name, ADDRESS_BITS) for name in ("aw", "ar"))
        self.w = connect(StreamSource, "w", WriteData())
        self.b, self.r = connect(StreamSink, "b", Response), connect(StreamSink, "r", ReadData())
        self.refused = []
        self._dut = dut
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await RisingEdge(self._dut.clk)
            if self._dut.refused.value:
                self.refused.append(int(self._dut.refused_address.value))


def random_access(rng):
    """Draw a byte address, a word and strobes; a third of them will be refused."""
    word = rng.choice([rng.randrange(WORDS), rng.randrange(WORDS), rng.randrange(WORDS, 4 * WORDS)])
    strobes = rng.choice([0xF, 0xF, 0xF, 0xF, rng.randrange(16)])
    return word << 2 | rng.choice([0, 0, rng.randrange(4)]), rng.getrandbits(32), strobes


@cocotb.test()
@cocotb.parametrize(seed=range(6))
async def answers_every_access(dut, seed):
    rng = random.Random(f"{cocotb.RANDOM_SEED} {seed}")
    bench = Bench(dut, lambda: rng.choice(STALLS))
    await start(dut)
    memory = [None] * WORDS
    for turn in range(4):
        # The first turn fills the memory, which no reset clears.
        filling = [(4 * word, rng.getrandbits(32), 0xF) for word in range(WORDS)] if turn == 0 else []
        accesses = [*filling, *(random_access(rng) for _ in range(60))]
        refused = []
        for address, word, strobes in accesses:
            if strobes == 0xF and address >> 2 < WORDS:
                memory[address >> 2] = word
            else:
                refused.append(address)
        bench.aw.send(*(address for address, _, _ in accesses))
        bench.w.send(*({"data": word, "strb": strobes} for _, word, strobes in accesses))
        responses = await bench.b.receive(len(accesses))
        assert [response == Response.OKAY for response in responses] == [
            strobes == 0xF and address >> 2 < WORDS for address, _, strobes in accesses
        ]
        assert bench.refused == refused
        bench.refused.clear()

        addresses = [random_access(rng)[0] for _ in range(60)]
        bench.ar.send(*addresses)
        for address, answer in zip(addresses, await bench.r.receive(len(addresses)), strict=True):
            word = address >> 2
            wanted = memory[word] if word < WORDS else word if word < 2 * WORDS else 0
            assert (answer.data, answer.resp == Response.OKAY) == (wanted, word < 2 * WORDS)
    assert int(dut.reads.value) == 4 * 60
    assert not bench.b.received and not bench.r.received


@cocotb.test()
async def takes_address_and_data_far_apart(dut):
    bench = Bench(dut, lambda: 0.0)
    await start(dut)
    for first, second in ((bench.aw, bench.w), (bench.w, bench.aw)):
        payloads = {bench.aw: 8, bench.w: {"data": 77, "strb": 0xF}}
        before = int(dut.writes.value)
        first.send(payloads[first])
        await ClockCycles(dut.clk, 50)
        assert first.sent_all and int(dut.writes.value) == before, "a half is taken, and waits"
        second.send(payloads[second])
        assert await bench.b.receive(1) == [Response.OKAY]
        assert int(dut.writes.value) == before + 1


@cocotb.test()
async def reads_while_a_write_waits(dut):
    bench = Bench(dut, lambda: 0.0)
    await start(dut)
    bench.aw.send(0)
    bench.b.stall = 1.0
    for word in range(WORDS, 2 * WORDS):
        bench.ar.send(word << 2)
        assert (await bench.r.receive(1))[0].data == word
    bench.w.send({"data": 1, "strb": 0xF}, {"data": 2, "strb": 0xF})
    bench.aw.send(4)
    bench.r.stall = 1.0
    bench.ar.send(0, 4)
    await ClockCycles(dut.clk, 100)
    assert int(dut.writes.value) == 1, "the second write waits for the first response"
    assert int(dut.reads.value) == WORDS + 1
    bench.b.stall = bench.r.stall = 0.0
    assert await bench.b.receive(2) == [Response.OKAY] * 2
    assert (await bench.r.receive(2))[0].data == 1


@cocotb.test()
async def waits_before_it_reads(dut):
    bench = Bench(dut, lambda: 0.0)
    await start(dut)
    bench.ar.send(0)
    while not (dut.ar__valid.value and dut.ar__ready.value):
        await RisingEdge(dut.clk)
    cycles = 0
    while int(dut.reads.value) == 0:
        await RisingEdge(dut.clk)
        cycles += 1
    assert cycles == READ_WAIT + 2, "accepted, waited, counted"


def test_axi4lite(simulate):
    simulate(Axi4LiteRegisterFile(READ_WAIT))


def test_a_read_waits_at_least_a_cycle():
    with pytest.raises(ValueError, match="^read_wait is 0; it must be at least 1$"):
        Axi4Lite(read_wait=0)
    gc.collect()  # the half-made component goes now, while the warning about it is ignored

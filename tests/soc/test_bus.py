"""The SoC's bus: two managers, three memories, every request to the one that it is for."""

import random

import cocotb
import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In
from cocotb.triggers import gather

from hw.bus.wishbone import WishboneBus
from hw.soc.bus import ADDRESS_BITS, REGION_BITS, Arbiter, Decoder
from tests.hw.bench import start
from tests.hw.wishbone_manager import manager

REGIONS = {"low": 0, "middle": 9, "high": 15}  #: an access takes 2 cycles in the first, and one more in each other
WORDS = 16
ROUNDS = 100


class SlowMemory(wiring.Component):
    """Words that are answered some cycles after the request."""

    def __init__(self, cycles):
        self._cycles = cycles
        super().__init__({"bus": In(WishboneBus(ADDRESS_BITS))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=32, depth=WORDS, init=())
        read, write, bus = memory.read_port(domain="comb"), memory.write_port(granularity=8), self.bus
        count, requested = Signal(range(self._cycles + 1)), Signal()
        # What is done is what was asked for first.
        address, word, select = Signal.like(bus.adr), Signal.like(bus.dat_w), Signal.like(bus.sel)
        m.d.comb += [
            requested.eq(bus.cyc & bus.stb),
            read.addr.eq(address), write.addr.eq(address), write.data.eq(word), bus.dat_r.eq(read.data),
            bus.ack.eq(requested & (count == self._cycles)), bus.stall.eq(~bus.ack),
            write.en.eq(select & bus.ack.replicate(len(select))),
        ]  # fmt: skip
        with m.If(requested & (count == 0)):
            m.d.sync += [address.eq(bus.adr), word.eq(bus.dat_w), select.eq(Mux(bus.we, bus.sel, 0))]
        with m.If(bus.ack):
            m.d.sync += count.eq(0)
        with m.Elif(requested):
            m.d.sync += count.eq(count + 1)
        return m


class System(wiring.Component):
    """Two managers' ports, an arbiter, a decoder, a memory in each region."""

    def __init__(self):
        port = WishboneBus(ADDRESS_BITS)
        super().__init__({"first": In(port), "second": In(port)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = arbiter = Arbiter()
        m.submodules.decoder = decoder = Decoder(REGIONS)
        wiring.connect(m, wiring.flipped(self.first), arbiter.first)
        wiring.connect(m, wiring.flipped(self.second), arbiter.second)
        wiring.connect(m, arbiter.bus, decoder.bus)
        for cycles, name in enumerate(REGIONS, 1):
            m.submodules[name] = memory = SlowMemory(cycles)
            wiring.connect(m, getattr(decoder, name), memory.bus)
        return m


def random_address(rng, words):
    """Draw an address, and whether anybody is there."""
    region = rng.choice([*REGIONS.values(), rng.randrange(1 << REGION_BITS)])
    return region << ADDRESS_BITS - REGION_BITS | rng.choice(words), region in REGIONS.values()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3, 0.8])
async def brings_every_request_to_its_place(dut, stall):
    """Each manager has words of its own, and reads back what it wrote; both work at once."""
    own_words = {"first": range(0, WORDS // 2), "second": range(WORDS // 2, WORDS)}
    managers = {}
    for name in own_words:
        rng = random.Random(f"{cocotb.RANDOM_SEED} {stall} {name}")
        managers[name] = manager(dut, name, stall=stall, rng=rng), rng
    await start(dut)

    async def work(name):
        bus, rng = managers[name]
        words = list(own_words[name])
        wanted = {}
        for region in REGIONS.values():  # memories begin with anything
            for word in words:
                address = region << ADDRESS_BITS - REGION_BITS | word
                wanted[address] = rng.getrandbits(32)
                await bus.access((1, address, wanted[address], 15))
        for _ in range(ROUNDS):
            address, exists = random_address(rng, words)
            write, word, select = rng.randrange(2), rng.getrandbits(32), rng.choice([15, rng.randrange(16)])
            ((accepted, read),) = await bus.access((write, address, word, select))
            assert accepted == exists, f"{name}: {address:#x}"
            if not exists:
                continue
            if write:
                mask = sum(0xFF << 8 * byte for byte in range(4) if select >> byte & 1)
                wanted[address] = wanted[address] & ~mask | word & mask
            else:
                assert read == wanted[address], f"{name}: {address:#x}"

    await gather(*(cocotb.start_soon(work(name)) for name in managers))


def test_bus(simulate):
    simulate(System())


@pytest.mark.parametrize(
    "regions, message",
    [
        ({"a": 16}, "region 'a' is 16; it must be 0 to 15"),
        ({"a": 3, "b": 3}, "region 'a' is 3, and so is another; each must be another one"),
    ],
)
def test_refuses_regions(regions, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Decoder(regions)

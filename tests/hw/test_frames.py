"""The host link, byte by byte: every kind of request against a twin in Python; damaged, repeated, blocked ones."""

import gc
import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time

from firmware import framing
from firmware.operations import COUNT_MAX, Read, Send, Take, Write, signed
from hw.bus.axi4stream import BusBeat
from hw.bus.frames import ESCAPE, FLAG
from hw.bus.host_link import REPLY, HostLink
from hw.bus.link_buffer import capacity
from hw.bus.operations import Operation, Outcome
from tests.firmware.device import STATUS, Core, Device
from tests.hw.bench import PERIOD, STALLS, StreamSink, StreamSource, fields, start, wait_until
from tests.hw.register_file import WORDS, Axi4LiteRegisterFile
from tests.hw.serial_line import Noise

BUFFER_BYTES = 64
CAPACITY = capacity(BUFFER_BYTES)
PATIENCE = 100
READ_WAIT = 3
QUIET = 1000  # cycles that no reply begins later than
WORD_CHOICES = (0, 0x7E7E7E7E, 0x7D7D7D7D, 0x5E7D7E5D, 0xFFFFFFFF)


class LinkWithRegisters(wiring.Component):
    """A host link in front of a register file; the streams of bytes and beats are ports."""

    def __init__(self):
        super().__init__({
            "i": In(stream.Signature(8)), "o": Out(stream.Signature(8)), "lost": In(1), "busy": Out(1),
            "send": Out(stream.Signature(BusBeat())), "take": In(stream.Signature(BusBeat())), "writes": Out(16),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = HostLink(buffer_bytes=BUFFER_BYTES, patience=PATIENCE)
        m.submodules.registers = registers = Axi4LiteRegisterFile(READ_WAIT)
        for name in ("i", "take"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(link, name))
        for name in ("o", "send"):
            wiring.connect(m, getattr(link, name), wiring.flipped(getattr(self, name)))
        for name in ("aw", "w", "b", "ar", "r"):
            wiring.connect(m, getattr(link, name), getattr(registers, name))
        m.d.comb += [link.lost.eq(self.lost), self.busy.eq(link.busy), self.writes.eq(registers.writes)]
        return m


class Bench:
    """The link, and the twin that says what it has to answer."""

    def __init__(self, dut, *, stall=0.0):
        self.dut = dut
        self.line = StreamSource(dut, "i", 8, stall=stall)
        self.answers = StreamSink(dut, "o", 8, stall=stall)
        self.sent = StreamSink(dut, "send", BusBeat(), stall=min(stall, 0.5))
        self.waiting = StreamSource(dut, "take", BusBeat(), stall=min(stall, 0.5))
        dut.lost.value = 0
        core = Core(read_only={4 * word: word for word in range(WORDS, 2 * WORDS)})
        self.core, self.twin = core, Device(core, capacity=CAPACITY)
        self.sequence = 0

    @classmethod
    async def start(cls, dut, **options):
        bench = cls(dut, **options)
        await start(dut)
        # No reset clears the registers, of which every reply shows one.
        for address in (STATUS, *(4 * word for word in range(WORDS) if 4 * word != STATUS)):
            bench.core.registers[address] = 0
            await bench.ask(Write(address, [random.getrandbits(32)]).words())
        return bench

    def frame(self, words):
        self.sequence = self.sequence % 255 + 1
        return framing.encode_request(self.sequence, words)

    async def ask(self, words):
        """Send a request and compare the answer with the twin's; return it."""
        return await self.exchange(self.frame(words))

    async def exchange(self, data):
        """Send bytes; wait for what the twin answers, compare, and return it."""
        wanted = self.twin.receive(data)
        self.line.send(*data)
        await self.line.wait()
        if wanted:
            got = bytes(await self.answers.receive(len(wanted)))
            assert got == wanted
        await self.until(lambda: not self.dut.busy.value)
        return wanted

    async def until(self, condition):
        await wait_until(self.dut.clk, condition, timeout=10 * QUIET)

    async def silence(self, cycles=QUIET):
        await ClockCycles(self.dut.clk, cycles)
        assert not self.answers.received

    def give(self, *beats):
        """Offer beats (index, value, last, user) to be taken."""
        self.core.waiting += beats
        self.waiting.send(*(dict(zip(("index", "value", "last", "user"), beat, strict=True)) for beat in beats))

    def check_sent(self):
        """Beats that left are those that the twin sent."""
        assert [tuple(fields(beat).values()) for beat in self.sent.received] == self.core.sent


def random_word():
    return random.choice([*WORD_CHOICES, *(random.getrandbits(32) for _ in range(5))])


def random_operation():
    """Draw the words of an operation, right or wrong."""
    address, count = 4 * random.choice([*range(WORDS), *range(2 * WORDS + 2)]), random.randrange(5)
    last, user = random.random() < 0.5, random.random() < 0.5
    match random.randrange(9):
        case 0 | 1:
            return Write(address, [random_word() for _ in range(count)]).words()
        case 2 | 3:
            return Read(address, random.choice([count, 4 * count])).words()
        case 4 | 5:
            return Send([(random_word(), signed(random_word())) for _ in range(count)], last, user).words()
        case 6 | 7:
            return Take(random.choice([count, COUNT_MAX])).words()
    return [random.choice([0, 5, 8, 0x81]) | 1 << 8] if random.random() < 0.3 else []


def random_request():
    """Draw up to as many words as a request may have; the last operation may be cut."""
    words = []
    while len(words) < CAPACITY and random.random() < 0.8:
        words += random_operation()
    return words[:CAPACITY]


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def does_what_is_asked(dut, stall):
    bench = await Bench.start(dut, stall=stall)
    for _ in range(80):
        if random.random() < 0.3:
            length = random.randrange(1, 9)
            last = length - 1 if random.random() < 0.8 else None
            bench.give(
                *((random_word(), signed(random_word()), k == last, random.random() < 0.3) for k in range(length))
            )
        await bench.ask(random_request())
        if stall == 0.0:
            bench.check_sent()
    await ClockCycles(dut.clk, QUIET)
    bench.check_sent()
    assert bench.twin.outcomes == set(Outcome)
    assert int(dut.writes.value) == bench.core.writes


@cocotb.test()
async def passes_over_every_damage(dut):
    bench = await Bench.start(dut)
    frame = bench.frame(Write(4, [0x7D7E0001]).words())
    before = bench.core.writes

    async def check(damaged):
        bench.line.send(*damaged)
        await bench.line.wait()
        await bench.silence(40)
        assert int(dut.writes.value) == before and not dut.busy.value

    for at in range(1, len(frame) - 1):
        for bit in range(8):
            await check(frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :])
        await check(frame[:at] + frame[at + 1 :])
        await check(frame[:at] + frame[at : at + 1] + frame[at:])
        if at > 1:  # else the frame is right
            await check(frame[:at] + bytes([FLAG]) + frame[at:])
        await check(frame[:at] + bytes([ESCAPE]) + frame[at:])
        await check(frame[:at])
    await check(frame[:-1] + bytes([ESCAPE, FLAG]))
    assert await bench.exchange(frame)
    assert int(dut.writes.value) == before + 1


@cocotb.test()
async def passes_over_what_is_no_request(dut):
    bench = await Bench.start(dut)
    before = bench.core.writes
    write = b"".join(word.to_bytes(4, "little") for word in Write(4, [1]).words())
    for content in (
        b"",
        b"\x01",
        b"\x01\x77\x00",
        b"\x02\x77\x00\x00" + write,
        bytes([REPLY, 0x77, 0, 0]) + write,
        b"\x01\x77\x00\x00" + write + b"\x00",
        b"\x01\x77\x00\x00" + write + b"\x00\x00\x00",
        b"\x01\x77\x00\x00" + write + bytes(4 * CAPACITY),
    ):
        assert not await bench.exchange(framing.encode(content))
        await bench.silence(100)
    # A frame is whole only with its flags, and of a frame within a frame the inner one counts.
    frame = bench.frame(Write(4, [2]).words())
    bench.line.send(*frame[1:-1])
    await bench.silence()
    assert int(dut.writes.value) == before
    assert await bench.exchange(frame[:9] + frame)
    assert int(dut.writes.value) == before + 1


@cocotb.test()
async def finds_every_frame_after_any_garbage(dut):
    bench = await Bench.start(dut)
    noise = Noise(random.Random(cocotb.RANDOM_SEED), 0.03)
    answered = 0
    for _ in range(120):
        damaged = noise(bench.frame(random_request()[: CAPACITY // 3]))
        damaged += bytes(random.choice([FLAG, ESCAPE, random.randrange(256)]) for _ in range(random.randrange(3)))
        bench.sequence -= damaged == b""
        answered += bool(await bench.exchange(damaged))
        await bench.silence(20)
        assert await bench.ask(Read(4 * random.randrange(WORDS)).words())
    assert 20 < answered < 100
    assert int(dut.writes.value) == bench.core.writes


@cocotb.test()
async def executes_a_request_once(dut):
    bench = await Bench.start(dut)
    bench.give(*((index, -index, index % 3 == 2, False) for index in range(12)))
    for words in (
        Write(8, [1, 2, 3]).words(),
        Read(8, 3).words(),
        Send([(1, 2), (3, 4)], last=True).words(),
        Take(2).words(),
        Take().words(),
        [],
        Take().words() + Read(0x1F0, 4).words(),
    ):
        frame = bench.frame(words)
        first = await bench.exchange(frame)
        writes = int(dut.writes.value)
        for _ in range(3):
            await bench.exchange(bytes([0x12, FLAG, 0x01, ESCAPE]) + frame[:-4])  # heard in part, it changes nothing
            assert await bench.exchange(frame) == first
        assert int(dut.writes.value) == writes
        bench.check_sent()
    # The number before the last is a new one again, and so is 0 always.
    bench.sequence -= 2
    await bench.ask(Write(8, [4]).words())
    for _ in range(2):
        assert await bench.exchange(framing.encode_request(0, Write(8, [5, 6]).words()))
    assert int(dut.writes.value) == bench.core.writes


@cocotb.test()
async def takes_as_much_as_it_says(dut):
    bench = await Bench.start(dut)
    for words in ([], *(Write(8, [random_word()] * (length - 1)).words() for length in range(1, CAPACITY + 1))):
        assert await bench.ask(words)
    before = int(dut.writes.value)
    for length in (CAPACITY + 1, CAPACITY + 2, 3 * CAPACITY):
        assert not await bench.ask(Write(8, [random_word()] * (length - 1)).words())
        await bench.silence()
    assert int(dut.writes.value) == before
    assert await bench.ask(Write(8, [0x7E7E7E7E] * (CAPACITY - 1)).words())
    for count in range(CAPACITY - 2, CAPACITY + 2):
        await bench.ask(Read(0, count).words())
        await bench.ask(Read(0, 3).words() + Read(0, count - 4).words() + Read(0, 1).words())
        bench.give(*((k, k, False, False) for k in range(count)))
        await bench.ask(Take().words())
        await bench.ask(Read(0, 1).words() + Take().words() + Read(0, 1).words())
        await bench.ask(Take().words())


@cocotb.test()
async def waits_no_longer_than_it_says(dut):
    """A beat that cannot leave ends SEND, not the link; what follows it is left out; and nothing is lost."""
    bench = await Bench.start(dut)
    bench.sent.stall = 1.0
    await ClockCycles(dut.clk, 3)
    beats = [(k, -k) for k in range(5)]
    for room, rest in ((1, beats), (0, beats[1:]), (0, beats[1:])):  # the link itself holds one
        bench.core.room = room
        await bench.ask(Send(rest, last=True).words() + Write(4, [7]).words())
        assert bench.core.registers[4] != 7
        await bench.ask(Read(4).words())
    bench.give((9, 9, True, True))
    await bench.ask(Take().words() + Send(beats[1:]).words())
    bench.sent.stall, bench.core.room = 0.0, 100
    await bench.ask(Send(beats[1:], last=True, user=True).words() + Write(4, [7]).words())
    bench.check_sent()
    await bench.ask(Take().words())


async def busy_cycles(bench, words):
    """Ask, and count the cycles from the beginning of the execution to the first byte of the reply."""
    bench.line.send(*bench.frame(words))
    await bench.until(lambda: bench.dut.busy.value)
    begun = get_sim_time("ns")
    await bench.until(lambda: bench.dut.o__valid.value)
    cycles = round((get_sim_time("ns") - begun) / PERIOD)
    await bench.until(lambda: not bench.dut.busy.value)
    await ClockCycles(bench.dut.clk, QUIET)
    return cycles


@cocotb.test()
@cocotb.parametrize(operation=(Operation.SEND, Operation.TAKE))
async def waits_as_long_as_it_says(dut, operation):
    bench = await Bench.start(dut)
    bench.sent.stall = 1.0
    await ClockCycles(dut.clk, 3)
    bench.core.room = 1
    await bench.ask(Send([(0, 0)]).words())
    words = Send([(1, 1)]).words() if operation == Operation.SEND else Take().words()
    assert PATIENCE <= await busy_cycles(bench, words) - await busy_cycles(bench, Read(0, 0).words()) < PATIENCE + 40


@cocotb.test()
async def takes_no_longer_than_it_says(dut):
    bench = await Bench.start(dut)
    bench.give(*((1, 1, False, False) for _ in range(30)))
    for count in (0, 1, 2, 5):
        for operation in (Write(4, [1] * count), Read(0, count), Send([(1, 1)] * count), Take(count)):
            asked, replied = len(operation.words()), 1 + operation.reply_words * count
            assert await busy_cycles(bench, operation.words()) <= 30 + 14 * asked + 12 * replied


@cocotb.test()
async def is_deaf_while_it_works(dut):
    bench = await Bench.start(dut)
    before = int(dut.writes.value)
    first, second = bench.frame(Write(8, [1]).words()), bench.frame(Write(8, [2]).words())
    bench.line.send(*first, *second, *second)
    wanted = bench.twin.receive(first)
    assert bytes(await bench.answers.receive(len(wanted))) == wanted
    await bench.line.wait()
    await bench.silence()
    assert int(dut.writes.value) == before + 1
    assert await bench.exchange(second)
    assert int(dut.writes.value) == before + 2


@cocotb.test()
async def passes_over_a_frame_with_a_lost_byte(dut):
    bench = await Bench.start(dut)
    frame = bench.frame(Write(8, [1]).words())
    bench.line.send(*frame[:8])
    await bench.line.wait()
    dut.lost.value = 1
    await RisingEdge(dut.clk)
    dut.lost.value = 0
    bench.line.send(*frame[8:])
    await bench.silence()
    assert await bench.exchange(frame)


@cocotb.test()
async def tells_the_status(dut):
    bench = await Bench.start(dut)
    for status in (0x00, 0x12345605, 0xFFFFFFFF):
        await bench.ask(Write(STATUS, [status]).words())
        (reply,) = framing.Decoder().feed(await bench.ask([]))
        assert framing.decode_reply(reply) == framing.Reply(bench.sequence, status & 0xFF, CAPACITY, ())


def test_frames(simulate):
    simulate(LinkWithRegisters())


def test_parameters():
    with pytest.raises(ValueError, match="^buffer_bytes is 500; it must be one of 64, 128, 256, 512, 1024$"):
        HostLink(buffer_bytes=500)
    with pytest.raises(ValueError, match="^patience is 0; it must be at least 1$"):
        HostLink(patience=0)
    gc.collect()  # the half-made components go now, while the warnings about them are ignored

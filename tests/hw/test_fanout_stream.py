"""Lists from external memory to the lanes: every entry of every event reaches its lane, in order, and nothing else."""

import random

import cocotb
from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from cocotb.triggers import RisingEdge

from hw.beat_spreader import BeatSpreader
from hw.bus.axi4_read import BEAT_BYTES, Axi4Read, ReadFault
from hw.config import LIST_ADDRESS_BITS, LIST_COUNT_BITS
from hw.event import EventKind
from hw.fanout_stream import FanoutStream
from hw.list_fetch import ListFetch
from tests.hw.axi4_memory import Memory
from tests.hw.bench import start
from tests.hw.operations import OperationSink
from tests.hw.pins import Pins
from tests.hw.streamed_lists import CONFIG, GAP_BITS, LANES, Lists

BUS = {"data_bits": 128, "burst_beats": 16}
BASE = 0x8000_0000
PATIENCE = 20_000  #: cycles, more than any wait takes


class Chain(wiring.Component):
    """Fetch, read master, spreader and lanes, connected as in a core."""

    def __init__(self):
        self.fetch = ListFetch(CONFIG)
        self.read = Axi4Read(address_bits=LIST_ADDRESS_BITS, count_bits=LIST_COUNT_BITS, timeout=1000, **BUS)
        self.spreader = BeatSpreader(CONFIG)
        self.lanes = [FanoutStream(CONFIG) for _ in range(LANES)]
        ports = self.fetch.signature.members, self.read.signature.members
        names = ("event", "valid", "ready", "format", "write_en", "write_addr", "write_data")
        super().__init__({
            **{name: ports[0][name] for name in names},
            **{name: ports[1][name] for name in ("ar", "r", "base", "size", "fault", "idle")},
            "lost": Out(1), "lost_address": Out(LIST_ADDRESS_BITS),
            **{
                f"lane_{k}__{name}": member
                for k, lane in enumerate(self.lanes)
                for name, member in lane.signature.members.items()
                if name in ("o", "o_valid", "behind", "advance")
            },
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        fetch, read, spreader = self.fetch, self.read, self.spreader
        m.submodules.fetch, m.submodules.read, m.submodules.spreader = fetch, read, spreader
        for name in ("event", "valid", "format", "write_en", "write_addr", "write_data"):
            m.d.comb += getattr(fetch, name).eq(getattr(self, name))
        m.d.comb += [
            self.ready.eq(fetch.ready),
            read.base.eq(self.base),
            read.size.eq(self.size),
            self.fault.eq(read.fault),
            self.idle.eq(read.idle),
            self.lost.eq(spreader.fault),
            self.lost_address.eq(spreader.fault_address),
            spreader.format.eq(self.format),
        ]
        wiring.connect(m, fetch.runs, read.runs)
        wiring.connect(m, fetch.contexts, spreader.contexts)
        wiring.connect(m, read.o, spreader.words)
        wiring.connect(m, read.ar, wiring.flipped(self.ar))
        wiring.connect(m, wiring.flipped(self.r), read.r)
        for k, lane in enumerate(self.lanes):
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                *(mine.eq(beat) for mine, beat in zip(lane.beats, spreader.beats, strict=True)),
                lane.to.eq(Cat(to[k] for to in spreader.to)),
                spreader.lanes_ready[k].eq(lane.ready),
                getattr(self, f"lane_{k}__o").eq(lane.o),
                getattr(self, f"lane_{k}__o_valid").eq(lane.o_valid),
                getattr(self, f"lane_{k}__behind").eq(lane.behind),
                lane.advance.eq(getattr(self, f"lane_{k}__advance")),
            ]
        return m


def format_of(lists):
    """Return what the network says of its lists: fields of ListFormat."""
    form, network = lists.lists.format, lists.network
    return {
        "inputs": network.inputs, "dense_inputs": form.dense_inputs,
        "input_beats": int(lists.lists.count[0]) if form.dense_inputs else 0, "dense_readout": form.dense_readout,
        "readout_base": lists.lists.readout_base, "row_count": lists.placement.row_count,
        "first_unit": lists.first_unit[1:] + [(2 << CONFIG.source_bits) - 1], "boundary": [*lists.boundaries[1:], 0],
    }  # fmt: skip


class Setup:
    """The chain with a network's lists in its memory, and a sink at every lane."""

    def __init__(self, dut, lists, *, sink_stalls=(0.0,) * LANES, **memory):
        self.dut, self.lists = dut, lists
        self.pins = Pins(dut, Chain())
        beats = lists.lists.beats
        words = [int(low) | int(high) << 64 for low, high in beats]
        window = range(BASE, BASE + len(words) * BEAT_BYTES)
        self.memory = Memory(dut, self.pins, lambda at: words[(at - BASE) // BEAT_BYTES], window, **BUS, **memory)
        self.sinks = [
            OperationSink(dut, f"lane {k}", LanePins(self.pins, k), stall=sink_stalls[k]) for k in range(LANES)
        ]  # fmt: skip
        self.pins.set(base=BASE, size=len(words), format=format_of(lists))
        self.expected = [[] for _ in range(LANES)]

    async def load(self):
        lists = self.lists.lists
        unlisted = lists.inputs if lists.format.dense_inputs else 0
        for source in range(unlisted, len(lists.count)):
            place = {"address": int(lists.first[source]), "beats": int(lists.count[source])}
            await self.pins.cycle(write_en=1, write_addr=source - unlisted, write_data=place)
        await self.pins.cycle(write_en=0)

    async def send(self, event, stall):
        """Broadcast an event, or a marker, as the broadcaster does, a cycle after it saw that there is room."""
        waited = 0
        while random.random() < stall or not self.pins.get("ready"):
            await self.pins.cycle(valid=0)
            waited += 1
            assert waited < PATIENCE, "no event is taken any more"
        await self.pins.cycle(event=event, valid=1)
        self.pins.set(valid=0)
        for lane in range(LANES):
            if event["kind"] == EventKind.EVENT:
                self.expected[lane] += self.lists.operations(event["source"], event, lane)
            else:
                brought = {name: event[name] for name in ("value", "bank", "group")}
                self.expected[lane].append({"kind": event["kind"], **brought, "entry": None})

    async def check(self, events, stall):
        """Send events and markers; compare what comes to each lane."""
        for _ in range(events):
            await self.send(random_event(self.lists), stall)
            if random.random() < 0.2:
                await self.send(marker(), stall)
        for sink, expected in zip(self.sinks, self.expected, strict=True):
            assert await sink.receive(len(expected), timeout=PATIENCE) == expected
        for _ in range(300):
            await RisingEdge(self.dut.clk)
        assert not any(sink.received for sink in self.sinks)
        assert self.pins.get("fault") == ReadFault.NONE and not self.pins.get("lost") and self.pins.get("idle")


class LanePins:
    """The pins of one lane's walker."""

    def __init__(self, pins, lane):
        self._pins, self._lane = pins, lane

    def get(self, name):
        return self._pins.get(f"lane_{self._lane}__{name}")

    def set(self, **values):
        self._pins.set(**{f"lane_{self._lane}__{name}": value for name, value in values.items()})


def random_event(lists):
    source = random.randrange(lists.network.source_count)
    return {"kind": EventKind.EVENT, "source": source, **lists.event(source)}


def marker():
    kind = random.choice((EventKind.INPUT_END, EventKind.LAYER_END))
    return {"kind": kind, "source": 0, "part": 0, "value": 0, "bank": 0, "group": 0}


@cocotb.test()
@cocotb.parametrize(
    dense=[(False, False), (True, True)], density=[0.02, 0.3], stall=[0.0, 0.5], sink_stall=[0.0, 0.7], latency=[0, 50]
)
async def every_entry_reaches_its_lane(dut, dense, density, stall, sink_stall, latency):
    lists = Lists(GAP_BITS, dense, density)
    setup = Setup(dut, lists, sink_stalls=[sink_stall] * LANES, stall=stall, latency=latency)
    await start(dut)
    await setup.load()
    await setup.check(80, stall)


@cocotb.test()
@cocotb.parametrize(slow=list(range(LANES)), density=[0.02, 0.3])
async def all_wait_for_a_slow_lane(dut, slow, density):
    """Beat after beat is for it, and it hardly moves; what comes with it, markers and halves, waits too."""
    lists = Lists(GAP_BITS, (False, False), density)
    lists.crowd(slow)
    setup = Setup(dut, lists, sink_stalls=[0.9 if lane == slow else 0.0 for lane in range(LANES)], latency=0)
    await start(dut)
    await setup.load()
    await setup.check(40, 0.0)


@cocotb.test()
async def nothing_goes_to_a_row_that_there_is_not(dut):
    """Neither the beat nor what comes behind it; the lists before it are walked."""
    lists = Lists(GAP_BITS, (False, False), 0.3)
    first, bad = random.sample([n for n in range(lists.network.source_count) if lists.lists.count[n]], 2)
    lists.lists.beats[lists.lists.first[bad], 0] |= 0x7FF << 5  # its row
    setup = Setup(dut, lists)
    await start(dut)
    await setup.load()
    await setup.send({"kind": EventKind.EVENT, "source": first, **lists.event(first)}, 0)
    expected = [list(operations) for operations in setup.expected]
    await setup.send({"kind": EventKind.EVENT, "source": bad, **lists.event(bad)}, 0)
    await setup.send(marker(), 0)
    for _ in range(1000):
        await RisingEdge(dut.clk)
    assert setup.pins.get("lost") and setup.pins.get("lost_address") == lists.lists.first[bad]
    assert [sink.received for sink in setup.sinks] == expected


def test_fanout_stream(simulate):
    simulate(Chain())

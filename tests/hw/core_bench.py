"""A bench around the whole core: load images, send sequences, compare everything that comes out with the oracle."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden.fanout import Compiled
from golden.streamed import CompiledStream
from hw.bus.axi4_read import BEAT_BYTES
from hw.config import CoreConfig
from hw.core import Core
from hw.counters import Counters, counter_map
from hw.errors import Error
from hw.event import NULL_INDEX, RESTORE_FLAG, InputBeat, OutputBeat
from hw.load_bus import LoadKind
from tests.hw.axi4_memory import Memory
from tests.hw.bench import StreamSink, StreamSource, start, wait_until
from tests.hw.oracle import Step
from tests.hw.pins import Pins

CONFIGS = {
    "small": CoreConfig(
        lanes=3, cell_units=1, queue_depth=8, rows=32, entries=1024, sources=128, layers=4, weight_bits=8, y_bits=9,
        value_bits=10, acc_bits=24, hops=2,
    ),
    "pairs": CoreConfig(
        lanes=4, cell_units=2, queue_depth=16, rows=32, entries=1024, sources=128, layers=4, weight_bits=4, y_bits=13,
        value_bits=17, acc_bits=28, split_banks=True, forwarding=True, distributed_cells=True,
    ),
    "compact": CoreConfig(
        lanes=4, cell_units=1, rows=32, entries=1024, sources=128, layers=4, weight_bits=8, y_bits=9, value_bits=10,
        acc_bits=24, counters=False, compact=True,
    ),
    "streamed": CoreConfig(
        lanes=4, cell_units=2, queue_depth=8, rows=64, sources=128, layers=4, weight_bits=8, y_bits=9, value_bits=10,
        acc_bits=24, gap_bits=5, lists=128,
    ),
    "streamed-far": CoreConfig(
        lanes=6, cell_units=1, queue_depth=16, rows=64, sources=128, layers=4, weight_bits=4, y_bits=13, value_bits=17,
        acc_bits=28, split_banks=True, hops=3, gap_bits=4, lists=128, port_bits=64,
    ),
}  # fmt: skip
LIST_BASE = 0x4000_0000
STATE_LATENCY = 5  #: out of distributed RAM
SETTLE = 8  #: cycles until ``idle`` knows of a beat that was just taken; the counts of a step lag as far behind it


def beat(index: int, value: int, last: int = 0, user: int = 0) -> dict[str, int]:
    return {"index": index, "value": value, "last": last, "user": user}


def word(token: int, value: int, high_value: int | None = None) -> list[dict[str, int]]:
    """Return the beats of a step of text, as :class:`hw.generate.Generate` sends it; two if ``high_value`` is given."""
    if high_value is None:
        return [beat(token, value, 1)]
    return [beat(2 * token, high_value), beat(2 * token + 1, value, 1)]


def beats(sequence: np.ndarray, *, ends: bool = True) -> list[dict[str, int]]:
    """Return the input beats of a sequence: the events of each step in any order, some values of 0 among them."""
    packets = []
    for t, values in enumerate(sequence.tolist()):
        events = [(index, value) for index, value in enumerate(values) if value or random.random() < 0.1]
        random.shuffle(events)
        events = events or [(NULL_INDEX, 0)]
        packets += [beat(index, value) for index, value in events]
        packets[-1]["last"] = 1
        packets[-1]["user"] = int(ends and t == len(sequence) - 1)
    return packets


class CoreBench:
    """Drive a core and keep all that it says.

    Attributes
    ----------
    updates : (source, h, fires, y) of each unit's update, in order
    records : (events, macs), a list of counts each, of each step
    """

    def __init__(
        self,
        dut,
        *,
        input_stall: float = 0.0,
        output_stall: float = 0.0,
        memory_latency: int = 20,
        memory_stall: float = 0.1,
    ):
        self.config = CONFIGS[cocotb.plusargs["config"]]
        self.pins = Pins(dut, Core(self.config))
        self.source = StreamSource(dut, "i", InputBeat(self.config), stall=input_stall)
        self.sink = StreamSink(dut, "o", OutputBeat(), stall=output_stall)
        self.updates: list[tuple[int, int, int, int]] = []
        self.records: list[tuple[list[int], list[int]]] = []
        self._dut = dut
        self._step = dut.step
        if self.config.streamed:
            self.beats = b""
            self.memory = Memory(
                dut, self.pins, self._beat, range(LIST_BASE, LIST_BASE), data_bits=self.config.port_bits,
                burst_beats=16, latency=memory_latency, stall=memory_stall,
            )  # fmt: skip
        self._updates = [getattr(dut, f"updates__{unit}") for unit in range(self.config.cell_units)]

    async def start(self) -> None:
        await start(self._dut)
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        """Both ports say in their lowest bit whether they are valid."""
        while True:
            await RisingEdge(self._dut.clk)
            for unit, handle in enumerate(self._updates):
                if int(handle.value) & 1:
                    update = self.pins.get(f"updates__{unit}")
                    self.updates.append((update.source, update.h, update.fires, update.y))
            if int(self._step.value) & 1:
                step = self.pins.get("step")
                groups = range(self.config.groups)
                self.records.append(([step.events[g] for g in groups], [step.macs[g] for g in groups]))

    async def write(self, words: Iterable[int], *, gaps: float = 0.0) -> None:
        """Send words to the load port, with gaps."""
        for word in words:
            while random.random() < gaps:
                await self.pins.cycle(load__valid=0)
            await self.pins.cycle(load__valid=1, load__payload=int(word))
            if self.config.compact:
                await self.pins.cycle(load__valid=0)
        await self.pins.cycle(load__valid=0)

    def _beat(self, address: int) -> int:
        return int.from_bytes(self.beats[address - LIST_BASE :][:BEAT_BYTES], "little")

    def place_lists(self, beats: np.ndarray) -> None:
        """Write lists, uint64 (beats, 2), to external memory, and tell the core the window."""
        self.beats = beats.astype("<u8").tobytes()
        self.memory.window = range(LIST_BASE, LIST_BASE + len(self.beats))
        self.pins.set(list_base=LIST_BASE, list_size=len(beats))

    async def load(self, compiled: Compiled | CompiledStream, *, gaps: float = 0.0) -> None:
        if self.config.streamed:
            self.place_lists(compiled.lists.beats)
        await self.write(compiled.words, gaps=gaps)
        await self.wait_idle()
        assert self.pins.get("loaded") and self.error() == Error.NONE

    def error(self) -> Error:
        return Error(self.pins.get("error"))

    async def wait_for(self, condition: Callable[[], bool], timeout: int) -> None:
        await wait_until(self._dut.clk, condition, timeout=timeout)

    async def wait_idle(self, timeout: int = 20_000) -> None:
        await wait_until(self._dut.clk, lambda: self.pins.get("idle") and self.source.sent_all, timeout=timeout)
        for _ in range(SETTLE):
            await self.pins.cycle()
        await wait_until(self._dut.clk, lambda: self.pins.get("idle"), timeout=timeout)

    async def reset(self) -> None:
        await self.pins.cycle(reset=1)
        for _ in range(2 + self.config.hops):  # until lanes and cell units are reset, too
            await self.pins.cycle(reset=0)
        for record in (self.updates, self.records, self.sink.received):
            record.clear()

    async def run(self, sequences: Sequence[np.ndarray], steps: Sequence[Step], *, ends: bool = True) -> None:
        """Send sequences back to back and compare with the steps that the oracle expects."""
        for sequence in sequences:
            self.source.send(*beats(sequence, ends=ends))
        await self.finish(steps)

    async def finish(self, steps: Sequence[Step]) -> None:
        """Wait until everything sent has come through, and compare it."""
        await self.wait_idle()
        self.check(steps)

    def check(self, steps: Sequence[Step]) -> None:
        packets, at = self._take_packets(), 0
        assert len(packets) == len(steps)
        for number, (step, packet) in enumerate(zip(steps, packets, strict=True)):
            for l, expected in enumerate(step.units):
                units = {source: values for source, *values in self.updates[at : at + len(expected)]}
                assert units == {u: list(values) for u, values in expected.items()}, f"step {number}, layer {l}"
                at += len(expected)
            assert sorted(packet[0]) == (sorted(step.outputs.items()) or [(NULL_INDEX, 0)]), f"step {number}"
            assert packet[1] == step.ending, f"step {number}"
        assert at == len(self.updates)
        wanted = []
        for step in steps if self.config.counters else ():
            spare = [0] * (self.config.groups - len(step.events))
            wanted.append((step.events + spare, step.macs + spare))
        assert self.records == wanted
        self.updates.clear()
        self.records.clear()

    def _take_packets(self) -> list[tuple[list[tuple[int, int]], bool]]:
        """Return the values of each step, and whether it ended a sequence."""
        packets, values = [], []
        for item in self.sink.received:
            values.append((item.index, item.value))
            assert item.last or not item.user
            if item.last:
                packets.append((values, bool(item.user)))
                values = []
        assert not values, "the last packet has no end"
        self.sink.received.clear()
        return packets

    async def counters(self) -> dict[str, int]:
        """Return all counters by name; none where none are built."""
        values = {}
        for name, index in counter_map(self.config).items() if self.config.counters else ():
            self.pins.set(counter_select=index)
            for _ in range(Counters.LATENCY + 1):
                await self.pins.cycle()
            values[name] = self.pins.get("counter")
        return values

    async def read_states(self, compiled: Compiled | CompiledStream) -> dict[int, tuple[int, int]]:
        """Return (h, fires) of each unit by its source."""
        states = {}
        for cell, address, source in unit_places(compiled):
            self.pins.set(cell_select=cell, unit_select=address)
            for _ in range(STATE_LATENCY + 1):
                await self.pins.cycle()
            state = self.pins.get("state")
            states[source] = state.h, state.fires
        return states

    async def restore(self, compiled: Compiled | CompiledStream, h: dict[int, int], y: dict[int, int]) -> None:
        """Write the state of every unit: h through the load port, y as events."""
        for cell, address, source in unit_places(compiled):
            await self.write([LoadKind.STATE.value << 24 | cell << 16 | 1, address, h[source] & 0xFFFF])
        self.source.send(*(beat(source | RESTORE_FLAG, value) for source, value in y.items() if value))
        await self.source.wait()


def unit_places(compiled: Compiled | CompiledStream) -> list[tuple[int, int, int]]:
    """Return cell unit, unit address and source of every EGRU unit."""
    image = compiled.image
    first, count = compiled.network.inputs, sum(layer.units for layer in compiled.network.layers)
    return [
        (cell, address, int(image.identity[cell, address]))
        for cell, address in np.argwhere(image.present).tolist()
        if address >> image_lane_bits(compiled) < readout_base(compiled)
        and first <= image.identity[cell, address] < first + count
    ]


def image_lane_bits(compiled: Compiled | CompiledStream) -> int:
    return (compiled.placement.lanes // compiled.image.present.shape[0] - 1).bit_length()


def readout_base(compiled: Compiled | CompiledStream) -> int:
    """Return the first row of the readout, or the number of rows without one."""
    image = compiled.image
    return image.layers[-1].base if image.readout else image.row_count

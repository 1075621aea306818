"""The compact loader: what an image stands for, a word every other cycle; faults told as the other one does."""

import random

import cocotb

from golden.fixed import SHIFT_GUARD
from hw.compact.lane import Place, directory_base
from hw.compact.loader import CompactLoader
from hw.config import CoreConfig
from hw.errors import Error
from hw.load_bus import LoadKind
from tests.hw.bench import start
from tests.hw.pins import Pins
from tests.hw.test_loader import BIASES, faults, make_image, records

CONFIG = CoreConfig(
    lanes=4, cell_units=1, rows=16, entries=256, sources=64, layers=3, y_bits=8, value_bits=9, acc_bits=24,
    counters=False, compact=True,
)  # fmt: skip
FAULTS = faults(CONFIG)


def writes_of(words):
    """Return (kind, select, address, data) of every write that an image stands for; of data 16 bits for lists."""
    writes = []
    for _, kind, select, address, data in records(words):
        if kind == LoadKind.DIRECTORY:
            for source, (begin, counts) in enumerate(zip(data[::2], data[1::2], strict=True), address):
                row = directory_base(CONFIG) + 4 * source
                for place, behind in (
                    (Place.START, 0), (Place.MIDDLE, counts & 0xFFFF), (Place.STOP, counts >> 16)
                ):  # fmt: skip
                    writes.append((kind, select, row + place.value, begin + behind))
        elif kind == LoadKind.LAYER:
            writes += [(kind, select, 2 * select, data[1] & 0xFFFF), (kind, select, 2 * select + 1, data[1] >> 16)]
        elif kind in (LoadKind.ENTRY, LoadKind.UNIT, LoadKind.STATE, *BIASES):
            writes += [(kind, select, at, word) for at, word in enumerate(data, address)]
    return writes


class Bench:
    def __init__(self, dut):
        self.pins = Pins(dut, CompactLoader(CONFIG))
        self.writes, self.errors, self.states_written = [], [], 0

    async def send(self, words, *, gaps=0.0):
        for word in words:
            while random.random() < gaps:
                await self._cycle(None)
            await self._cycle(word)
            assert self.pins.get("i__ready")
            await self._cycle(None)

    async def _cycle(self, word):
        # What stands at the input while it is not valid must not matter.
        payload = random.getrandbits(32) if word is None else word
        await self.pins.cycle(i__valid=word is not None, i__payload=payload)
        write = self.pins.get("write")
        if write.valid:
            short = LoadKind(write.kind) in (LoadKind.DIRECTORY, LoadKind.LAYER)
            data = write.data & 0xFFFF if short else write.data
            self.writes.append((LoadKind(write.kind), write.select, write.address, data))
        self.states_written += self.pins.get("state_written")
        if (error := Error(self.pins.get("error"))) != Error.NONE:
            self.errors.append((error, self.pins.get("detail")))

    async def restart(self):
        await self.pins.cycle(i__valid=0, restart=1)
        await self.pins.cycle(restart=0)
        self.writes, self.errors = [], []

    async def loads(self, words):
        await self.send(words)
        assert self.pins.get("loaded") and not self.errors
        assert self.writes == writes_of(words)
        self.writes = []


async def begin(dut):
    bench = Bench(dut)
    await start(dut)
    return bench


@cocotb.test()
@cocotb.parametrize(outputs=(3, None), gaps=(0.0, 0.5))
async def writes_what_an_image_says(dut, outputs, gaps):
    bench = await begin(dut)
    compiled, words = make_image(outputs=outputs, config=CONFIG)
    await bench.send(words[:-1], gaps=gaps)
    assert not bench.pins.get("loaded")
    await bench.send(words[-1:])
    assert bench.pins.get("loaded") and not bench.errors
    assert bench.writes == writes_of(words)

    network, image = bench.pins.get("network"), compiled.image
    assert (network.inputs, network.layer_count, network.readout) == (image.inputs, len(image.layers), image.readout)
    assert network.output_base == image.layers[-2 if image.readout else -1].first_source
    assert network.units_end == image.count.shape[1]
    for l, place in enumerate(image.layers):
        layer = network.layers[l]
        assert (layer.base, layer.rows, layer.source) == (place.base, place.rows, place.first_source)
        rows = [data for kind, select, _, data in bench.writes if (kind, select) == (LoadKind.LAYER, l)]
        shifts = [row >> 8 * half & 31 for row in rows for half in range(2)]
        assert [shift - SHIFT_GUARD for shift in shifts] == list(place.shifts)


@cocotb.test()
async def a_cut_image_never_counts_as_loaded(dut):
    bench = await begin(dut)
    _, words = make_image(config=CONFIG)
    for cut in (1, 2, 3, 6, 20, 50, len(words) // 2, len(words) - 3, len(words) - 1):
        await bench.send(words[:cut])
        assert not bench.pins.get("loaded") and not bench.errors
        await bench.restart()
        await bench.loads(words)


@cocotb.test()
async def a_state_is_written_between_steps_only(dut):
    bench = await begin(dut)
    state = [LoadKind.STATE.value << 24 | 3, 7, 0x8000, 0x7FFF, 5]
    bench.pins.set(idle=1)
    await bench.send(state)
    assert bench.writes == writes_of(state) and bench.states_written == 3 and not bench.errors
    bench.pins.set(idle=0)
    bench.writes = []
    await bench.send(state)
    assert bench.errors == [(Error.BUSY, state[0])] and not bench.writes and bench.states_written == 3


@cocotb.test()
@cocotb.parametrize(fault=list(FAULTS))
async def tells_what_is_wrong_and_writes_no_more(dut, fault):
    words, error, detail, until = FAULTS[fault]
    bench = await begin(dut)
    await bench.send(words[: until - 1])
    assert not bench.errors
    written = len(bench.writes)
    await bench.send(words[until - 1 :])
    assert bench.errors == [(error, detail)]
    assert len(bench.writes) == written and not bench.pins.get("loaded")
    await bench.restart()
    await bench.loads(make_image(config=CONFIG)[1])


def test_loader(simulate):
    simulate(CompactLoader(CONFIG))

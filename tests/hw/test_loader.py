"""Loader: every record becomes the writes it stands for; every way in which an image can be wrong is told apart."""

import random
import zlib

import cocotb
import numpy as np

from golden.fanout import compile
from hw.config import CoreConfig
from hw.errors import Error
from hw.load_bus import LoadKind
from hw.loader import Loader
from tests.hw.bench import packed_directory_word, start
from tests.hw.pins import Pins
from tests.networks import random_fixed_network

CONFIG = CoreConfig(
    lanes=4, cell_units=2, queue_depth=8, rows=16, entries=256, sources=64, layers=3, y_bits=8, value_bits=9,
    acc_bits=24,
)  # fmt: skip
BIASES = (LoadKind.BIAS, LoadKind.BIAS_Z, LoadKind.BIAS_R, LoadKind.BIAS_GH)


def make_image(seed=0, outputs=3, config=CONFIG):
    rng = np.random.default_rng(seed)
    network = random_fixed_network(rng, inputs=5, layers=[9, 6], outputs=outputs, weight_density=0.5)
    compiled = compile(network, config.capacity)
    return compiled, [int(word) for word in compiled.words]


def records(words):
    """Return (position, kind, select, address, data) of each record."""
    at, result = 0, []
    while at < len(words):
        count = words[at] & 0xFFFF
        kind = LoadKind(words[at] >> 24)
        result.append((at, kind, words[at] >> 16 & 0xFF, words[at + 1], words[at + 2 : at + 2 + count]))
        at += 2 + count
    return result


def writes_of(words):
    """Return (kind, select, address, data) of every write that an image stands for."""
    writes = []
    for _, kind, select, address, data in records(words):
        if kind == LoadKind.DIRECTORY:
            for source, (low, counts) in enumerate(zip(data[::2], data[1::2], strict=True), address):
                forward, count = counts & 0xFFFF, counts >> 16
                word = packed_directory_word(CONFIG, low, forward, count)
                writes.append((kind, select, source, word))
        elif kind in (LoadKind.ENTRY, LoadKind.UNIT, LoadKind.STATE, *BIASES):
            writes += [(kind, select, at, word) for at, word in enumerate(data, address)]
    return writes


class Bench:
    def __init__(self, dut):
        self.pins = Pins(dut, Loader(CONFIG))
        self.writes, self.errors, self.states_written = [], [], 0

    async def send(self, words, *, gaps=0.0):
        """Send words and wait for what the last one causes."""
        for word in [*words, *(None,) * 4]:
            while random.random() < gaps:
                await self._cycle(None)
            await self._cycle(word)

    async def _cycle(self, word):
        await self.pins.cycle(i__valid=word is not None, i__payload=word or 0)
        assert self.pins.get("i__ready")
        write = self.pins.get("write")
        if write.valid:
            self.writes.append((LoadKind(write.kind), write.select, write.address, write.data))
        self.states_written += self.pins.get("state_written")
        if (error := Error(self.pins.get("error"))) != Error.NONE:
            self.errors.append((error, self.pins.get("detail")))

    async def restart(self):
        await self.pins.cycle(i__valid=0, restart=1)
        await self.pins.cycle(restart=0)
        self.writes, self.errors = [], []

    async def loads(self, words):
        """Check that an image loads whole."""
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
    compiled, words = make_image(outputs=outputs)
    await bench.send(words[:-1], gaps=gaps)
    assert not bench.pins.get("loaded")
    await bench.send(words[-1:])
    assert bench.pins.get("loaded") and not bench.errors
    assert bench.writes == writes_of(words)

    network, image = bench.pins.get("network"), compiled.image
    assert (network.inputs, network.layer_count, network.readout) == (image.inputs, len(image.layers), image.readout)
    assert (network.rows, network.outputs) == (image.row_count, image.layers[-1].units)
    assert network.output_base == image.layers[-2 if image.readout else -1].first_source
    for l, place in enumerate(image.layers):
        layer = network.layers[l]
        assert (layer.base, layer.rows) == (place.base, place.rows)
        assert (layer.source, layer.units) == (place.first_source, place.units)
        assert [layer.shifts[gate] - 4 for gate in range(4)] == list(place.shifts)


@cocotb.test()
async def loads_one_image_after_the_other(dut):
    """``loaded`` falls with the first word of the next and rises with its last."""
    bench = await begin(dut)
    for seed in range(3):
        _, words = make_image(seed)
        await bench.send(words[:1])
        assert not bench.pins.get("loaded")
        await bench.send(words[1:])
        assert bench.pins.get("loaded") and not bench.errors
        assert bench.writes == writes_of(words)
        bench.writes = []


@cocotb.test()
async def a_cut_image_never_counts_as_loaded(dut):
    """Cut anywhere; after a restart a whole one loads."""
    bench = await begin(dut)
    _, words = make_image()
    for cut in (1, 2, 3, 6, 20, 50, len(words) // 2, len(words) - 3, len(words) - 1):
        await bench.send(words[:cut])
        assert not bench.pins.get("loaded") and not bench.errors
        await bench.restart()
        await bench.loads(words)


@cocotb.test()
async def a_restart_forgets_a_record_but_not_the_network(dut):
    bench = await begin(dut)
    _, words = make_image()
    await bench.loads(words)
    await bench.send([LoadKind.STATE.value << 24 | 5, 0, 1, 2])
    await bench.restart()
    assert bench.pins.get("loaded")
    await bench.send([LoadKind.ENTRY.value << 24 | 1, 0, 0])
    assert bench.errors[0][0] == Error.LOAD_ORDER and not bench.writes


@cocotb.test()
async def a_state_is_written_between_steps_only(dut):
    bench = await begin(dut)
    state = [LoadKind.STATE.value << 24 | 1 << 16 | 3, 7, 0x8000, 0x7FFF, 5]
    bench.pins.set(idle=1)
    await bench.send(state)
    assert bench.writes == writes_of(state) and bench.states_written == 3 and not bench.errors
    bench.pins.set(idle=0)
    bench.writes = []
    await bench.send(state)
    assert bench.errors == [(Error.BUSY, state[0])] and not bench.writes and bench.states_written == 3


def change(words, kind, word, value, select=None):
    """Return an image with one data word of the first record of a kind, or its select, changed; and its position."""
    position = next(at for at, k, _, _, _ in records(words) if k == kind)
    changed = list(words)
    if select is not None:
        changed[position] = changed[position] & ~0xFF0000 | select << 16
    if word is not None:
        changed[position + 2 + word] = value
    return changed, position


def faults(config=CONFIG):
    """Return name -> (words, error, detail, words until the error)."""
    _, words = make_image(config=config)
    cases = {}

    def data(name, kind, word, value, error, detail=None):
        changed, position = change(words, kind, word, value)
        cases[name] = changed, error, value if detail is None else detail, position + 3 + word

    data("magic", LoadKind.BEGIN, 0, 0x12345678, Error.LOAD_ORDER)
    data("version", LoadKind.BEGIN, 1, 2, Error.LOAD_ORDER)
    data("configuration", LoadKind.BEGIN, 2, config.config_id ^ 1, Error.LOAD_CONFIG)
    data("width of sums", LoadKind.BEGIN, 3, config.acc_bits + 1, Error.LOAD_CAPACITY)
    limits = {
        "inputs": config.sources, "layers": config.layers, "readout": 1, "rows": config.rows,
        "output base": config.sources, "outputs": 65535,
    }  # fmt: skip
    for word, (name, limit) in enumerate(limits.items()):
        data(f"{name} too many", LoadKind.NETWORK, word, limit + 1, Error.LOAD_CAPACITY)
        if name != "readout":
            data(f"{name} none", LoadKind.NETWORK, word, 0, Error.LOAD_CAPACITY)
    data("rows of a layer", LoadKind.LAYER, 0, 10 | 7 << 16, Error.LOAD_CAPACITY)
    data("a layer without rows", LoadKind.LAYER, 0, 0, Error.LOAD_CAPACITY)
    data("row of an entry", LoadKind.ENTRY, 0, config.rows << 10, Error.LOAD_RANGE, 0)

    def header(name, kind, select, error, detail, until):
        changed, position = change(words, kind, None, None, select)
        cases[name] = changed, error, detail, position + until

    header("layer", LoadKind.LAYER, config.layers, Error.LOAD_RANGE, config.layers, 3)
    header("lane of a directory", LoadKind.DIRECTORY, config.lanes, Error.LOAD_RANGE, 0, 4)
    header("lane of an entry", LoadKind.ENTRY, config.lanes, Error.LOAD_RANGE, 0, 3)
    header("cell unit", LoadKind.UNIT, config.cell_units, Error.LOAD_RANGE, 0, 3)
    header("cell unit of a bias", LoadKind.BIAS_GH, config.cell_units, Error.LOAD_RANGE, 0, 3)

    for kind, limit, words_each in (
        (LoadKind.DIRECTORY, config.sources, 2), (LoadKind.ENTRY, config.entries, 1),
        (LoadKind.UNIT, config.rows << config.lane_bits, 1), (LoadKind.BIAS_Z, config.rows << config.lane_bits, 1),
    ):  # fmt: skip
        position = next(at for at, k, _, _, data in records(words) if k == kind and len(data) > words_each)
        for name, rows_inside in ("address", 0), ("end", 1):
            changed = list(words)
            changed[position + 1] = limit - rows_inside
            until = position + 2 + (1 + rows_inside) * words_each
            cases[f"{name} of {kind.name}"] = changed, Error.LOAD_RANGE, limit, until

    for name, word in (("kind 7", 7 << 24 | 1), ("kind 0", 1), ("kind 77", 77 << 24 | 1), ("no data", 5 << 24)):
        at = records(words)[5][0]
        until = at + (3 if word >> 28 == 0 and word & 0xFFFF else 1)
        detail = word if until == at + 1 else (word >> 24 << 24 | 99)
        cases[name] = [*words[:at], word, 0, 99], Error.LOAD_KIND, detail, until
    cases["no beginning"] = words[6:], Error.LOAD_ORDER, words[6], 1
    damaged = list(words)
    damaged[-20] ^= 1
    computed = zlib.crc32(np.array(damaged[:-3], "<u4").tobytes())
    cases["checksum"] = damaged, Error.LOAD_CHECKSUM, computed, len(words)
    return cases


FAULTS = faults()


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
    await bench.loads(make_image()[1])


def test_loader(simulate):
    simulate(Loader(CONFIG))

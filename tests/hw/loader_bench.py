"""What tests of both loaders share: images, all that may be wrong with one, and what a loader makes of either."""

import random
import zlib

import numpy as np

from golden.fanout import compile
from hw.errors import Error
from hw.load_bus import LoadKind
from tests.hw.bench import start
from tests.hw.pins import Pins
from tests.networks import random_fixed_network

BIASES = (LoadKind.BIAS, LoadKind.BIAS_Z, LoadKind.BIAS_R, LoadKind.BIAS_GH)


def make_image(config, *, seed=0, outputs=3):
    """Return a network compiled for a core, and the words of its image."""
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


def change(words, kind, word, value, select=None):
    """Return an image with one data word of the first record of a kind, or its select, changed; and its position."""
    position = next(at for at, k, _, _, _ in records(words) if k == kind)
    changed = list(words)
    if select is not None:
        changed[position] = changed[position] & ~0xFF0000 | select << 16
    if word is not None:
        changed[position + 2 + word] = value
    return changed, position


def faults(config):
    """Return name -> (words, error, detail, words until the error)."""
    _, words = make_image(config)
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


class LoaderBench:
    """Sends words to a loader and keeps what it writes and tells; with the clock running, from :meth:`begin`.

    Parameters
    ----------
    loader : wiring.Component
        As it was built.
    writes_of : callable
        Returns (kind, select, address, data) of every write that the words of an image stand for.
    pause, after : int
        Cycles without a word after each one, and after the last one, until all that it causes is there.
    halves : collection of LoadKind
        Kinds of which the lower 16 bits of the data count.
    """

    def __init__(self, dut, loader, writes_of, *, pause=0, after=0, halves=()):
        self.pins = Pins(dut, loader)
        self.writes, self.errors, self.states_written = [], [], 0
        self._writes_of, self._pause, self._after, self._halves = writes_of, pause, after, halves

    @classmethod
    async def begin(cls, dut, *arguments, **options):
        bench = cls(dut, *arguments, **options)
        await start(dut)
        return bench

    async def send(self, words, *, gaps=0.0):
        """Send words and wait for what the last one causes."""
        for word in words:
            while random.random() < gaps:
                await self._cycle(None)
            await self._cycle(word)
            for _ in range(self._pause):
                await self._cycle(None, pause=True)
        for _ in range(self._after):
            await self._cycle(None)

    async def _cycle(self, word, *, pause=False):
        # What stands at the input while it is not valid must not matter.
        payload = random.getrandbits(32) if word is None else word
        await self.pins.cycle(i__valid=word is not None, i__payload=payload)
        assert pause or self.pins.get("i__ready")
        write = self.pins.get("write")
        if write.valid:
            kind = LoadKind(write.kind)
            data = write.data & 0xFFFF if kind in self._halves else write.data
            self.writes.append((kind, write.select, write.address, data))
        self.states_written += self.pins.get("state_written")
        if (error := Error(self.pins.get("error"))) != Error.NONE:
            self.errors.append((error, self.pins.get("detail")))

    async def restart(self):
        await self.pins.cycle(i__valid=0, restart=1)
        await self.pins.cycle(restart=0)
        self.writes, self.errors = [], []

    def wrote(self, words):
        """Check that so far all writes of these words came, and nothing else; then forget them."""
        assert self.writes == self._writes_of(words) and not self.errors
        self.writes = []

    async def loads(self, words, *, gaps=0.0):
        """Check that an image loads whole, with its last word."""
        await self.send(words[:-1], gaps=gaps)
        assert not self.pins.get("loaded")
        await self.send(words[-1:])
        assert self.pins.get("loaded")
        self.wrote(words)

    async def loads_after_any_cut(self, words):
        """Check that an image that ends anywhere does not count, and that after a restart the whole one loads."""
        for cut in (1, 2, 3, 6, 20, 50, len(words) // 2, len(words) - 3, len(words) - 1):
            await self.send(words[:cut])
            assert not self.pins.get("loaded") and not self.errors
            await self.restart()
            await self.loads(words)

    async def writes_states_between_steps_only(self, select):
        """Check that states are written while the core is idle, and refused while it is not."""
        state = [LoadKind.STATE.value << 24 | select << 16 | 3, 7, 0x8000, 0x7FFF, 5]
        self.pins.set(idle=1)
        await self.send(state)
        self.wrote(state)
        assert self.states_written == 3
        self.pins.set(idle=0)
        await self.send(state)
        assert self.errors == [(Error.BUSY, state[0])] and not self.writes and self.states_written == 3

    async def tells(self, words, error, detail, until):
        """Check that a wrong image is refused with the word that says so, and nothing is written from there on."""
        await self.send(words[: until - 1])
        assert not self.errors
        written = len(self.writes)
        await self.send(words[until - 1 :])
        assert self.errors == [(error, detail)]
        assert len(self.writes) == written and not self.pins.get("loaded")
        await self.restart()

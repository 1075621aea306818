"""A transport whose other end is the device's twin, and a core for it that answers steps without computing much."""

from __future__ import annotations

import random
from collections.abc import Callable

from firmware.register_access import MAGIC
from firmware.register_map import described
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.config import CoreConfig
from tests.firmware.device import Core, Device

CONFIG = CoreConfig()
REGISTERS = described()
ADDRESS = {name: register.address for name, register in REGISTERS.items()}
END_OF_IMAGE = 0x0F0F0F0F
COUNTERS = 1 << 40  #: the value of counter 0


class StepCore(Core):
    """Answer a step by its events, doubled; a network is loaded when END_OF_IMAGE was written.

    Parameters
    ----------
    copies : int
        How often each event is answered.
    depth : int
        Outputs that may wait before no input is taken any more.
    """

    def __init__(self, *, copies: int = 1, depth: int = 1 << 30):
        super().__init__()
        self.copies, self.depth = copies, depth
        self.image: list[int] = []
        self.resets = self.error = self.detail = self.loaded = 0
        self._step: list[tuple[int, int]] = []
        for name in ("control", "load_data", "counter_select"):
            self.registers[ADDRESS[name]] = 0
        self.read_only |= {ADDRESS["magic"]: MAGIC, ADDRESS["version"]: 0x0007_0001, ADDRESS["config_id"]: 0x12345678}
        for name in ("lanes", "rows", "entries", "widths", "lists"):
            values = ((field, getattr(CONFIG, field.name)) for field in REGISTERS[name].fields)
            self.read_only[ADDRESS[name]] = sum(value << field.low for field, value in values)

    def write(self, address: int, word: int) -> bool:
        if address == ADDRESS["control"] and word & 1:
            self.resets += 1
            self.error = 0
            self.image.clear()
            self._step.clear()
            word &= ~1
        if address == ADDRESS["load_data"]:
            self.image.append(word)
            self.loaded = word == END_OF_IMAGE
        return super().write(address, word)

    def read(self, address: int) -> int | None:
        selected = self.registers[ADDRESS["counter_select"]] & 0xFFFF
        changing = {
            ADDRESS["status"]: self.loaded | (not self.waiting) << 1 | (self.error != 0) << 2,
            ADDRESS["error"]: self.error,
            ADDRESS["error_detail"]: self.detail,
            ADDRESS["counter_select"]: selected | 64 << 16,
            ADDRESS["counter_low"]: COUNTERS + selected & 0xFFFFFFFF,
            ADDRESS["counter_high"]: COUNTERS + selected >> 32,
        }
        return changing.get(address, super().read(address))

    def send(self, beat: tuple[int, int], last: bool, user: bool) -> bool:
        if len(self.waiting) >= self.depth or not super().send(beat, last, user):
            return False
        if beat[0] != BUS_NULL_INDEX:
            self._step += [(beat[0], 2 * beat[1])] * self.copies
        if last:
            beats = self._step or [(BUS_NULL_INDEX, 0)]
            self.waiting += [(*each, k == len(beats), user) for k, each in enumerate(beats, 1)]
            self._step = []
        return True


class TwinPort:
    """A transport to a device's twin; what comes back comes in pieces of any size."""

    def __init__(self, core: Core, *, capacity: int = 127, noise: Callable[[bytes], bytes] = bytes, seed: int = 0):
        self.device = Device(core, capacity=capacity)
        self.written = 0  #: frames
        self._noise, self._rng = noise, random.Random(seed)
        self._waiting = b""

    def write(self, data: bytes) -> None:
        self.written += 1
        self._waiting += self._noise(self.device.receive(self._noise(data)))

    def read(self, count: int, timeout: float) -> bytes:
        count = self._rng.randint(1, count)
        data, self._waiting = self._waiting[:count], self._waiting[count:]
        return data

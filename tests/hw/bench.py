"""What cocotb tests share: clock and reset, stream sources and sinks with random stalls, payloads as integers."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cocotb
from amaranth.hdl import Const, Shape, ShapeCastable, ShapeLike
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

warnings.simplefilter("error")
# The AXI masters are written for an older cocotb.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"cocotb(ext|_bus)\.")

PERIOD = 10  # ns
CYCLES_MAX = 1_000_000  #: of a test
STALLS = (0.0, 0.2, 0.7)  #: shares of stalled cycles that every stream should be tried with


def packer(shape: ShapeLike) -> Callable[[Any], int]:
    """Return the function that :func:`pack` is for one shape; much faster when used often."""
    if isinstance(shape, data.Layout):
        parts = {name: (field.offset, packer(field.shape)) for name, field in shape}

        def pack_fields(value):
            if isinstance(value, data.Const):
                return value.as_bits()
            bits = 0
            for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
                offset, pack_item = parts[name]
                bits |= pack_item(item) << offset
            return bits

        return pack_fields
    if isinstance(shape, ShapeCastable):
        mask = (1 << Shape.cast(shape).width) - 1
        return lambda value: Const.cast(shape.const(value)).value & mask
    cast = Shape.cast(shape)
    low, mask = -(1 << cast.width - 1) if cast.signed else 0, (1 << cast.width) - 1

    def pack_int(value):
        if not low <= value <= low + mask:
            raise ValueError(f"{value} does not fit {shape!r}")
        return int(value) & mask

    return pack_int


def pack(shape: ShapeLike, value: Any) -> int:
    """Return the bits of a payload: an int, an enum member, or a mapping (nested as the layout is) of its fields.

    Fields that are left out are 0.
    """
    return packer(shape)(value)


def unpacker(shape: ShapeLike) -> Callable[[int], Any]:
    """Return the function that :func:`unpack` is for one shape."""
    if isinstance(shape, ShapeCastable):
        return shape.from_bits
    cast = Shape.cast(shape)
    top, span = 1 << cast.width - 1 if cast.signed else 1 << cast.width, 1 << cast.width
    return lambda bits: bits - span if bits >= top else bits


def unpack(shape: ShapeLike, bits: int) -> Any:
    """Return the payload that bits stand for: an int, an enum member, or a struct with its fields as attributes."""
    return unpacker(shape)(bits)


def fields(payload: Any) -> dict[str, Any]:
    """Return the fields of an unpacked struct by name."""
    return {name: payload[name] for name, _ in payload.shape()}


async def start(dut, *, idle: Iterable[str] = ()) -> None:
    """Start the clock, set the inputs named ``idle`` to 0, and reset for two cycles.

    A test that does not end in ``CYCLES_MAX`` fails: what hangs is not to hang all other tests.
    """
    cocotb.start_soon(Clock(dut.clk, PERIOD, "ns").start())
    cocotb.start_soon(_watch())
    for name in idle:
        getattr(dut, name).value = 0
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


async def _watch() -> None:
    await Timer(CYCLES_MAX * PERIOD, "ns")
    raise AssertionError(f"the test did not end in {CYCLES_MAX:,} cycles")


class StreamSource:
    """Send payloads to the input stream ``name`` of a design, each cycle stalled with probability ``stall``.

    Once valid is high it and the payload stay until ready, as the protocol wants. ``stall`` may be changed at any time.
    """

    def __init__(self, dut, name: str, shape: ShapeLike, *, stall: float = 0.0, rng: random.Random | None = None):
        self.stall, self._pack = stall, packer(shape)
        self.sent = 0  #: payloads accepted
        self._rng = rng or random.Random(random.random())
        self._queue: list[int] = []
        self._dropping = False
        self._clock = dut.clk
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._valid.value = 0
        self._payload.value = 0
        cocotb.start_soon(self._run())

    def send(self, *payloads: Any) -> None:
        """Queue payloads; see :func:`pack`."""
        self._queue += map(self._pack, payloads)

    async def drop(self) -> None:
        """Withdraw everything that was not accepted, as who resets the design does."""
        self._dropping = True
        await RisingEdge(self._clock)

    @property
    def sent_all(self) -> bool:
        return not self._queue

    async def wait(self, *, timeout: int = 100_000) -> None:
        """Wait until everything queued was accepted."""
        await wait_until(self._clock, lambda: self.sent_all, timeout=timeout)

    async def _run(self) -> None:
        valid = False
        while True:
            await RisingEdge(self._clock)
            if valid and self._ready.value:
                self._queue.pop(0)
                self.sent += 1
                valid = False
                self._valid.value = 0
            if self._dropping:
                self._queue.clear()
                self._dropping = valid = False
                self._valid.value = 0
            if not valid and self._queue and self._rng.random() >= self.stall:
                valid = True
                self._payload.value = self._queue[0]
                self._valid.value = 1


class StreamSink:
    """Receive the output stream ``name`` of a design, each cycle stalled with probability ``stall``.

    Checks the protocol: valid, once high, stays, and the payload with it, until ready.
    """

    def __init__(self, dut, name: str, shape: ShapeLike, *, stall: float = 0.0, rng: random.Random | None = None):
        self.stall, self.name, self._unpack = stall, name, unpacker(shape)
        self.received: list[Any] = []  #: payloads, unpacked
        self._rng = rng or random.Random(random.random())
        self._clock, self._reset = dut.clk, dut.rst
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._ready.value = 0
        cocotb.start_soon(self._run())

    async def receive(self, count: int, *, timeout: int = 100_000) -> list[Any]:
        """Wait for ``count`` payloads beyond those taken before, and take them."""
        await wait_until(self._clock, lambda: len(self.received) >= count, timeout=timeout)
        taken, self.received[:] = self.received[:count], self.received[count:]
        return taken

    async def _run(self) -> None:
        ready, waiting = False, None
        while True:
            await RisingEdge(self._clock)
            if self._reset.value:
                waiting = None
            elif self._valid.value:
                bits = int(self._payload.value)
                assert waiting in (None, bits), f"{self.name}: {waiting:#x} became {bits:#x} while stalled"
                waiting = None if ready else bits
                if ready:
                    self.received.append(self._unpack(bits))
            else:
                assert waiting is None, f"{self.name}: valid fell while stalled"
            ready = self._rng.random() >= self.stall
            self._ready.value = ready


async def wait_until(clock, condition: Callable[[], bool], *, timeout: int = 100_000) -> None:
    """Wait until a condition holds after a rising edge; fail after ``timeout`` cycles."""
    for _ in range(timeout):
        if condition():
            return
        await RisingEdge(clock)
    raise AssertionError(f"nothing happened for {timeout} cycles")


def directory_word(config, start: int, forward: int, count: int) -> dict[str, int]:
    """Return the fields of :class:`hw.directory.DirectoryWord` for a list of ``count`` entries."""
    middle, stop = (start + forward) % (1 << config.entry_bits), (start + count) % (1 << config.offset_bits)
    return {
        "start": start, "middle": middle, "stop": stop,
        "has_forward": int(forward > 0), "has_recurrent": int(count > forward),
    }  # fmt: skip


def packed_directory_word(config, start: int, forward: int, count: int) -> int:
    """Return the same as a number, as it travels on the load bus."""
    widths = (config.entry_bits, config.entry_bits, config.offset_bits, 1, 1)
    word, at = 0, 0
    for value, width in zip(directory_word(config, start, forward, count).values(), widths, strict=True):
        word |= value << at
        at += width
    return word

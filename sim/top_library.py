"""The whole ``egret.v``, compiled by Verilator, and the C driver in front of it, as one library.

    with Device(build.config) as device:
        device.load(build.compiled.words)
        outputs, ends = device.run_step([(3, 12), (7, -5)], ENDS_STEP)

The library is compiled once for each configuration and kept in ``build/sim``.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from firmware.driver_size import DRIVER, STRICT
from hw.bus.registers import DESCRIPTION
from hw.config import CoreConfig
from hw.emit import emit
from hw.top import Top
from sim.native import CACHE, kept
from sim.verilate import FLAGS, hardware, identity, run_tool, verilator_command

HARNESS = Path(__file__).parent / "harness" / "top.cpp"
GOES_ON, ENDS_STEP, ENDS_SEQUENCE = range(3)  #: ``enum egret_mark``
NULL_INDEX = 0xFFFFFFFF
POLLS = 10_000
OK = 0
LAYERS_MAX = 15


class DriverError(RuntimeError):
    """A call of the driver that returned no EGRET_OK; ``result`` is what it returned."""

    def __init__(self, call: str, result: int, text: str):
        super().__init__(f"{call}: {text}")
        self.result = result


class Port(ctypes.Structure):
    _fields_ = [("context", ctypes.c_void_p)] + [(name, ctypes.c_void_p) for name in ("read", "write", "send", "take")]


class CoreFields(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("config_id", "entries", "rows", "sources", "lists")),
        ("counters", ctypes.c_uint16),
        *((name, ctypes.c_uint8) for name in ("lanes", "cell_units", "layers", "value_bits", "y_bits", "acc_bits")),
        *((name, ctypes.c_uint8) for name in ("lanes_per_cell", "lane_bits")),
    ]


class Layer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint16) for name in ("base", "rows", "source", "units")]


class Network(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("inputs", "units", "outputs", "rows", "list_beats", "checksum")),
        ("units_at", ctypes.c_size_t), ("layers", ctypes.c_uint8), ("readout", ctypes.c_bool),
        ("layer", Layer * LAYERS_MAX),
    ]  # fmt: skip


class Egret(ctypes.Structure):
    _fields_ = [
        ("port", Port), ("core", CoreFields), ("network", Network),
        *((name, ctypes.c_uint32) for name in ("polls", "window_beats", "steps", "received")),
        ("loaded", ctypes.c_bool), ("sending", ctypes.c_bool),
    ]  # fmt: skip


class Event(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32), ("value", ctypes.c_int32)]


class StepFound(ctypes.Structure):
    _fields_ = [("count", ctypes.c_uint32), ("ends_sequence", ctypes.c_bool)]


class Fault(ctypes.Structure):
    _fields_ = [("error", ctypes.c_int), ("detail", ctypes.c_uint32)]


#: ``struct egret_state``.
STATE = np.dtype({"names": ["h", "fires"], "formats": ["<i2", "?"], "offsets": [0, 2], "itemsize": 4})


def driver_sources() -> list[Path]:
    return sorted(DRIVER.glob("*.c"))


def compile_top(config: CoreConfig) -> Path:
    """Return the library, compiled unless it is there."""

    def build(work: Path) -> Path:
        model, built = work / "model", work / "top.so"
        (work / "egret.v").write_text(emit(Top(config), "egret"))
        (work / "top_bits.h").write_text(
            f"#define EGRET_STREAMED {config.streamed:d}\nconstexpr int kPortBits = {config.port_bits};\n"
        )
        command, environment = verilator_command()
        flags = [flag for flag in FLAGS if flag != "--exe"]
        run_tool(
            [*command, *flags, "-CFLAGS", "-fPIC", "--top-module", "egret", "--Mdir", str(model),
             str(work / "egret.v")],
            environment,
        )  # fmt: skip
        # As part of a library that Python loads, undefined behaviour can be caught, but not accesses outside.
        objects = [work / f"{source.stem}.o" for source in driver_sources()]
        for source, made in zip(driver_sources(), objects, strict=True):
            run_tool(
                ["gcc", *STRICT, "-O1", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all", "-c", str(source),
                 "-o", str(made)],
                environment,
            )  # fmt: skip
        include = Path(environment["VERILATOR_ROOT"]) / "include"
        folders = [f"-I{folder}" for folder in (work, model, DRIVER)]
        run_tool(
            ["g++", "-std=c++17", "-O2", "-fPIC", "-shared", *folders, f"-isystem{include}", str(HARNESS),
             *map(str, objects), str(model / "libVegret.a"), str(model / "libverilated.a"), "-lubsan",
             "-o", str(built)],
            environment,
        )  # fmt: skip
        return built

    files = (*hardware(), DESCRIPTION, HARNESS, Path(__file__), *driver_sources(), *sorted(DRIVER.glob("*.h")))
    return kept(CACHE / f"top-{identity(files, asdict(config))}.so", build)


def open_top(config: CoreConfig) -> ctypes.CDLL:
    """Return the library of a core, compiled if it is not there: ``egret_top_*`` of the harness, and the driver."""
    return _load(compile_top(config))


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.egret_result_text.restype = library.egret_error_text.restype = ctypes.c_char_p
    library.egret_top_cycles.restype = ctypes.c_uint64
    return library


class Device:
    """A simulated core behind the C driver.

    ``egret`` is the driver's own description of core and network, ``image`` the image that it is told is loaded.

    Raises
    ------
    DriverError
        As all methods, if the driver returns anything but EGRET_OK.
    SimulationError
        If the library cannot be built.
    """

    def __init__(self, config: CoreConfig, *, polls: int = POLLS):
        self.library = open_top(config)
        self._port, self.egret = Port(), Egret()
        self.image = np.zeros(0, np.uint32)
        self.library.egret_top_open(ctypes.byref(self._port))
        try:
            self.call("egret_init", ctypes.byref(self._port), ctypes.c_uint32(polls))
        except BaseException:
            self.close()
            raise

    def call(self, name: str, *arguments: object) -> None:
        """Call a function of the driver."""
        result = getattr(self.library, name)(ctypes.byref(self.egret), *arguments)
        if result != OK:
            raise DriverError(name, result, self.library.egret_result_text(result).decode())

    def load(self, words: np.ndarray) -> None:
        """Load a memory image, uint32 (words,)."""
        self.image = np.ascontiguousarray(words, np.uint32)
        self.call("egret_load", *self.array(self.image), None)

    def set_lists(self, base: int, content: bytes) -> None:
        """Put lists into external memory, which is as large as they are, and tell the core."""
        self.fill(base, content)
        self.call("egret_set_window", ctypes.c_uint32(base), ctypes.c_uint32(len(content) // 16))

    def fill(self, base: int, content: bytes) -> None:
        """Give external memory its content; what lies outside answers with an error."""
        self.library.egret_top_fill(
            ctypes.byref(self._port), ctypes.c_uint32(base), content, ctypes.c_size_t(len(content))
        )

    def run_step(self, events: Sequence[tuple[int, int]], mark: int) -> tuple[np.ndarray, StepFound]:
        """Run a step of events (index, value); return its outputs, int32 (outputs,), and what the driver says of it."""
        outputs = np.full(self.egret.network.outputs, -1, np.int32)
        found = StepFound()
        self.call(
            "egret_run_step", self.events(events), ctypes.c_size_t(len(events)), mark, *self.array(outputs),
            ctypes.byref(found),
        )  # fmt: skip
        return outputs, found

    def states(self) -> np.ndarray:
        """Return all states, :data:`STATE` (units,)."""
        states = np.zeros(self.egret.network.units, STATE)
        self.call("egret_read_states", *self.array(self.image), *self.array(states))
        return states

    def restore(self, states: np.ndarray) -> None:
        """Restore all states."""
        self.call("egret_restore_states", *self.array(self.image), *self.array(states))

    def best(self) -> tuple[int, int]:
        """Return index and value of the largest output."""
        best = Event()
        self.call("egret_read_best", ctypes.byref(best))
        return best.index, best.value

    def counter(self, kind: int, which: int = 0) -> int:
        """Return a counter, by its ``enum egret_counter``."""
        number, value = ctypes.c_uint32(), ctypes.c_uint64()
        self.call("egret_counter_number", kind, ctypes.c_uint32(which), ctypes.byref(number))
        self.call("egret_read_counter", number, ctypes.byref(value))
        return value.value

    def fault(self) -> tuple[int, int]:
        """Return the core's error and its detail."""
        fault = Fault()
        self.call("egret_read_fault", ctypes.byref(fault))
        return fault.error, fault.detail

    @staticmethod
    def events(events: Sequence[tuple[int, int]]) -> ctypes.Array[Event]:
        """Return events (index, value) as a function of the driver takes them."""
        return (Event * len(events))(*events)

    @staticmethod
    def array(array: np.ndarray) -> tuple[object, object]:
        """Return an array as a function of the driver takes it: pointer and length."""
        return array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(array))

    @property
    def interrupt(self) -> bool:
        """Whether the interrupt line is high."""
        return bool(self.library.egret_top_interrupt(ctypes.byref(self._port)))

    @property
    def cycles(self) -> int:
        return int(self.library.egret_top_cycles(ctypes.byref(self._port)))

    def close(self) -> None:
        """End the simulation."""
        if self._port.context:
            self.library.egret_top_close(ctypes.byref(self._port))
            self._port.context = None

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

"""The C driver on the host: compilers, sanitizers, cppcheck, size; that it knows what the hardware knows."""

import ctypes
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from firmware.driver_size import DRIVER, FLAGS, LIMIT, STRICT, SizeError, measure, section_sizes
from firmware.framing import Decoder
from golden.image import ImageError, Kind, parse
from hw.config import CoreConfig
from hw.counters import GLOBAL, LANE, counter_map
from hw.errors import Error
from sim import top_library
from tests.firmware.driver_cases import CASES, case_bytes, compile_case
from tests.firmware.fuzz import FuzzError, fuzz_c, fuzz_frames, has_libfuzzer

ROOT = Path(__file__).resolve().parents[2]
HARNESS = Path(__file__).parent / "driver"
SOURCES = sorted(DRIVER.glob("*.c"))
SANITIZERS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
COMPILERS = {"gcc": ["gcc"], "clang": [sys.executable, "-m", "ziglang", "cc"]}  #: this clang is a Python package
#: With sanitizers: the clang of the package has no AddressSanitizer, so one of the system is used where there is one.
SANITIZED = ["gcc", *(["clang"] if shutil.which("clang") else [])]


def compiled(command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The driver as a library, and nothing else."""
    path = tmp_path_factory.mktemp("driver") / "driver.so"
    compiled(["gcc", *STRICT, "-O2", "-shared", "-fPIC", *SOURCES, "-o", path])
    return ctypes.CDLL(str(path))


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_a_warning(compiler, level, tmp_path):
    for source in SOURCES:
        compiled([*COMPILERS[compiler], *STRICT, level, "-c", source, "-o", tmp_path / f"{source.stem}.o"])


def test_header_stands_alone_in_c_and_cpp(tmp_path):
    for name, flags in (("a.c", ["gcc", *STRICT]), ("a.cpp", ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror"])):
        (tmp_path / name).write_text('#include "egret.h"\n')
        compiled([*flags, f"-I{DRIVER}", "-c", tmp_path / name, "-o", tmp_path / "a.o"])


@pytest.mark.parametrize("bound", [[], ['-DEGRET_PORT_HEADER="bound_port.h"']], ids=["pointers", "bound"])
@pytest.mark.parametrize("compiler", SANITIZED)
def test_in_front_of_a_stand_in(compiler, bound, tmp_path):
    """Every function, argument by argument and access by access, under both sanitizers."""
    program = tmp_path / "test_driver"
    compiled([
        compiler, *STRICT, *SANITIZERS, *bound, f"-I{DRIVER}", f"-I{HARNESS}", *SOURCES, HARNESS / "stand_in.c",
        HARNESS / "test_driver.c", "-o", program,
    ])  # fmt: skip
    for name in CASES:
        (tmp_path / name).write_bytes(case_bytes(name))
    for pair in (("chip", "streamed"), ("cells", "dense")):
        said = compiled([program, *(tmp_path / name for name in pair)])
        assert int(re.fullmatch(r"(\d+) checks\n", said)[1]) > 20_000


def test_cppcheck_finds_nothing():
    command = ["--std=c11", "--enable=warning,style,performance,portability", "--error-exitcode=1", "--quiet"]
    compiled([Path(sys.executable).with_name("cppcheck"), *command, "--suppress=missingIncludeSystem", *SOURCES])


def test_size():
    sizes, files = measure()
    assert 0 < sizes[".text"] <= LIMIT
    assert sizes[".data"] == sizes[".bss"] == 0, "no global state"
    assert set(files) == {source.name for source in SOURCES} and sum(files.values()) >= sizes[".text"]


def test_size_of_what_does_not_compile(monkeypatch, tmp_path):
    (tmp_path / "egret.c").write_text("this is no C;\n")
    monkeypatch.setattr("firmware.driver_size.DRIVER", tmp_path)
    with pytest.raises(SizeError, match="the compiler said:\n.*egret.c"):
        measure()


def test_sections_of_an_object(tmp_path):
    (tmp_path / "a.c").write_text("const int table[5] = {1}; int twice(int a) { return 2 * a; }\n")
    compiled([*COMPILERS["clang"], *FLAGS, "-c", tmp_path / "a.c", "-o", tmp_path / "a.o"])
    sizes = section_sizes((tmp_path / "a.o").read_bytes())
    assert sizes[".rodata"] == 20 and sizes[".text"] > 0


# What two sides know.


def _numbers(tmp_path, expressions):
    """Return values of C expressions."""
    lines = "\n".join(f'printf("%zu\\n", (size_t)({each}));' for each in expressions)
    (tmp_path / "a.c").write_text(f'#include <stdio.h>\n#include "egret_internal.h"\nint main(void) {{ {lines} }}\n')
    compiled(["gcc", "-std=c11", f"-I{DRIVER}", tmp_path / "a.c", "-o", tmp_path / "a"])
    return dict(zip(expressions, map(int, compiled([tmp_path / "a"]).split()), strict=True))


def test_errors_counters_and_records_are_those_of_the_hardware(tmp_path):
    wanted = {f"EGRET_ERROR_{error.name}": error.value for error in Error} | {"EGRET_ERROR_COUNT": len(Error)}
    wanted |= {f"EGRET_{name.upper()}": number for number, name in enumerate(GLOBAL)}
    kinds = ("events", "macs", "step_events", "step_macs", *(f"lane_{what}" for what in LANE))
    wanted |= {f"EGRET_{kind.upper()}": len(GLOBAL) + number for number, kind in enumerate(kinds)}
    wanted |= {f"EGRET_RECORD_{kind.name}": kind.value for kind in Kind}
    assert _numbers(tmp_path, list(wanted)) == wanted


def test_numbers_of_counters(library):
    """Against the map of the hardware, for a core of 3 layers and 5 lanes."""
    config = CoreConfig(layers=3, lanes=5, cell_units=1)
    names = counter_map(config)
    egret, number = top_library.Egret(), ctypes.c_uint32()
    egret.core.layers, egret.core.lanes, egret.core.counters = config.layers, config.lanes, len(names)
    found = {}
    kinds = [*GLOBAL, "events", "macs", "step_events", "step_macs", *LANE]
    for kind, what in enumerate(kinds):
        for which in range(config.groups if kind < 10 else config.lanes):
            if library.egret_counter_number(ctypes.byref(egret), kind, which, ctypes.byref(number)) == 0:
                name = what if kind < 6 else f"{what}_{which}" if kind < 10 else f"lane_{which}_{what}"
                found[name] = number.value
    assert found == names


def test_structures_are_those_of_python(tmp_path):
    wanted = {}
    for name, fields in (
        ("port", top_library.Port), ("core", top_library.CoreFields), ("layer", top_library.Layer),
        ("network", top_library.Network), ("", top_library.Egret), ("event", top_library.Event),
        ("step", top_library.StepFound), ("fault", top_library.Fault),
    ):  # fmt: skip
        tag = f"struct egret_{name}" if name else "struct egret"
        wanted[f"sizeof({tag})"] = ctypes.sizeof(fields)
        wanted |= {f"offsetof({tag}, {field})": getattr(fields, field).offset for field, _ in fields._fields_}
    wanted["sizeof(struct egret_state)"] = top_library.STATE.itemsize
    wanted["offsetof(struct egret_state, fires)"] = top_library.STATE.fields["fires"][1]
    assert _numbers(tmp_path, list(wanted)) == wanted


def test_what_the_documentation_shows_compiles(tmp_path):
    text = (ROOT / "docs" / "driver.md").read_text()
    blocks = re.findall(r"^```c\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "a.c").write_text("".join(blocks))
    compiled(["gcc", *STRICT, f"-I{DRIVER}", "-c", tmp_path / "a.c", "-o", tmp_path / "a.o"])


def test_results_are_documented():
    header, text = ((ROOT / path).read_text() for path in ("firmware/driver/egret.h", "docs/driver.md"))
    body = re.search(r"enum egret_result \{(.*?)\};", header, re.DOTALL)[1]
    names = [name for name in re.findall(r"^    (EGRET_\w+)", body, re.MULTILINE) if name != "EGRET_RESULT_COUNT"]
    assert re.findall(r"^\| `(EGRET_\w+)` \|", text, re.MULTILINE) == names


# The loader against the one in Python.


def _check_image(library, core, words):
    """Return what the driver says of an image."""
    network, words = top_library.Network(), np.ascontiguousarray(words, np.uint32)
    return library.egret_check_image(ctypes.byref(core), *top_library.Device.array(words), ctypes.byref(network), None)


def _core(config):
    core = top_library.CoreFields()
    for name in ("config_id", "entries", "rows", "sources", "lists", "lanes", "cell_units", "layers", "value_bits",
                 "y_bits", "acc_bits", "lanes_per_cell", "lane_bits"):  # fmt: skip
        setattr(core, name, getattr(config, name))
    return core


def _mutated(rng, words):
    """Return an image with a few words wrong, and its end right."""
    words = words.copy()
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(words) - 3))
        kind = rng.integers(5)
        if kind == 0:
            words[at] ^= np.uint32(1 << int(rng.integers(32)))
        elif kind == 1:
            words[at] = rng.choice([0, 1, 0xFFFF, 0x10000, 0xFFFFFFFF])
        elif kind == 2:
            words[at] += np.uint32(rng.choice([1, 0xFFFFFFFF, 0x10000]))
        elif kind == 3:
            words = np.delete(words, at)
        else:
            words = np.insert(words, at, words[at])
    words[-3:-1] = Kind.END << 24 | 1, 0

    words[-1] = zlib.crc32(words[:-3].astype("<u4").tobytes())
    return words


@pytest.mark.parametrize("name", CASES)
def test_loader_is_as_strict_as_the_one_in_python(library, name):
    """What Python refuses of a damaged image the driver refuses, but for the order in a list, which harms nobody."""
    config, case = compile_case(name)
    core, words, rng = _core(config), np.asarray(case.words, np.uint32), np.random.default_rng(5)
    assert _check_image(library, core, words) == 0
    refused = accepted = 0
    with np.errstate(over="ignore"):
        for _ in range(3000):
            mutant = _mutated(rng, words)
            result = _check_image(library, core, mutant)
            try:
                parse(mutant)
                accepted += result == 0
            except (ImageError, OverflowError, ValueError) as error:
                if "does not ascend" not in str(error):
                    assert result != 0, error
                    refused += 1
    assert refused > 500 and accepted > 50


# Fuzzing, in short. In full: `make fuzz`.


@pytest.mark.parametrize("libfuzzer", [False, *([True] if has_libfuzzer() else [])])
@pytest.mark.parametrize(("target", "runs"), [("image", 40_000), ("layer", 2_000)])
def test_fuzz(target, runs, libfuzzer, tmp_path):
    assert fuzz_c(target, runs, 7, tmp_path, libfuzzer=libfuzzer) == runs


def test_fuzz_finds_a_missing_check(tmp_path, monkeypatch):
    """With the bound on the length of a record gone, words behind the image are read within so many inputs."""
    copy = tmp_path / "driver"
    shutil.copytree(DRIVER, copy)
    source = copy / "egret_reader.c"
    bound = "length <= rest - EGRET_HEADER_WORDS"
    assert bound in source.read_text()
    source.write_text(source.read_text().replace(bound, "length <= EGRET_RECORD_WORDS"))
    monkeypatch.setattr("tests.firmware.fuzz.DRIVER", copy)
    with pytest.raises(FuzzError, match="the target image died.*heap-buffer-overflow"):
        fuzz_c("image", 40_000, 7, tmp_path, libfuzzer=False)


def test_fuzz_of_frames():
    assert fuzz_frames(30_000, 7) > 5_000


def test_fuzz_of_frames_finds_what_is_wrong(monkeypatch):
    """A frame that did not come in; one that did, and is passed over."""

    class Inventing(Decoder):
        def feed(self, data):
            return super().feed(data) + [b"\x81\0\0\0"]

    class Losing(Decoder):
        def feed(self, data):
            return [content for content in super().feed(data) if len(content) != 8]

    for wrong, message in (
        (Inventing, r"\[b'\\x81.*'\] came out, \[\] came in"),
        (Losing, r"\[\] came out, \[b'.*'\] came in"),
    ):
        monkeypatch.setattr("tests.firmware.fuzz.Decoder", wrong)
        with pytest.raises(FuzzError, match=message):
            fuzz_frames(1000, 7)

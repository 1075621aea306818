"""Fuzz what takes input from outside: the C driver's loader and hardware layer, and the parser of the host link's frames.

python -m tests.firmware.fuzz

C targets are built with AddressSanitizer and UndefinedBehaviorSanitizer, and with libFuzzer where there is a clang that
has it, else with the mutator of ``tests/firmware/driver/fuzz_main.c``.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from firmware.framing import CONTENT_MAX, Decoder, FrameError, Reply, decode_reply, encode, encode_reply, encode_request
from hw.bus.frames import ESCAPE, FLAG
from tests.firmware.driver_cases import CASES, case_bytes

ROOT = Path(__file__).resolve().parents[2]
DRIVER, HARNESS = ROOT / "firmware" / "driver", Path(__file__).parent / "driver"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic")
SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: By the name of a target: how long an input may be, and what an input begins with that is made of a case.
TARGETS = {"image": 2048, "layer": 1024}
FIX_ALL = b"\3"  #: choices of `fuzz_image.c`: end, checksum and identity are made right
RUNS = re.compile(r"^#(\d+)")


class FuzzError(RuntimeError):
    """A target that could not be built, or an input that it does not survive; the message says which."""


def build(target: str, work: Path, *, libfuzzer: bool) -> Path:
    """Compile a target; return the program."""
    program = work / target
    sources = [*sorted(DRIVER.glob("*.c")), HARNESS / "stand_in.c", HARNESS / f"fuzz_{target}.c"]
    compiler, extra = ("clang", ["-fsanitize=fuzzer"]) if libfuzzer else ("gcc", [])
    if not libfuzzer:
        sources.append(HARNESS / "fuzz_main.c")
    command = [compiler, *WARNINGS, *SANITIZE, *extra, f"-I{DRIVER}", f"-I{HARNESS}", *map(str, sources)]
    done = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True)
    if done.returncode:
        raise FuzzError(f"{compiler} cannot build the target {target}: {done.stderr.strip()}")
    return program


def has_libfuzzer() -> bool:
    """Return whether there is a clang that links libFuzzer."""
    if shutil.which("clang") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.write_text("int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { (void)d; (void)n; return 0; }\n")
        command = ["clang", "-fsanitize=fuzzer,address", str(source), "-o", str(source.with_suffix(""))]
        return subprocess.run(command, capture_output=True).returncode == 0


def write_corpus(target: str, folder: Path, seed: int) -> None:
    """Write inputs to begin with: whole cases, or bytes that choose calls and answers."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for name in CASES:
        content = FIX_ALL + case_bytes(name) if target == "image" else rng.randbytes(TARGETS[target] // 2)
        (folder / name).write_bytes(content)


def fuzz_c(
    target: str, runs: int, seed: int, work: Path, *, libfuzzer: bool, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Run a target; return how many inputs it got.

    Raises
    ------
    FuzzError
        If it dies of one. libFuzzer leaves the input in ``work``.
    """
    work.mkdir(parents=True, exist_ok=True)
    program, corpus = build(target, work, libfuzzer=libfuzzer), work / f"{target}-corpus"
    write_corpus(target, corpus, seed)
    (work / "network").write_bytes(case_bytes("chip"))
    inputs = [str(corpus)] if libfuzzer else sorted(map(str, corpus.iterdir()))
    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={TARGETS[target]}"]
    options += [f"-artifact_prefix={work}/", "-verbosity=1"] if libfuzzer else []
    process = subprocess.Popen(
        [str(program), *options, *inputs], stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, "EGRET_FUZZ_NETWORK": str(work / "network"), "ASAN_OPTIONS": "detect_leaks=1"},
    )  # fmt: skip
    last, done = "", 0
    for line in process.stderr:
        if found := RUNS.match(line):
            done = int(found[1])
            progress(done)
        elif line.strip():
            last = line.strip()
        if "ERROR" in line or ".c, line" in line or "runtime error" in line:
            last = line.strip() + process.stderr.read()[-3000:]
    if process.wait():
        raise FuzzError(f"the target {target} died after about {done:,} inputs: {last}")
    if done < runs:  # libFuzzer reports at powers of two, and at the end in a line of its own
        found = re.search(r"Done (\d+) runs", last)
        done = int(found[1]) if found else done
    return done


def _frame(rng: random.Random) -> bytes:
    """Return a frame, right or damaged, or bytes that are none."""
    kind = rng.randrange(5)
    words = [rng.getrandbits(32) for _ in range(rng.choice((0, 0, 1, 2, 5)))]
    if kind == 0:
        data = bytearray(encode_request(rng.randrange(256), words))
    elif kind == 1:
        data = bytearray(encode_reply(Reply(rng.randrange(256), rng.randrange(256), rng.randrange(256), tuple(words))))
    elif kind == 2:
        data = bytearray(encode(rng.randbytes(rng.choice((0, 3, 4, 5, 7, 12, 30)))))
    elif kind == 3:
        data = bytearray(rng.choices((FLAG, ESCAPE, 0x5D, 0x5E, 0x81, 0), k=rng.randrange(24)))
    else:
        data = bytearray(rng.randbytes(rng.randrange(24)))
    if data and rng.random() < 0.5:
        at = rng.randrange(len(data))
        change = rng.randrange(4)
        if change == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            del data[at:]
        elif change == 2:
            data[at:at] = rng.choices((FLAG, ESCAPE, data[at]), k=1)
        else:
            del data[at]
    return bytes(data)


def fuzz_frames(runs: int, seed: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Feed one decoder that many inputs; return how many frames it found in them.

    Every frame that comes out must have come in, byte for byte, between two flags; whatever else comes in raises
    nothing, and its memory stays within that of one frame.

    Raises
    ------
    FuzzError
    """
    rng, decoder, found = random.Random(seed), Decoder(), 0
    heard = b""  # since the last flag
    for run in range(1, runs + 1):
        data = _frame(rng)
        line = heard + data
        for content in decoder.feed(data):
            found += 1
            if encode(content)[1:-1] not in line or not 4 <= len(content) <= CONTENT_MAX:
                raise FuzzError(f"the frame {content.hex()} was not in {line.hex()}")
            try:
                decode_reply(content)
            except FrameError:
                pass
        heard = line[line.rindex(FLAG) :] if FLAG in line else line
        heard = heard[-4 * CONTENT_MAX :]
        if run % 20_000 == 0 or run == runs:
            progress(run)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.firmware.fuzz",
        description="Fuzz the C driver's loader, the C driver in front of a core that answers anything, and the parser "
        "of the host link's frames.",
    )
    parser.add_argument("--images", type=int, default=10_000_000, help="inputs of the loader (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=1_000_000, help="inputs of the driver (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=1_000_000, help="inputs of the parser (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz", help="folder (default: build/fuzz)")
    options = parser.parse_args(arguments)
    libfuzzer = has_libfuzzer()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    table = Table(title="fuzzed" + (" with libFuzzer" if libfuzzer else ""), show_header=False)
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            for target, what, runs in (
                ("image", "the C driver's loader", options.images),
                ("layer", "the C driver, any calls and answers", options.layers),
            ):
                task = bar.add_task(what, total=runs)

                def report(done: int, task=task) -> None:
                    bar.update(task, completed=done)

                done = fuzz_c(target, runs, options.seed, options.out, libfuzzer=libfuzzer, progress=report)
                report(done)
                table.add_row(what, f"{done:,} inputs, no crash, no access outside, no undefined behaviour")
            task = bar.add_task("the parser of frames", total=options.frames)
            found = fuzz_frames(options.frames, options.seed, lambda done: bar.update(task, completed=done))
            table.add_row("the parser of frames", f"{options.frames:,} inputs, {found:,} frames found, none invented")
    except FuzzError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

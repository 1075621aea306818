"""Fuzz what takes input from outside: the C driver's loader and hardware layer, the parser of the host link's frames.

python -m tests.firmware.fuzz

C targets are built with AddressSanitizer and UndefinedBehaviorSanitizer, and with libFuzzer where there is a clang that
has it, else with the mutator of ``tests/firmware/driver/fuzz_main.c``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from firmware.driver_size import DRIVER, STRICT
from firmware.framing import (
    CONTENT_MAX,
    CRC,
    HEADER,
    Decoder,
    FrameError,
    Reply,
    decode_reply,
    encode,
    encode_reply,
    encode_request,
)
from hw.bus.frames import ESCAPE, FLAG, FLIP
from tests.firmware.driver_cases import CASES, case_bytes

ROOT = Path(__file__).resolve().parents[2]
HARNESS = Path(__file__).parent / "driver"
SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: By the name of a target: how long an input may be, in bytes.
TARGETS = {"image": 2048, "layer": 1024}
FIX_ALL = b"\3"  #: choices of `fuzz_image.c`: end, checksum and identity are made right
RUNS = re.compile(r"^#(\d+)")  #: in what a target prints
REPORT_EVERY = 20_000  #: inputs of the parser
REPORT_MAX = 3000  #: characters of a sanitizer's report that are told


class FuzzError(RuntimeError):
    """A target that could not be built, or an input that it does not survive; the message says which."""


def build(target: str, work: Path, *, libfuzzer: bool) -> Path:
    """Compile a target; return the program."""
    program = work / target
    sources = [*sorted(DRIVER.glob("*.c")), HARNESS / "stand_in.c", HARNESS / f"fuzz_{target}.c"]
    compiler, extra = ("clang", ["-fsanitize=fuzzer"]) if libfuzzer else ("gcc", [])
    if not libfuzzer:
        sources.append(HARNESS / "fuzz_main.c")
    command = [compiler, *STRICT, *SANITIZE, *extra, f"-I{DRIVER}", f"-I{HARNESS}", *map(str, sources)]
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
        source.write_text("int LLVMFuzzerTestOneInput(const char *data) { return data == 0; }\n")
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
    last, done = "", 0
    with subprocess.Popen(
        [str(program), *options, *inputs], stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, "EGRET_FUZZ_NETWORK": str(work / "network")},
    ) as process:  # fmt: skip
        for line in process.stderr:
            if found := RUNS.match(line):
                done = int(found[1])
                progress(done)
            elif line.strip():
                last = line.strip()
            if any(sign in line for sign in ("ERROR", ".c, line", "runtime error")):
                last = line.strip() + process.stderr.read()[-REPORT_MAX:]
    if process.returncode:
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


def _content(piece: bytes) -> bytes | None:
    """Return the content of what is between two flags, as docs/host-link.md has it, or None if it is no frame."""
    plain, rest = bytearray(), iter(piece)
    for byte in rest:
        if byte == ESCAPE:
            escaped = next(rest, None)
            if escaped is None:
                return None
            byte = escaped ^ FLIP
        plain.append(byte)
    content, check = bytes(plain[: -CRC.size]), plain[-CRC.size :]
    if not HEADER.size <= len(content) <= CONTENT_MAX or zlib.crc32(content) != int.from_bytes(check, "little"):
        return None
    return content


def fuzz_frames(runs: int, seed: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Feed one decoder that many inputs; return how many frames it found in them.

    What comes out must be what is between the flags of all that came in, read again by itself; nothing that comes in
    may raise anything but :class:`FrameError`.

    Raises
    ------
    FuzzError
    """
    rng, decoder, found = random.Random(seed), Decoder(), 0
    begun = None  # what came since the last flag, if there was one
    for run in range(1, runs + 1):
        data = _frame(rng)
        contents = decoder.feed(data)
        *pieces, rest = ((begun or b"") + data).split(bytes([FLAG]))
        wanted = [_content(piece) for piece in (pieces if begun is not None else pieces[1:])]
        wanted = [content for content in wanted if content is not None]
        if contents != wanted:
            raise FuzzError(f"input {run}, {data.hex()}: {contents} came out, {wanted} came in")
        begun = rest if pieces or begun is not None else None
        found += len(contents)
        for content in contents:
            with contextlib.suppress(FrameError):
                decode_reply(content)
        if run % REPORT_EVERY == 0 or run == runs:
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
            table.add_row(
                "the parser of frames", f"{options.frames:,} inputs, {found:,} frames found, none lost, none invented"
            )
    except FuzzError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compile and link the C driver for RV32I, and print what it takes. Needs the extra `test` (ziglang, a C compiler).

python -m firmware.driver_size
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

DRIVER = Path(__file__).parent / "driver"
LIMIT = 8192  #: bytes of code
COMPILER = (sys.executable, "-m", "ziglang", "cc")
FLAGS = (
    "-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+relax", "-mabi=ilp32", "-Os", "-ffreestanding",
    "-fno-stack-protector", "-fno-sanitize=all", "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables", "-g0",
)  # fmt: skip
#: What the driver compiles with everywhere.
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic")
#: What a C compiler takes for granted on a CPU that does not multiply; the driver needs nothing else.
SUPPORT = """
#define SUPPORT __attribute__((section(".support")))
typedef __SIZE_TYPE__ size;
SUPPORT void *memcpy(void *to, const void *from, size count);
SUPPORT void *memset(void *to, int value, size count);
SUPPORT unsigned __mulsi3(unsigned a, unsigned b);
void *memcpy(void *to, const void *from, size count) { (void)from; (void)count; return to; }
void *memset(void *to, int value, size count) { (void)value; (void)count; return to; }
unsigned __mulsi3(unsigned a, unsigned b) { return a & b; }
"""
SECTIONS = {".text": "code", ".rodata": "constants, texts above all", ".data": "initialised data", ".bss": "data"}


class SizeError(RuntimeError):
    """A driver that does not compile or link; the message has what the compiler said."""


def measure() -> tuple[dict[str, int], dict[str, int]]:
    """Return bytes of each section of the whole driver, linked, and bytes of code of each file before linking.

    Raises
    ------
    SizeError
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "support.c").write_text(SUPPORT)
        _run([*FLAGS, "-fno-builtin", "-c", str(work / "support.c"), "-o", str(work / "support.o")])
        files, objects = {}, []
        for source in sorted(DRIVER.glob("*.c")):
            objects.append(work / f"{source.stem}.o")
            _run([*FLAGS, *STRICT, "-c", str(source), "-o", str(objects[-1])])
            files[source.name] = section_sizes(objects[-1].read_bytes())[".text"]
        linked = work / "driver.elf"
        _run([
            *FLAGS, "-nostdlib", "-Wl,--no-gc-sections", "-Wl,-e,egret_init", *map(str, objects),
            str(work / "support.o"), "-o", str(linked),
        ])  # fmt: skip
        sizes = section_sizes(linked.read_bytes())
    return {name: sizes.get(name, 0) for name in SECTIONS}, files


def section_sizes(elf: bytes) -> dict[str, int]:
    """Return the size of each section of an ELF file of 32 bits, little-endian; of those of one name, all together."""
    (table,) = struct.unpack_from("<I", elf, 32)
    size, count, names = struct.unpack_from("<3H", elf, 46)
    headers = [struct.unpack_from("<10I", elf, table + number * size) for number in range(count)]
    texts = headers[names][4]
    sizes: dict[str, int] = {}
    for header in headers:
        name = elf[texts + header[0] : elf.index(b"\0", texts + header[0])].decode()
        sizes[name] = sizes.get(name, 0) + header[5]
    return sizes


def _run(arguments: list[str]) -> None:
    done = subprocess.run([*COMPILER, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SizeError(f"the compiler said:\n{done.stdout}{done.stderr}")


def main(arguments: list[str] | None = None) -> int:
    argparse.ArgumentParser(
        prog="python -m firmware.driver_size",
        description=f"Compile the C driver for RV32I with -Os and print its size; fails beyond {LIMIT} bytes of code.",
    ).parse_args(arguments)
    try:
        sizes, files = measure()
    except SizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table(title="the C driver, RV32I, -Os, bytes")
    table.add_column("")
    table.add_column("", justify="right")
    for name, code in files.items():
        table.add_row(f"{name}, code before linking", f"{code:,}")
    table.add_section()
    for name, what in SECTIONS.items():
        table.add_row(f"the driver, {what}", f"{sizes[name]:,}")
    Console().print(table)
    return int(sizes[".text"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

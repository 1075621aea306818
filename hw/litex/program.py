"""Compile the firmware, with LiteX's code for DRAM, for the SoC's CPU."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import litex.soc.cores.cpu.vexriscv
import litex.soc.software

FOLDER = Path(__file__).parent / "firmware"
SOFTWARE = Path(litex.soc.software.__path__[0])
CPU = Path(litex.soc.cores.cpu.vexriscv.__path__[0])
OURS = ("main.c", "console.c")
#: Initialisation with its levelling, and the test of what it has brought up.
OF_LITEX = (
    SOFTWARE / "liblitedram" / "sdram.c", SOFTWARE / "liblitedram" / "accessors.c", SOFTWARE / "libbase" / "memtest.c",
    SOFTWARE / "libbase" / "system.c", CPU / "crt0.S",
)  # fmt: skip
COMPILER = (sys.executable, "-m", "ziglang", "cc")
FLAGS = (
    "-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+zicsr", "-mabi=ilp32", "-Os", "-ffreestanding",
    "-fno-builtin", "-fno-stack-protector", "-fno-sanitize=all", "-ffunction-sections", "-fdata-sections", "-g0",
)  # fmt: skip
#: Of our sources. LiteX's headers write ``asm``, which C11 alone does not know.
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Dasm=__asm__")
PROGRAM_HEADER_LOAD = 1


class ProgramError(RuntimeError):
    """A program that does not compile or fit; the message has what the compiler said."""


def compile_program(include: Path, work: Path, cases: bytes, *, rom_bytes: int, test_bytes: int) -> list[int]:
    """Return the words of the program, which runs from address 0 of ROM.

    Parameters
    ----------
    include : Path
        Folder of LiteX's ``generated`` headers.
    work : Path
        Folder for objects and the linked program.
    cases : bytes
        As :func:`hw.litex.cases.encode` returns them.
    test_bytes : int
        How much of DRAM is tested after its initialisation.

    Raises
    ------
    ProgramError
    """
    work.mkdir(parents=True, exist_ok=True)
    (work / "cases.bin").write_bytes(cases)
    theirs = (include, SOFTWARE / "include", SOFTWARE, SOFTWARE / "libbase", CPU)
    common = [*FLAGS, f"-I{FOLDER / 'include'}", f"-I{work}", f"-DMEMTEST_DATA_SIZE={test_bytes}"]
    common += [part for folder in theirs for part in ("-isystem", str(folder))]
    objects = []
    for source, flags in (
        *((FOLDER / name, STRICT) for name in OURS),
        (FOLDER / "cases.S", [f"-DCASES={hashlib.sha256(cases).hexdigest()[:16]}"]),  # else the compiler's cache has it
        *((source, ["-w"]) for source in OF_LITEX),
    ):
        objects.append(f"{source.stem}.o")
        _run([*COMPILER, *common, *flags, "-c", str(source), "-o", objects[-1]], work)
    linked = work / "program.elf"
    layout = f"-Wl,-T,{SOFTWARE / 'bios' / 'linker.ld'}"  # which includes generated files, from where it is run
    objects = [str((work / name).resolve()) for name in objects]
    _run([*COMPILER, *FLAGS, layout, "-Wl,--gc-sections", *objects, "-o", str(linked.resolve())], include)
    image = _load_image(linked.read_bytes())
    if len(image) > rom_bytes:
        raise ProgramError(f"the program takes {len(image)} bytes of ROM, of which there are {rom_bytes}")
    image += bytes(-len(image) % 4)
    return list(struct.unpack(f"<{len(image) // 4}I", image))


def _run(command: Sequence[str], work: Path) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise ProgramError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _load_image(elf: bytes) -> bytes:
    """Return what an ELF file of 32 bits, little-endian, loads, from the lowest physical address on."""
    (table,) = struct.unpack_from("<I", elf, 28)
    size, count = struct.unpack_from("<HH", elf, 42)
    parts = {}
    for number in range(count):
        kind, offset, _, physical, in_file = struct.unpack_from("<5I", elf, table + number * size)
        if kind == PROGRAM_HEADER_LOAD and in_file:
            parts[physical] = elf[offset : offset + in_file]
    first = min(parts)
    image = bytearray(max(address + len(part) for address, part in parts.items()) - first)
    for address, part in parts.items():
        image[address - first : address - first + len(part)] = part
    return bytes(image)

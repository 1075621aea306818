"""Compile freestanding C for a RISC-V processor: from sources to the bytes of its memory."""

from __future__ import annotations

import importlib.util
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

BARE = Path(__file__).parent / "bare"  #: printf and what a compiler takes for granted
GCC = "riscv64-unknown-elf-gcc"
FLAGS = (
    "-mabi=ilp32", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-ffunction-sections", "-fdata-sections",
    "-g0",
)  # fmt: skip
#: Of our sources. LiteX's headers write ``asm``, which C11 alone does not know.
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Dasm=__asm__")
PROGRAM_HEADER_LOAD = 1


class ProgramError(RuntimeError):
    """A program that does not compile or fit; the message has what the compiler said."""


def compiler() -> tuple[str, ...]:
    """Return the command that compiles and links for RV32IM with what chooses the processor: zig, or else GCC.

    Raises
    ------
    ProgramError
        If neither is installed.
    """
    if importlib.util.find_spec("ziglang"):
        return (
            sys.executable, "-m", "ziglang", "cc", "-target", "riscv32-freestanding-none",
            "-mcpu=generic_rv32+m+zicsr", "-fno-sanitize=all",
        )  # fmt: skip
    found = shutil.which(GCC)
    if found is None:
        raise ProgramError(f"there is no compiler for RISC-V; pip install ziglang, or install {GCC}")
    return (found, "-march=rv32im_zicsr", "-nostdlib")


def build(
    sources: Iterable[tuple[Path, Sequence[str]]],
    work: Path,
    *,
    layout: Path,
    flags: Sequence[str],
    link_in: Path | None = None,
) -> Path:
    """Compile and link a program; return the ELF file.

    Parameters
    ----------
    sources : iterable of (Path, flags)
        Flags are those of one file.
    work : Path
        Folder for objects and the program; the compiler runs in it.
    layout : Path
        Linker script.
    flags : sequence of str
        For all sources.
    link_in : Path
        Folder to link in, if the linker script includes files.

    Raises
    ------
    ProgramError
    """
    work.mkdir(parents=True, exist_ok=True)
    command, objects = compiler(), []
    for source, own in sources:
        objects.append(str((work / f"{source.stem}.o").resolve()))
        _run([*command, *FLAGS, *flags, *own, "-c", str(source.resolve()), "-o", objects[-1]], work)
    linked = (work / "program.elf").resolve()
    _run(
        [*command, *FLAGS, *flags, f"-Wl,-T,{layout.resolve()}", "-Wl,--gc-sections", *objects, "-o", str(linked)],
        link_in or work,
    )
    return linked


def _run(command: Sequence[str], work: Path) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise ProgramError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def load_image(elf: bytes) -> bytes:
    """Return what an ELF file of 32 bits, little-endian, loads, from the lowest physical address on; whole words."""
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
    return bytes(image) + bytes(-len(image) % 4)


def words(image: bytes) -> list[int]:
    """Return the words of 32 bits, lowest byte first, of an image of whole words."""
    return list(struct.unpack(f"<{len(image) // 4}I", image))

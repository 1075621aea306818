"""Compile the firmware, with LiteX's code for DRAM, for the SoC's CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

import litex.soc.cores.cpu.vexriscv
import litex.soc.software

from firmware.compile import BARE, STRICT, ProgramError, build, load_image, words

FOLDER = Path(__file__).parent / "firmware"
REGISTERS = Path(__file__).parents[2] / "firmware" / "driver"  #: has the core's registers in ``egret_registers.h``
SOFTWARE = Path(litex.soc.software.__path__[0])
CPU = Path(litex.soc.cores.cpu.vexriscv.__path__[0])
OURS = (FOLDER / "main.c", FOLDER / "console.c", BARE / "text.c")
#: Initialisation with its levelling, and the test of what it has brought up.
OF_LITEX = (
    SOFTWARE / "liblitedram" / "sdram.c", SOFTWARE / "liblitedram" / "accessors.c", SOFTWARE / "libbase" / "memtest.c",
    SOFTWARE / "libbase" / "system.c", CPU / "crt0.S",
)  # fmt: skip


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
    flags = ["-Os", f"-I{BARE / 'include'}", f"-I{FOLDER / 'include'}", f"-I{REGISTERS}", f"-I{work.resolve()}"]
    flags.append(f"-DMEMTEST_DATA_SIZE={test_bytes}")
    flags += [part for folder in theirs for part in ("-isystem", str(folder.resolve()))]
    sources = [
        *((source, STRICT) for source in OURS),
        (FOLDER / "cases.S", [f"-DCASES={hashlib.sha256(cases).hexdigest()[:16]}"]),  # else the compiler's cache has it
        *((source, ["-w"]) for source in OF_LITEX),
    ]
    linked = build(sources, work, layout=SOFTWARE / "bios" / "linker.ld", flags=flags, link_in=include)
    image = load_image(linked.read_bytes())
    if len(image) > rom_bytes:
        raise ProgramError(f"the program takes {len(image)} bytes of ROM, of which there are {rom_bytes}")
    return words(image)

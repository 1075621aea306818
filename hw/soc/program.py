"""What the SoC's memory holds: the program, compiled, with a network and images."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware.compile import BARE, STRICT, ProgramError, build, load_image, words

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "firmware" / "soc"
DRIVER = ROOT / "firmware" / "driver"
STACK_BYTES = 4096
#: The driver is compiled for this SoC's hardware layer, and linked as one with the program that calls it.
FLAGS = ("-O2", "-flto", "-fomit-frame-pointer", '-DEGRET_PORT_HEADER="port.h"')
#: Limits of ``firmware/soc/steps.h``.
STEPS_MAX, INPUTS_MAX, OUTPUTS_MAX = 16, 64, 64


@dataclass(frozen=True)
class Program:
    """Words of memory from address 0 on.

    code : int
        Bytes of them that are instructions and constants of the program itself, without network and images.
    network : int
        Word at which the network's image begins.
    """

    words: list[int]
    code: int
    network: int


def compile_program(network: Sequence[int], images: np.ndarray, work: Path, *, memory_bytes: int) -> Program:
    """Compile ``firmware/soc`` and the driver in the folder ``work``.

    Parameters
    ----------
    network : sequence of int
        Words of the memory image.
    images : integers (steps, images, inputs)
        As the network takes them; at most 16 steps of 64 inputs.

    Raises
    ------
    ProgramError
        If it does not compile, or does not fit.
    """
    steps, count, inputs = images.shape
    if steps > STEPS_MAX or inputs > INPUTS_MAX:
        raise ProgramError(
            f"images have {steps} steps of {inputs} inputs; the program takes {STEPS_MAX} of {INPUTS_MAX} at most"
        )
    work.mkdir(parents=True, exist_ok=True)
    blobs = {
        "network": np.asarray(network, "<u4").tobytes(),
        "images": struct.pack("<3h", count, steps, inputs) + images.swapaxes(0, 1).astype("<i2").tobytes(),
    }
    for name, blob in blobs.items():
        (work / f"{name}.bin").write_bytes(blob)
    digest = hashlib.sha256(b"".join(blobs.values())).hexdigest()[:16]
    sources = [
        (FOLDER / "start.S", [f"-DCONTENT={digest}"]),  # else the compiler's cache has it
        *((source, STRICT) for source in (*sorted(FOLDER.glob("*.c")), *sorted(DRIVER.glob("*.c")), BARE / "text.c")),
    ]
    flags = [*FLAGS, f"-I{BARE / 'include'}", f"-I{DRIVER}", f"-I{FOLDER}", "-I."]
    layout = work / "layout.ld"
    text = (FOLDER / "layout.ld").read_text()
    for name, value in (("STACK_BYTES", STACK_BYTES), ("MEMORY_BYTES", memory_bytes)):
        text = re.sub(rf"\b{name}\b", str(value), text)
    layout.write_text(text)
    image = load_image(build(sources, work, layout=layout, flags=flags).read_bytes())
    return Program(words(image), len(image) - sum(map(len, blobs.values())), image.index(blobs["network"]) // 4)


def write_program(program: Program, path: Path) -> None:
    """Write a program as ``soc_ram`` reads it."""
    path.write_text("".join(f"{word:08x}\n" for word in program.words))

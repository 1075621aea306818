"""Compiling for a processor without an operating system, by either compiler."""

import shutil

import pytest

from firmware import compile as compiling
from firmware.compile import GCC, STRICT, ProgramError, build, load_image, words

LAYOUT = """
ENTRY(start)
SECTIONS
{
    . = 0x100;
    .text : { KEEP(*(.text.start)) *(.text .text.*) }
    .rodata : { *(.rodata .rodata.*) *(.srodata .srodata.*) }
    /DISCARD/ : { *(.comment) *(.eh_frame*) *(.riscv.attributes) }
}
"""
SOURCE = """
const char bytes[] = "egret";
int start(int k);
__attribute__((section(".text.start"))) int start(int k)
{
    return bytes[k & 3];
}
"""
compilers = pytest.mark.parametrize(
    "use_gcc",
    [False, pytest.param(True, marks=pytest.mark.skipif(not shutil.which(GCC), reason=f"{GCC} is not installed"))],
)


def write(folder, source):
    (folder / "layout.ld").write_text(LAYOUT)
    (folder / "main.c").write_text(source)
    return {"sources": [(folder / "main.c", STRICT)], "work": folder / "work", "layout": folder / "layout.ld"}


@compilers
def test_compiles(use_gcc, tmp_path, monkeypatch):
    if use_gcc:
        monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: None)
    program = build(flags=["-O2"], **write(tmp_path, SOURCE))
    image = load_image(program.read_bytes())
    assert b"egret\0" in image and len(image) % 4 == 0
    assert words(image)[0] == int.from_bytes(image[:4], "little")
    assert words(image)[0] & 3 == 3  # an instruction of 32 bits


def test_says_what_the_compiler_said(tmp_path):
    with pytest.raises(ProgramError, match="unused variable 'nothing'"):
        build(flags=[], **write(tmp_path, SOURCE + "static int nothing;\n"))


def test_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    message = "^there is no compiler for RISC-V; pip install ziglang, or install riscv64-unknown-elf-gcc$"
    with pytest.raises(ProgramError, match=message):
        compiling.compiler()

"""LiteX's builder without LiteX's BIOS: what runs is our own program, so no C library is built for it."""

from pathlib import Path

from litex.soc.integration.builder import Builder

from hw.litex.soc import EgretSoC


class ProgramBuilder(Builder):
    """Writes headers, has the SoC's program compiled, and writes Verilog and constraints; runs no tool."""

    def _get_variables_contents(self):
        """Return the settings of makefiles that are not used."""
        return ""

    def _prepare_rom_software(self):
        """Make no folders for them."""


def write_soc(soc: EgretSoC, work: Path, name: str) -> Path:
    """Write a SoC into a folder; return the folder with its Verilog."""
    ProgramBuilder(soc, output_dir=str(work), compile_software=False, compile_gateware=False).build(build_name=name)
    return work / "gateware"

"""LiteX's builder without LiteX's BIOS: what runs is our own program, so no C library is built for it."""

from pathlib import Path

from litex.soc.integration.builder import Builder

from hw.config import CoreConfig
from hw.emit import emit
from hw.litex.peripheral import CORE
from hw.litex.soc import EgretSoC
from hw.vendor import Device
from hw.wishbone_top import WishboneTop


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


def core_verilog(config: CoreConfig, device: Device | None = None) -> str:
    """Return the Verilog of the core that the SoC instances.

    Raises
    ------
    ValueError
        If the core has its lists on chip.
    """
    if not config.streamed:
        raise ValueError("gap_bits is 0; it must be 4, 5 or 6, as lists are in the SoC's memory")
    return emit(WishboneTop(config), CORE, device)

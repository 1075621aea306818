"""The SoC, the same on a board and in simulation: a CPU, a UART, LiteDRAM, and an Egret core on it."""

from collections.abc import Callable
from pathlib import Path

from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCCore

from hw.litex.peripheral import Egret

EGRET_ORIGIN = 0x9000_0000  #: of the core's registers; not cached
EGRET_SIZE = 0x1000
STACK_BYTES = 0x2000  #: of memory on chip for the program's variables


class EgretSoC(SoCCore):
    """A VexRiscv that runs a program of its own from ROM: LiteDRAM's initialisation code, then the firmware.

    Parameters
    ----------
    phy, module
        Of the DRAM, as LiteDRAM has them.
    rom_bytes : int
        For the program.
    program : callable
        Returns the words of the program, given the folder with LiteX's generated headers. It is called when the SoC's
        address map is decided, and before its Verilog is written.
    """

    def __init__(
        self,
        platform,
        crg,
        phy,
        module,
        *,
        clock: float,
        rom_bytes: int,
        program: Callable[[Path], list[int]],
        **kwargs,
    ):
        self.crg = crg
        self._program = program
        SoCCore.__init__(
            self, platform, clock, cpu_type="vexriscv", cpu_variant="lite", integrated_rom_size=rom_bytes,
            integrated_sram_size=STACK_BYTES, ident="Egret on LiteX", ident_version=False, **kwargs,
        )  # fmt: skip
        self.ddrphy = phy
        # No second-level cache: it would keep what the CPU writes from the core, which reads DRAM itself.
        self.add_sdram("sdram", phy=phy, module=module, l2_cache_size=0)
        self.egret = Egret(self.sdram.crossbar.get_port(), self.bus.regions["main_ram"].origin)
        self.bus.add_slave(
            "egret", self.egret.bus, SoCRegion(origin=EGRET_ORIGIN, size=EGRET_SIZE, mode="rw", cached=False)
        )
        self.irq.add("egret", use_loc_if_exists=True)

    def init_mems(self, **kwargs):
        """Put the program into ROM; LiteX's builder calls this when its headers are written."""
        self.init_rom("rom", self._program(Path(self.builder.include_dir)), auto_size=False)

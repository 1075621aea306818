"""The SoC for a simulation: LiteDRAM's model of the chip in the place of PHY and chip, characters for the UART."""

import os

from litedram.common import PhySettings
from litedram.modules import MT41K256M16
from litedram.phy.model import SDRAM_VERBOSE_STD, SDRAMPHYModel
from litex.build.generic_platform import GenericPlatform, Pins, Subsignal
from litex.build.io import CRG

from hw.litex import ecpix5
from hw.litex.soc import EgretSoC

NAME = "egret_soc"
_IO = [
    ("sys_clk", 0, Pins(1)),
    (
        "serial", 0,
        Subsignal("source_valid", Pins(1)), Subsignal("source_ready", Pins(1)), Subsignal("source_data", Pins(8)),
        Subsignal("sink_valid", Pins(1)), Subsignal("sink_ready", Pins(1)), Subsignal("sink_data", Pins(8)),
    ),
]  # fmt: skip
#: Of the board's PHY, what says when the controller gets which data; the rest tells how to set delays, of which a model
#: has none.
_TIMING = (
    "memtype", "databits", "dfi_databits", "nphases", "rdphase", "wrphase", "cl", "cwl", "read_latency",
    "write_latency", "nranks",
)  # fmt: skip


class SimulatedModule(MT41K256M16):
    """The board's chip with a quarter of its rows, for the sake of the machine that simulates it; its timing."""

    nrows = MT41K256M16.nrows // 4


class Platform(GenericPlatform):
    """Writes Verilog and runs no tool."""

    default_clk_name = None

    def __init__(self):
        super().__init__("SIM", _IO, name="sim")

    def build(self, fragment, build_dir="build", build_name=NAME, **kwargs):
        """Write the design's Verilog, and what its memories begin with, into a folder."""
        os.makedirs(build_dir, exist_ok=True)
        before = os.getcwd()
        os.chdir(build_dir)  # LiteX names the files of memories relative to where it is
        try:
            self.finalize(fragment)
            output = self.get_verilog(fragment, name=build_name)
            output.write(f"{build_name}.v")
        finally:
            os.chdir(before)
        return output.ns


class SimulatedSoC(EgretSoC):
    """The SoC of the simulation, at the clock, and with the DRAM timing, that it would have on the board.

    The model prints a line with the word ``violation`` for each command that comes earlier than the chip allows.
    """

    def __init__(self, *, clock: float, **kwargs):
        platform = Platform()
        board = ecpix5.phy_settings(clock)
        module = SimulatedModule(clock, "1:2")
        settings = PhySettings(phytype="SDRAMPHYModel", **{name: getattr(board, name) for name in _TIMING})
        # The model checks in picoseconds, cut off, but four periods must be what four times one are. So it is told the
        # next shorter period that is a whole number of them, and a hundredth more lest a rounding error cuts off one.
        period = int(1e12 / (clock * settings.nphases)) + 0.01
        checked = 1e12 / (period * settings.nphases)
        phy = SDRAMPHYModel(module, settings, clk_freq=checked, verbosity=SDRAM_VERBOSE_STD)
        super().__init__(
            platform, CRG(platform.request("sys_clk")), phy, module, clock=clock, uart_name="sim", **kwargs
        )

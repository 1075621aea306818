"""The SoC on LambdaConcept's ECPIX-5, with its DDR3 chip behind LiteDRAM's PHY for the ECP5."""

from litedram.modules import MT41K256M16
from litedram.phy import ECP5DDRPHY
from litex_boards.platforms import lambdaconcept_ecpix5
from litex_boards.targets.lambdaconcept_ecpix5 import _CRG

from hw.litex.soc import EgretSoC
from hw.vendor import DEVICES, Device

NAME = "ecpix5-85f"
DEVICE = Device(
    name="lfe5um5g-85f-bg554-8", family="ecp5", options=("--um5g-85k", "--package", "CABGA554", "--speed", "8"),
    has=DEVICES["lfe5u-85f"].has,
)  # fmt: skip


def phy_settings(clock: float):
    """Return the settings of the board's PHY at a clock in Hz: widths, phases, latencies."""
    return ECP5DDRPHY(lambdaconcept_ecpix5.Platform().request("ddram"), sys_clk_freq=clock).settings


class Ecpix5SoC(EgretSoC):
    """The SoC on the board, the core's Verilog as a source; parameters as of :class:`hw.litex.soc.EgretSoC`."""

    def __init__(self, *, clock: float, **kwargs):
        platform = lambdaconcept_ecpix5.Platform(device="85F", toolchain="trellis")
        crg = _CRG(platform, clock)
        phy = ECP5DDRPHY(platform.request("ddram"), sys_clk_freq=clock)
        super().__init__(platform, crg, phy, MT41K256M16(clock, "1:2"), clock=clock, **kwargs)
        # Twice the clock stops while the PHY's delay line is set.
        self.comb += [crg.stop.eq(phy.init.stop), crg.reset.eq(phy.init.reset)]

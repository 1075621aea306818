"""Phase-locked loops: the dividers that come closest to a wanted clock, and the instance for each family.

Sources: ECP5 family data sheet (FPGA-DS-02012) and sysCLOCK guide (FPGA-TN-02200); iCE40 UltraPlus family data sheet
(FPGA-DS-02008) and sysCLOCK guide (FPGA-TN-02052); GW2A data sheet (DS102, grade C8/I7) and clock guide (UG286).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from amaranth import Const, Instance, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import Out

from hw.vendor.device import family

MHZ = 1_000_000


class PllError(ValueError):
    """A clock that cannot be made; one sentence that says which can."""


@dataclass(frozen=True)
class Limits:
    """What a family's loop allows: frequencies in Hz, lowest and highest, and the values of its dividers.

    ``outer`` tells that the loop is closed behind the output's divider, so that this multiplies the oscillator.
    """

    input: tuple[int, int]
    comparison: tuple[int, int]
    oscillator: tuple[int, int]
    output: tuple[int, int]
    reference: Collection[int]
    feedback: Collection[int]
    divider: Collection[int]
    outer: bool = False


LIMITS = {
    "ecp5": Limits(
        input=(8 * MHZ, 400 * MHZ), comparison=(10 * MHZ, 400 * MHZ), oscillator=(400 * MHZ, 800 * MHZ),
        output=(3_125_000, 400 * MHZ), reference=range(1, 129), feedback=range(1, 81), divider=range(1, 129),
    ),
    "ice40": Limits(
        input=(10 * MHZ, 133 * MHZ), comparison=(10 * MHZ, 133 * MHZ), oscillator=(533 * MHZ, 1066 * MHZ),
        output=(16 * MHZ, 275 * MHZ), reference=range(1, 17), feedback=range(1, 129), divider=(2, 4, 8, 16, 32, 64),
    ),
    "gowin": Limits(
        input=(3 * MHZ, 500 * MHZ), comparison=(3 * MHZ, 500 * MHZ), oscillator=(500 * MHZ, 1250 * MHZ),
        output=(3_906_250, 625 * MHZ), reference=range(1, 65), feedback=range(1, 65),
        divider=(2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128), outer=True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Dividers of a loop: the input is divided by ``reference`` and multiplied by ``feedback``.

    The oscillator, at ``divider`` times the output, is compared after ``feedback``, or where the family's loop is an
    outer one after ``divider`` and ``feedback``. Frequencies in Hz, exact.
    """

    family: str
    input: int
    reference: int
    feedback: int
    divider: int

    @property
    def comparison(self) -> Fraction:
        return Fraction(self.input, self.reference)

    @property
    def oscillator(self) -> Fraction:
        return self.comparison * self.feedback * (self.divider if LIMITS[self.family].outer else 1)

    @property
    def output(self) -> Fraction:
        return self.oscillator / self.divider


def find_setting(family: str, input_hz: int, wanted_hz: int) -> Setting:
    """Return the setting whose output comes closest to ``wanted_hz`` and is not above it.

    Of equal ones, the one that compares at the highest frequency, which leaves the least jitter.

    Raises
    ------
    PllError
        If the input or the wanted frequency is outside the family's limits, or no setting comes near it.
    """
    limits = LIMITS[family]
    for name, hertz, (low, high) in (("an input", input_hz, limits.input), ("a clock", wanted_hz, limits.output)):
        if not low <= hertz <= high:
            raise PllError(
                f"{name} of {hertz / MHZ:g} MHz is outside what this device's PLL allows, "
                f"{low / MHZ:g} to {high / MHZ:g} MHz"
            )
    best, best_key = None, None
    for reference in limits.reference:
        if not _within(input_hz, reference, limits.comparison):
            continue
        for feedback in limits.feedback:
            for divider in limits.divider:
                top = input_hz * feedback * (divider if limits.outer else 1)
                if (
                    not _within(top, reference, limits.oscillator)
                    or not _within(top, reference * divider, limits.output)
                    or top > wanted_hz * reference * divider
                ):
                    continue
                setting = Setting(family, input_hz, reference, feedback, divider)
                key = (setting.output, setting.comparison, setting.oscillator)
                if best_key is None or key > best_key:
                    best, best_key = setting, key
                if not limits.outer:
                    break  # a larger divider only slows the clock further
    if best is None:
        raise PllError(f"no clock of at most {wanted_hz / MHZ:g} MHz can be made from {input_hz / MHZ:g} MHz")
    return best


def _within(numerator: int, denominator: int, limits: tuple[int, int]) -> bool:
    low, high = limits
    return low * denominator <= numerator <= high * denominator


class Pll(wiring.Component):
    """Make a clock from an oscillator at a pin of the board.

    Parameters
    ----------
    setting : Setting
    port : amaranth.lib.io.SingleEndedPort
        The oscillator's pin.

    Members
    -------
    clk : Out(1)
    locked : Out(1)
        The clock is stable; asynchronous to it.
    """

    def __init__(self, setting: Setting, port: io.SingleEndedPort):
        self._setting, self._port = setting, port
        super().__init__({"clk": Out(1), "locked": Out(1)})

    def elaborate(self, platform):
        if family(platform) != self._setting.family:
            raise ValueError(f"setting is for {self._setting.family}; the platform is not")
        m = Module()
        if self._setting.family == "ice40":
            # The loop takes the pin's own input; a buffer there would stand in its place.
            m.submodules.pll = self._sb_pll40_pad()
        else:
            m.submodules.buffer = buffer = io.Buffer("i", self._port)
            m.submodules.pll = (self._ehxplll if self._setting.family == "ecp5" else self._rpll)(buffer.i)
        return m

    def _ehxplll(self, source) -> Instance:
        """The first output closes the loop inside and runs at the frequency of comparison; the second is the clock."""
        setting, loop = self._setting, Signal()
        return Instance(
            "EHXPLLL",
            # Loop filter as the vendor's tool sets it; strings are what nextpnr reads.
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            a_FREQUENCY_PIN_CLKI=_megahertz(Fraction(setting.input)),
            a_FREQUENCY_PIN_CLKOP=_megahertz(setting.comparison), a_FREQUENCY_PIN_CLKOS=_megahertz(setting.output),
            p_FEEDBK_PATH="INT_OP", p_CLKI_DIV=setting.reference, p_CLKFB_DIV=1,
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=setting.feedback, p_CLKOP_CPHASE=setting.feedback - 1,
            p_CLKOS_ENABLE="ENABLED", p_CLKOS_DIV=setting.divider, p_CLKOS_CPHASE=setting.divider - 1,
            p_CLKOS2_ENABLE="DISABLED", p_CLKOS3_ENABLE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
            i_CLKI=source, i_CLKFB=loop, o_CLKINTFB=loop, i_RST=Const(0), i_STDBY=Const(0), i_PLLWAKESYNC=Const(0),
            i_PHASESEL0=Const(0), i_PHASESEL1=Const(0), i_PHASEDIR=Const(1), i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1), i_ENCLKOP=Const(0), i_ENCLKOS=Const(0),
            o_CLKOP=Signal(name="comparison"), o_CLKOS=self.clk, o_LOCK=self.locked,
        )  # fmt: skip

    def _sb_pll40_pad(self) -> Instance:
        setting = self._setting
        # The loop filter's range by the frequency of comparison.
        bounds = (17, 26, 44, 66, 101)
        filter_range = 1 + sum(setting.comparison >= bound * MHZ for bound in bounds)
        return Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE", p_PLLOUT_SELECT="GENCLK",
            p_DIVR=Const(setting.reference - 1, 4), p_DIVF=Const(setting.feedback - 1, 7),
            p_DIVQ=Const(setting.divider.bit_length() - 1, 3), p_FILTER_RANGE=Const(filter_range, 3),
            i_PACKAGEPIN=self._port.io, i_RESETB=Const(1), i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=self.clk, o_LOCK=self.locked,
        )  # fmt: skip

    def _rpll(self, source) -> Instance:
        setting = self._setting
        return Instance(
            "rPLL",
            p_DEVICE="GW2A-18C", p_FCLKIN=_megahertz(Fraction(setting.input)), p_IDIV_SEL=setting.reference - 1,
            p_FBDIV_SEL=setting.feedback - 1, p_ODIV_SEL=setting.divider,
            p_CLKFB_SEL="internal", p_DYN_IDIV_SEL="false", p_DYN_FBDIV_SEL="false", p_DYN_ODIV_SEL="false",
            p_DYN_DA_EN="false", p_PSDA_SEL="0000", p_DUTYDA_SEL="1000", p_CLKOUT_BYPASS="false",
            p_CLKOUTP_BYPASS="false", p_CLKOUTD_BYPASS="false", p_DYN_SDIV_SEL=2, p_CLKOUTD_SRC="CLKOUT",
            p_CLKOUTD3_SRC="CLKOUT",
            i_CLKIN=source, i_CLKFB=Const(0), i_RESET=Const(0), i_RESET_P=Const(0),
            o_CLKOUT=self.clk, o_LOCK=self.locked,
        )  # fmt: skip


def _megahertz(hertz: Fraction) -> str:
    return f"{float(hertz / MHZ):g}"

"""Boards: a core behind a serial line with its clock, reset and pins, as Verilog and constraints for a bitstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module
from amaranth.build import Attrs, Pins, PinsN, Platform, Resource, Subsignal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import Component
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_85FPlatform
from amaranth_boards.tang_primer_20k import TangPrimer20kDockPlatform
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from hw.emit import without_zeros
from hw.pll import MHZ, Pll, Setting, find_setting
from hw.vendor import DEVICES, Device

TOP = "egret"  #: name of the emitted module
BAUD = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board, by Amaranth's description of it.

    Parameters
    ----------
    name : str
        As users type it.
    oscillator : int
        Hz, at the platform's default clock pin.
    frequency : float
        MHz that the core is clocked with by default.
    lanes : int
        Lanes that are built by default.
    compact : bool
        Whether it is a compact core (:class:`hw.config.CoreConfig`) that is built by default.
    reset : tuple
        Name and number of the button that resets the core, high when pressed.
    loaded, busy, error : tuple
        Name and number of an LED.
    resources : tuple
        Pins that the platform does not name.
    pack_options : tuple of str
        Options of the packer.
    """

    name: str
    platform: Callable[[], Platform]
    device: Device
    oscillator: int
    frequency: float
    lanes: int
    reset: tuple[str, int]
    loaded: tuple[str, int]
    busy: tuple[str, int]
    error: tuple[str, int]
    compact: bool = False
    resources: tuple[Resource, ...] = ()
    pack_options: tuple[str, ...] = ()

    def clock(self, frequency: float) -> Setting:
        """Return the setting of the PLL for a clock of at most ``frequency`` MHz.

        Raises
        ------
        hw.pll.PllError
        """
        return find_setting(self.device.family, self.oscillator, round(frequency * MHZ))


BOARDS = {
    board.name: board
    for board in (
        Board(
            name="ulx3s-85f", platform=ULX3S_85F_Platform, device=DEVICES["lfe5u-85f-bg381"],
            oscillator=25 * MHZ, frequency=60, lanes=4, reset=("button_fire", 0),
            loaded=("led", 0), busy=("led", 1), error=("led", 2),
        ),
        Board(
            name="orangecrab-85f", platform=OrangeCrabR0_2_85FPlatform, device=DEVICES["lfe5u-85f-mg285-8"],
            oscillator=48 * MHZ, frequency=72, lanes=4, reset=("button", 0),
            loaded=("led_g", 0), busy=("led_b", 0), error=("led_r", 0),
            resources=(
                *(
                    Resource(f"led_{colour}", 0, PinsN(pin, dir="o"), Attrs(IO_TYPE="LVCMOS33"))
                    for colour, pin in (("r", "K4"), ("g", "M3"), ("b", "J3"))
                ),
                # The board has no serial chip; these are RX and TX of the header, as on other boards of its form.
                Resource(
                    "uart", 0, Subsignal("rx", Pins("0", dir="i", conn=("io", 0)), Attrs(PULLMODE="UP")),
                    Subsignal("tx", Pins("1", dir="o", conn=("io", 0))), Attrs(IO_TYPE="LVCMOS33"),
                ),
            ),
            pack_options=("--freq", "38.8"),
        ),
        Board(
            name="icebreaker", platform=ICEBreakerPlatform, device=DEVICES["up5k"],
            oscillator=12 * MHZ, frequency=24, lanes=4, reset=("button", 0),
            loaded=("led_g", 0), busy=("led_g", 1), error=("led_r", 0), compact=True,
            # The green LED in the middle of the part that can be broken off.
            resources=(
                Resource("led_g", 1, Pins("1", dir="o", conn=("pmod", 2)), Attrs(IO_STANDARD="SB_LVCMOS")),
            ),
        ),
        Board(
            name="tang-primer-20k", platform=TangPrimer20kDockPlatform, device=DEVICES["gw2a-18"],
            oscillator=27 * MHZ, frequency=27, lanes=2, reset=("button", 0),
            loaded=("led", 2), busy=("led", 3), error=("led", 4),
        ),
    )
}  # fmt: skip


class BoardTop(Elaboratable):
    """Give a design its clock, its reset and its pins.

    The clock is that of the PLL; ``sync`` is in reset until it is stable and while the button is pressed.

    Parameters
    ----------
    design : Component
        With the ports of :class:`hw.uart_top.UartTop`.
    """

    def __init__(self, board: Board, setting: Setting, design: Component):
        self._board, self._setting, self._design = board, setting, design

    def elaborate(self, platform):
        board, design = self._board, self._design
        m = Module()
        m.domains.sync = ClockDomain()
        oscillator = platform.request(platform.default_clk, dir="-")
        m.submodules.pll = pll = Pll(self._setting, oscillator)
        m.submodules.reset_button = button = io.Buffer("i", platform.request(*board.reset, dir="-"))
        m.d.comb += ClockSignal().eq(pll.clk)
        m.submodules.reset = ResetSynchronizer(~pll.locked | button.i)

        m.submodules.design = design
        lines = platform.lookup("uart", 0).ios
        uart = platform.request("uart", 0, dir={line.name: "-" for line in lines})
        m.submodules.rx_pin = rx = io.Buffer("i", uart.rx)
        m.submodules.tx_pin = tx = io.Buffer("o", uart.tx)
        m.d.comb += [design.rx.eq(rx.i), tx.o.eq(design.tx)]
        for name in ("loaded", "busy", "error"):
            m.submodules[f"{name}_led"] = led = io.Buffer("o", platform.request(*getattr(board, name), dir="-"))
            m.d.comb += led.o.eq(getattr(design, name))
        return m


def emit_board(board: Board, setting: Setting, design: Component) -> tuple[str, tuple[str, str]]:
    """Return the Verilog of a design on a board, as a module ``TOP``, and the name and content of its constraints."""
    platform = board.platform()
    platform.add_resources(board.resources)
    with without_zeros():
        plan = platform.prepare(BoardTop(board, setting, design), TOP, debug_verilog=True, emit_src=False)
    (name,) = (name for name in plan.files if name.endswith((".lpf", ".pcf", ".cst")))
    return plan.files[f"{TOP}.debug.v"], (name, plan.files[name])

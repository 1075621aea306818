"""Boards: clock, reset and pins, and a small design from each to a packed bitstream by the tools themselves."""

import json
import re

import pytest
from amaranth import Module
from amaranth.hdl import Fragment
from amaranth.lib import io, wiring
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator
from rich.console import Console

from hw import boards
from hw.boards import BOARDS, BoardTop, emit_board
from hw.bus.uart import divisor
from hw.config import CoreConfig
from hw.implement import board_design, device_design, implement, place_on
from hw.pll import MHZ, PllError
from hw.vendor import DEVICES, device
from hw.watch import Display
from tests.hw.blinker import BITS, Blinker

SMALL = CoreConfig(lanes=1, cell_units=1, queue_depth=8, rows=16, entries=256, sources=64, layers=3)

#: Pins by the boards' own documents: oscillator, button, rx, tx, LEDs for loaded, busy and error.
PINS = {
    "ulx3s-85f": "G2 R1 M1 L4 B2 C2 C1",
    "orangecrab-85f": "A9 J17 N17 M18 M3 J3 K4",
    "icebreaker": "35 10 6 9 37 27 11",
    "tang-primer-20k": "H11 T10 T13 M11 N16 N14 L14",
}
#: How each family's constraints name a pin.
LOCATION = r'(?:LOCATE COMP "(?P<a>\w+)" SITE "(?P<b>\w+)"|set_io (?P<c>\w+) (?P<d>\w+)|IO_LOC "(?P<e>\w+)" (?P<f>\w+))'


def located(constraints: str) -> dict[str, str]:
    matches = [list(filter(None, match)) for match in re.findall(LOCATION, constraints)]
    return dict(matches)


@pytest.mark.parametrize("name", BOARDS)
def test_pins_clock_and_device(name):
    board = BOARDS[name]
    setting = board.clock(board.frequency)
    verilog, (_, constraints) = emit_board(board, setting, Blinker())
    assert set(located(constraints).values()) == set(PINS[board.name].split())
    assert setting.output == board.frequency * MHZ, "a default that the PLL does not make"
    divisor(float(setting.output), boards.BAUD)
    platform = board.platform()
    assert platform.default_clk_frequency == board.oscillator
    assert device.family(platform) == board.device.family
    described = " ".join(board.device.options).upper()
    if board.device.family == "ecp5":
        assert f"--{platform.device[-3:-1]}K" in described
        assert platform._nextpnr_package_options[platform.package].upper() in described
        assert f"--SPEED {platform.speed}" in described
    elif board.device.family == "gowin":
        assert platform.part in described and f"FAMILY={platform.family}" in described
    else:
        assert (platform.device.upper(), platform.package) == ("ICE40UP5K", "SG48") and "--UP5K" in described


def test_frequency_below():
    assert BOARDS["ulx3s-85f"].clock(133).output == 132.5 * MHZ
    with pytest.raises(PllError, match="a clock of 500 MHz is outside what this device's PLL allows"):
        BOARDS["ulx3s-85f"].clock(500)


class StubPll(wiring.Component):
    """A PLL whose outputs a test bench drives."""

    def __init__(self, setting, port):
        super().__init__({"clk": Out(1), "locked": Out(1)})

    def elaborate(self, platform):
        return Module()


class StubPlatform:
    """Simulated pins by name."""

    default_clk = "clk"

    def __init__(self):
        self.pins = {}

    def request(self, name, number=0, dir=None):
        if name == "uart":
            self.pins["rx"], self.pins["tx"] = io.SimulationPort("i", 1), io.SimulationPort("o", 1)
            return type("Uart", (), {"rx": self.pins["rx"], "tx": self.pins["tx"]})
        self.pins[name, number] = io.SimulationPort("o" if name.startswith("led") else "i", 1)
        return self.pins[name, number]

    def lookup(self, name, number):
        return type("Uart", (), {"ios": ()})


def test_reset_until_the_clock_is_stable(monkeypatch):
    board, platform = BOARDS["ulx3s-85f"], StubPlatform()
    top = BoardTop(board, board.clock(board.frequency), Blinker())
    stubs = []
    monkeypatch.setattr(boards, "Pll", lambda setting, port: stubs.append(StubPll(setting, port)) or stubs[0])
    module = Fragment.get(top, platform)
    (pll,), pins = stubs, platform.pins

    async def bench(ctx):
        async def cycles(count):
            for _ in range(count):
                ctx.set(pll.clk, 1)
                await ctx.delay(1e-9)
                ctx.set(pll.clk, 0)
                await ctx.delay(1e-9)

        def busy():
            return ctx.get(pins[board.busy].o)

        ctx.set(pins["rx"].i, 1)
        for hold in ("unlocked", "pressed"):
            ctx.set(pll.locked, hold != "unlocked")
            ctx.set(pins[board.reset].i, hold == "pressed")
            for _ in range(5):
                await cycles(1)
                assert busy() == 0, hold
            ctx.set(pll.locked, 1)
            ctx.set(pins[board.reset].i, 0)
            await cycles(4)  # through the synchroniser
            for _ in range(3 << BITS):
                before = busy()
                await cycles(1)
                assert busy() != before
        assert ctx.get(pins["tx"].o) == 1

    simulator = Simulator(module)
    simulator.add_testbench(bench)
    simulator.run()


def test_core_alone_has_no_port_of_the_simulation():
    verilog = device_design(SMALL, DEVICES["lfe5u-85f"]).verilog
    outputs = set(re.findall(r"reg (?:\[[\d:]+\] )?(\w+)_folded\b", verilog))
    assert {"counter", "o__payload", "detail"} <= outputs
    assert not {name for name in outputs if name.startswith(("step", "updates"))}


def test_core_on_a_board():
    design = board_design(SMALL, BOARDS["ulx3s-85f"], frequency=60.1)
    assert design.frequency == 60
    assert design.target == {
        "board": "ulx3s-85f", "device": "lfe5u-85f-bg381", "clock_mhz": 60, "baud": boards.BAUD,
    }  # fmt: skip
    assert "DP16KD" in design.verilog and "EHXPLLL" in design.verilog


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("ulx3s-85f", b"Part: LFE5U-85F-6CABGA381"),
        ("orangecrab-85f", b"Part: LFE5U-85F-8CSFBGA285"),
        ("icebreaker", b"\xff\x00\x00\xff\x7e\xaa\x99\x7e"),
        ("tang-primer-20k", f"{0x81B:032b}".encode()),  # the device's JTAG identity
    ],
)
def test_to_a_bitstream(name, mark, tmp_path):
    board = BOARDS[name]
    design = place_on(board, board.clock(board.frequency), Blinker())
    with Display(Console(quiet=True)) as display:
        done = implement(design, tmp_path, seeds=1, jobs=1, display=display)
    assert done.missed is None
    bitstream, report = done.files
    assert mark in bitstream.read_bytes()[:2000]
    assert json.loads(report.read_text()) == json.loads(json.dumps(done.report))
    assert done.report["fmax_mhz"]["margin"] > 0
    assert done.report["critical_path"]["logic"] > 0
    (part,) = done.report["components"]
    assert part["name"] == "around it" and part["takes"]["FF"] >= BITS

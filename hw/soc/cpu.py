"""The SoC's processor: VexRiscv, RV32IM with caches, as its package has it in Verilog."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from amaranth import ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.bus.wishbone import WishboneBus
from hw.soc.bus import ADDRESS_BITS

PACKAGE = "pythondata_cpu_vexriscv"
VARIANT = "VexRiscv_Full.v"  #: the smallest that can read its cycle counter


class MissingPackage(RuntimeError):
    """The processor's package is not installed."""


def verilog() -> Path:
    """Return the file of the processor.

    Raises
    ------
    MissingPackage
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise MissingPackage("the processor's Verilog is not installed; pip install --editable '.[soc]'")
    return Path(found.origin).parent / "verilog" / VARIANT


class Cpu(wiring.Component):
    """A processor that starts at address 0.

    Members
    -------
    instructions : Out(WishboneBus(30)), data : Out(WishboneBus(30))
        Lines of 8 words are read from addresses below ``0x80000000`` and kept; a store goes to memory at once. From
        there on nothing is kept, and an access is one word.
    """

    def __init__(self):
        super().__init__({"instructions": Out(WishboneBus(ADDRESS_BITS)), "data": Out(WishboneBus(ADDRESS_BITS))})

    def elaborate(self, platform):
        m = Module()
        ports = {}
        for prefix, bus in (("iBusWishbone", self.instructions), ("dBusWishbone", self.data)):
            ports |= {
                f"o_{prefix}_CYC": bus.cyc, f"o_{prefix}_STB": bus.stb, f"o_{prefix}_WE": bus.we,
                f"o_{prefix}_ADR": bus.adr, f"o_{prefix}_SEL": bus.sel, f"o_{prefix}_DAT_MOSI": bus.dat_w,
                # It wants an error marked on an answer, not in place of one.
                f"i_{prefix}_ACK": bus.ack | bus.err, f"i_{prefix}_ERR": bus.err,
                f"i_{prefix}_DAT_MISO": bus.dat_r,
                # Bursts are told, too, of which this bus has no need.
                f"o_{prefix}_CTI": Signal(3, name=f"{prefix}_CTI"), f"o_{prefix}_BTE": Signal(2, name=f"{prefix}_BTE"),
            }  # fmt: skip
        m.submodules.vexriscv = Instance(
            "VexRiscv",
            i_clk=ClockSignal(), i_reset=ResetSignal(), i_externalResetVector=Const(0, 32),
            i_timerInterrupt=0, i_softwareInterrupt=0, i_externalInterruptArray=Const(0, 32), **ports,
        )  # fmt: skip
        return m

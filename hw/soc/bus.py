"""The bus of the SoC: Wishbone, standard cycles, one manager at a time."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bus.wishbone import WishboneBus

ADDRESS_BITS = 30  #: of words
REGION_BITS = 4  #: of an address, the highest, that choose who is meant


def connect_request(m: Module, subordinate: wiring.PureInterface, manager: wiring.PureInterface) -> None:
    """Pass on what a manager asks for, but for who is asked."""
    m.d.comb += [
        getattr(subordinate, name).eq(getattr(manager, name)) for name in ("we", "adr", "sel", "dat_w")
    ]  # fmt: skip


class Arbiter(wiring.Component):
    """Let two managers share a bus.

    Where both ask, it is the turn of the one that was not let through last; whoever is stays until it is answered. No
    cycle is added.

    Members
    -------
    first : In(WishboneBus(30)), second : In(WishboneBus(30)), bus : Out(WishboneBus(30))
    """

    def __init__(self):
        port = WishboneBus(ADDRESS_BITS)
        super().__init__({"first": In(port), "second": In(port), "bus": Out(port)})

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        waits, holder, chosen = Signal(), Signal(), Signal()  # an answer; who had the bus last; who has it
        asks = Cat(manager.cyc & manager.stb for manager in (self.first, self.second))
        m.d.comb += chosen.eq(Mux(waits, holder, Mux(asks.all(), ~holder, asks[1])))
        m.d.sync += waits.eq(bus.cyc & bus.stb & ~(bus.ack | bus.err))
        with m.If(asks.any()):
            m.d.sync += holder.eq(chosen)
        with m.If(chosen):
            self._pass(m, self.second)
        with m.Else():
            self._pass(m, self.first)
        for number, manager in enumerate((self.first, self.second)):
            answered = chosen == number
            m.d.comb += [
                manager.dat_r.eq(bus.dat_r),
                manager.ack.eq(bus.ack & answered),
                manager.err.eq(bus.err & answered),
                manager.stall.eq(~(manager.ack | manager.err)),
            ]
        return m

    def _pass(self, m, manager):
        connect_request(m, self.bus, manager)
        m.d.comb += [self.bus.cyc.eq(manager.cyc), self.bus.stb.eq(manager.stb)]


class Decoder(wiring.Component):
    """Let a manager talk to several subordinates, by the four highest bits of its address.

    An address of nobody is answered with ``err`` at once. No cycle is added.

    Parameters
    ----------
    regions : mapping of str to int
        Name of each subordinate and the value of those bits, 0 to 15.

    Members
    -------
    bus : In(WishboneBus(30))
    <name> : Out(WishboneBus(30)), of each region

    Raises
    ------
    ValueError
        If a region is not from 0 to 15, or two are the same.
    """

    def __init__(self, regions: Mapping[str, int]):
        for name, region in regions.items():
            if not 0 <= region < 1 << REGION_BITS:
                raise ValueError(f"region {name!r} is {region}; it must be 0 to {(1 << REGION_BITS) - 1}")
            if list(regions.values()).count(region) > 1:
                raise ValueError(f"region {name!r} is {region}, and so is another; each must be another one")
        self._regions = dict(regions)
        port = WishboneBus(ADDRESS_BITS)
        super().__init__({"bus": In(port), **{name: Out(port) for name in regions}})

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        m.d.comb += [bus.err.eq(bus.cyc & bus.stb), bus.stall.eq(~(bus.ack | bus.err))]
        for name, region in self._regions.items():
            port = getattr(self, name)
            connect_request(m, port, bus)
            with m.If(bus.adr[-REGION_BITS:] == region):
                m.d.comb += [
                    port.cyc.eq(bus.cyc), port.stb.eq(bus.stb),
                    bus.dat_r.eq(port.dat_r), bus.ack.eq(port.ack), bus.err.eq(port.err),
                ]  # fmt: skip
        return m

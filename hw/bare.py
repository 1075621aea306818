"""The core without the ports that only a simulation reads."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring

from hw.config import CoreConfig
from hw.core import Core

SIMULATION_ONLY = ("step", "updates")


class BareCore(wiring.Component):
    """Wrap :class:`hw.core.Core` without ``step`` and ``updates``, so that what drives only them is left out."""

    def __init__(self, config: CoreConfig):
        self._core = Core(config)
        members = self._core.signature.members
        super().__init__({name: member for name, member in members.items() if name not in SIMULATION_ONLY})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self._core
        ports = zip(self.signature.flatten(self), self.signature.flatten(core), strict=True)
        for (_, member, outer), (_, _, inner) in ports:
            m.d.comb += inner.eq(outer) if member.flow is wiring.In else outer.eq(inner)
        return m

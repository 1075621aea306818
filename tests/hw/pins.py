"""Ports that are no streams: drive and sample them by name, one call a cycle; several components in one design."""

from __future__ import annotations

import warnings
from typing import Any

from amaranth import Module
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from tests.hw.bench import pack, packer, unpacker

# In the simulation components are made only for the names and shapes of their ports.
warnings.filterwarnings("ignore", category=UnusedElaboratable)


class Pins:
    """Set inputs and read outputs of a design by port name, as values of the ports' shapes.

    A port of a nested interface or an array is named as in the Verilog: ``o__payload``, ``lanes__2``. Create it before
    the streams' sources and sinks: it sets every input to its initial value.

    Parameters
    ----------
    dut
        The design of cocotb.
    component : wiring.Component
        What was built, or one like it; gives names, shapes and directions.
    prefix : str
        Where the component is a part of :class:`Together`: its name and two underscores.
    """

    def __init__(self, dut, component: wiring.Component, prefix: str = ""):
        self._clock = dut.clk
        self._shapes, self._inputs, self._outputs = {}, {}, {}
        for path, member, _ in component.signature.flatten(component):
            name = "__".join(map(str, path))
            handle = getattr(dut, prefix + name)
            self._shapes[name] = member.shape
            self._outputs[name] = handle, unpacker(member.shape)
            if member.flow is In:
                self._inputs[name] = handle, packer(member.shape)
                handle.value = pack(member.shape, member.init) if member.init is not None else 0

    def shape(self, name: str) -> Any:
        """Return the shape of a port."""
        return self._shapes[name]

    def set(self, **inputs: Any) -> None:
        """Set inputs from now on."""
        for name, value in inputs.items():
            handle, pack_value = self._inputs[name]
            handle.value = pack_value(value)

    def get(self, name: str) -> Any:
        """Return the value that a port had in the cycle that just ended."""
        handle, unpack_value = self._outputs[name]
        return unpack_value(int(handle.value))

    async def cycle(self, **inputs: Any) -> None:
        """Set inputs, and wait for the end of the cycle that begins now; then :meth:`get` tells what happened in it."""
        self.set(**inputs)
        await RisingEdge(self._clock)


class Together(wiring.Component):
    """Several components side by side, to be compiled at once; ports of ``part`` are named ``part__...``."""

    def __init__(self, **parts: wiring.Component):
        self.parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m

"""The memories of :mod:`sim.memories`, with their timing and their faults, behind an AXI4 read master in cocotb."""

import cocotb
from cocotb.triggers import RisingEdge

from sim.memory_model import MemoryModel


class CompiledMemory:
    """An AXI4 slave for reads that does what the C++ model does, cycle by cycle.

    ``pins`` have the ports ``ar`` and ``r`` of a master; ``options`` are :class:`sim.memory_model.MemoryModel`'s.
    Unlike :class:`tests.hw.axi4_memory.Memory` it checks nothing of what it is asked.
    """

    def __init__(self, dut, pins, memory, **options):
        self.model = MemoryModel(memory, **options)
        self.asked, self.taken = [], []  #: cycles in which addresses were accepted, and transfers taken
        self._pins, self._clock = pins, dut.clk
        self._show()
        cocotb.start_soon(self._run())

    def _show(self):
        self._transfer = self.model.transfer
        self._ready = self.model.ready
        self._pins.set(ar__ready=self._ready, r__valid=self._transfer is not None)
        if self._transfer is not None:
            data, response, last = self._transfer
            self._pins.set(r__payload={"data": data, "resp": response, "last": last})

    async def _run(self):
        while True:
            await RisingEdge(self._clock)
            if self._ready and self._pins.get("ar__valid"):
                asked = self._pins.get("ar__payload")
                self.model.ask(asked.addr, asked.len + 1)
                self.asked.append(self.model.cycle)
            if self._transfer is not None and self._pins.get("r__ready"):
                self.model.take()
                self.taken.append(self.model.cycle)
            self.model.tick()
            self._show()

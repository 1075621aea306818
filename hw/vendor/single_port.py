"""Single-port memory without an output register, as plain HDL or as a device's own block."""

from __future__ import annotations

from amaranth import Array, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.delay import delay
from hw.vendor.device import family

ROW_BITS = 16
BLOCK_ROWS_LOG2 = 14


class RowMemory(wiring.Component):
    """Read or write one row of 16 bits a cycle; a read takes one cycle.

    Parameters
    ----------
    address_bits : int

    Members
    -------
    addr : In(address_bits)
    write_en : In(1), write_data : In(16)
    read_data : Out(16)
        Row addressed in the cycle before, unless that was written.
    """

    def __init__(self, *, address_bits: int):
        super().__init__({
            "addr": In(address_bits), "write_en": In(1), "write_data": In(ROW_BITS), "read_data": Out(ROW_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        return self._sprams() if family(platform) == "ice40" else self._plain()

    def _plain(self):
        m = Module()
        m.submodules.storage = storage = Memory(
            shape=ROW_BITS, depth=1 << len(self.addr), init=(), attrs={"no_rw_check": 1}
        )
        read, write = storage.read_port(), storage.write_port()
        m.d.comb += [
            read.addr.eq(self.addr), self.read_data.eq(read.data),
            write.addr.eq(self.addr), write.en.eq(self.write_en), write.data.eq(self.write_data),
        ]  # fmt: skip
        return m

    def _sprams(self):
        """Instance blocks of single-port RAM, FPGA-TN-02022: 16,384 rows each, no initial content."""
        m = Module()
        select, outputs = self.addr >> BLOCK_ROWS_LOG2, []
        for block in range(1 << max(0, len(self.addr) - BLOCK_ROWS_LOG2)):
            output = Signal(ROW_BITS, name=f"output_{block}")
            m.submodules[f"rows_{block << BLOCK_ROWS_LOG2}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(), i_STANDBY=0, i_SLEEP=0, i_POWEROFF=1,  # POWEROFF is active low
                i_CHIPSELECT=1, i_WREN=self.write_en & (select == block), i_MASKWREN=Const(0b1111, 4),
                i_ADDRESS=(self.addr | Const(0, BLOCK_ROWS_LOG2))[:BLOCK_ROWS_LOG2], i_DATAIN=self.write_data,
                o_DATAOUT=output,
            )  # fmt: skip
            outputs.append(output)
        m.d.comb += self.read_data.eq(Array(outputs)[delay(m, select, 1, "select")] if len(outputs) > 1 else outputs[0])
        return m

"""The cell that takes turns, bit for bit against :mod:`golden.fixed`."""

import cocotb
import numpy as np
from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden import fixed
from golden.fixed import GATES
from hw.compact.cell import END, READOUT_BEGIN, READOUT_END, Cell
from hw.config import CoreConfig
from tests.hw.bench import start
from tests.hw.pins import Pins, Together
from tests.hw.test_cell_egru import BLOCK, VECTORS, cell_each, draw_vectors

CELLS = {8: 24, 12: 20, 15: 28}  #: y_bits: acc_bits


def config(y_bits):
    return CoreConfig(
        lanes=1, cell_units=1, rows=4, entries=16, sources=16, layers=1, y_bits=y_bits, value_bits=16,
        acc_bits=CELLS[y_bits], counters=False, compact=True,
    )  # fmt: skip


class AnsweredCell(wiring.Component):
    """A cell with what it asks for: sums, biases and shifts a cycle later, and in that one alone."""

    def __init__(self, config):
        self._cell = Cell(config)
        sums = data.ArrayLayout(signed(config.acc_bits), len(GATES))
        members = self._cell.signature.members
        asked = ("gate", "hold", "fetch", "shift_gate", "sum", "bias", "shift")
        super().__init__({
            "sums": In(sums), "biases": In(sums), "shifts": In(data.ArrayLayout(5, len(GATES))),
            "gate": Out(2), "hold": Out(1), "fetch": Out(1),
            **{name: member for name, member in members.items() if name not in asked},
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.cell = cell = self._cell
        for name, member in self.signature.members.items():
            if name in cell.signature.members:
                inner, outer = getattr(cell, name), getattr(self, name)
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        noise = Signal(len(cell.sum), init=0x5A5A)
        m.d.sync += [
            noise.eq((noise << 1) ^ (noise >> 3) ^ 1),
            cell.sum.eq(Mux(cell.fetch, self.sums[cell.gate], noise)),
            cell.bias.eq(Mux(cell.fetch, self.biases[cell.gate], ~noise)),
            cell.shift.eq(self.shifts[cell.shift_gate]),
        ]
        return m


def parts():
    return Together(**{f"cell_{y_bits}": AnsweredCell(config(y_bits)) for y_bits in CELLS})


async def update(pins, **inputs):
    """Run a unit; return its cycles and the gates that were fetched, each after two cycles of hold."""
    cycles, fetched, holds = 0, [], [0, 0]
    await pins.cycle(start=1, **inputs)
    pins.set(start=0)
    while True:
        await pins.cycle()
        cycles += 1
        if pins.get("fetch"):
            assert holds[-2:] == [1, 1]
            fetched.append(pins.get("gate"))
        holds.append(pins.get("hold"))
        if pins.get("done"):
            return cycles, fetched


@cocotb.test()
@cocotb.parametrize(y_bits=list(CELLS))
async def updates_as_the_oracle(dut, y_bits):
    pins = Pins(dut, AnsweredCell(config(y_bits)), f"cell_{y_bits}__")
    await start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED + y_bits)
    shifts, sums, bias, h, threshold, _ = draw_vectors(rng, CELLS[y_bits], y_bits)
    fresh = rng.random(VECTORS) < 0.1
    h_next, fires, y = cell_each(sums + bias, shifts, np.where(fresh, 0, h), threshold, y_bits)
    assert 0.1 < fires.mean() < 0.9
    columns = [column.tolist() for column in (sums.T, bias.T, h, threshold, fresh, h_next, fires, y)]
    shifts = (shifts + fixed.SHIFT_GUARD).tolist()
    for k, (sums, biases, h, threshold, fresh, *expected) in enumerate(zip(*columns, strict=True)):
        cycles, fetched = await update(
            pins, readout=0, sums=sums, biases=biases, shifts=shifts[k // BLOCK], h=h, threshold=threshold, fresh=fresh
        )
        assert cycles == END + 1 and sorted(fetched) == list(range(len(GATES)))
        given = [pins.get("h_next"), pins.get("fires"), pins.get("y")]
        assert given[:2] == expected[:2] and (not given[1] or given[2] == expected[2]), f"unit {k}"


@cocotb.test()
async def adds_up_logits(dut):
    """Between updates, which they leave nothing behind for."""
    pins = Pins(dut, AnsweredCell(config(8)), "cell_8__")
    await start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    limit = 1 << CELLS[8] - 2
    for _ in range(200):
        sums, biases = rng.integers(-limit, limit, (2, len(GATES))).tolist()
        cycles, fetched = await update(pins, readout=1, sums=sums, biases=biases)
        assert cycles == READOUT_END - READOUT_BEGIN + 1 and fetched == [GATES.index("gx")]
        assert pins.get("total") == sums[0] + biases[0]


def test_cell(simulate):
    simulate(parts())

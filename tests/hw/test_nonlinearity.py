"""Sigmoid and tanh: every argument, against :mod:`golden.fixed`."""

import cocotb
import numpy as np

from golden import fixed
from hw.nonlinearity import Nonlinearity
from tests.hw.bench import start
from tests.hw.pins import Pins, Together

TABLES = {"sigmoid": fixed.SIGMOID, "tanh": fixed.TANH, "far": fixed.TANH}
FAR = {"sigmoid": False, "tanh": False, "far": True}  #: whether there is a register more
LATENCY = 4


def parts():
    return Together(**{name: Nonlinearity(table, far=FAR[name]) for name, table in TABLES.items()})


@cocotb.test()
async def equals_the_oracle_at_every_argument(dut):
    """One value a cycle, latency 4, or 5."""
    assert LATENCY == Nonlinearity.LATENCY
    pins = Pins(dut, parts())
    await start(dut)
    arguments = np.arange(-(1 << fixed.PRE_BITS - 1), 1 << fixed.PRE_BITS - 1)
    expected = {name: table(arguments).tolist() for name, table in TABLES.items()}
    arguments = arguments.tolist()
    for cycle in range(len(arguments) + LATENCY + 1):
        pre = arguments[min(cycle, len(arguments) - 1)]
        await pins.cycle(**{f"{name}__pre": pre for name in TABLES})
        for name in TABLES:
            if 0 <= (k := cycle - LATENCY - FAR[name]) < len(arguments):
                assert pins.get(f"{name}__value") == expected[name][k]


def test_nonlinearity(simulate):
    simulate(parts())

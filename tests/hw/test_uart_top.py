"""The core behind a serial line, driven by the host's own driver, on a clean line and on a bad one."""

import random

import cocotb
import numpy as np
from cocotb.task import bridge

from firmware.link import Link, Step
from hw.config import CoreConfig
from hw.counters import counter_map
from hw.uart_top import UartTop
from tests.hw.bench import start
from tests.hw.oracle import Case, draw_case, expect
from tests.hw.serial_line import Noise, SimulatedPort

CONFIG = CoreConfig(lanes=2, cell_units=1, queue_depth=8, rows=16, entries=256, sources=64, layers=3)
DIVISOR = 4
BUFFER_BYTES = 256
PATIENCE = 2000
TIMEOUT = 100e-6  # of simulated time: longer than any request here takes


def design():
    return UartTop(CONFIG, clock_hz=DIVISOR * 1_000_000, baud=1_000_000, buffer_bytes=BUFFER_BYTES, patience=PATIENCE)


def small_case(seed) -> Case:
    rng = np.random.default_rng((cocotb.RANDOM_SEED, seed))
    return draw_case(rng, CONFIG, units_max=8, steps_max=4)


def steps_of(case: Case) -> list[Step]:
    return [
        Step([(int(i), int(values[i])) for i in np.flatnonzero(values)], ending=t == len(sequence) - 1)
        for sequence in case.sequences
        for t, values in enumerate(sequence)
    ]


@bridge
def compute(port, case):
    link = Link(port, timeout=TIMEOUT, attempts=50)
    link.load(case.compiled.words.tolist())
    link.set_register("control", clear_counters=1)
    wanted = expect(case.network, case.sequences)
    packets = list(link.run(steps_of(case)))
    assert [(dict(packet.events), packet.ending) for packet in packets] == [(w.outputs, w.ending) for w in wanted]
    counters = link.counters()
    assert counters.keys() == counter_map(CONFIG).keys()
    assert counters["steps"] == len(wanted)
    for group in range(len(wanted[0].macs)):
        assert counters[f"macs_{group}"] == sum(step.macs[group] for step in wanted)
        assert counters[f"events_{group}"] == sum(step.events[group] for step in wanted)
    return link


@cocotb.test()
@cocotb.parametrize(noise=[0.0, 0.003], seed=range(3))
async def computes_what_the_oracle_computes(dut, noise, seed):
    rng = random.Random(f"{cocotb.RANDOM_SEED} {seed}")
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR, Noise(rng, noise))
    await start(dut)
    link = await compute(port, small_case(seed))
    cocotb.log.info(f"repetitions {link.repetitions}")
    assert bool(link.repetitions) == bool(noise)
    assert dut.loaded.value and not dut.error.value and not dut.busy.value


def test_uart_top(simulate):
    simulate(design())

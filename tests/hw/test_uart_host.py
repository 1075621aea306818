"""The host's driver in front of the whole device, wires and all: the shipped self-test, and ranking."""

import cocotb
import numpy as np
from cocotb.task import bridge

from firmware.host.device import Device
from firmware.host.network import compile_for
from firmware.host.selftest import self_test
from firmware.link import Link
from golden import ranking
from golden.reference import Oracle
from hw.config import CoreConfig
from hw.uart_top import UartTop
from tests.hw.bench import start
from tests.hw.serial_line import SimulatedPort
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(
    lanes=2, cell_units=1, queue_depth=8, rows=16, entries=512, sources=32, layers=2, acc_bits=16, ranked=3
)
DIVISOR = 4
TIMEOUT = 1e-3  # of simulated time: longer than any request here takes


@bridge
def replay(port):
    with Device(Link(port, timeout=TIMEOUT)) as device:
        assert device.identity.config_id == CONFIG.config_id
        return self_test(device)


@cocotb.test()
async def replays_the_vectors(dut):
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR)
    await start(dut)
    compared = await replay(port)
    assert sum(row.compared for row in compared) > 300 and not any(row.differ for row in compared)


@bridge
def rank(port, network, inputs, targets):
    """Score two steps, then generate three words; return scores, words and the largest outputs behind them."""
    with Device(Link(port, timeout=TIMEOUT)) as device:
        device.load(compile_for(network, device.identity).words)
        scores = device.ranking.score(inputs, targets, network.readout.sum_exponent, False)
        words = device.ranking.generate(3, value=50)
        return scores, words, device.ranking.largest(), device.error


@cocotb.test()
async def ranks_and_generates(dut):
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR)
    await start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    network = random_fixed_network(rng, inputs=6, layers=[8], outputs=6, weight_density=0.4, weight_bits=4)
    inputs, targets = random_inputs(rng, network, 2, 1, 0.7), rng.integers(0, 6, 2)
    scores, words, largest, error = await rank(port, network, inputs[:, 0], targets)

    oracle = Oracle(network)
    trace, scale = oracle.run(inputs), ranking.scale(network.readout.sum_exponent)
    assert scores == [
        ranking.log_probability(logits, target, scale)
        for logits, target in zip(trace.logits[:, 0], targets, strict=True)
    ]
    for word in words:
        assert word == trace.logits[-1, 0].argmax()
        trace = oracle.step(50 * np.eye(6, dtype=int)[[word]], trace.state)
    assert len(words) == 3 and error is None
    for told, wanted in zip(largest, ranking.top_k(range(6), trace.logits[0, 0], CONFIG.ranked), strict=True):
        assert (told == wanted).all()


def test_uart_host(simulate):
    simulate(UartTop(CONFIG, clock_hz=DIVISOR * 1_000_000, baud=1_000_000))

"""Networks for the top of one configuration, and what it has to send and to hold for them."""

from __future__ import annotations

import cocotb
import numpy as np

from golden import reference
from golden.fanout import compile
from hw.config import CoreConfig
from tests.hw.top_bench import Host, Packet, events
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(
    lanes=4, cell_units=2, queue_depth=8, rows=16, entries=1024, sources=64, layers=3, acc_bits=24
)  # fmt: skip
SIZES = {"readout": ([14, 9], 7), "events": ([13], None)}  # units of the layers, outputs
INPUTS = 8


class Case:
    """A random network, sequences for it, and what the oracle says."""

    def __init__(self, kind: str = "readout", *, seed: int = 0, sequences: int = 2, steps: int = 5):
        rng = np.random.default_rng((cocotb.RANDOM_SEED, seed))
        layers, outputs = SIZES[kind]
        self.network = random_fixed_network(rng, inputs=INPUTS, layers=layers, outputs=outputs, weight_density=0.3)
        self.compiled = compile(self.network, CONFIG.capacity)
        self.words = [int(word) for word in self.compiled.words]
        self.inputs = random_inputs(rng, self.network, steps, sequences, 0.5)
        self.trace = reference.run(self.network, self.inputs)
        self.steps = [(t, s) for s in range(sequences) for t in range(steps)]  # as they are sent
        self._last = steps - 1

    def ending(self, step: tuple[int, int]) -> bool:
        return step[0] == self._last

    def packet(self, step: tuple[int, int]) -> Packet:
        """What the core has to send for a step."""
        if self.trace.logits is not None:
            values = dict(enumerate(self.trace.logits[step].tolist()))
        else:
            values = {unit: y for unit, y in enumerate(self.trace.y[-1][step].tolist()) if y}
        return Packet(values, self.ending(step))

    def states(self, step: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(h[step], fires[step]) for h, fires in zip(self.trace.h, self.trace.fires, strict=True)]

    def send(self, host: Host, *steps: tuple[int, int]) -> None:
        for step in steps:
            host.send(events(self.inputs[step]), ending=self.ending(step))

    async def check(self, host: Host, *steps: tuple[int, int]) -> None:
        for step in steps:
            assert await host.receive() == self.packet(step), f"step {step}"


def best(packet: Packet) -> tuple[int, int] | None:
    return min(packet.values.items(), key=lambda item: (-item[1], item[0]), default=None)


async def loaded(dut, case: Case, *, stall: float = 0.0) -> Host:
    host = await Host.start(dut, stall=stall)
    await host.load(case.words)
    assert (await host.read("status"))["loaded"]
    assert await host.error() == (0, 0)
    return host

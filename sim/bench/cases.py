"""What is benchmarked, and the bars."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from golden.data import digits
from golden.network import FixedNetwork, load
from golden.quantize import quantize_inputs
from hw.config import CoreConfig
from sim.workloads import WORKLOADS

DIGITS_MODEL = Path(__file__).parents[2] / "models" / "digits" / "digits.safetensors"


@dataclass(frozen=True)
class Case:
    """A workload on a core, with the lane efficiency to reach, where a bar says so: inputs early, and each after the
    last output.
    """

    name: str
    description: str
    workload: str
    lanes: int
    cell_units: int
    early: float | None
    late: float | None
    split_banks: bool = False
    forwarding: bool = False
    queue_depth: int = 16
    hops: int = 1
    distributed_cells: bool = False

    def config(self, network: FixedNetwork, activity: np.ndarray | None) -> CoreConfig:
        return CoreConfig.fitting(
            network, self.lanes, activity=activity, cell_units=self.cell_units, queue_depth=self.queue_depth,
            split_banks=self.split_banks, forwarding=self.forwarding, hops=self.hops,
            distributed_cells=self.distributed_cells,
        )  # fmt: skip


CASES = (
    Case("wide-16", "1350 inputs, 1350 units, 85 % sparse, 20 % active", "wide", 16, 2, 0.98, 0.98),
    Case("square-32", "512 inputs, 512 units, 85 %, 15 %", "square", 32, 4, 0.96, 0.96, split_banks=True),
    Case(
        "square-64",
        "512 inputs, 512 units, 85 %, 15 %",
        "square",
        64,
        4,
        0.93,
        0.92,
        split_banks=True,
        forwarding=True,
        queue_depth=32,
    ),
    Case("stack-16", "3 layers of 256, 85 %, 15 %", "stack", 16, 2, 0.96, 0.96, split_banks=True),
    Case(
        "banked-64",
        "512 units, bank-balanced",
        "banked",
        64,
        4,
        0.98,
        0.94,
        split_banks=True,
        forwarding=True,
        queue_depth=32,
    ),
    # Built for distance, as the large cores that ``hw.bench`` routes.
    Case("far-16", "3 layers of 256, 85 %, 15 %", "stack", 16, 2, None, None, hops=3),
    Case(
        "far-64",
        "512 inputs, 512 units, 85 %, 15 %",
        "square",
        64,
        4,
        None,
        None,
        forwarding=True,
        queue_depth=32,
        hops=3,
        distributed_cells=True,
    ),
)

#: The digits network is judged by cycles: from the last input event to the result, and a step back to back. At the end
#: of an image every event adds to the same few sums of the readout, one after the other: hence forwarding.
DIGITS = Case("digits-8", "digits network", "digits", 8, 8, 100, 335, split_banks=True, forwarding=True)


@cache
def workload(name: str):
    """Return a workload of :mod:`sim.workloads`; drawing one takes seconds, and several cases share one."""
    return WORKLOADS[name]()


@cache
def digits_network() -> tuple[FixedNetwork, np.ndarray]:
    """Return the bundled network and the test images as integers (images, steps, inputs)."""
    network = load(DIGITS_MODEL).fixed
    return network, quantize_inputs(digits().test.inputs, network)

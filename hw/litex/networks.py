"""The networks that the SoC runs, by name: digits, the benchmark's, and those of a language model's shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from golden import network
from hw.litex.cases import Case
from sim.inputs import read_inputs
from sim.token_workloads import language_model
from sim.workloads import WORKLOADS

MODEL = Path(__file__).parents[2] / "models" / "digits" / "digits.safetensors"


def digits(images: int, model: Path = MODEL) -> Case:
    """Return a few handwritten digits for the network that knows them."""
    known = network.load(model).fixed
    return Case("digits", known, read_inputs(f"digits:{images}", known).sequences())


def workload(name: str, steps: int) -> Case:
    """Return a network of the benchmark and inputs for it."""
    drawn = WORKLOADS[name]()
    return Case(name, drawn.network, [drawn.inputs(steps)])


def tokens(name: str, steps: int, **drawing) -> Case:
    """Return a network of tokens, one a step, with the lists of those tokens alone: the others are never read.

    Networks and tokens are those of ``python -m sim.bench.streamed``; ``drawing``: as of
    :func:`sim.token_workloads.language_model`.
    """
    drawn = language_model(name, readout=False, **drawing)
    cut, inputs = drawn.cut_to(drawn.inputs(steps))
    return Case(name, cut, [inputs])


#: How to draw each, for so many images or steps.
NETWORKS: dict[str, Callable[[int], Case]] = {
    "digits": digits,
    **{name: partial(workload, name) for name in WORKLOADS},
    "flagship-85": partial(tokens, "flagship-85", density=0.15),
    "flagship-95": partial(tokens, "flagship-95", density=0.05),
}

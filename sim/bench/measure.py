"""Run a case and measure it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from golden.fanout import Compiled, compile
from golden.reference import Oracle
from sim.bench.cases import Case, digits_network, workload
from sim.simulator import RunResult, Simulator

PACE = [False] + [True] * 255  #: one event every 256 cycles, longer than any list takes
WARM_UP = 10  #: steps before the measurement begins


@dataclass(frozen=True)
class Efficiency:
    """Multiply-accumulates over lanes times cycles, inputs early or late; ``barrier`` is an estimate (see there)."""

    early: float
    late: float
    barrier: float
    macs: float
    hazard: float
    drain: float


@dataclass(frozen=True)
class Latency:
    """Cycles of the digits network, mean and worst over images.

    ``last_event``: from the last input event of an image to its result, events coming one at a time, so that only the
    last one's list is still to be walked; ``burst``: the same, each row of pixels given at once when the row before is
    done with, so that the lists of all its events are; ``step``: a step, all images back to back.
    """

    last_event: float
    burst: float
    burst_worst: int
    step: float
    efficiency: float


def efficiency(case: Case, steps: int, progress=None) -> Efficiency:
    """Measure the lane efficiency of a case over ``steps`` steps after the warm-up.

    Early: from the last output of the warm-up to that of the last step but one. Late: from the first input of the first
    step measured to that of the last, so that every step counts with all that follows from it.
    """
    drawn = workload(case.workload)
    config = case.config(drawn.network, drawn.rates)
    compiled = compile(drawn.network, config.capacity, activity=drawn.rates)
    simulator = Simulator(config)
    inputs = drawn.inputs(WARM_UP + steps + 1)
    early, late = (
        simulator.run(compiled.words, [inputs], mode=mode, progress=progress) for mode in ("stream", "stepwise")
    )
    span = slice(WARM_UP, WARM_UP + steps)
    macs = early.steps["macs"].sum(axis=1)[span]
    early_cycles = early.steps["output"][WARM_UP + steps - 1] - early.steps["output"][WARM_UP - 1]
    late_cycles = late.steps["first_input"][WARM_UP + steps] - late.steps["first_input"][WARM_UP]
    return Efficiency(
        early=macs.sum() / case.lanes / early_cycles,
        late=macs.sum() / case.lanes / late_cycles,
        barrier=barrier(compiled, inputs[span]),
        macs=macs.mean(),
        hazard=_share(early, case.lanes, "hazard"),
        drain=_share(early, case.lanes, "drain"),
    )


def _share(result: RunResult, lanes: int, what: str) -> float:
    total = sum(result.counters[f"lane_{lane}_{what}"] for lane in range(lanes))
    return total / lanes / result.counters["cycles"]


def barrier(compiled: Compiled, inputs: np.ndarray) -> float:
    """Estimate the efficiency of the same lanes with a barrier after every list, from the lists' lengths alone.

    A list then takes as long as its longest part in any lane, and nothing else takes time: an upper bound for such a
    design.
    """
    trace = Oracle(compiled.network).run(inputs[:, None, :])
    active = np.concatenate([inputs != 0, *(y[:, 0] != 0 for y in trace.y)], axis=1)
    counts = compiled.image.count  # (lanes, sources)
    events = active.sum(axis=0)
    return (events * counts.sum(axis=0)).sum() / (len(counts) * (events * np.maximum(counts.max(axis=0), 1)).sum())


def latency(case: Case, images: int, progress=None) -> Latency:
    """Measure the digits network on test images."""
    network, inputs = digits_network()
    config = case.config(network, None)
    compiled = compile(network, config.capacity)
    simulator = Simulator(config)
    sequences = list(inputs[:images])
    isolated = simulator.run(compiled.words, sequences, mode="isolated", progress=progress)
    early = simulator.run(compiled.words, sequences, mode="stream", progress=progress)
    paced = simulator.run(compiled.words, sequences, mode="isolated", input_stall=PACE, progress=progress)
    length = inputs.shape[1]
    last_event, burst = (
        (run.steps["output"] - run.steps["last_input"])[length - 1 :: length] for run in (paced, isolated)
    )
    span = early.steps["output"][-1] - early.steps["output"][length - 1]
    macs = early.steps["macs"][length:].sum()
    return Latency(
        last_event=last_event.mean(),
        burst=burst.mean(),
        burst_worst=int(burst.max()),
        step=span / (len(early.steps) - length),
        efficiency=macs / case.lanes / span,
    )

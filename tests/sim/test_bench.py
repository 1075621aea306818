"""The benchmark: what it measures on a small network, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest

from golden.fanout import compile
from golden.reference import Oracle
from sim.bench import __main__ as bench
from sim.bench.cases import CASES, Case
from sim.bench.measure import WARM_UP, Efficiency, Latency, barrier
from sim.simulator import Simulator

STEPS = 12


@pytest.fixture
def case():
    """A workload small enough to compile in seconds."""
    return Case("small", "a stack on 2 lanes", "stack", 2, 1, 0.96, 0.96)


@pytest.fixture
def small(monkeypatch, case):
    """Let the benchmark run the small case alone; return its network and inputs."""
    drawn = bench.efficiency.__globals__["workload"](case.workload)
    monkeypatch.setattr(bench, "CASES", (case,))
    monkeypatch.setattr(bench, "DIGITS", CASES[0])
    return drawn


def test_efficiency_is_theory_over_lanes_and_cycles(small, case, tmp_path, capsys):
    """MACs from the oracle, cycles from a run of the simulator: the benchmark prints their quotient."""
    file = tmp_path / "figures.json"
    assert bench.main(["--only", "small", "--steps", str(STEPS), "--json", str(file)]) == 0
    figures = json.loads(file.read_text())["small"]

    config = case.config(small.network, small.rates)
    inputs = small.inputs(WARM_UP + STEPS + 1)
    trace = Oracle(small.network).run(inputs[:, None, :])
    lists = compile(small.network, config.capacity, activity=small.rates).image.count.sum(axis=0)
    active = np.concatenate([inputs != 0, *(y[:, 0] != 0 for y in trace.y)], axis=1)
    macs = (active[WARM_UP : WARM_UP + STEPS] @ lists).sum()
    assert figures["macs"] == macs / STEPS
    words = compile(small.network, config.capacity, activity=small.rates).words
    output = Simulator(config).run(words, [inputs]).steps["output"]
    cycles = output[WARM_UP + STEPS - 1] - output[WARM_UP - 1]
    assert figures["early"] == pytest.approx(macs / case.lanes / cycles)
    assert 0.5 < figures["late"] <= figures["early"] < 1
    assert f"{figures['early']:.3f}" in capsys.readouterr().out.replace("\n", "")


def test_barrier_waits_for_the_longest_part_of_every_list(small, case):
    compiled = compile(small.network, case.config(small.network, small.rates).capacity, activity=small.rates)
    inputs = np.zeros((1, small.network.inputs), int)
    inputs[0, 3] = 1  # the first step has no events of units: one list is walked, and what it makes fire
    counts = compiled.image.count
    active = np.concatenate([inputs[0] != 0, *(y[0, 0] != 0 for y in Oracle(small.network).run(inputs[:, None]).y)])
    expected = sum(counts[:, source].sum() for source in np.flatnonzero(active)) / (
        case.lanes * sum(max(1, counts[:, source].max()) for source in np.flatnonzero(active))
    )
    assert barrier(compiled, inputs) == pytest.approx(expected)


@pytest.mark.parametrize("arguments", [["--write", "--only", "small"], ["--write", "--forwarding", "1"]])
def test_only_whole_runs_are_recorded(small, arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(arguments)
    assert stop.value.code == 2
    assert "--write records the cases as they are" in capsys.readouterr().err


def test_marks(case):
    measured = Efficiency(early=0.97, late=0.95, barrier=0.6, macs=10, hazard=0.0, drain=0.0)
    assert bench.row(case, measured)[2:4] == ["0.970 (meets 0.96)", "0.950 (misses 0.96)"]
    far = dataclasses.replace(case, early=None, late=None, hops=3, distributed_cells=True)
    assert bench.row(far, measured)[1:4] == ["2 lanes, 1 cell units, 3 hops, distributed cells", "0.970", "0.950"]
    cycles = Latency(last_event=94.2, burst=117.0, burst_worst=130, step=336.0, efficiency=0.5)
    digits = dataclasses.replace(case, early=100, late=335)
    assert bench.row(digits, cycles)[2:4] == [
        "94 cycles (meets 100), 117 after a burst", "336 cycles a step (misses 335)",
    ]  # fmt: skip

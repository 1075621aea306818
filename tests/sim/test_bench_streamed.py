"""The benchmark of lists in external memory: what it says of a small network is what the oracle and the lists say."""

import json
from functools import partial

import numpy as np
import pytest

import sim.bench.streamed as bench
from golden.macs import theoretical_macs
from golden.reference import Oracle
from sim.memories import DDR3_800, ideal
from sim.token_workloads import TOKEN, language_model

SMALL = {"layers": (48, 32), "vocabulary": 60, "activity": (0.25, 0.2)}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    for cached in (bench.network, bench.compiled):
        cached.cache_clear()
    monkeypatch.setattr(bench, "language_model", partial(language_model, **SMALL))
    yield
    for cached in (bench.network, bench.compiled):
        cached.cache_clear()


@pytest.mark.parametrize("readout", [False, True])
def test_workload(readout):
    drawn = language_model("x", density=0.3, readout=readout, **SMALL)
    network = drawn.network
    tokens = drawn.inputs(200, seed=3)
    assert ((tokens != 0).sum(axis=1) == 1).all() and set(np.unique(tokens)) == {0, TOKEN}
    assert (tokens != drawn.inputs(200, seed=4)).any() and (tokens == drawn.inputs(200, seed=3)).all()
    assert np.count_nonzero(network.layers[0].kernel) == network.layers[0].kernel.size
    assert np.mean(network.layers[1].kernel != 0) == pytest.approx(0.3, abs=0.02)
    trace = Oracle(network).run(tokens[:, None])
    for y, activity in zip(trace.y, SMALL["activity"], strict=True):
        assert (y[20:] != 0).mean() == pytest.approx(activity, abs=0.06)
    assert (network.readout is not None) == readout


@pytest.mark.parametrize("readout", [False, True])
def test_what_is_measured(readout):
    """MACs of the oracle; beats of the active sources' lists; shares that follow from both."""
    tokens, case = 30, bench.Case("small", 0.3, readout, ideal(3), lanes=4, cell_units=1)
    measured = bench.measure(case, tokens, 100.0)
    drawn = bench.network(0.3, readout)
    config, compiled = bench.compiled(
        0.3, readout, 4, cell_units=1, port_bits=128, split_banks=False, queue_depth=16, hops=3
    )
    inputs = drawn.inputs(bench.WARM_UP + tokens)[:, None]
    trace = Oracle(drawn.network).run(inputs)
    ending = np.arange(len(inputs))[:, None] == len(inputs) - 1
    macs = theoretical_macs(drawn.network, trace, inputs, sequence_end=ending)[:, 0].sum(axis=1)
    active = np.concatenate([inputs[:, 0] != 0, *(y[:, 0] != 0 for y in trace.y)], axis=1)
    beats = (active * compiled.lists.count).sum()
    assert measured.macs == pytest.approx(macs[bench.WARM_UP :].mean())
    assert measured.bits == pytest.approx(128 * beats / macs.sum())
    assert len(measured.cycles) == tokens
    assert measured.efficiency == pytest.approx(macs[bench.WARM_UP :].sum() / 4 / sum(measured.cycles))
    assert 0 < measured.port <= 1 and measured.efficiency < 1
    mean, median, _, worst = measured.milliseconds(50.0)
    assert mean == pytest.approx(np.mean(measured.cycles) / 50e3)
    assert median < worst == pytest.approx(max(measured.cycles) / 50e3)
    assert (measured.readout > 0.2) == readout and config.gap_bits


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    page = tmp_path / "results.md"
    page.write_text(f"before\n<!-- {bench.SECTION} -->\nold\n<!-- /{bench.SECTION} -->\nafter\n")
    monkeypatch.setattr(bench, "RESULTS", page)
    monkeypatch.setattr(bench, "CASES", (bench.Case("one", 0.3, False, DDR3_800, port=2.0, milliseconds=9.0, lanes=4),))
    assert bench.main(["--tokens", "4", "--write", "--json", str(tmp_path / "figures")]) == 0
    assert "DDR3" in capsys.readouterr().out.upper()
    text = page.read_text()
    assert "(misses 2)" in text
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "(meets 9)" in text and "70% sparse, no readout, 4 lanes" in text and "--tokens 4 --core-mhz 100" in text
    assert len(json.loads((tmp_path / "figures").read_text())["one"]["cycles"]) == 4
    with pytest.raises(SystemExit) as end:
        bench.main(["--write", "--lanes", "8"])
    assert end.value.code == 2
    assert bench.main(["--lanes", "4", "--core-mhz", "0"]) == 2
    assert "core_mhz is 0" in capsys.readouterr().err

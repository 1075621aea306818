"""The commands that run a network on the simulated core, and what they are fed with."""

import dataclasses
import json

import numpy as np
import pytest

from golden.macs import count, theoretical_macs
from golden.network import load
from golden.reference import run
from hw.build_folder import DIGITS, configure
from hw.config import CoreConfig
from hw.counters import counter_map
from sim import demo
from sim.inputs import read_inputs
from sim.report import Comparison, compare
from sim.run import main, run_network


@pytest.fixture(scope="module")
def done():
    """Four test images on one lane."""
    build = configure(DIGITS, 1)
    return run_network(build, read_inputs("digits:4", build.compiled.network))


def test_json_has_all_counters_for_each_step_and_layer(tmp_path, capsys):
    file = tmp_path / "run.json"
    assert main(["--input", "digits:3", "--lanes", "1", "--json", str(file)]) == 0
    done = json.loads(file.read_text())
    network = load(DIGITS).fixed
    inputs = read_inputs("digits:3", network)
    trace = run(network, inputs.integers)
    ends = np.zeros((8, 3), bool)
    ends[-1] = True
    macs = theoretical_macs(network, trace, inputs.integers, sequence_end=ends)
    assert len(done["steps"]) == 24
    for record in done["steps"]:
        step, sequence = record["step"], record["sequence"]
        assert [record[name]["macs"] for name in ("inputs", "layer 0")] == macs[step, sequence].tolist()
        assert record["inputs"]["events"] == np.count_nonzero(inputs.integers[step, sequence])
        logits = trace.logits[step, sequence]
        assert record["outputs"] == {str(index): logit for index, logit in enumerate(logits.tolist())}
        assert record["largest"] == logits.argmax()
    assert done["counters"]["lane_0_busy"] == macs.sum()
    assert set(done["counters"]) == set(counter_map(CoreConfig(**done["configuration"])))
    assert done["comparison_with_oracle"]["update_differences"] == 0
    speed = done["simulation"]["cycles_a_second"]
    assert speed == pytest.approx(done["cycles"] / done["simulation"]["processor_seconds"])
    printed = capsys.readouterr().out
    assert "differences of unit updates" in printed
    assert f"simulated cycles a second of processor time │ {speed:,.0f}" in " ".join(printed.split())
    assert list(tmp_path.iterdir()) == [file]


def test_a_difference_is_reported_and_is_the_exit_status(monkeypatch, tmp_path, capsys):
    def differing(*arguments):
        return dataclasses.replace(compare(*arguments), output_differences=1, first=("something",))

    monkeypatch.setattr("sim.run.compare", differing)
    assert main(["--input", "digits:1", "--lanes", "1"]) == 1
    assert "first difference: something" in capsys.readouterr().out
    monkeypatch.setattr(demo, "LANES", 1)
    assert demo.main(["--images", "1", "--out", str(tmp_path / "demo")]) == 1
    assert "first difference: something" in capsys.readouterr().out


def test_efficiency_is_macs_over_lanes_and_cycles(done):
    first, last = done.result.steps["first_input"].min(), done.result.steps["output"].max()
    macs = done.result.counters["lane_0_busy"]
    assert done.efficiency == pytest.approx(macs / (last - first + 1))
    assert done.cycles_a_step == pytest.approx((last - first + 1) / 32)


def test_trace_is_a_waveform_with_names(tmp_path):
    file = tmp_path / "run.vcd"
    assert main(["--input", "digits:1", "--steps", "1", "--lanes", "1", "--trace", str(file)]) == 0
    head = file.read_text()[:2_000_000]
    for name in ("$scope module walker", " o__valid ", "fsm_state"):
        assert name in head


def test_file_of_real_and_of_integer_inputs(tmp_path):
    network = load(DIGITS).fixed
    images = read_inputs("digits:2", network)
    np.save(tmp_path / "real.npy", images.real)
    np.save(tmp_path / "integers.npy", images.integers[:, 0])
    real = read_inputs(str(tmp_path / "real.npy"), network)
    assert (real.integers == images.integers).all()
    integers = read_inputs(str(tmp_path / "integers.npy"), network, steps=5)
    assert (integers.integers == images.integers[:5, :1]).all()
    assert len(integers.sequences()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "digits:361"], "the input is 'digits:361'; give digits or digits:N with N from 1 to 360"),
        (["--input", "digits:x"], "the input is 'digits:x'; give digits or digits:N with N from 1 to 360"),
        (["--input", "digits:1", "--steps", "0"], "steps is 0; it must be at least 1"),
        (["--input", "nothing.npy"], "input file nothing.npy cannot be read (No such file or directory); correct the"),
        (["--input", "text.npy"], "input file text.npy is no NumPy array file; write it with numpy.save"),
        (["--input", "words.npy"], "input file words.npy must hold one array of numbers, (time, inputs) or (time, "),
        (["--input", "flat.npy"], "input file flat.npy must hold one array of numbers, (time, inputs) or (time, "),
        (["--input", "narrow.npy"], "narrow.npy has 7 inputs a step; the network takes 8"),
        (["--input", "large.npy"], "large.npy has integers from 0 to 256; the network takes -256 to 255"),
        (["--input", "nan.npy"], "the inputs hold NaN or infinity; every input must be finite"),
        (["--input", "digits:1", "--model", "no/file"], "model file no/file: there is no such file; train or convert"),
        (["--input", "digits:1", "--lanes", "0"], "lanes is 0; it must be from 1 to 64"),
        (
            ["--input", "digits:1", "--json", "no/x.json"],
            "cannot write no/x.json: there is no folder no; make it first",
        ),
        (["--input", "digits:1", "--trace", "no/x.vcd"], "cannot write no/x.vcd: there is no folder no; make it first"),
    ],
)
def test_bad_input(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npy").write_text("hello")
    np.save("words.npy", np.array([["a", "b"]]))
    np.save("flat.npy", np.zeros(8))
    np.save("narrow.npy", np.zeros((2, 7)))
    np.save("large.npy", np.arange(0, 257, 32)[-8:].reshape(1, 8) * [0, 0, 0, 0, 0, 0, 0, 1])
    np.save("nan.npy", np.full((2, 8), np.nan))
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"error: {message}")
    assert output.err.count("\n") == 1
    assert not list(tmp_path.glob("no*"))


def test_a_waveform_of_another_kind_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--input", "digits:1", "--trace", "run.fst"])
    assert (
        "--trace run.fst: the waveform is a value change dump; give a name that ends in .vcd" in capsys.readouterr().err
    )


def test_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "LANES", 1)
    assert demo.main(["--images", "4", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    for text in ("accuracy, float model", "accuracy, RTL, simulated", "0 of 4,096", "0 of 320", "0 of 32"):
        assert text in printed
    assert (tmp_path / "demo.json").is_file()
    assert (tmp_path / "demo" / "manifest.json").is_file()


def test_demo_accuracies_are_of_their_models(done):
    assert [value for _, value in demo.accuracy_rows(done)] == ["100.00%"] * 3
    inputs = dataclasses.replace(done.inputs, labels=(done.inputs.labels + [1, 1, 0, 0]) % 10)
    assert [value for _, value in demo.accuracy_rows(dataclasses.replace(done, inputs=inputs))] == ["50.00%"] * 3
    trace = dataclasses.replace(done.trace, logits=done.trace.logits.copy())
    trace.logits[-1, 0] *= -1
    assert [value for _, value in demo.accuracy_rows(dataclasses.replace(done, trace=trace))][1] == "75.00%"
    steps = done.result.steps.copy()
    steps["best"][7] = -1
    result = dataclasses.replace(done.result, steps=steps)
    assert [value for _, value in demo.accuracy_rows(dataclasses.replace(done, result=result))][2] == "75.00%"


def test_demo_shows_the_differences(done):
    comparison = Comparison(6000, 1, 5000, 2, 4000, 3, ())
    rows = demo.exactness_rows(dataclasses.replace(done, comparison=comparison))
    assert [value for _, value in rows] == ["1 of 6,000", "2 of 5,000", "3 of 4,000"]


def test_demo_macs(done):
    ends = np.zeros((8, 4), bool)
    ends[-1] = True
    theory = count(done.build.compiled.network, done.trace, done.inputs.integers, sequence_end=ends)[-1]
    steps = done.result.steps.copy()
    steps["macs"] *= 2  # counted by the hardware, not by theory
    rows = dict(demo.mac_rows(dataclasses.replace(done, result=dataclasses.replace(done.result, steps=steps))))
    both = theory.both.mean()
    assert rows["MACs a step, dense"] == f"{theory.dense:,}"
    for name, macs in (
        ("weight sparsity alone", theory.weight_sparse),
        ("activity sparsity alone", theory.activity_sparse.mean()),
        ("both, product of the densities", theory.product),
        ("both, theory from the recorded activity", both),
        ("counted by the hardware", 2 * both),
    ):
        assert rows[f"MACs a step, {name}"] == f"{macs:,.0f} ({theory.dense / macs:.1f} times fewer)"


def test_demo_refuses_more_images_than_there_are(tmp_path, capsys):
    assert demo.main(["--images", "400", "--out", str(tmp_path / "demo")]) == 2
    assert "give digits or digits:N with N from 1 to 360" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

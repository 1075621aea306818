import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import train as program
from golden.checkpoint import TrainingError
from golden.data import Dataset, Samples, digits
from golden.egru import EGRUNetwork
from golden.fit import Run, Settings, measure, shifted
from golden.float_reference import run_float
from golden.network import Model, load
from golden.prune import sparsity_of
from golden.quantize import quantize_inputs
from golden.reference import run
from golden.sweep import SWEEPS, sweep, table
from golden.train import command, measure_fixed, train

TINY = Settings(units=12, epochs=8, rounds=2, batch=32, seed=3)
DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.safetensors"


def tiny_dataset():
    whole = digits()
    return Dataset(
        *(Samples(part.inputs[:96], part.labels[:96]) for part in (whole.train, whole.validation, whole.test))
    )


# The data


def test_digits_split_is_stratified_disjoint_and_fixed():
    dataset = digits()
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [1237, 200, 360]
    everything = np.concatenate([dataset.train.labels, dataset.validation.labels, dataset.test.labels])
    for part in (dataset.train, dataset.validation, dataset.test):
        expected = np.bincount(everything) * len(part) / len(everything)
        assert np.abs(np.bincount(part.labels) - expected).max() < 1
    assert [fingerprint(part) for part in (dataset.train, dataset.validation, dataset.test)] == [
        60366955616,
        1591830576,
        5071477968,
    ]
    rows = {
        part.inputs[n].tobytes() for part in (dataset.train, dataset.validation, dataset.test) for n in range(len(part))
    }
    assert len(rows) == 1797  # no two images are equal, so no image is in two parts


def fingerprint(part):
    """A number that depends on every pixel and on the order of the images."""
    pixels = (part.inputs.reshape(len(part), 64) * 16).astype(np.int64)
    return int(np.arange(1, len(part) + 1) @ pixels @ np.arange(64))


def test_digits_are_rows_of_exact_halves():
    inputs = digits().train.inputs
    assert inputs.shape == (1237, 8, 8) and inputs.dtype == np.float32
    assert inputs.min() == 0 and inputs.max() == 8
    assert np.array_equal(inputs * 2, np.round(inputs * 2))


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (np.zeros((2, 3, 4)), np.zeros(2, np.int64), "inputs are float64 of shape [2, 3, 4]; they must be float32 "),
        (np.zeros((2, 3), np.float32), np.zeros(2, np.int64), "inputs are float32 of shape [2, 3]; they must be "),
        (
            np.zeros((2, 3, 4), np.float32),
            np.zeros(3, np.int64),
            "labels are int64 of shape [3]; they must be int64 [2]",
        ),
        (np.zeros((2, 3, 4), np.float32), np.array([0, -1]), "labels are int64 of shape [2]; they must be int64 [2], "),
    ],
)
def test_samples_of_other_shape_or_type_are_refused(inputs, labels, message):
    with pytest.raises(ValueError) as error:
        Samples(inputs, labels)
    assert str(error.value).startswith(message)


def test_data_needs_no_torch():
    code = "import sys, golden.data; golden.data.digits(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


# The pieces


def test_plan_prunes_in_rounds_then_fine_tunes():
    sparsity, rate = zip(*Settings(epochs=100, rounds=5, sparsity=0.8, learning_rate=0.01).plan(), strict=True)
    assert len(sparsity) == 100
    assert sparsity[:25] == (0,) * 25 and sparsity[45:] == (0.8,) * 55
    assert [sparsity[25 + 4 * k] for k in range(5)] == pytest.approx(
        [0.8 * (1 - (1 - k / 5) ** 3) for k in range(1, 6)]
    )
    assert rate[:46] == (0.01,) * 46
    assert list(rate[45:]) == sorted(rate[45:], reverse=True) and 0 < rate[-1] < 1e-5


def test_shifted_moves_by_whole_pixels():
    x = torch.rand(200, 5, 4) + 1
    moved = shifted(x, 1, torch.Generator().manual_seed(0))
    seen = set()
    for before, after in zip(x, moved, strict=True):
        padded = torch.nn.functional.pad(before, (1, 1, 1, 1))
        places = [(r, c) for r in range(3) for c in range(3) if torch.equal(padded[r : r + 5, c : c + 4], after)]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 9
    assert torch.equal(shifted(x, 0, torch.Generator()), x)


def test_measure_agrees_with_the_numpy_network():
    torch.manual_seed(0)
    samples = tiny_dataset().test
    model = EGRUNetwork(8, (12,), 10, batch_first=True, threshold_mean=0.1)
    trace = run_float(model.to_float(), samples.inputs.swapaxes(0, 1))
    metrics = measure(model, samples)
    assert metrics["accuracy"] == pytest.approx((trace.logits[-1].argmax(axis=1) == samples.labels).mean())
    assert metrics["activity"] == pytest.approx(trace.fires[0].mean(), abs=1e-3)
    assert 0 < metrics["activity"] < 1


# A run


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix != ".checkpoint"}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    directory = tmp_path_factory.mktemp("unbroken")
    return directory, train("digits", TINY, tiny_dataset(), directory)


def test_writes_model_and_log(unbroken):
    directory, model = unbroken
    loaded = load(directory / "digits.safetensors")
    assert loaded.provenance == model.provenance
    assert (
        loaded.provenance["command"]
        == "python -m golden.train digits --units 12 --epochs 8 --batch 32 --rounds 2 --seed 3"
    )
    assert loaded.provenance["versions"]["torch"] == torch.__version__
    kernels = [loaded.float_network.layers[0].kernel, loaded.float_network.layers[0].recurrent_kernel]
    weights = np.concatenate([kernel.ravel() for kernel in (*kernels, loaded.float_network.readout.kernel)])
    assert (weights == 0).sum() == round(0.85 * len(weights))
    assert measure_fixed(loaded.fixed, tiny_dataset().test) == loaded.provenance["metrics"]["test"]["integer"]
    lines = [json.loads(line) for line in (directory / "digits.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [None, *range(8), None]
    assert lines[0]["settings"]["seed"] == 3 and lines[-1]["metrics"] == loaded.provenance["metrics"]
    assert lines[8]["sparsity"] == pytest.approx(0.85, abs=1e-3) and lines[8]["loss"] < lines[1]["loss"]


def test_same_seed_same_bytes(unbroken, tmp_path):
    train("digits", TINY, tiny_dataset(), tmp_path)
    assert files(tmp_path) == files(unbroken[0])
    assert len(files(tmp_path)) == 2


def test_other_seed_other_losses(unbroken, tmp_path):
    other = train("digits", replace(TINY, seed=4), tiny_dataset(), tmp_path)
    assert other.provenance["metrics"] != unbroken[1].provenance["metrics"]


@pytest.mark.parametrize("stop", [0, 3, 7])
def test_resumed_run_is_the_unbroken_one(stop, unbroken, tmp_path):
    def interrupt(record):
        if record["epoch"] == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("digits", TINY, tiny_dataset(), tmp_path, report=interrupt)
    assert not (tmp_path / "digits.safetensors").exists()
    seen = []
    train("digits", TINY, tiny_dataset(), tmp_path, resume=True, report=lambda record: seen.append(record["epoch"]))
    assert seen == list(range(8))
    assert files(tmp_path) == files(unbroken[0])


def test_pruned_weights_stay_zero():
    run_ = Run(TINY, tiny_dataset())
    zeros = None
    for _ in range(TINY.epochs):
        run_.epoch()
        now = torch.cat([weight.detach().flatten() == 0 for weight in run_.weights.values()])
        assert zeros is None or bool(now[zeros].all())
        zeros = now
    assert sparsity_of(run_.weights) == pytest.approx(0.85, abs=1e-3)


def test_activity_penalty_lowers_activity():
    settings = replace(TINY, units=24, epochs=15)
    activity = []
    for penalty in (0.0, 1.0):
        run_ = Run(replace(settings, activity_penalty=penalty), tiny_dataset())
        activity.append([run_.epoch() for _ in range(settings.epochs)][-1]["validation_activity"])
    assert activity[1] < 0.7 * activity[0]


# What goes wrong


def test_loss_that_is_not_finite_stops_with_a_sentence():
    dataset = tiny_dataset()
    dataset.train.inputs[5, 2, 1] = np.nan
    with pytest.raises(TrainingError) as error:
        Run(TINY, dataset).epoch()
    assert str(error.value) == (
        "the loss became nan in epoch 0; lower the learning rate, which is 0.006, or check the inputs for NaN"
    )


def test_checkpoint_of_other_settings_is_refused(unbroken):
    checkpoint = unbroken[0] / "digits.checkpoint"
    with pytest.raises(TrainingError) as error:
        Run(replace(TINY, units=16, seed=9), tiny_dataset()).load(checkpoint)
    assert str(error.value) == (
        f"checkpoint {checkpoint} was made with units 12, seed 3; give the same, or train without --resume"
    )


@pytest.mark.parametrize("kept", [0, 0.5, 0.98])
def test_damaged_checkpoint_is_refused(kept, unbroken, tmp_path):
    data = (unbroken[0] / "digits.checkpoint").read_bytes()
    checkpoint = tmp_path / "digits.checkpoint"
    checkpoint.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(TrainingError, match=r"^checkpoint .* is damaged \(\w+\); train without --resume$"):
        Run(TINY, tiny_dataset()).load(checkpoint)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--units=0", "units is 0; it must be from 1 to 4096"),
        ("--sparsity=1", "sparsity is 1.0; it must be from 0 to 0.999"),
        ("--learning-rate=nan", "learning_rate is nan; it must be from 0 to 1"),
        ("--y-bits=7", "y_bits is 7; it must be from 8 to 16"),
        ("--weight-bits=5", "weight_bits is 5; it must be 4 or 8"),
        ("--epochs=10", "10 epochs are too few for 10 rounds of pruning; give more epochs or fewer rounds"),
    ],
)
def test_bad_settings_end_the_program(option, message, tmp_path, capsys):
    assert program.main(["digits", option, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_made_ends_the_program(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert program.main(["digits", "--out", str(tmp_path / "file" / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot write to {tmp_path / 'file' / 'out'}")


@pytest.mark.parametrize("option", ["--speed=9", "--units=many"])
def test_unknown_options_end_the_program(option):
    with pytest.raises(SystemExit, match="^2$"):
        program.main(["digits", option])


# The program


def test_program_trains_and_resumes(tmp_path, capsys, monkeypatch, unbroken):
    monkeypatch.setitem(program.DATASETS, "digits", tiny_dataset)
    options = command("digits", TINY).split()[3:]
    assert program.main([*options, "--out", str(tmp_path)]) == 0
    assert "85.0% of the weights are zero" in capsys.readouterr().out
    assert files(tmp_path) == files(unbroken[0])
    assert program.main([*options, "--out", str(tmp_path), "--resume"]) == 0
    assert files(tmp_path) == files(unbroken[0])


def test_sweep_trains_each_setting_once(tmp_path):
    asked = []

    def fake(settings, name):
        asked.append((name, settings))
        share = {"accuracy": 0.9, "activity": settings.activity_penalty}
        metrics = {part: {"float": share, "integer": share} for part in ("validation", "test")}
        return Model("fake", EGRUNetwork(1, (1,)).to_float(), provenance={"metrics": {"sparsity": 0.85, **metrics}})

    rows = sweep(TINY, fake, tmp_path)
    assert len(rows) == sum(map(len, SWEEPS.values()))
    assert len(asked) == len({settings for _, settings in asked}) == len(rows) - 1  # the base is on both sweeps
    assert [row["test"]["float"]["activity"] for row in rows if row["knob"] == "activity_penalty"] == list(
        SWEEPS["activity_penalty"]
    )
    assert json.loads((tmp_path / "sweep.json").read_text()) == rows
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert table(rows).row_count == len(rows)
    for knob, values in SWEEPS.items():
        assert getattr(Settings(), knob) in values


# The bundled network


@pytest.fixture(scope="module")
def bundled():
    return load(DIGITS)


def test_bundled_network_meets_its_targets(bundled):
    metrics = bundled.provenance["metrics"]
    assert [layer.units for layer in bundled.fixed.layers] == [128]
    assert metrics["sparsity"] == pytest.approx(0.85, abs=1e-4)
    assert metrics["test"]["float"]["accuracy"] >= 0.97
    assert abs(metrics["test"]["integer"]["accuracy"] - metrics["test"]["float"]["accuracy"]) <= 0.006
    assert metrics["test"]["integer"]["activity"] <= 0.3


def test_bundled_metrics_are_true(bundled):
    samples = digits().test
    inputs = samples.inputs.swapaxes(0, 1)
    trace = run_float(bundled.float_network, inputs)
    stored = bundled.provenance["metrics"]["test"]
    assert (trace.logits[-1].argmax(axis=1) == samples.labels).mean() == pytest.approx(stored["float"]["accuracy"])
    assert trace.fires[0].mean() == pytest.approx(stored["float"]["activity"], abs=1e-3)
    assert measure_fixed(bundled.fixed, samples) == stored["integer"]
    logits = run(bundled.fixed, quantize_inputs(inputs, bundled.fixed)).logits[-1]
    assert (logits.argmax(axis=1) == samples.labels).mean() == stored["integer"]["accuracy"]


def test_bundled_float_network_is_the_torch_model(bundled):
    samples = digits().test
    trace = run_float(bundled.float_network, samples.inputs.swapaxes(0, 1))
    model = EGRUNetwork.from_float(bundled.float_network, batch_first=True).double()
    output = model(torch.from_numpy(samples.inputs).double())
    np.testing.assert_allclose(output.result.detach().numpy().swapaxes(0, 1), trace.logits, rtol=0, atol=1e-10)


def test_bundled_log_is_of_the_bundled_network(bundled):
    lines = [json.loads(line) for line in DIGITS.with_suffix(".jsonl").read_text().splitlines()]
    assert lines[0]["command"] == bundled.provenance["command"]
    assert lines[-1]["metrics"] == bundled.provenance["metrics"]
    assert len(lines) == bundled.provenance["settings"]["epochs"] + 2

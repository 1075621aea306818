import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from golden import convert
from golden.egru import EGRUNetwork
from golden.float_reference import run_float
from golden.layers import ModelError
from golden.network import load
from golden.state_dict import from_evnn, from_torch_gru, to_evnn, to_torch_gru

EVNN = Path(__file__).parents[1] / "data" / "evnn" / "tiny_1.npz"


def float_network(units=(7, 7), outputs=3):
    torch.manual_seed(0)
    model = EGRUNetwork(5, units, outputs)
    for layer in model.layers:
        torch.nn.init.normal_(layer.bias)
        torch.nn.init.normal_(layer.recurrent_bias)
    return model.to_float()


def gru_state(inputs=5, units=6, layers=2, **options):
    torch.manual_seed(0)
    return torch.nn.GRU(inputs, units, layers, **options).state_dict()


def arrays(state):
    return {name: tensor.numpy() for name, tensor in state.items()}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def assert_same_network(ours, theirs):
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        assert_same(vars(a), vars(b))
    assert (ours.readout is None) == (theirs.readout is None)
    if ours.readout is not None:
        assert_same(vars(ours.readout), vars(theirs.readout))


@pytest.mark.parametrize("units", [(7,), (7, 4, 9)])
@pytest.mark.parametrize("outputs", [None, 3])
def test_evnn_round_trip(units, outputs):
    network = float_network(units, outputs)
    state = to_evnn(network, readout="decoder")
    assert_same_network(from_evnn(state, readout="decoder" if outputs else None), network)
    assert ("decoder.weight" in state) == (outputs is not None)


@pytest.mark.parametrize("outputs", [None, 3])
def test_torch_gru_round_trip(outputs):
    network = float_network((7, 7), outputs)
    thresholds = np.concatenate([layer.threshold for layer in network.layers])
    state = to_torch_gru(network)
    assert_same_network(from_torch_gru(state, thresholds, readout="readout" if outputs else None), network)


def test_torch_gru_state_round_trip():
    state = gru_state()
    exported = to_torch_gru(from_torch_gru(arrays(state), 0.25))
    assert_same(exported, arrays(state))
    torch.nn.GRU(5, 6, 2).load_state_dict({name: torch.from_numpy(array) for name, array in exported.items()})


def test_layers_are_in_natural_order():
    network = float_network((4,) * 11, None)
    state = {f"rnns.{name}": array for name, array in to_evnn(network).items()}
    assert_same_network(from_evnn(dict(sorted(state.items()))), network)
    state = {f"gru.{name}": array for name, array in to_torch_gru(network).items()}
    thresholds = np.concatenate([layer.threshold for layer in network.layers])
    assert_same_network(from_torch_gru(dict(sorted(state.items())), thresholds), network)


@pytest.mark.parametrize("bias", [True, False])
def test_computes_what_torch_gru_computes_where_nothing_resets(bias):
    """One step from h = y = 0: c is the GRU's output. Where c > 0 = thr the unit fires: y = c, h = c."""
    gru = torch.nn.GRU(5, 6, bias=bias)
    with torch.no_grad():
        for parameter in gru.parameters():
            torch.nn.init.normal_(parameter)
    network = from_torch_gru(arrays(gru.state_dict()), 0.0)
    x = np.random.default_rng(0).standard_normal((1, 40, 5))
    expected = gru(torch.from_numpy(x).float())[0].detach().numpy()
    trace = run_float(network, x)
    np.testing.assert_allclose(trace.h[0], expected, rtol=0, atol=1e-6)
    assert 0.2 < trace.fires[0].mean() < 0.8


def test_loads_what_evnn_recorded():
    with np.load(EVNN) as file:
        network = from_evnn({name: file[name] for name in file.files})
        trace = run_float(network, file["x"])
    y, h, o = EGRUNetwork.from_float(network)(torch.from_numpy(np.load(EVNN)["x"])).layers[0][:3]
    np.testing.assert_allclose(trace.y[0], y.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(trace.h[0], h.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(trace.fires[0], o.detach().numpy())


# The program


def write(path, state):
    """Write a state dict in the format that the name asks for."""
    if path.suffix == ".npz":
        np.savez(path, **state)
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file(state, path)
    else:
        torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
def test_program_converts_evnn(suffix, tmp_path, capsys):
    network = float_network((7, 4), 3)
    source = write(tmp_path / f"net{suffix}", to_evnn(network, readout="decoder"))
    out = tmp_path / "model.safetensors"
    assert convert.main(["--from", "evnn", str(source), "--readout", "decoder", "--out", str(out)]) == 0
    model = load(out)
    assert_same_network(model.float_network, network)
    assert model.name == "net" and model.fixed is None
    assert model.provenance["command"] == "python -m golden.convert --from evnn"
    assert "5 inputs, layers of 7, 4 units, a readout of 3" in capsys.readouterr().out


def test_program_converts_and_quantises_a_gru(tmp_path, capsys):
    source = tmp_path / "gru.pt"
    torch.save(gru_state(), source)
    np.save(tmp_path / "thresholds.npy", np.linspace(0, 1, 12))
    np.save(tmp_path / "inputs.npy", np.random.default_rng(0).standard_normal((9, 4, 5)))
    out = tmp_path / "model.safetensors"
    arguments = ["--from", "torch-gru", str(source), "--threshold", str(tmp_path / "thresholds.npy"), "--out", str(out)]
    quantise = ["--quantize", "--calibrate", str(tmp_path / "inputs.npy"), "--y-bits", "10"]
    assert convert.main([*arguments, *quantise]) == 0
    model = load(out)
    np.testing.assert_allclose(
        np.concatenate([layer.threshold for layer in model.float_network.layers]), np.linspace(0, 1, 12), rtol=1e-6
    )
    assert model.fixed.y_bits == 10 and [layer.units for layer in model.fixed.layers] == [6, 6]
    assert "Quantised weights" in capsys.readouterr().out


def test_half_precision_is_widened(tmp_path):
    source = tmp_path / "gru.pt"
    torch.save({name: tensor.bfloat16() for name, tensor in gru_state().items()}, source)
    assert all(array.dtype == np.float32 for array in convert.read_tensors(source).values())


def broken_evnn(name, change):
    state = {key: array.copy() for key, array in to_evnn(float_network((7,), 3)).items()}
    value = change(state[name])
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


def with_value(value):
    def change(array):
        array.flat[1] = value
        return array

    return change


BAD_EVNN = {
    "missing": (("bias", lambda array: None), "tensor bias is missing; the file must hold the whole state dict"),
    "misshapen": (("kernel", lambda array: array[:, 1:]), "tensor kernel has shape [5, 20]; it must be [I, 21]"),
    "not finite": (
        ("recurrent_kernel", with_value(np.inf)),
        "tensor recurrent_kernel holds NaN or infinity; every value must be finite, so train it again",
    ),
    "integer": (
        ("bias", lambda array: array.astype(np.int32)),
        "tensor bias is of type int32; it must be of a floating-point type",
    ),
    "threshold": (
        ("thr", lambda array: array * 0 + 1.5),
        "tensor thr is from 1.5 to 1.5; thresholds must be from 0 to 1: "
        "run one forward pass of EvNN, which clamps them, and save again",
    ),
    "another network": (
        ("recurrent_kernel", lambda array: None),
        "there is no tensor named recurrent_kernel; this is no state dict of EvNN's EGRU",
    ),
    "no readout": (
        ("readout.weight", lambda array: None),
        "tensor readout.weight is missing; the file must hold the whole state dict",
    ),
}


@pytest.mark.parametrize("fault", BAD_EVNN)
def test_bad_evnn_tensor_is_named(fault, tmp_path, capsys):
    (name, change), message = BAD_EVNN[fault]
    source = write(tmp_path / "net.npz", broken_evnn(name, change))
    out = tmp_path / "model.safetensors"
    assert convert.main(["--from", "evnn", str(source), "--readout", "readout", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"error: {source}: {message}\n"
    assert sorted(tmp_path.iterdir()) == [source]


BAD_GRU = {
    "bidirectional": (
        lambda: gru_state(bidirectional=True),
        0.5,
        "tensor weight_ih_l0_reverse is of a bidirectional network; only forward ones can be converted",
    ),
    "no gru": (
        lambda: torch.nn.Linear(2, 3).state_dict(),
        0.5,
        "there is no tensor named weight_hh_l0; this is no state dict of torch.nn.GRU",
    ),
    "lstm": (
        lambda: torch.nn.LSTM(5, 6).state_dict(),
        0.5,
        "tensor weight_ih_l0 has shape [24, 5]; it must be [18, I]",
    ),
    "threshold too large": (
        gru_state,
        1.5,
        "the threshold is from 1.5 to 1.5; thresholds must be from 0 to 1: give other values",
    ),
    "threshold nan": (
        gru_state,
        float("nan"),
        "the threshold is from nan to nan; thresholds must be from 0 to 1: give other values",
    ),
    "thresholds of other size": (
        gru_state,
        np.zeros(5),
        "the threshold file has shape [5]; it must be [12], one a unit",
    ),
    "half a bias": (
        lambda: {name: tensor for name, tensor in gru_state().items() if name != "bias_hh_l1"},
        0.5,
        "tensor bias_hh_l1 is missing; the file must hold the whole state dict",
    ),
}


@pytest.mark.parametrize("fault", BAD_GRU)
def test_bad_gru_is_named(fault):
    state, threshold, message = BAD_GRU[fault]
    with pytest.raises(ModelError) as error:
        from_torch_gru(arrays(state()), threshold)
    assert str(error.value) == message


def test_layers_of_different_size_are_no_torch_gru():
    with pytest.raises(ModelError, match=r"^the layers have \[7, 4\] units; those of a torch.nn.GRU are equal, "):
        to_torch_gru(float_network((7, 4)))


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 0.3, 0.95])
def test_file_cut_short(suffix, kept, tmp_path, capsys):
    source = write(tmp_path / f"net{suffix}", to_evnn(float_network()))
    data = source.read_bytes()
    source.write_bytes(data[: int(kept * len(data))])
    assert convert.main(["--from", "evnn", str(source), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {source} is cut short, damaged or no state dict (")
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_refuses_code_and_anything_but_tensors(tmp_path):
    torch.save(torch.nn.GRU(2, 3), tmp_path / "code.pt")  # a whole module: loading it would run code
    with pytest.raises(ModelError, match="code.pt is cut short, damaged or no state dict "):
        convert.read_tensors(tmp_path / "code.pt")
    torch.save({"epoch": 3, "state_dict": gru_state()}, tmp_path / "nested.pt")
    with pytest.raises(ModelError, match=r"nested.pt holds more than named tensors; save model.state_dict\(\) alone$"):
        convert.read_tensors(tmp_path / "nested.pt")
    with pytest.raises(ModelError, match=r"nothing.pt cannot be read \(No such file or directory\); correct the path$"):
        convert.read_tensors(tmp_path / "nothing.pt")
    with pytest.raises(
        ModelError, match=r"nothing.npy cannot be read \(No such file or directory\); correct the path$"
    ):
        convert.read_array(tmp_path / "nothing.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 6)), "has shape [3, 4, 6]; it must be [time, batch, 5]"),
        (np.full((3, 5), np.nan), "holds NaN or infinity; every number must be finite"),
        (None, "is cut short or no .npy file of numbers; write it with numpy.save"),
    ],
)
def test_bad_calibration(array, message, tmp_path, capsys):
    inputs, out = tmp_path / "inputs.npy", tmp_path / "out"
    np.save(inputs, np.zeros((3, 5)) if array is None else array)
    if array is None:
        inputs.write_bytes(inputs.read_bytes()[:-8])
    arguments = ["--from", "evnn", str(EVNN), "--out", str(out), "--quantize", "--calibrate", str(inputs)]
    assert convert.main(arguments) == 2
    assert capsys.readouterr().err == f"error: {inputs} {message}\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "torch-gru", "x.pt", "--out", "y"], "--threshold is needed with --from torch-gru"),
        (["--from", "evnn", "x.pt", "--out", "y", "--threshold", "0.1"], "--threshold is needed with --from torch-gru"),
        (["--from", "evnn", "x.pt", "--out", "y", "--calibrate", "z.npy"], "--calibrate needs --quantize"),
        (["--from", "keras", "x.pt", "--out", "y"], "invalid choice: 'keras'"),
    ],
)
def test_bad_options(arguments, message, capsys):
    with pytest.raises(SystemExit, match="^2$"):
        convert.main(arguments)
    assert message in capsys.readouterr().err


def test_as_a_program(tmp_path):
    out = tmp_path / "model.safetensors"
    command = [sys.executable, "-m", "golden.convert", "--from", "evnn", str(EVNN), "--out", str(out), "--quantize"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert result.returncode == 0 and result.stderr == ""
    assert load(out).fixed is not None
    with safetensors.safe_open(out, framework="numpy") as file:
        assert json.dumps(file.metadata()).count("state_dict_sha256") == 1

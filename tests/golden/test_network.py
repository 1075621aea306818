"""The model file: what goes in comes out, and everything wrong is named in one sentence."""

import dataclasses
import json
import time

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from golden import network as nw
from golden.network import FixedLayer, FloatLayer, FloatNetwork, FloatReadout, Model, ModelError, load, save
from tests.networks import random_fixed_network


def float_network(rng, dtype=np.float32):
    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    layers = tuple(
        FloatLayer(draw(i, 3 * h), draw(h, 3 * h), draw(3 * h), draw(3 * h), rng.random(h).astype(dtype))
        for i, h in ((3, 5), (5, 4))
    )
    return FloatNetwork(layers, FloatReadout(draw(4, 2), draw(2)))


def make(form="both", dtype=np.float32):
    rng = np.random.default_rng(0)
    integers = random_fixed_network(rng, inputs=3, layers=[5, 4], outputs=2, weight_density=0.6)
    return Model(
        "small",
        float_network(rng, dtype) if form != "fixed" else None,
        integers if form != "float" else None,
        {"command": "python -m golden.train digits", "accuracy": 0.98},
    )


def arrays(thing):
    """Every value of a model, nested, with arrays as (type, values)."""
    if dataclasses.is_dataclass(thing):
        return {f.name: arrays(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
    if isinstance(thing, tuple):
        return [arrays(item) for item in thing]
    return (thing.dtype.name, thing.tolist()) if isinstance(thing, np.ndarray) else thing


@pytest.mark.parametrize("form", ["float", "fixed", "both"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_survives_the_file(tmp_path, form, dtype):
    model = make(form, dtype)
    save(model, tmp_path / "m.safetensors")
    assert arrays(load(tmp_path / "m.safetensors")) == arrays(model)
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_model_without_readout_survives_the_file(tmp_path):
    model = Model("bare", fixed=dataclasses.replace(make("fixed").fixed, readout=None))
    save(model, tmp_path / "m")
    assert arrays(load(tmp_path / "m")) == arrays(model)


def test_strided_tensors_are_saved_as_they_read(tmp_path):
    model = make("float")
    layer = model.float_network.layers[0]
    turned = dataclasses.replace(layer, kernel=np.asfortranarray(layer.kernel), bias=np.repeat(layer.bias, 2)[::2])
    turned = FloatNetwork((turned, *model.float_network.layers[1:]), model.float_network.readout)
    save(dataclasses.replace(model, float_network=turned), tmp_path / "m")
    assert arrays(load(tmp_path / "m")) == arrays(model)


def test_equal_models_give_equal_bytes(tmp_path):
    save(make(), tmp_path / "a")
    save(make(), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_network_of_demo_size_loads_in_milliseconds(tmp_path):
    rng = np.random.default_rng(0)
    save(
        Model("m", fixed=random_fixed_network(rng, inputs=8, layers=[128], outputs=10, weight_density=0.15)),
        tmp_path / "m",
    )
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        load(tmp_path / "m")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02


def rewrite(path, *, tensors=None, description=None, metadata=None):
    """Save the small model with some tensors (None removes one) and description keys changed."""
    save(make(), path)
    with safetensors.safe_open(path, framework="numpy") as file:
        all_tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        about = json.loads(file.metadata()["egret"])
    for name, change in (tensors or {}).items():
        all_tensors[name] = change(all_tensors.get(name)) if change else None
    about |= description or {}
    all_tensors = {name: tensor for name, tensor in all_tensors.items() if tensor is not None}
    metadata = {"egret": json.dumps(about)} if metadata is None else metadata
    path.write_bytes(safetensors.numpy.save(all_tensors, metadata=metadata))


def put(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array

    return change


REMAKE = "; make the file again"
BAD_TENSORS = [
    ({"layers.1.bias": None}, "tensor layers.1.bias is missing" + REMAKE),
    ({"layers.0.fixed.threshold": None}, "tensor layers.0.fixed.threshold is missing" + REMAKE),
    ({"readout.fixed.bias": None}, "tensor readout.fixed.bias is missing" + REMAKE),
    (
        {"layers.2.kernel": lambda _: np.zeros(3)},
        "tensor layers.2.kernel is not part of what its description announces" + REMAKE,
    ),
    ({"layers.0.kernel": lambda a: a[:, :-1]}, "layers.0.kernel has shape [3, 14]; it must be [in, 15]"),
    (
        {"layers.1.recurrent_kernel": lambda a: a[:, 1:]},
        "layers.1.recurrent_kernel has shape [4, 11]; it must be [4, 12]",
    ),
    ({"layers.1.recurrent_kernel": lambda a: a[0]}, "layers.1.recurrent_kernel has shape [12]; it must be [H, 3H]"),
    ({"layers.0.bias": lambda a: a[1:]}, "layers.0.bias has shape [14]; it must be [15]"),
    ({"layers.0.fixed.bias": lambda a: a[1:]}, "layers.0.fixed.bias has shape [3, 5]; it must be [4, 5]"),
    ({"readout.kernel": lambda a: a[:, :0]}, "readout.kernel has shape [4, 0]; it must be [H, C]"),
    (
        {"layers.1.kernel": lambda a: a[1:]},
        "layers.1.kernel has 4 rows; it must have 5, one for each unit of layer 0",
    ),
    (
        {"readout.kernel": lambda a: a[1:]},
        "readout.kernel has 3 rows; it must have 4, one for each unit of the last layer",
    ),
    (
        {"layers.0.kernel": lambda a: a[1:]},
        "its description says {'inputs': 3, 'layers': [5, 4], 'outputs': 2}, its tensors {'inputs': 2, "
        "'layers': [5, 4], 'outputs': 2}" + REMAKE,
    ),
    (
        {"layers.0.fixed.kernel": lambda a: a.astype(np.int16)},
        "layers.0.fixed.kernel is of type int16; it must be an array of int8",
    ),
    (
        {"layers.0.bias": lambda a: a.astype(np.float16)},
        "layers.0.bias is of type float16; it must be an array of float32 or float64",
    ),
    (
        {"layers.0.kernel": put((1, 2), np.nan)},
        "layers.0.kernel holds NaN or infinity; every value must be finite, so train or convert it again",
    ),
    (
        {"readout.bias": put(0, np.inf)},
        "readout.bias holds NaN or infinity; every value must be finite, so train or convert it again",
    ),
    (
        {"layers.1.threshold": lambda a: a * 0 + np.float32([0, 0.5, 1, 1.5])},
        "layers.1.threshold is from 0 to 1.5; it must be from 0 to 1, so clamp it",
    ),
    (
        {"layers.1.threshold": lambda a: a * 0 - 1},
        "layers.1.threshold is from -1 to -1; it must be from 0 to 1, so clamp it",
    ),
    (
        {"layers.1.fixed.threshold": put(0, -3)},
        "layers.1.fixed.threshold is as low as -3; it must be from 0 to 32767",
    ),
]


@pytest.mark.parametrize(("tensors", "message"), BAD_TENSORS)
def test_a_bad_tensor_is_named(tmp_path, tensors, message):
    path = tmp_path / "m"
    rewrite(path, tensors=tensors)
    with pytest.raises(ModelError) as error:
        load(path)
    assert str(error.value) == f"model file {path}: {message}"


def fixed_description(**changes):
    integers = {
        "weight_bits": 8, "y_bits": 8, "input_bits": 9, "input_exponent": -8,
        "sum_exponents": [[-14] * 4, [-14] * 4], "readout_sum_exponent": -14,
    }  # fmt: skip
    return {"fixed": {key: value for key, value in (integers | changes).items() if value is not ...}}


SHIFTS = "it must be an integer from -39 to -8, as the shift to 12 fraction bits is from -4 to 27"
BAD_DESCRIPTIONS = [
    ({"format": "onnx"}, "its description does not say format 'egret-model'; convert it with python -m golden.convert"),
    ({"format_version": "2.0"}, "format_version '2.0' is not known; this release reads 1.x, so update it"),
    ({"format_version": 1}, "format_version 1 is not known; this release reads 1.x, so update it"),
    ({"name": 3}, "its description has name 3; it must be a string"),
    ({"provenance": []}, "its description has provenance []; it must be an object"),
    ({"inputs": 0}, "its description has inputs 0; it must be a positive integer"),
    ({"layers": []}, "its description has layers []; it must be a list of positive integers"),
    ({"layers": [5, -4]}, "its description has layers [5, -4]; it must be a list of positive integers"),
    ({"outputs": "2"}, "its description has outputs '2'; it must be a positive integer or null"),
    ({"float": 1}, "its description has float 1; it must be true or false"),
    ({"fixed": []}, "its description has fixed []; it must be an object or null"),
    (
        {"layers": [5, 3]},
        "its description says {'inputs': 3, 'layers': [5, 3], 'outputs': 2}, its tensors {'inputs': 3, "
        "'layers': [5, 4], 'outputs': 2}" + REMAKE,
    ),
    (
        {"layers": [5], **fixed_description(sum_exponents=[[-14] * 4])},
        "tensor layers.1.bias is not part of what its description announces" + REMAKE,
    ),
    (
        {"layers": [5, 4, 4], **fixed_description(sum_exponents=[[-14] * 4] * 3)},
        "tensor layers.2.bias is missing" + REMAKE,
    ),
    ({"float": False}, "tensor layers.0.bias is not part of what its description announces" + REMAKE),
    (fixed_description(y_bits=...), "its description lacks fixed.y_bits" + REMAKE),
    (fixed_description(weight_bits=6), "weight_bits is 6; it must be 4 or 8"),
    (fixed_description(y_bits=17), "y_bits is 17; it must be an integer from 8 to 16"),
    (fixed_description(input_bits=18), "input_bits is 18; it must be an integer from 2 to 17"),
    (fixed_description(input_exponent=1.5), "input_exponent is 1.5; it must be an integer from -64 to 64"),
    (
        fixed_description(sum_exponents=[[-14] * 4]),
        "its description has fixed.sum_exponents [[-14, -14, -14, -14]]; it must hold one list a layer",
    ),
    (
        fixed_description(sum_exponents=[[-14] * 4, [-14] * 3]),
        "layers.1.fixed.sum_exponents is (-14, -14, -14); it must hold 4 integers from -39 to -8",
    ),
    (
        fixed_description(sum_exponents=[[-14, -14, -7, -14], [-14] * 4]),
        f"layers.0.fixed.sum_exponents holds -7; {SHIFTS}",
    ),
    (
        fixed_description(sum_exponents=[[-40, -14, -9, -14], [-14] * 4]),
        f"layers.0.fixed.sum_exponents holds -40; {SHIFTS}",
    ),
    (
        fixed_description(readout_sum_exponent=None),
        "readout.fixed.sum_exponent is None; it must be an integer from -64 to 64",
    ),
]


@pytest.mark.parametrize(("description", "message"), BAD_DESCRIPTIONS)
def test_a_bad_description_is_named(tmp_path, description, message):
    path = tmp_path / "m"
    rewrite(path, description=description)
    with pytest.raises(ModelError) as error:
        load(path)
    assert str(error.value) == f"model file {path}: {message}"


def test_weights_beyond_four_bits_are_named(tmp_path):
    path = tmp_path / "m"
    small = {"layers.0.fixed.kernel", "layers.0.fixed.recurrent_kernel", "layers.1.fixed.kernel"}
    tensors = {name: lambda a: np.clip(a, -8, 7) for name in small}
    tensors["layers.1.fixed.recurrent_kernel"] = lambda a: np.full_like(a, -9)
    rewrite(path, tensors=tensors, description=fixed_description(weight_bits=4))
    with pytest.raises(ModelError) as error:
        load(path)
    assert str(error.value) == (
        f"model file {path}: layers.1.fixed.recurrent_kernel has weights from -9 to -9, which do not fit 4 bits; "
        "quantise it again, or set weight_bits to 8"
    )


def test_a_newer_minor_version_and_unknown_keys_are_read(tmp_path):
    rewrite(tmp_path / "m", description={"format_version": "1.7", "future": True})
    assert load(tmp_path / "m").name == "small"


def test_metadata_without_a_description(tmp_path):
    for metadata, message in (
        ({}, "its metadata has no key 'egret'; convert it with python -m golden.convert"),
        ({"egret": "{"}, "its description is not JSON ("),
        ({"egret": "[]"}, "its description does not say format 'egret-model'"),
    ):
        rewrite(tmp_path / "m", metadata=metadata)
        with pytest.raises(ModelError) as error:
            load(tmp_path / "m")
        assert str(error.value).startswith(f"model file {tmp_path / 'm'}: {message}")


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    save(make(), tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1):
        path = tmp_path / "cut"
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match="cut short, damaged or no safetensors file") as error:
            load(path)
        assert str(error.value).startswith(f"model file {path}: ") and "\n" not in str(error.value)


def test_files_that_are_no_model(tmp_path):
    (tmp_path / "text").write_text("This is a text file, longer than a header's length field.\n" * 9)
    for path, message in (
        (tmp_path / "absent", "there is no such file"),
        (tmp_path, "it cannot be read"),
        (tmp_path / "text", "it is cut short, damaged or no safetensors file"),
    ):
        with pytest.raises(ModelError) as error:
            load(path)
        assert str(error.value).startswith(f"model file {path}: {message}")


def test_a_type_that_numpy_lacks(tmp_path):
    """bfloat16, as some training tools store: header changed by hand, two bytes an element."""
    path = tmp_path / "m"
    rewrite(path, tensors={"layers.0.bias": lambda a: a.astype(np.float16)})
    data = path.read_bytes()
    assert data.count(b'"F16"') == 1
    path.write_bytes(
        data.replace(b'"F16"', b'"BF16"').replace(
            data[:8], (int.from_bytes(data[:8], "little") + 1).to_bytes(8, "little"), 1
        )
    )
    with pytest.raises(ModelError, match=r"layers\.0\.bias is of type (BF16|bfloat16)"):
        load(path)


def test_saving_fails_as_a_whole(tmp_path, monkeypatch):
    with pytest.raises(ModelError) as error:
        save(make(), tmp_path / "absent" / "m")
    assert str(error.value).endswith("No such file or directory; choose a writable place")
    with pytest.raises(ModelError, match="provenance of model 'small' is not JSON"):
        save(dataclasses.replace(make(), provenance={"a": np.zeros(1)}), tmp_path / "m")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nw.os, "replace", fail)
    (tmp_path / "m").write_text("before")
    with pytest.raises(ModelError, match="No space left on device"):
        save(make(), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"] and (tmp_path / "m").read_text() == "before"


def test_models_and_networks_check_themselves():
    with pytest.raises(ModelError, match="model 'm' is empty"):
        Model("m")
    with pytest.raises(ModelError, match="the float network is .* the integer network .*; quantise it again"):
        Model("m", make().float_network, dataclasses.replace(make().fixed, readout=None))
    with pytest.raises(ModelError, match="at least one layer"):
        FloatNetwork(())
    with pytest.raises(ModelError, match="kernel is of type list; it must be an array of int8"):
        layer = make().fixed.layers[0]
        FixedLayer([[0]], layer.recurrent_kernel, layer.bias, layer.threshold, layer.sum_exponents)

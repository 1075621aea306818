"""The compiler: an image read back is the network, whatever its sparsity, layers and lanes; figures; refusals."""

import dataclasses
import subprocess
import sys
import time

import numpy as np
import pytest

from golden.fanout import (
    Capacity,
    CompileError,
    balance,
    compile,
    expected_entries_per_lane,
    predict_cycles,
    required,
)
from golden.image import encode, parse
from golden.lists import bits_per_nonzero
from golden.network import Model, accumulator_bits, save
from tests.networks import random_fixed_network

#: By part of a list (forward, recurrent) and gate (gx, z, r, gh): the block of a kernel's columns (z, r, g).
BLOCK = np.array([[2, 0, 1, -1], [-1, 0, 1, 2]])


def fit(network, lanes, cell_units=1, activity=None):
    """The smallest core of so many lanes that holds the network."""
    need = required(network, lanes, activity=activity)
    return Capacity(cell_units=cell_units, config_id=0x12345678, **need)


def draw(seed, **changes):
    rng = np.random.default_rng(seed)
    sizes = dict(
        inputs=int(rng.integers(1, 129)),
        layers=rng.integers(1, 129, rng.integers(1, 4)).tolist(),
        outputs=int(rng.integers(1, 40)) if rng.random() < 0.5 else None,
        weight_density=float(rng.choice([0, 0.02, 0.15, 0.5, 1])),
        weight_bits=int(rng.choice([4, 8])),
        y_bits=int(rng.integers(8, 17)),
        input_bits=int(rng.integers(2, 18)),
        extremes=bool(rng.random() < 0.1),
        uneven=bool(rng.random() < 0.5),
    )
    return random_fixed_network(rng, **sizes | changes)


def rebuild(image, network):
    """Make a network from an image, reading bits anew; only what no image holds (some formats) is the given one's."""
    lanes, cell_units = len(image.entries), len(image.threshold)
    group = lanes // cell_units
    lane, row = np.meshgrid(np.arange(lanes), np.arange(image.row_count), indexing="ij")
    place = lane // group, (row << (group - 1).bit_length()) + lane % group
    present, identity, threshold = (array[place] for array in (image.present, image.identity, image.threshold))
    bias = image.bias[:, *place]
    assert image.present.sum() == present.sum(), "a unit is at an address of no lane"
    assert (threshold[present == 0] == 32767).all() and (bias[:, present == 0] == 0).all()

    readout = network.readout is not None
    sizes = [network.inputs, *(layer.units for layer in network.layers)]
    source_layer = np.repeat(np.arange(len(sizes)) - 1, sizes)  # -1 for the inputs
    source_index = np.concatenate([np.arange(size) for size in sizes])
    layer_of_row = np.repeat(np.arange(len(image.layers)), [layer.rows for layer in image.layers])
    unit = identity - np.array([layer.first_source for layer in image.layers])[layer_of_row]
    if readout:
        unit[:, layer_of_row == len(image.layers) - 1] = identity[:, layer_of_row == len(image.layers) - 1]

    kernels = [np.zeros_like(layer.kernel) for layer in network.layers]
    recurrents = [np.zeros_like(layer.recurrent_kernel) for layer in network.layers]
    if readout:
        kernels.append(np.zeros_like(network.readout.kernel))
    for l, words in enumerate(image.entries):
        source = np.repeat(np.arange(sum(sizes)), image.count[l])
        at = np.arange(len(words)) - image.start[l][source]  # place inside the list
        part = (at >= image.forward[l][source]).astype(int)
        weight, gate, target_row = (words & 255).astype(np.uint8).view(np.int8), words >> 8 & 3, words >> 10
        target = layer_of_row[target_row]
        assert (target == source_layer[source] + 1 - part).all(), "an entry leaves for the wrong layer"
        assert present[l][target_row].all() and weight.all()
        for matrices, p in ((kernels, 0), (recurrents, 1)):
            for t, matrix in enumerate(matrices):
                own = (part == p) & (target == t)
                block = BLOCK[p][gate[own]] if t < len(network.layers) else gate[own].astype(int)
                assert block.min(initial=0) >= 0
                units = image.layers[t].units
                index = source_index[source[own]], block * units + unit[l][target_row[own]]
                assert len(set(zip(*map(np.ndarray.tolist, index), strict=True))) == own.sum(), "a target is repeated"
                matrix[index] = weight[own]

    def tensor(values, l):
        """Bring values (..., lanes, rows) into the order of the layer's units."""
        rows = (layer_of_row == l)[None] & (present == 1)
        assert sorted(unit[rows]) == list(range(image.layers[l].units))
        return values[..., rows][..., np.argsort(unit[rows])]

    layers = [
        dataclasses.replace(
            layer,
            kernel=kernels[l],
            recurrent_kernel=recurrents[l],
            # An image's biases have half a step of the shift in them.
            bias=(tensor(bias, l) - np.array([[1 << s >> 1 if s > 0 else 0] for s in image.layers[l].shifts])).astype(
                np.int32
            ),
            threshold=tensor(threshold, l).astype(np.int16),
            sum_exponents=tuple(-shift - 12 for shift in image.layers[l].shifts),
        )
        for l, layer in enumerate(network.layers)
    ]
    new_readout = None
    if readout:
        sums = tensor(bias, len(layers)).astype(np.int32)
        assert not sums[1:].any()
        new_readout = dataclasses.replace(network.readout, kernel=kernels[-1], bias=sums[0])
    return dataclasses.replace(network, layers=tuple(layers), readout=new_readout)


def assert_equal(one, other):
    """Compare dataclasses field by field, arrays by value."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, tuple) and dataclasses.is_dataclass(a[0]):
            for pair in zip(a, b, strict=True):
                assert_equal(*pair)
        elif dataclasses.is_dataclass(a):
            assert_equal(a, b)
        else:
            assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


@pytest.mark.parametrize("seed", range(100))
def test_an_image_read_back_is_the_network(seed):
    network = draw(seed)
    rng = np.random.default_rng(1000 + seed)
    lanes = int(rng.integers(1, 65))
    cell_units = int(rng.choice([n for n in range(1, lanes + 1) if lanes % n == 0]))
    activity = rng.random(network.source_count) if seed % 2 else None
    compiled = compile(network, fit(network, lanes, cell_units, activity), activity=activity)
    image = parse(compiled.words)
    assert_equal(rebuild(image, network), network)
    assert (image.config_id, image.acc_bits) == (0x12345678, accumulator_bits(network))
    assert (image.inputs, image.readout) == (network.inputs, network.readout is not None)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a sign", lambda image: image.entries[0].__setitem__(0, image.entries[0][0] ^ 0x80)),
        ("a bias", lambda image: image.bias.__setitem__((3, 0, 0), image.bias[3, 0, 0] + 1)),
        ("two gates", lambda image: image.bias.__setitem__((slice(1, 3), 0), image.bias[2:0:-1, 0].copy())),
        ("a threshold", lambda image: image.threshold.__setitem__((0, 0), image.threshold[0, 0] ^ 1)),
        ("two units", lambda image: image.identity.__setitem__((0, slice(0, 2)), image.identity[0, 1::-1].copy())),
    ],
)
def test_reading_back_notices(what, change):
    """The comparison above is worth something: it fails on an image that is well formed and differs in one thing."""
    network = draw(3, inputs=9, layers=[20, 8], outputs=5, weight_density=0.6)
    image = compile(network, fit(network, 4)).image
    assert_equal(rebuild(parse(encode(image)), network), network)
    change(image)
    with pytest.raises(AssertionError):
        assert_equal(rebuild(parse(encode(image)), network), network)


def test_requirements_are_the_least():
    network = draw(5, inputs=30, layers=[50, 20], outputs=10, weight_density=0.3)
    need = required(network, 8)
    assert need == {
        "lanes": 8,
        "rows": 7 + 3 + 2,
        "entries": int(compile(network, fit(network, 8)).image.count.sum(axis=1).max()),
        "sources": 100,
        "layers": 3,
        "weight_bits": network.weight_bits,
        "y_bits": network.y_bits,
        "value_bits": max(network.input_bits, network.y_bits + 1),
        "acc_bits": accumulator_bits(network),
    }


@pytest.mark.parametrize("name", ["rows", "entries", "sources", "layers", "value_bits", "acc_bits", "weight_bits"])
def test_what_does_not_fit_is_named(name):
    network = draw(5, inputs=30, layers=[50, 20], outputs=10, weight_density=0.3, weight_bits=8)
    capacity = fit(network, 8)
    need = getattr(capacity, name)
    with pytest.raises(CompileError) as error:
        compile(network, dataclasses.replace(capacity, **{name: need - 1}))
    assert (
        str(error.value) == f"the network needs {name} {need}, the core has {need - 1}; build a core with {name} {need}"
    )


def test_refusals():
    network = draw(6, inputs=30, layers=[50], outputs=10, weight_density=0.3, y_bits=8)
    capacity = fit(network, 8)
    for changes, activity, message in [
        ({"lanes": 65}, None, "lanes is 65; it must be from 1 to 64"),
        ({"lanes": 0}, None, "lanes is 0; it must be from 1 to 64"),
        ({"cell_units": 3}, None, "3 cell units cannot share 8 lanes; choose a divisor"),
        (
            {"y_bits": 9},
            None,
            "the network's events have y_bits 8, the core's 9; quantise the network for y_bits 9 or build a core with "
            "y_bits 8",
        ),
        ({}, [1.0] * 79, "activity has shape (79,); give 80 numbers, one for each source"),
        (
            {},
            [-1.0] + [1.0] * 79,
            "activity has values that are negative or not finite; give the events a step of each source",
        ),
        (
            {},
            [np.nan] * 80,
            "activity has values that are negative or not finite; give the events a step of each source",
        ),
    ]:
        with pytest.raises(CompileError) as error:
            compile(network, dataclasses.replace(capacity, **changes), activity=activity)
        assert str(error.value) == message


def test_more_than_an_image_can_number():
    network = draw(7, inputs=65530, layers=[6], outputs=None, weight_density=0.0001)
    with pytest.raises(CompileError, match="^the network has 65536 sources and 0 outputs; at most 65535 can be numb"):
        required(network, 8)
    network = draw(7, inputs=1, layers=[1], outputs=20000, weight_density=1)
    with pytest.raises(CompileError, match="^the network needs 20001 rows a lane, at most 16383 fit; use more lanes$"):
        required(network, 1)


def test_expected_entries_are_the_walked_ones():
    """Events drawn, lists walked one by one: the same entries in every lane and phase."""
    network = draw(8, inputs=20, layers=[30, 25], outputs=6, weight_density=0.4)
    rng = np.random.default_rng(0)
    events = rng.integers(0, 2, network.source_count)
    compiled = compile(network, fit(network, 6))
    walked = np.zeros((6, 3), int)
    for source in np.flatnonzero(events):
        for lane in range(6):
            walked[lane, 0 if source < 20 else 1 if source < 50 else 2] += compiled.image.count[lane, source]
    assert np.array_equal(expected_entries_per_lane(compiled, events), walked)
    assert predict_cycles(compiled, events) == max(walked.sum(axis=1).max(), events.sum() + 3)
    assert expected_entries_per_lane(compiled).sum() == compiled.image.count.sum()


def test_cycles_are_bound_by_events_or_updates_where_lists_are_short():
    network = draw(9, inputs=10, layers=[64], outputs=None, weight_density=0)
    compiled = compile(network, fit(network, 8, cell_units=2))
    assert predict_cycles(compiled, np.zeros(74)) == 32
    assert predict_cycles(compiled, np.ones(74)) == 74 + 2


def test_balance():
    assert balance(np.array([1.0, 2.0, 3.0])) == 1.5
    assert balance(np.zeros(3)) == 1


def test_dealing_beats_round_robin():
    """512 units, 85 % sparse, uneven rows, 64 lanes: the busiest lane within 2 % of the mean, not 30 % as in turn."""
    network = random_fixed_network(
        np.random.default_rng(0), inputs=512, layers=[512], outputs=None, weight_density=0.15, uneven=True
    )
    compiled = compile(network, fit(network, 64))
    load = expected_entries_per_lane(compiled)
    assert max(balance(load[:, 0]), balance(load[:, 1]), balance(load.sum(axis=1))) < 1.02
    layer = network.layers[0]
    per_unit = sum(
        (matrix != 0).reshape(512, 3, 512).sum(axis=(0, 1)) for matrix in (layer.kernel, layer.recurrent_kernel)
    )
    assert balance(per_unit.reshape(8, 64).sum(axis=0).astype(float)) > 1.3


def test_bits_of_a_nonzero():
    """A quarter of the weights at random: 0.811 / 0.25 bits of position at best; the rest follows from the sizes."""
    network = draw(
        10, inputs=100, layers=[100], outputs=None, weight_density=0.25, weight_bits=8, uneven=False, extremes=False
    )
    image = compile(network, fit(network, 4)).image
    bits = bits_per_nonzero(network, image)
    nonzeros = int(image.count.sum())
    assert bits["entry"] == 8 + 2 + 5
    start, length = int(image.count.sum(axis=1).max() - 1).bit_length(), int(image.count.max()).bit_length()
    assert bits["directory"] == pytest.approx(4 * 200 * (start + 2 * length) / nonzeros)
    assert bits["stored"] == bits["entry"] + bits["directory"]
    assert bits["image"] == pytest.approx((sum(map(len, image.entries)) + 4 * 200 * 2) * 32 / nonzeros)
    assert bits["entropy"] == pytest.approx(8 + 0.811278 / 0.25, abs=0.1)


def test_hundred_thousand_weights_compile_within_a_second():
    network = draw(11, inputs=333, layers=[333], outputs=None, weight_density=0.15)
    assert 80_000 < required(network, 1)["entries"] < 120_000
    capacity = fit(network, 16)
    start = time.process_time()
    compile(network, capacity)
    assert time.process_time() - start < 1


@pytest.fixture
def model_file(tmp_path):
    network = draw(12, inputs=8, layers=[24], outputs=4, weight_density=0.3)
    save(Model("small", fixed=network), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "golden.fanout", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_command(model_file, tmp_path):
    (tmp_path / "activity.txt").write_text("\n".join(["0.25"] * 32))
    out = tmp_path / "out"
    result = command(
        model_file,
        "--lanes",
        4,
        "--cell-units",
        2,
        "--activity",
        tmp_path / "activity.txt",
        "--out",
        out,
        "--config-id",
        "0xbeef",
    )
    assert (result.returncode, result.stderr) == (0, "")
    for title in ("small on 4 lanes", "empty lists", "busiest lane / mean, step", "bits a non-zero", "needs rows"):
        assert title in result.stdout
    image = parse(np.fromfile(out / "image.bin", "<u4"))
    assert (image.config_id, len(image.entries), len(image.threshold)) == (0xBEEF, 4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lanes", "65"], "error: lanes is 65; it must be from 1 to 64\n"),
        (["--lanes", "4", "--cell-units", "3"], "error: 3 cell units cannot share 4 lanes; choose a divisor\n"),
        (
            ["--activity", "nowhere.txt"],
            "error: activity file nowhere.txt: [Errno 2] No such file or directory: 'nowhere.txt'; give a text file of "
            "one number for each source\n",
        ),
        (
            ["--activity", "pyproject.toml"],
            "error: activity file pyproject.toml: could not convert string to float: '[build-system]'; give a text "
            "file of one number for each source\n",
        ),
    ],
)
def test_command_refuses(model_file, tmp_path, arguments, message):
    result = command(model_file, *arguments, "--out", tmp_path / "out")
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)
    assert not (tmp_path / "out").exists()


def test_command_refuses_a_missing_model(tmp_path):
    result = command(tmp_path / "none.safetensors")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: model file ") and result.stderr.count("\n") == 1

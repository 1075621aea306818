"""Quantisation: formats, rounding, errors within bounds, and the float forward pass it starts from."""

import dataclasses
import io
import math

import numpy as np
import pytest
from rich.console import Console

from golden import float_reference, quantize, reference
from golden.float_reference import run_float
from golden.network import FloatLayer, FloatNetwork, FloatReadout, ModelError


def draw_network(seed=0, layers=(24, 16), inputs=6, outputs=4, density=0.4, scale=1.0):
    rng = np.random.default_rng(seed)

    def weights(*shape):
        fan_in = shape[0] * density
        return rng.standard_normal(shape) * scale / math.sqrt(fan_in) * (rng.random(shape) < density)

    below, made = inputs, []
    for units in layers:
        bias, recurrent_bias = rng.normal(0, 0.3, (2, 3 * units))
        made.append(FloatLayer(weights(below, 3 * units), weights(units, 3 * units), bias, recurrent_bias,
                               rng.beta(1, 4, units)))  # fmt: skip
        below = units
    return FloatNetwork(tuple(made), FloatReadout(weights(below, outputs), rng.normal(0, 0.3, outputs)))


def draw_inputs(seed=0, inputs=6, steps=12, batch=8):
    rng = np.random.default_rng(seed)
    return np.rint(rng.random((steps, batch, inputs)) * 16) / 16 * (rng.random((steps, batch, inputs)) < 0.6)


def naive_float(network, x):
    """One sequence, x [time][I], one unit and one gate at a time."""
    h = [np.zeros(layer.units) for layer in network.layers]
    y = [np.zeros(layer.units) for layer in network.layers]
    logits = []
    for source in x:
        for l, layer in enumerate(network.layers):
            units = layer.units
            new_h, new_y = np.zeros(units), np.zeros(units)
            for j in range(units):
                a = [layer.bias[k * units + j] + source @ layer.kernel[:, k * units + j] for k in range(3)]
                b = [
                    layer.recurrent_bias[k * units + j] + y[l] @ layer.recurrent_kernel[:, k * units + j]
                    for k in range(3)
                ]
                z, r = (1 / (1 + math.exp(-(a[k] + b[k]))) for k in (0, 1))
                c = z * h[l][j] + (1 - z) * math.tanh(a[2] + r * b[2])
                fires = c > layer.threshold[j]
                new_h[j], new_y[j] = c - fires * layer.threshold[j], fires * c
            h[l], y[l] = new_h, new_y
            source = new_y
        logits.append(source @ network.readout.kernel + network.readout.bias)
    return h, y, np.array(logits)


def test_float_forward_equals_unit_by_unit():
    network, x = draw_network(), draw_inputs()
    trace = run_float(network, x)
    assert 0.05 < np.mean([fires.mean() for fires in trace.fires]) < 0.7
    for b in range(2):
        h, y, logits = naive_float(network, x[:, b])
        for l in range(2):
            np.testing.assert_allclose(trace.h[l][-1, b], h[l], atol=1e-12)
            np.testing.assert_allclose(trace.y[l][-1, b], y[l], atol=1e-12)
        np.testing.assert_allclose(trace.logits[:, b], logits, atol=1e-12)


def test_float_forward_carries_state():
    network, x = draw_network(), draw_inputs()
    whole = run_float(network, x)
    second = run_float(network, x[5:], run_float(network, x[:5]).state)
    np.testing.assert_allclose(second.logits, whole.logits[5:], atol=1e-12)
    assert run_float(network, x[:0]).y[0].shape == (0, 8, 24)
    with pytest.raises(ValueError, match=r"inputs have shape \(12, 8\); the network needs \(time, batch, 6\)"):
        run_float(network, x[..., 0])


def test_float_forward_equals_the_torch_model():
    torch = pytest.importorskip("torch")
    egru = pytest.importorskip("golden.egru")
    network, x = draw_network(), draw_inputs()
    model = egru.EGRUNetwork.from_float(network).double().eval()
    with torch.no_grad():
        output = model(torch.from_numpy(x))
    np.testing.assert_allclose(output.result.numpy(), run_float(network, x).logits, atol=1e-12)


def test_a_state_equal_to_the_threshold_does_not_fire():
    """No weights: z = 1/2 exactly, so h = 1/2 gives c = 1/4."""
    zeros = np.zeros((1, 3))
    state = float_reference.FloatState((np.array([[0.5]]),), (np.zeros((1, 1)),))
    for threshold, fires in ((0.25, 0), (0.2499, 1)):
        layer = FloatLayer(zeros, zeros, zeros[0], zeros[0], np.array([threshold]))
        assert run_float(FloatNetwork((layer,)), np.zeros((1, 1, 1)), state).fires[0].item() == fires


def test_sigmoid_does_not_overflow():
    np.testing.assert_array_equal(float_reference.sigmoid(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])


@pytest.mark.parametrize(("weight_bits", "y_bits", "input_bits"), [(8, 8, 9), (8, 12, 13), (8, 16, 17), (4, 8, 9)])
@pytest.mark.parametrize("calibrated", [True, False])
def test_dequantised_tensors_are_within_half_a_step(weight_bits, y_bits, input_bits, calibrated):
    network, x = draw_network(), draw_inputs()
    options = {"weight_bits": weight_bits, "y_bits": y_bits, "input_bits": input_bits}
    integers = quantize.quantize(network, x if calibrated else None, **options)
    limit = 1 << (weight_bits - 1)
    value_exponent = integers.input_exponent
    for layer, fixed_layer in zip(network.layers, integers.layers, strict=True):
        gx, z, r, gh = fixed_layer.sum_exponents
        for name, exponents, e in (
            ("kernel", (z, r, gx), value_exponent),
            ("recurrent_kernel", (z, r, gh), -y_bits),
        ):
            blocks = zip(np.split(getattr(layer, name), 3, 1), np.split(getattr(fixed_layer, name), 3, 1), exponents)  # noqa: B905
            for real, integer, s in blocks:
                step = 2.0 ** (s - e)
                saturated = (integer == -limit) | (integer == limit - 1)
                assert (np.abs(integer * step - real)[~saturated] <= step / 2).all()
                assert (integer[real == 0] == 0).all()
        b_z, b_r, b_g = np.split(layer.bias, 3)
        rb_z, rb_r, rb_g = np.split(layer.recurrent_bias, 3)
        for row, real, s in zip(fixed_layer.bias, (b_g, b_z + rb_z, b_r + rb_r, rb_g), (gx, z, r, gh), strict=True):
            assert np.abs(row - real / 2.0**s).max() <= 0.5
        assert np.abs(fixed_layer.threshold - layer.threshold * 32768).max() <= 0.5
        value_exponent = -y_bits
    readout = integers.readout
    assert np.abs(readout.bias - network.readout.bias / 2.0**readout.sum_exponent).max() <= 0.5


@pytest.mark.parametrize(
    ("weight_bits", "y_bits", "input_bits", "tolerance"), [(8, 8, 9, 0.03), (8, 12, 13, 0.03), (4, 8, 9, 0.35)]
)
def test_integer_logits_follow_the_float_logits(weight_bits, y_bits, input_bits, tolerance):
    """Thresholds of 0 make no jumps: y and h are continuous, and the error is that of the formats."""
    network, x = draw_network(seed=3), draw_inputs(seed=3)
    layers = tuple(dataclasses.replace(layer, threshold=np.zeros(layer.units)) for layer in network.layers)
    network = FloatNetwork(layers, network.readout)
    integers = quantize.quantize(network, x, weight_bits=weight_bits, y_bits=y_bits, input_bits=input_bits)
    trace = reference.run(integers, quantize.quantize_inputs(x, integers))
    logits = np.ldexp(trace.logits.astype(float), integers.readout.sum_exponent)
    exact = run_float(network, x).logits
    assert np.abs(logits - exact).max() < tolerance * np.abs(exact).max()


def test_the_exponent_of_a_sum_loses_least():
    """One large outlier among many small weights: at 4 bits, clipping it is worth it only where it matters little."""
    weights = np.full((64, 1), 0.11)
    weights[0] = 1.0
    quiet, loud = np.ones(64), np.ones(64)
    quiet[0], loud[0] = 1e-3, 1e3
    exponents = [
        quantize.fit_exponent("z", [quantize.Part(weights, -8, power)], np.zeros(1), 4, -39, -8)
        for power in (quiet, loud)
    ]
    assert exponents[0] < exponents[1]
    for exponent, power in zip(exponents, (quiet, loud), strict=True):
        part = quantize.Part(weights, -8, power)
        tried = {e: quantize.rounding_noise(part, e, 4) for e in range(-16, -7)}
        assert quantize.rounding_noise(part, exponent, 4) == min(tried.values())


def test_input_exponent_comes_from_the_calibration():
    x = draw_inputs()  # sixteenths from 0 to 1: exact from 2**-4 on, and 1.0 fits nine bits down to 2**-7
    assert quantize.quantize(draw_network(), x).input_exponent == -7
    assert quantize.quantize(draw_network(scale=0.1), x * 100).input_exponent == -1
    assert quantize.quantize(draw_network(), x * 0).input_exponent == -8
    assert quantize.quantize(draw_network(), None).input_exponent == -8
    assert quantize.quantize(draw_network(), x, input_exponent=-5).input_exponent == -5


def test_inputs_round_half_up_and_saturate():
    integers = quantize.quantize(draw_network(), None)
    x = np.array([0.0, 1.0, -1.0, -1.01, 0.5 / 256, -0.5 / 256, 1.49 / 256, 254.5 / 256, 1e300])
    np.testing.assert_array_equal(quantize.quantize_inputs(x, integers), [0, 255, -256, -256, 1, 0, 1, 255, 255])
    with pytest.raises(ValueError, match="the inputs hold NaN or infinity"):
        quantize.quantize_inputs(np.array([np.nan]), integers)


def test_thresholds_of_one_are_stored_as_the_largest():
    network = draw_network(layers=(4,))
    layer = dataclasses.replace(network.layers[0], threshold=np.array([0.0, 0.5, 0.999999, 1.0]))
    integers = quantize.quantize(FloatNetwork((layer,), network.readout), None)
    np.testing.assert_array_equal(integers.layers[0].threshold, [0, 16384, 32767, 32767])


def test_empty_and_tiny_weights_have_legal_exponents():
    for scale in (0.0, 1e-12):
        network = draw_network(scale=scale)
        integers = quantize.quantize(network, draw_inputs())
        for layer, fixed_layer in zip(network.layers, integers.layers, strict=True):
            assert (
                np.abs(
                    fixed_layer.bias[3] * 2.0 ** fixed_layer.sum_exponents[3] - np.split(layer.recurrent_bias, 3)[2]
                ).max()
                < 1e-4
            )


def test_bias_beyond_its_width_raises_the_exponent():
    network = draw_network(layers=(4,), scale=1e-9)
    layer = dataclasses.replace(network.layers[0], bias=network.layers[0].bias + 1000.0)
    fixed_layer = quantize.quantize(FloatNetwork((layer,)), None).layers[0]
    assert fixed_layer.bias[1] * 2.0 ** fixed_layer.sum_exponents[1] == pytest.approx(
        layer.bias[:4] + layer.recurrent_bias[:4]
    )


def test_weights_beyond_the_shifts_are_named():
    with pytest.raises(ModelError) as error:
        quantize.quantize(draw_network(scale=2000.0), None)
    assert str(error.value).startswith("the layers.0 gx sums need an exponent of ")
    assert str(error.value).endswith(
        "and at most -8 is possible; lower input_exponent, raise y_bits, or train with smaller weights and biases"
    )


@pytest.mark.parametrize("x", [np.zeros((0, 1, 6)), np.full((1, 1, 6), np.nan)])
def test_bad_calibration_is_named(x):
    with pytest.raises(
        ModelError, match="the calibration inputs are empty or hold NaN or infinity; give finite inputs"
    ):
        quantize.quantize(draw_network(), x)


def test_losses_count_what_happened():
    network = draw_network(layers=(4,), inputs=2, outputs=2, density=1.0)
    kernel = np.zeros((2, 12))
    kernel[:, 0:4] = [[1.0, 0.5, 0.001, 0.0], [0.0, 0.0, 0.0, 0.0]]  # z: one rounds to zero
    layer = dataclasses.replace(network.layers[0], kernel=kernel, recurrent_kernel=np.zeros((4, 12)))
    network = FloatNetwork((layer,), network.readout)
    integers = quantize.quantize(network, None)
    rows = {(row.name, row.gate): row for row in quantize.losses(network, integers)}
    assert len(rows) == 7
    row = rows["layers.0.kernel", "z"]
    assert (row.weight_count, row.zeroed_count, row.clipped_count) == (3, 1, 0)
    assert row.ratio == pytest.approx(10 * math.log10((1 + 0.25 + 1e-6) / 1e-6))
    assert rows["layers.0.kernel", "r"].ratio == math.inf

    z = integers.layers[0].sum_exponents[1]
    clipping = dataclasses.replace(integers.layers[0], sum_exponents=(-16, z - 1, -16, -16))
    clipping.kernel[:] = quantize.quantize_weights(kernel, z - 1 + 8, 8)
    rows = quantize.losses(network, dataclasses.replace(integers, layers=(clipping,)))
    assert rows[0].clipped_count == 1


def test_the_loss_table_names_every_kernel():
    network = draw_network()
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(quantize.loss_table(quantize.losses(network, quantize.quantize(network, draw_inputs()))))
    text = console.export_text()
    for name in ("layers.0.kernel", "layers.1.recurrent_kernel", "readout.kernel", "rounded to 0"):
        assert name in text

"""The oracle against a unit-by-unit version in Python integers, and its contract at the edges."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from golden import fixed, reference
from golden.network import FixedLayer, FixedNetwork, FixedReadout, accumulator_bits
from tests.networks import random_fixed_network, random_inputs


def round_half_up(numerator, shift):
    """floor(numerator / 2**shift + 1/2), for shifts of either sign."""
    return (numerator << -shift) if shift <= 0 else (2 * numerator + (1 << shift)) >> (shift + 1)


def clamp(x, low, high):
    return max(low, min(high, x))


def interpolate(table, x):
    segment, fraction = divmod(x + 32768, 128)
    return int(table.base[segment]) + round_half_up(int(table.slope[segment]) * fraction, 7)


def slow_run(network, inputs, largest_sum=None):
    """Run one sequence, inputs int [time][I], in Python integers; return y, fires, h as [layer][time][unit], logits."""
    h = [[0] * layer.units for layer in network.layers]
    y = [[0] * layer.units for layer in network.layers]
    ys, fires, hs = ([[] for _ in network.layers] for _ in range(3))
    logits = []
    y_max = 2**network.y_bits - 1
    seen = 0
    for x in inputs:
        source = [int(value) for value in x]
        for l, layer in enumerate(network.layers):
            units = layer.units
            new_h, new_y, fired = [], [], []
            for j in range(units):
                sums = [0, 0, 0, 0]  # gx, z, r, gh
                for i, value in enumerate(source):
                    for gate, block in ((1, 0), (2, 1), (0, 2)):
                        sums[gate] += int(layer.kernel[i, block * units + j]) * value
                        seen = max(seen, abs(sums[gate]))
                for i, value in enumerate(y[l]):
                    for gate, block in ((1, 0), (2, 1), (3, 2)):
                        sums[gate] += int(layer.recurrent_kernel[i, block * units + j]) * value
                        seen = max(seen, abs(sums[gate]))
                sums = [total + int(layer.bias[gate, j]) for gate, total in enumerate(sums)]
                seen = max(seen, *map(abs, sums))
                gx, z, r, gh = (round_half_up(total, shift) for total, shift in zip(sums, layer.shifts, strict=True))
                z = interpolate(fixed.SIGMOID, clamp(z, -(2**15), 2**15 - 1))
                r = interpolate(fixed.SIGMOID, clamp(r, -(2**15), 2**15 - 1))
                gx, gh = (clamp(value, -(2**17), 2**17 - 1) for value in (gx, gh))
                g = interpolate(fixed.TANH, clamp(gx + round_half_up(r * gh, 15), -(2**15), 2**15 - 1))
                c = g + round_half_up(z * (h[l][j] - g), 15)
                fire = c > int(layer.threshold[j])
                fired.append(int(fire))
                new_h.append(c - int(layer.threshold[j]) if fire else c)
                new_y.append(min(round_half_up(c, 15 - network.y_bits), y_max) if fire else 0)
            h[l], y[l] = new_h, new_y
            for record, value in ((ys, new_y), (fires, fired), (hs, new_h)):
                record[l].append(value)
            source = new_y
        if network.readout is not None:
            kernel, bias = network.readout.kernel, network.readout.bias
            row = [sum(int(kernel[i, k]) * v for i, v in enumerate(source)) for k in range(network.readout.units)]
            seen = max(seen, *(abs(total) for total in row))
            row = [total + int(bias[k]) for k, total in enumerate(row)]
            seen = max(seen, *(abs(total) for total in row))
            logits.append(row)
    if largest_sum is not None:
        largest_sum.append(seen)
    return ys, fires, hs, logits


def draw(seed):
    """A small random network, its inputs (time, batch, I); sizes and widths vary with the seed."""
    rng = np.random.default_rng(seed)
    network = random_fixed_network(
        rng,
        inputs=int(rng.integers(1, 12)),
        layers=[int(n) for n in rng.integers(1, 10, rng.integers(1, 4))],
        outputs=[None, 1, 5][seed % 3],
        weight_density=[0.0, 0.15, 0.5, 1.0][seed % 4],
        weight_bits=[8, 4][seed % 2],
        y_bits=int(rng.integers(8, 17)),
        input_bits=int(rng.integers(2, 18)),
        extremes=seed % 5 == 4,
        uneven=seed % 7 == 6,
    )
    return network, random_inputs(rng, network, steps=8, batch=2, activity=0.5)


@pytest.mark.parametrize("seed", range(40))
def test_oracle_equals_unit_by_unit_python_integers(seed):
    network, inputs = draw(seed)
    trace = reference.run(network, inputs)
    for b in range(inputs.shape[1]):
        largest_sum = []
        ys, fires, hs, logits = slow_run(network, inputs[:, b], largest_sum)
        for l in range(len(network.layers)):
            np.testing.assert_array_equal(trace.y[l][:, b], ys[l])
            np.testing.assert_array_equal(trace.fires[l][:, b], fires[l])
            np.testing.assert_array_equal(trace.h[l][:, b], hs[l])
        if network.readout is None:
            assert trace.logits is None
        else:
            np.testing.assert_array_equal(trace.logits[:, b], logits)
        assert largest_sum[0] <= 2 ** (accumulator_bits(network) - 1) - 1


def one_unit(kernel, recurrent, *, bias=(0, 0, 0, 0), threshold=0, y_bits=8, input_bits=9, sources=1):
    layer = FixedLayer(
        kernel=np.full((sources, 3), kernel, np.int8),
        recurrent_kernel=np.full((1, 3), recurrent, np.int8),
        bias=np.array(bias, np.int32)[:, None],
        threshold=np.array([threshold], np.int16),
        sum_exponents=(-12, -12, -12, -12),
    )
    return FixedNetwork((layer,), None, 8, y_bits, input_bits, -8)


def test_sums_reach_the_proven_width_and_stay_inside():
    """Largest weights, inputs and y: the sums reach the bound, and one bit less would not hold them."""
    network = one_unit(-128, -128, bias=(-5, -5, -5, -5), sources=16)
    inputs = np.full((1, 1, 16), 255)
    state = reference.State((np.zeros((1, 1), int),), (np.full((1, 1), 255),))
    sums = reference.run(network, inputs, state, keep_sums=True).sums[0][0, :, 0, 0]
    np.testing.assert_array_equal(sums, [-128 * 255 * 16 - 5, -128 * 255 * 17 - 5, -128 * 255 * 17 - 5, -128 * 255 - 5])
    bits = accumulator_bits(network)
    assert -(1 << (bits - 1)) <= sums.min() < -(1 << (bits - 2))


@pytest.mark.parametrize(("total", "bits"), [(127, 8), (128, 9), (255, 9), (256, 10)])
def test_accumulator_bits_at_powers_of_two(total, bits):
    assert accumulator_bits(one_unit(0, 0, bias=(0, total, 0, 0))) == bits
    assert accumulator_bits(one_unit(0, 0, bias=(0, 0, 0, -total))) == bits


def test_accumulator_bits_covers_the_readout():
    network = one_unit(0, 0)
    readout = FixedReadout(np.array([[-128, 1]], np.int8), np.array([-7, 0], np.int32), -15)
    network = dataclasses.replace(network, readout=readout)
    assert accumulator_bits(network) == (128 * 255 + 7).bit_length() + 1


def test_float32_limit_is_exact():
    """A column at the float32 bound and one above it: both exact."""
    rng = np.random.default_rng(0)
    for sources in (512, 1024, 6000):
        weights = np.full((sources, 3), 127, np.int64)
        values = rng.integers(0, 256, (4, sources))
        values[0] = 255
        np.testing.assert_array_equal(reference.Product(weights, 255)(values), values @ weights)
    assert reference.Product(np.full((512, 1), 127), 255)._dtype is np.float32
    assert reference.Product(np.full((1024, 1), 127), 255)._dtype is np.float64


def test_value_equal_to_threshold_does_not_fire():
    """sigmoid(0) = 0.5, so h of 1000 and g of 0 give c = 500."""
    state = reference.State((np.array([[1000]]),), (np.array([[0]]),))
    x = np.zeros((1, 1, 1), int)
    for threshold, fires, h in ((499, 1, 1), (500, 0, 500), (501, 0, 500)):
        trace = reference.run(one_unit(0, 0, threshold=threshold), x, state)
        assert (trace.fires[0].item(), trace.h[0].item()) == (fires, h)


def test_silent_fire_resets_and_emits_nothing():
    state = reference.State((np.array([[100]]),), (np.array([[0]]),))
    trace = reference.run(one_unit(0, 0, threshold=20), np.zeros((1, 1, 1), int), state)
    assert (trace.fires[0].item(), trace.y[0].item(), trace.h[0].item()) == (1, 0, 30)


def test_a_sequence_in_pieces_equals_the_whole():
    network, inputs = draw(2)
    oracle = reference.Oracle(network)
    whole = oracle.run(inputs, keep_sums=True)
    state = oracle.initial_state(inputs.shape[1])
    for t, x in enumerate(inputs):
        trace = oracle.step(x, state)
        state = trace.state
        for l in range(len(network.layers)):
            np.testing.assert_array_equal(trace.y[l][0], whole.y[l][t])
        np.testing.assert_array_equal(trace.logits[0], whole.logits[t])
    for l in range(len(network.layers)):
        np.testing.assert_array_equal(state.h[l], whole.state.h[l])
        np.testing.assert_array_equal(state.y[l], whole.y[l][-1])
        recomputed = fixed.cell(
            whole.sums[l][-1], network.layers[l].shifts, whole.h[l][-2], network.layers[l].threshold, network.y_bits
        )
        np.testing.assert_array_equal(recomputed[0], whole.h[l][-1])


def test_products_in_pieces_equal_one_product(monkeypatch):
    network, inputs = draw(5)
    whole = reference.run(network, inputs)
    monkeypatch.setattr(reference, "PRODUCT_ELEMENTS", 1)
    np.testing.assert_array_equal(reference.run(network, inputs).h[0], whole.h[0])


def test_no_steps_keep_the_state():
    network, inputs = draw(3)
    state = reference.run(network, inputs).state
    after = reference.run(network, inputs[:0], state)
    assert after.y[0].shape == (0, 2, network.layers[0].units)
    np.testing.assert_array_equal(after.state.h[0], state.h[0])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 3), int), "inputs have shape (2, 3); the network needs (time, batch, 1)"),
        (np.zeros((2, 3, 2), int), "inputs have shape (2, 3, 2); the network needs (time, batch, 1)"),
        (np.full((1, 1, 1), 256), "inputs are from 256 to 256; they must be from -256 to 255"),
        (np.full((1, 1, 1), -257), "inputs are from -257 to -257; they must be from -256 to 255"),
        (np.zeros((1, 1, 1)), "inputs are float64; they must be integers (see golden.quantize.quantize_inputs)"),
    ],
)
def test_bad_inputs(inputs, message):
    with pytest.raises(ValueError) as error:
        reference.run(one_unit(1, 1), inputs)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("h", "y", "message"),
    [
        ([[0, 0]], [[0]], "state h of layer 0 has shape (1, 2); it must be (1, 1)"),
        ([[40000]], [[0]], "state h of layer 0 are from 40000 to 40000; they must be from -32768 to 32767"),
        ([[0]], [[256]], "state y of layer 0 are from 256 to 256; they must be from 0 to 255"),
    ],
)
def test_bad_state(h, y, message):
    with pytest.raises(ValueError) as error:
        reference.run(one_unit(1, 1), np.zeros((1, 1, 1), int), reference.State((np.array(h),), (np.array(y),)))
    assert str(error.value) == message


def test_state_of_another_network():
    with pytest.raises(ValueError, match="state h has 0 layers; the network has 1"):
        reference.run(one_unit(1, 1), np.zeros((1, 1, 1), int), reference.State((), ()))


def test_benchmark_prints_a_speed():
    command = [sys.executable, "-m", "golden.reference", "--benchmark", "--units", "16", "--steps", "3"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "layer-steps/s" in result.stdout


def test_random_networks_fire_plausibly():
    rng = np.random.default_rng(1)
    for density in (0.05, 0.15, 0.5, 1.0):
        network = random_fixed_network(rng, inputs=64, layers=[96, 64], outputs=None, weight_density=density)
        trace = reference.run(network, random_inputs(rng, network, steps=40, batch=4, activity=0.25))
        for y in trace.y:
            assert 0.05 < (y != 0).mean() < 0.6

"""Random integer networks and inputs that every test draws from. NumPy only."""

from __future__ import annotations

import math

import numpy as np

from golden import fixed
from golden.network import FixedLayer, FixedNetwork, FixedReadout

ASSUMED_ACTIVITY = 0.25  # of inputs and units, for the choice of exponents
PRE_DEVIATION = 1.0  # wanted standard deviation of a sum's real value: some gates saturate, most do not
GATE_BIASES = (-0.3, 0.3, 0.0, 0.0)  # mean bias of gx, z, r, gh: fewer than half the units fire


def random_fixed_network(
    rng: np.random.Generator,
    *,
    inputs: int,
    layers: list[int],
    outputs: int | None,
    weight_density: float,
    weight_bits: int = 8,
    y_bits: int = 8,
    input_bits: int = 9,
    extremes: bool = False,
    uneven: bool = False,
) -> FixedNetwork:
    """Draw a network whose units fire plausibly often (5 to 60 % of them) and sometimes not at all.

    Parameters
    ----------
    inputs, layers, outputs
        Sizes; ``outputs`` None for no readout.
    weight_density : float
        Share of non-zero weights, 0 to 1.
    extremes : bool
        Weights of the largest magnitude only (half the units' sums have one sign throughout), thresholds 0.
    uneven : bool
        Rows and units differ in density by a lognormal factor each, as in pruned networks.
    """
    low, high = -(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1

    def weights(source_count: int, target_count: int, gates: int) -> np.ndarray:
        shape = (source_count, gates * target_count)
        if extremes:
            one_sign = np.where(rng.random(shape[1]) < 0.5, rng.choice([low, high], shape[1]), 0)
            values = np.where(one_sign != 0, one_sign, rng.choice([low, high], shape))
        else:
            values = np.clip(np.rint(rng.standard_normal(shape) * high / 3), low, high).astype(int)
            values[values == 0] = rng.choice([-1, 1])
        density = np.full(shape, float(weight_density))
        if uneven:
            density *= rng.lognormal(0, 0.5, (source_count, 1)) * np.tile(rng.lognormal(0, 0.5, target_count), gates)
            density *= weight_density / max(density.mean(), 1e-9)
        return (values * (rng.random(shape) < density)).astype(np.int8)

    def exponent(*products: tuple[np.ndarray, float]) -> int:
        """Exponent for which a sum of (weights, value deviation) products has the wanted deviation."""
        variance = sum((w.astype(float) ** 2).sum(axis=0).mean() * size**2 for w, size in products)
        wanted = math.log2(PRE_DEVIATION / max(math.sqrt(variance), 1.0))
        return int(np.clip(round(wanted), -fixed.SHIFT_MAX - fixed.PRE_FRACTION, -fixed.SHIFT_MIN - fixed.PRE_FRACTION))

    def bias(count: int, exponent: int, mean: float = 0.0) -> np.ndarray:
        values = np.rint(np.ldexp(rng.normal(mean, 0.3, count), -exponent))
        values[values == 0] = 1
        return np.clip(values, -(2**31), 2**31 - 1).astype(np.int32)

    input_deviation = math.sqrt(ASSUMED_ACTIVITY / 3) * (1 << (input_bits - 1))
    y_deviation = math.sqrt(ASSUMED_ACTIVITY / 3) * (1 << y_bits)
    fixed_layers, source_count, deviation = [], inputs, input_deviation
    for units in layers:
        kernel, recurrent = weights(source_count, units, 3), weights(units, units, 3)
        z, r, gx = np.split(kernel, 3, axis=1)
        recurrent_z, recurrent_r, gh = np.split(recurrent, 3, axis=1)
        exponents = (
            exponent((gx, deviation)),
            exponent((z, deviation), (recurrent_z, y_deviation)),
            exponent((r, deviation), (recurrent_r, y_deviation)),
            exponent((gh, y_deviation)),
        )
        threshold = np.rint(fixed.STATE_MAX * rng.beta(1, 4, units)).astype(np.int16)
        threshold[rng.random(units) < 0.10] = 0
        threshold[rng.random(units) < 0.03] = fixed.STATE_MAX
        if extremes:
            threshold[:] = 0
        biases = [bias(units, e, mean) for e, mean in zip(exponents, GATE_BIASES, strict=True)]
        fixed_layers.append(FixedLayer(kernel, recurrent, np.stack(biases), threshold, exponents))
        source_count, deviation = units, y_deviation

    readout = None
    if outputs is not None:
        kernel = weights(source_count, outputs, 1)
        e = exponent((kernel, deviation))
        readout = FixedReadout(kernel, bias(outputs, e), e)
    return FixedNetwork(
        tuple(fixed_layers),
        readout,
        weight_bits=weight_bits,
        y_bits=y_bits,
        input_bits=input_bits,
        input_exponent=-(input_bits - 1),
    )


def random_inputs(
    rng: np.random.Generator, network: FixedNetwork, steps: int, batch: int, activity: float
) -> np.ndarray:
    """Draw inputs, int64 (time, batch, I): zero at a share of 1 - activity, else any other value, extremes included."""
    shape = (steps, batch, network.inputs)
    low, high = -(1 << (network.input_bits - 1)), (1 << (network.input_bits - 1)) - 1
    values = rng.integers(low, high + 1, shape)
    values = np.where(rng.random(shape) < 0.05, rng.choice([low, high], shape), values)
    values[values == 0] = 1
    return values * (rng.random(shape) < activity)

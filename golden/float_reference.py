"""The EGRU network in NumPy float64: what the integers approximate. Inference only; ``golden/egru.py`` trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.layers import FloatLayer, FloatNetwork

Floats = NDArray[Any]


@dataclass(frozen=True)
class FloatState:
    """What a network carries from step to step: h and y, float64 (batch, H), one array a layer."""

    h: tuple[Floats, ...]
    y: tuple[Floats, ...]


@dataclass(frozen=True)
class FloatTrace:
    """Everything a run computed; y, fires (0 or 1) and h hold one float64 (time, batch, H) a layer.

    logits : float64 (time, batch, C), or None without a readout
    state : FloatState
        After the last step: continues the sequence.
    """

    y: tuple[Floats, ...]
    fires: tuple[Floats, ...]
    h: tuple[Floats, ...]
    logits: Floats | None
    state: FloatState


def sigmoid(x: Floats) -> Floats:
    """Return ``1 / (1 + exp(-x))`` without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def cell(a: Floats, b: Floats, h: Floats, threshold: Floats) -> tuple[Floats, Floats, Floats]:
    """One update: a = x W + bx and b = y R + br, (batch, 3H), gates z, r, g; return h, fires, y (batch, H).

    Source: Subramoney et al., arXiv 2206.06178, with the reset gate after the recurrent product as in EvNN.
    """
    (a_z, a_r, a_g), (b_z, b_r, b_g) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
    z = sigmoid(a_z + b_z)
    r = sigmoid(a_r + b_r)
    g = np.tanh(a_g + r * b_g)
    c = z * h + (1 - z) * g
    fires = (c > threshold).astype(np.float64)
    return c - fires * threshold, fires, fires * c


def _run_layer(layer: FloatLayer, x: Floats, h: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Run x (time, batch, in) from h, y (batch, H); return y, fires, h (time, batch, H)."""
    kernel, recurrent_kernel, bias, recurrent_bias, threshold = (
        np.asarray(array, np.float64)
        for array in (layer.kernel, layer.recurrent_kernel, layer.bias, layer.recurrent_bias, layer.threshold)
    )
    ys, fires, hs = (np.empty((*x.shape[:2], layer.units)) for _ in range(3))
    for t, a in enumerate(x @ kernel + bias):
        h, fires[t], y = cell(a, y @ recurrent_kernel + recurrent_bias, h, threshold)
        ys[t], hs[t] = y, h
    return ys, fires, hs


def run_float(network: FloatNetwork, inputs: Floats, state: FloatState | None = None) -> FloatTrace:
    """Run inputs, real (time, batch, I), through a network; h and y are carried on from ``state``, or start at 0.

    Raises
    ------
    ValueError
        If the inputs are misshapen.
    """
    x = np.asarray(inputs, np.float64)
    if x.ndim != 3 or x.shape[2] != network.inputs:
        raise ValueError(f"inputs have shape {x.shape}; the network needs (time, batch, {network.inputs})")
    if state is None:
        zeros = tuple(np.zeros((x.shape[1], layer.units)) for layer in network.layers)
        state = FloatState(zeros, zeros)
    traces = []
    for layer, h, y in zip(network.layers, state.h, state.y, strict=True):
        traces.append(_run_layer(layer, x, h, y))
        x = traces[-1][0]
    ys, fires, hs = zip(*traces, strict=True)
    last = FloatState(
        tuple(np.array((h, *array)[-1]) for h, array in zip(state.h, hs, strict=True)),
        tuple(np.array((y, *array)[-1]) for y, array in zip(state.y, ys, strict=True)),
    )
    logits = None if network.readout is None else x @ network.readout.kernel + network.readout.bias
    return FloatTrace(ys, fires, hs, logits, last)

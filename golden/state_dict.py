"""Turn the parameters of EvNN and of ``torch.nn.GRU`` into a network, and back.

======================= ============================ =============================================================
this project            EvNN (one ``EGRU`` a layer)  ``torch.nn.GRU`` (layer ``k``)
======================= ============================ =============================================================
columns z, r, g         columns z, r, g              rows r, z, n
kernel (I, 3H)          kernel (I, 3H)               weight_ih_lk (3H, I)
recurrent_kernel        recurrent_kernel (H, 3H)     weight_hh_lk (3H, H)
bias (3H)               bias (3H)                    bias_ih_lk (3H)
recurrent_bias (3H)     recurrent_bias (3H)          bias_hh_lk (3H)
threshold (H)           thr (H)                      none: given apart
readout (H, C), (C)     a ``torch.nn.Linear`` by its name: weight (C, H), bias (C)
======================= ============================ =============================================================

From a given h both compute the same c; a GRU carries c on as h and y, an EGRU fires and resets. A converted GRU is
therefore a start to fine-tune from, not the same function.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.layers import FloatLayer, FloatNetwork, FloatReadout, ModelError

Array = NDArray[Any]
State = Mapping[str, Array]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts ``rnns.10`` after ``rnns.9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _take(state: State, name: str, shape: tuple[int | str, ...]) -> Array:
    """Return a tensor after checking it; a letter in ``shape`` stands for any size."""
    if name not in state:
        raise ModelError(f"tensor {name} is missing; the file must hold the whole state dict")
    array = state[name]
    if array.dtype not in (np.float32, np.float64):
        raise ModelError(f"tensor {name} is of type {array.dtype.name}; it must be of a floating-point type")
    fits = array.ndim == len(shape) and all(
        have == want if isinstance(want, int) else have > 0 for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ModelError(f"tensor {name} has shape {list(array.shape)}; it must be [{', '.join(map(str, shape))}]")
    if not np.isfinite(array).all():
        raise ModelError(f"tensor {name} holds NaN or infinity; every value must be finite, so train it again")
    return array


def _check_threshold(name: str, threshold: Array, remedy: str) -> Array:
    if not (threshold.min() >= 0 and threshold.max() <= 1):
        low, high = threshold.min(), threshold.max()
        raise ModelError(f"{name} is from {low:g} to {high:g}; thresholds must be from 0 to 1: {remedy}")
    return threshold


def _readout(state: State, name: str | None, units: int) -> FloatReadout | None:
    """Return the ``torch.nn.Linear`` of that name, with or without a bias."""
    if name is None:
        return None
    weight = _take(state, f"{name}.weight", ("C", units))
    bias = (
        _take(state, f"{name}.bias", (len(weight),)) if f"{name}.bias" in state else np.zeros(len(weight), weight.dtype)
    )
    return FloatReadout(np.ascontiguousarray(weight.T), bias)


def from_evnn(state: State, *, readout: str | None = None) -> FloatNetwork:
    """Return the network of an EvNN state dict: a single layer, or several under prefixes in their natural order.

    Raises
    ------
    ModelError
        Naming the tensor that is missing, misshapen, not finite or out of range.
    """
    names = sorted((name for name in state if re.search(r"(^|\.)recurrent_kernel$", name)), key=_natural)
    if not names:
        raise ModelError("there is no tensor named recurrent_kernel; this is no state dict of EvNN's EGRU")
    layers: list[FloatLayer] = []
    for prefix in (name.removesuffix("recurrent_kernel") for name in names):
        threshold = _take(state, f"{prefix}thr", ("H",))
        _check_threshold(
            f"tensor {prefix}thr", threshold, "run one forward pass of EvNN, which clamps them, and save again"
        )
        units = len(threshold)
        layers.append(
            FloatLayer(
                kernel=_take(state, f"{prefix}kernel", (layers[-1].units if layers else "I", 3 * units)),
                recurrent_kernel=_take(state, f"{prefix}recurrent_kernel", (units, 3 * units)),
                bias=_take(state, f"{prefix}bias", (3 * units,)),
                recurrent_bias=_take(state, f"{prefix}recurrent_bias", (3 * units,)),
                threshold=threshold,
            )
        )
    return FloatNetwork(tuple(layers), _readout(state, readout, layers[-1].units))


def to_evnn(network: FloatNetwork, *, readout: str = "readout") -> dict[str, Array]:
    """Return EvNN's tensors: of one layer under their own names, of several as a ``torch.nn.ModuleList`` has them."""
    state: dict[str, Array] = {}
    for l, layer in enumerate(network.layers):
        prefix = f"{l}." if len(network.layers) > 1 else ""
        for name in ("kernel", "recurrent_kernel", "bias", "recurrent_bias"):
            state[prefix + name] = getattr(layer, name)
        state[f"{prefix}thr"] = layer.threshold
    return state | _linear(network, readout)


def _exchange(rows: Array) -> Array:
    """Exchange the first two of three blocks of rows: r, z, n to z, r, g, and back."""
    first, second, third = np.split(rows, 3)
    return np.concatenate([second, first, third])


def from_torch_gru(state: State, threshold: float | Array, *, readout: str | None = None) -> FloatNetwork:
    """Return the network of a state dict of ``torch.nn.GRU`` or ``GRUCell``, biases or not.

    Parameters
    ----------
    threshold : float or float (units of all layers)
        In [0, 1]; one for all units, or one for each, layer after layer.

    Raises
    ------
    ModelError
        Naming the tensor that is missing, misshapen, not finite or out of range, or the threshold.
    """
    reverse = [name for name in state if name.endswith("_reverse")]
    if reverse:
        raise ModelError(f"tensor {reverse[0]} is of a bidirectional network; only forward ones can be converted")
    names = sorted((name for name in state if re.search(r"(^|\.)weight_hh(_l\d+)?$", name)), key=_natural)
    if not names:
        raise ModelError("there is no tensor named weight_hh_l0; this is no state dict of torch.nn.GRU")
    units = [state[name].shape[-1] if state[name].ndim else 0 for name in names]
    thresholds = np.asarray(threshold, np.float64)
    if thresholds.ndim and thresholds.shape != (sum(units),):
        raise ModelError(
            f"the threshold file has shape {list(thresholds.shape)}; it must be [{sum(units)}], one a unit"
        )
    _check_threshold("the threshold", thresholds, "give other values")
    each = np.split(np.broadcast_to(thresholds, (sum(units),)), np.cumsum(units)[:-1])
    layers: list[FloatLayer] = []
    for name, count, part in zip(names, units, each, strict=True):
        of = {kind: name.replace("weight_hh", kind) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        kernel = _take(state, of["weight_ih"], (3 * count, layers[-1].units if layers else "I"))
        recurrent_kernel = _take(state, of["weight_hh"], (3 * count, count))
        none = np.zeros(3 * count, kernel.dtype)
        with_bias = of["bias_ih"] in state or of["bias_hh"] in state
        bias, recurrent_bias = (
            _take(state, of[kind], (3 * count,)) if with_bias else none for kind in ("bias_ih", "bias_hh")
        )
        layers.append(
            FloatLayer(
                np.ascontiguousarray(_exchange(kernel).T),
                np.ascontiguousarray(_exchange(recurrent_kernel).T),
                _exchange(bias),
                _exchange(recurrent_bias),
                part.astype(kernel.dtype),
            )
        )
    return FloatNetwork(tuple(layers), _readout(state, readout, layers[-1].units))


def to_torch_gru(network: FloatNetwork, *, readout: str = "readout") -> dict[str, Array]:
    """Return the tensors of a ``torch.nn.GRU``; the thresholds are not among them.

    Raises
    ------
    ModelError
        If the layers differ in size, as those of a ``torch.nn.GRU`` cannot.
    """
    if len({layer.units for layer in network.layers}) > 1:
        sizes = [layer.units for layer in network.layers]
        raise ModelError(f"the layers have {sizes} units; those of a torch.nn.GRU are equal, so export layer by layer")
    state: dict[str, Array] = {}
    for l, layer in enumerate(network.layers):
        state[f"weight_ih_l{l}"] = np.ascontiguousarray(_exchange(layer.kernel.T))
        state[f"weight_hh_l{l}"] = np.ascontiguousarray(_exchange(layer.recurrent_kernel.T))
        state[f"bias_ih_l{l}"] = _exchange(layer.bias)
        state[f"bias_hh_l{l}"] = _exchange(layer.recurrent_bias)
    return state | _linear(network, readout)


def _linear(network: FloatNetwork, name: str) -> dict[str, Array]:
    if network.readout is None:
        return {}
    return {f"{name}.weight": np.ascontiguousarray(network.readout.kernel.T), f"{name}.bias": network.readout.bias}

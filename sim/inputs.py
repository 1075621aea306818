"""What a simulation is fed with: a NumPy file, or handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from golden.data import digits
from golden.network import FixedNetwork
from golden.quantize import quantize_inputs


@dataclass(frozen=True)
class Inputs:
    """Sequences of equal length.

    integers : int (time, batch, inputs), as the network takes them
    real : float64 (time, batch, inputs), or None where the file holds integers
    labels : int64 (batch,), or None
    """

    integers: np.ndarray
    real: np.ndarray | None = None
    labels: np.ndarray | None = None

    def sequences(self) -> list[np.ndarray]:
        return [self.integers[:, b] for b in range(self.integers.shape[1])]


def read_inputs(source: str, network: FixedNetwork, steps: int | None = None) -> Inputs:
    """Read ``digits``, ``digits:N`` (the first N of the 360 test images) or a NumPy file.

    A file holds real numbers, or integers as the network takes them: (time, inputs), or (time, batch, inputs).
    ``steps`` keeps the first so many of each sequence.

    Raises
    ------
    ValueError
        Naming what is wrong.
    """
    if steps is not None and steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1")
    labels = None
    if source == "digits" or source.startswith("digits:"):
        values, labels = _digits(source)
    else:
        values = _file(source)
    if values.shape[2] != network.inputs:
        raise ValueError(f"{source} has {values.shape[2]} inputs a step; the network takes {network.inputs}")
    values = values[:steps]
    if not np.issubdtype(values.dtype, np.integer):
        return Inputs(quantize_inputs(values, network), values.astype(np.float64), labels)
    limit = 1 << (network.input_bits - 1)
    if values.min() < -limit or values.max() >= limit:
        raise ValueError(
            f"{source} has integers from {values.min()} to {values.max()}; the network takes {-limit} to {limit - 1}"
        )
    return Inputs(values, None, labels)


def _digits(source: str) -> tuple[np.ndarray, np.ndarray]:
    test = digits().test
    _, _, count = source.partition(":")
    if count and not (count.isdecimal() and 1 <= int(count) <= len(test)):
        raise ValueError(f"the input is {source!r}; give digits or digits:N with N from 1 to {len(test)}")
    images = slice(int(count) if count else None)
    return test.inputs[images].swapaxes(0, 1), test.labels[images]


def _file(path: str) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise ValueError(f"input file {path} is no NumPy array file; write it with numpy.save") from None
    except OSError as error:
        raise ValueError(f"input file {path} cannot be read ({error.strerror}); correct the path") from None
    real = isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values)
    if not real or values.ndim not in (2, 3) or not values.size:
        raise ValueError(
            f"input file {path} must hold one array of numbers, (time, inputs) or (time, batch, inputs), with at least "
            "one step"
        )
    return values[:, None] if values.ndim == 2 else values

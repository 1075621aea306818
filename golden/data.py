"""Data sets as NumPy arrays; no torch, so that a machine without it can run the networks trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

#: A pixel of 0 to 16 times ``2**-1`` is the input of the network: larger than the values of its units, so that the
#: weights of inputs need not be, and global magnitude pruning leaves inputs no longer lists than it leaves units.
DIGITS_INPUT_EXPONENT = -1


@dataclass(frozen=True)
class Samples:
    """Labelled sequences: inputs float32 (samples, steps, channels), labels int64 (samples,)."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.inputs.dtype != np.float32 or self.inputs.ndim != 3:
            have = f"{self.inputs.dtype} of shape {list(self.inputs.shape)}"
            raise ValueError(f"inputs are {have}; they must be float32 [samples, steps, channels]")
        if self.labels.dtype != np.int64 or self.labels.shape != self.inputs.shape[:1] or (self.labels < 0).any():
            have = f"{self.labels.dtype} of shape {list(self.labels.shape)}"
            raise ValueError(f"labels are {have}; they must be int64 [{len(self.inputs)}], from 0 on")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Samples to fit, to choose by, and to report."""

    train: Samples
    validation: Samples
    test: Samples


def digits() -> Dataset:
    """Return scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, one image row a step.

    The split is stratified and fixed: 1,237 to train, 200 to validate, 360 to test. Inputs are (samples, 8 steps, 8
    channels) in [0, 8]: a pixel's integer 0 to 16 times ``2**DIGITS_INPUT_EXPONENT``, exact in any float.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """
    pixels, labels = load_digits(return_X_y=True)  # float64 (1797, 64) of integers 0 to 16, int64 (1797,)
    inputs = np.ldexp(pixels, DIGITS_INPUT_EXPONENT).astype(np.float32).reshape(-1, 8, 8)
    rest, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    train, validation = train_test_split(rest, test_size=200, stratify=labels[rest], random_state=0)
    return Dataset(*(Samples(inputs[chosen], labels[chosen]) for chosen in (train, validation, test)))

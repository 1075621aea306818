"""Histograms of weights by magnitude, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

EDGES = np.arange(-24.0, 4.5, 0.5)  #: of the bins, logarithms to base 2; the first takes all that is smaller


def histogram(networks: Sequence[Sequence[NDArray[Any]]]) -> dict[str, Any]:
    """Return, of the weights of networks that differ in the seed: shares in each bin (mean), deviation, kurtosis.

    The excess kurtosis is 0 of a normal distribution and grows with the share of weights near 0 and far from it.
    """
    shares, deviations, kurtoses = [], [], []
    for network in networks:
        weights = np.concatenate([np.asarray(part, np.float64).ravel() for part in network])
        magnitudes = np.log2(np.maximum(np.abs(weights), 2.0 ** EDGES[0])).clip(EDGES[0], EDGES[-1])
        shares.append(np.histogram(magnitudes, EDGES)[0] / len(weights))
        deviations.append(weights.std())
        kurtoses.append(((weights - weights.mean()) ** 4).mean() / weights.var() ** 2 - 3)
    return {
        "edges_log2": EDGES.tolist(),
        "shares": np.mean(shares, axis=0).tolist(),
        "standard_deviation": float(np.mean(deviations)),
        "excess_kurtosis": float(np.mean(kurtoses)),
    }


def plot(axes: Axes, found: dict[str, Any], label: str, **style: Any) -> None:
    """Draw a histogram as a line of steps."""
    axes.stairs(100 * np.array(found["shares"]), found["edges_log2"], label=label, **style)
    axes.set(xlabel="log2 of a weight's magnitude", ylabel="weights, %", xlim=(-16, 2))

"""Fit coefficients to measured cores: logic by least squares, clocks by classes."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.fit_blocks import inventory
from hw.fit_logic import sizes
from hw.fit_points import Point

FILLS = (0.25, 0.5, 0.75, 1.0)  #: classes of clock are by the share of the device that is taken
MARGIN, STEP = 0.9, 5  #: a class is this share of the median of what was reached, in whole steps of MHz

Measured = tuple[Point, dict[str, Any]]


Coefficients = dict[str, dict[str, float]]  #: of each component, how much of a resource goes with each of its sizes


def fit_logic(measured: Sequence[Measured], resource: str, like: Coefficients | None = None) -> Coefficients:
    """Return, for each component, how much of a resource goes with each of its sizes: least squares, none negative.

    Errors count by their share of the whole core. What the measured cores leave open is as in ``like``, or nothing.
    """
    from sklearn.linear_model import LinearRegression  # slow to import

    found = {component: dict(each) for component, each in (like or {}).items()}
    rows = [(_sizes(point), figures, total(figures, resource)) for point, figures in measured]
    for component in dict.fromkeys(name for parts, _, _ in rows for name in parts):
        here = [(parts[component], figures, whole) for parts, figures, whole in rows if component in parts]
        names = list(dict.fromkeys(name for measures, _, _ in here for name in measures))
        a = np.array([[measures.get(name, 0) / whole for name in names] for measures, _, whole in here])
        b = np.array([figures["components"].get(component, {}).get(resource, 0) / whole for _, figures, whole in here])
        scale = np.maximum(a.max(axis=0), 1e-12)
        expected = np.array([(like or {}).get(component, {}).get(name, 0.0) for name in names])
        a, b = _with_damping(a / scale, b, expected * scale)
        fitted = LinearRegression(positive=True, fit_intercept=False).fit(a, b).coef_ / scale
        of_component = found.setdefault(component, {})
        of_component |= {name: round(float(value), 4) for name, value in zip(names, fitted, strict=True)}
    return found


def _with_damping(a: NDArray, b: NDArray, expected: NDArray) -> tuple[NDArray, NDArray]:
    """Return the equations with some that keep what they leave open near what is expected."""
    damping = 1e-3 * np.linalg.norm(a) * np.eye(a.shape[1])
    return np.vstack([a, damping]), np.concatenate([b, damping @ expected])


def scale_logic(base: Coefficients, measured: Sequence[Measured], resource: str) -> Coefficients:
    """Return the coefficients of another family, each component's times what it takes there of what they say.

    Without any measured core they are those of the base.
    """
    said: dict[str, float] = dict.fromkeys(base, 0.0)
    taken: dict[str, float] = dict.fromkeys(base, 0.0)
    for point, figures in measured:
        for component, measures in _sizes(point).items():
            share = 1 / total(figures, resource)
            said[component] += share * sum(base[component][name] * size for name, size in measures.items())
            taken[component] += share * figures["components"].get(component, {}).get(resource, 0)
    of_all = sum(taken.values()) / sum(said.values()) if measured else 1.0
    return {
        component: {
            name: round(value * (taken[component] / said[component] if said[component] else of_all), 4)
            for name, value in of_component.items()
        }
        for component, of_component in base.items()
    }


def _sizes(point: Point) -> dict[str, dict[str, float]]:
    blocks = inventory(point.config, point.device.family, host_link=point.host_link)
    return sizes(point.config, blocks, host_link=point.host_link)


def total(figures: dict[str, Any], resource: str) -> int:
    """Return what a whole core takes as synthesised."""
    return sum(part.get(resource, 0) for part in figures["components"].values())


def clock_classes(routes: Sequence[tuple[float, float]]) -> list[tuple[float, int]]:
    """Return the MHz of each class of fill from the fill and MHz of routed cores, one or more.

    A class without a route has that of the next emptier one, or the first that there is.
    """
    classes = [[mhz for fill, mhz in routes if low < fill <= high] for low, high in itertools.pairwise((0.0, *FILLS))]
    reached = [STEP * int(MARGIN * statistics.median(each) / STEP) if each else None for each in classes]
    found, slowest = [], next(mhz for mhz in reached if mhz is not None)
    for limit, mhz in zip(FILLS, reached, strict=True):
        slowest = min(slowest, slowest if mhz is None else mhz)
        found.append((limit, slowest))
    return found

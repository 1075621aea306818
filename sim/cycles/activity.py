"""Recorded activity: who sends an event at which step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.network import FixedNetwork
from golden.reference import Oracle


@dataclass(frozen=True, eq=False)
class Activity:
    """Who sends an event at which step.

    offsets : int64 (steps * groups + 1,)
        Where in ``sources`` the events of each step and group begin; groups are the inputs, then each layer.
    sources : uint32 (events,)
        Numbered as in a network: inputs, then the units of each layer; ascending within a step and group.
    ending : bool (steps,)
        Whether the step is the last of its sequence.
    """

    offsets: NDArray[np.int64]
    sources: NDArray[np.uint32]
    ending: NDArray[np.bool_]

    @classmethod
    def sparse(cls, network: FixedNetwork, steps: ArrayLike, sources: ArrayLike, ending: ArrayLike) -> Activity:
        """Return the activity of events given by step and source, int (events,) each, in any order, no event twice.

        Raises
        ------
        ValueError
            If there is no such step or source, or an event is there twice.
        """
        steps, sources, ending = np.asarray(steps, np.int64), np.asarray(sources, np.int64), np.asarray(ending, bool)
        for name, values, count in (("step", steps, len(ending)), ("source", sources, network.source_count)):
            if values.ndim != 1 or len(values) != len(steps):
                raise ValueError(f"{name}s are {values.shape}; steps and sources must both be (events,)")
            if ((values < 0) | (values >= count)).any():
                wrong = int(values[(values < 0) | (values >= count)][0])
                raise ValueError(f"an event has {name} {wrong}; there are {count}")
        key = np.sort(steps * network.source_count + sources)
        if (np.diff(key) == 0).any():
            step, source = divmod(int(key[:-1][np.diff(key) == 0][0]), network.source_count)
            raise ValueError(f"source {source} has two events at step {step}")
        firsts = np.cumsum([0, network.inputs, *(layer.units for layer in network.layers[:-1])])
        bounds = (np.arange(len(ending))[:, None] * network.source_count + firsts).ravel()
        offsets = np.append(np.searchsorted(key, bounds), len(key))
        return cls(offsets.astype(np.int64), (key % network.source_count).astype(np.uint32), ending)

    @classmethod
    def dense(cls, network: FixedNetwork, groups: Sequence[ArrayLike], ending: ArrayLike) -> Activity:
        """Return the activity given by one array for the inputs and one for each layer, bool (steps, sources) each.

        Raises
        ------
        ValueError
            If there are others, or they have other shapes.
        """
        found = [np.nonzero(np.asarray(group)) for group in groups]
        sizes = [network.inputs, *(layer.units for layer in network.layers)]
        shapes = [(len(np.asarray(ending)), size) for size in sizes]
        given = [np.asarray(group).shape for group in groups]
        if given != shapes:
            raise ValueError(f"activity has shapes {given}; it must be {shapes}")
        firsts = np.cumsum([0, *sizes[:-1]])
        steps = np.concatenate([step for step, _ in found])
        return cls.sparse(
            network, steps, np.concatenate([source + first for (_, source), first in zip(found, firsts, strict=True)]),
            ending,
        )  # fmt: skip

    @property
    def steps(self) -> int:
        return len(self.ending)


def record(network: FixedNetwork, sequences: Sequence[NDArray[np.integer]]) -> Activity:
    """Return what a network does on sequences of inputs, int (steps, inputs) each, every one from state 0."""
    oracle = Oracle(network)
    traces = [oracle.run(np.asarray(sequence)[:, None]) for sequence in sequences]
    groups = [np.concatenate([np.asarray(sequence) != 0 for sequence in sequences])]
    groups += [np.concatenate([trace.y[l][:, 0] != 0 for trace in traces]) for l in range(len(network.layers))]
    ending = np.zeros(len(groups[0]), bool)
    ending[np.cumsum([len(sequence) for sequence in sequences]) - 1] = True
    return Activity.dense(network, groups, ending)

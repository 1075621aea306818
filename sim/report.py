"""Compare what a core did with what the integer oracle and the theoretical counts say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from golden.macs import theoretical_events, theoretical_macs
from golden.network import FixedNetwork
from golden.reference import Trace
from sim.simulator import RunResult


@dataclass(frozen=True)
class Comparison:
    """Numbers compared and numbers that differ; ``first`` describes the first difference of each kind."""

    updates: int
    update_differences: int
    outputs: int
    output_differences: int
    steps: int
    count_differences: int
    first: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return not (self.update_differences or self.output_differences or self.count_differences)


def compare(
    network: FixedNetwork, trace: Trace, inputs: np.ndarray, result: RunResult, *, ends: bool = True
) -> Comparison:
    """Compare a run of whole sequences, or of steps of a :class:`sim.session.Session`, with the oracle's trace.

    Parameters
    ----------
    trace : Trace
        Of ``inputs``, int (time, batch, inputs); the core ran sequence after sequence, ``inputs[:, 0]`` first.
    result : RunResult
        With every unit's update.
    ends : bool
        Whether sequences end at their last step.

    Every unit's h, fires and y, every output, and events and MACs of each step and group must be equal.
    """
    first: list[str] = []
    steps, batch, _ = inputs.shape
    in_order = lambda array: array.swapaxes(0, 1).reshape(steps * batch, -1)  # noqa: E731  sequence after sequence

    units = sum(layer.units for layer in network.layers)
    wanted = np.stack(
        [np.concatenate([in_order(a) for a in kind], axis=1) for kind in (trace.h, trace.fires, trace.y)], axis=2
    )
    update_differences = 0
    if len(result.updates) != len(wanted) * units:
        first.append(f"{len(result.updates)} unit updates, {len(wanted) * units} expected")
        update_differences = wanted[..., 0].size
    else:
        # Updates of a step come in no particular order; those of one unit come in the order of steps.
        ordered = result.updates[np.argsort(result.updates["source"], kind="stable")].reshape(units, -1).T
        got = np.stack([ordered[name] for name in ("h", "fires", "y")], axis=2)
        sources_wrong = (ordered["source"] != network.inputs + np.arange(units)).any(axis=0)
        wrong = (got != wanted).any(axis=2) | sources_wrong
        update_differences = int(wrong.sum())
        for step, unit in np.argwhere(wrong)[:1]:
            first.append(
                f"sequence {step // steps} step {step % steps} unit {unit}: h, fires, y {got[step, unit].tolist()}, "
                f"expected {wanted[step, unit].tolist()}"
            )

    expected = in_order(trace.logits if trace.logits is not None else trace.y[-1])
    outputs = result.dense_outputs(expected.shape[1])
    wrong = outputs != expected
    for step, output in np.argwhere(wrong)[:1]:
        first.append(
            f"sequence {step // steps} step {step % steps} output {output}: {outputs[step, output]}, "
            f"expected {expected[step, output]}"
        )

    sequence_end = np.zeros((steps, batch), bool)
    sequence_end[-1] = ends
    groups = len(network.layers) + 1
    count_differences = 0
    for name, counts in (
        ("events", theoretical_events(trace, inputs)),
        ("macs", theoretical_macs(network, trace, inputs, sequence_end=sequence_end)),
    ):
        theory = in_order(counts)
        counted = result.steps[name]
        bad = (counted[:, :groups] != theory).any(axis=1) | counted[:, groups:].any(axis=1)
        count_differences += int(bad.sum())
        for step in np.flatnonzero(bad)[:1]:
            first.append(
                f"sequence {step // steps} step {step % steps} {name}: {counted[step].tolist()}, "
                f"expected {theory[step].tolist()}"
            )
    return Comparison(
        wanted[..., 0].size, update_differences, expected.size, int(wrong.sum()), len(expected), count_differences,
        tuple(first),
    )  # fmt: skip

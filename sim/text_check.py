"""What the oracle and the theoretical counts expect of a chunk of text, and what of it the core did otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.layers import FixedNetwork
from golden.macs import fan_out
from golden.reference import Trace
from sim.memories import PIECE_BYTES
from sim.simulator import RunResult

if TYPE_CHECKING:
    from sim.text_core import Chunk

UPDATE = ("h", "fires", "y")
Integers = NDArray[np.int64]


class Expected(NamedTuple):
    """Of every token of a chunk: updates (tokens, units, 3), logits (tokens, words), events and macs (tokens, groups),
    bytes (tokens,) of the lists that are read from external memory.
    """

    updates: Integers
    logits: Integers
    events: Integers
    macs: Integers
    bytes: Integers


class Theory:
    """Counts of a language model from the oracle's activity, as :mod:`golden.macs` defines them.

    Parameters
    ----------
    beats : int64 (sources,), optional
        Of each list in external memory; none there if left out.
    """

    def __init__(self, network: FixedNetwork, beats: Integers | None) -> None:
        self._inputs, *self._layers = fan_out(network)
        self._lists = network.inputs // network.readout.units  # of a word
        self.beats = np.zeros(network.source_count, np.int64) if beats is None else beats
        self._first = np.cumsum([network.inputs, *(layer.units for layer in network.layers)])

    def expect(self, tokens: Integers, trace: Trace) -> Expected:
        """Return what is expected of tokens (tokens,), whose oracle's trace has a batch of 1."""
        sources = tokens[:, None] * self._lists + np.arange(self._lists)
        active = [(y[:, 0] != 0).astype(np.int64) for y in trace.y]
        events = [np.full(len(tokens), self._lists), *(each.sum(axis=1) for each in active)]
        macs = [self._inputs.forward[sources].sum(axis=1)]
        macs += [each @ lists.whole for each, lists in zip(active, self._layers, strict=True)]
        beats = self.beats[sources].sum(axis=1)
        for first, each in zip(self._first, active, strict=False):
            beats = beats + each @ self.beats[first : first + each.shape[1]]
        kinds = [np.concatenate([a[:, 0] for a in kind], axis=1) for kind in (trace.h, trace.fires, trace.y)]
        return Expected(
            np.stack(kinds, axis=2).astype(np.int64), trace.logits[:, 0], np.stack(events, axis=1),
            np.stack(macs, axis=1), beats * PIECE_BYTES,
        )  # fmt: skip


def nats(logits: Integers, exponent: int, targets: Integers) -> NDArray[np.float64]:
    """Return ``-log softmax(logits * 2**exponent)[target]`` of logits (tokens, words), float64 (tokens,)."""
    real = np.ldexp(logits.astype(np.float64), exponent)
    real -= real.max(axis=1, keepdims=True)
    return np.log(np.exp(real).sum(axis=1)) - np.take_along_axis(real, targets[:, None], axis=1)[:, 0]


def compare(
    network: FixedNetwork, expected: Expected, result: RunResult, chunk: Chunk, bytes_read: int
) -> dict[str, Any]:
    """Return what the core counted of the chunk's own tokens, and how it compares, the token before it included.

    Numbers compared are those of the chunk's own tokens, so that they add up to those of the text. ``bytes_read`` are
    expected of the whole run, of which the memory counts them; those of a token are of the lists that it walks.
    """
    before, count = chunk.before, len(chunk.tokens)
    units = expected.updates.shape[1]
    groups = expected.macs.shape[1]
    first: list[tuple[int, int, dict[str, Any]]] = []  # token, order of what happens in it, what differs

    def note(order: int, wrong: NDArray[np.bool_], describe: Any) -> int:
        for token, which in np.argwhere(wrong)[:1].tolist():
            what = {"sequence": chunk.sequence, "token": chunk.first - before + token, **describe(token, which)}
            first.append((token, order, what))
        return int(wrong.sum())

    def unit(token: int, which: int) -> dict[str, Any]:
        layer, number = _unit_of(network, which)
        want, have = expected.updates[token, which].tolist(), got[token, which].tolist()
        return {"what": ", ".join(UPDATE), "layer": layer, "unit": number, "expected": want, "got": have}

    got = np.zeros_like(expected.updates)
    if len(result.updates) == count * units:
        # Updates of a step come in no particular order; those of one unit come in the order of steps.
        ordered = result.updates[np.argsort(result.updates["source"], kind="stable")].reshape(units, count).T
        got = np.stack([ordered[name] for name in UPDATE], axis=2)
        wrong = (got != expected.updates).any(axis=2) | (ordered["source"] != network.inputs + np.arange(units))
        update_differences = note(0, wrong, unit)
    else:
        update_differences = count * units
        what = {"what": "updates", "expected": count * units, "got": len(result.updates)}
        first.append((0, 0, {"sequence": chunk.sequence, "token": chunk.first - before, **what}))
    logits = result.dense_outputs(expected.logits.shape[1])
    logit_differences = note(
        1, logits != expected.logits,
        lambda token, which: {
            "what": "logit", "layer": "readout", "unit": which,
            "expected": int(expected.logits[token, which]), "got": int(logits[token, which]),
        },
    )  # fmt: skip
    if len(result.outputs) != logits.size:  # one that is missing counts as 0 above, one that comes twice as the last
        logit_differences += abs(len(result.outputs) - logits.size)
        what = {"what": "logits", "expected": logits.size, "got": len(result.outputs)}
        first.append((count, 0, {"sequence": chunk.sequence, "token": chunk.first - before + count - 1, **what}))
    count_differences = 0
    for order, name in enumerate(("events", "macs"), 2):
        counted = result.steps[name]
        theory = np.pad(getattr(expected, name), ((0, 0), (0, counted.shape[1] - groups)))
        count_differences += note(
            order, counted != theory,
            lambda token, group, name=name, theory=theory, counted=counted: {
                "what": name, "layer": group - 1 if group else "inputs",
                "expected": int(theory[token, group]), "got": int(counted[token, group]),
            },
        )  # fmt: skip
    reads = result.memory["bytes"]
    if reads != bytes_read:
        last = {"sequence": chunk.sequence, "token": chunk.first - before + count - 1}
        first.append((count, 0, {**last, "what": "bytes read in the chunk", "expected": bytes_read, "got": reads}))
    output, own = result.steps["output"], count - before
    cycles = np.diff(output, prepend=result.steps["first_input"][0] - 1)
    return {
        "sequence": chunk.sequence,
        "chunk": chunk.number,
        "first": chunk.first,
        "cycles": cycles[before:].tolist(),
        "events": result.steps["events"][before:, :groups].tolist(),
        "macs": result.steps["macs"][before:, :groups].tolist(),
        "bytes": expected.bytes[before:].tolist(),
        "nats": nats(logits, network.readout.sum_exponent, chunk.targets)[before:].tolist(),
        "compared": {"updates": own * units, "logits": own * logits.shape[1], "counts": own * 2 * groups, "reads": 1},
        "differences": {
            "updates": update_differences, "logits": logit_differences, "counts": count_differences,
            "reads": int(reads != bytes_read),
        },
        "first_difference": min(first, key=lambda each: each[:2])[2] if first else None,
    }  # fmt: skip


def _unit_of(network: FixedNetwork, number: int) -> tuple[int, int]:
    """Return layer and number in it of a unit, counted through all layers."""
    for l, layer in enumerate(network.layers):
        if number < layer.units:
            return l, number
        number -= layer.units
    raise AssertionError("more units than the network has")

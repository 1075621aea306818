"""What a simulated core is sent: sequences of events, and their beats as the harness takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from amaranth.lib import data

from hw.config import CoreConfig
from hw.event import NULL_INDEX, RESTORE_FLAG, InputBeat


def _nothing() -> np.ndarray:
    return np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Events:
    """A sequence as its events alone, for networks of many inputs of which few are active.

    steps : int
        At least 1; a step without events is a silent one.
    step, index, value : int (events,)
        Each event's step, in ascending order, its input, and its value; a value of 0 is no event.
    restored : int (units, 2)
        Source and y of units whose y is restored before the first step, those of y 0 left out. Their h is restored by
        STATE records behind the image (``docs/interfaces.md``).
    """

    steps: int
    step: np.ndarray
    index: np.ndarray
    value: np.ndarray
    restored: np.ndarray = field(default_factory=_nothing)


def pack_beats(
    config: CoreConfig, sequences: Sequence[np.ndarray | Events], *, ends: bool = True
) -> tuple[np.ndarray, int]:
    """Return the packed input beats, uint64, and the number of steps; the last of each ends its sequence, or not.

    Raises
    ------
    ValueError
        If a sequence is not as :meth:`Simulator.run` takes it.
    """
    layout = InputBeat(config)
    packets = []
    steps = 0
    for number, sequence in enumerate(sequences):
        events = sequence if isinstance(sequence, Events) else _as_events(number, sequence)
        restored = np.asarray(events.restored, np.int64).reshape(-1, 2)
        limit = 1 << (config.value_bits - 1)
        for values in (events.value, restored[:, 1]):
            if len(values) and (values.min() < -limit or values.max() >= limit):
                raise ValueError(f"sequence {number} has values outside [{-limit}, {limit - 1}], which the core takes")
        step, index, value = _with_null_beats(number, events)
        last = np.append(step[1:] != step[:-1], True)
        none = np.zeros(len(restored), bool)
        packets.append(
            _pack(
                layout,
                index=np.concatenate([restored[:, 0] | RESTORE_FLAG, index]),
                value=np.concatenate([restored[:, 1], value]),
                last=np.concatenate([none, last]),
                user=np.concatenate([none, last & (step == events.steps - 1) & ends]),
            )
        )
        steps += events.steps
    return np.concatenate(packets), steps


def _as_events(number: int, sequence: np.ndarray) -> Events:
    sequence = np.asarray(sequence)
    if sequence.ndim != 2 or not len(sequence) or not np.issubdtype(sequence.dtype, np.integer):
        raise ValueError(f"sequence {number} is {sequence.dtype} {sequence.shape}; it must be integers (steps, inputs)")
    step, index = np.nonzero(sequence)
    return Events(len(sequence), step, index, sequence[step, index])


def _with_null_beats(number: int, events: Events) -> tuple[np.ndarray, ...]:
    """Return step, index and value of all beats: the events, and one without any for each silent step."""
    event = np.asarray(events.value) != 0
    step, index, value = (np.asarray(array, np.int64)[event] for array in (events.step, events.index, events.value))
    inside = not len(step) or (step[0] >= 0 and step[-1] < events.steps and index.min() >= 0)
    if events.steps < 1 or not inside or (step[1:] < step[:-1]).any() or index.max(initial=0) >= RESTORE_FLAG:
        raise ValueError(
            f"sequence {number} has events outside its {events.steps} steps, out of their order, or of inputs outside "
            f"[0, {RESTORE_FLAG - 1}]; give each event's step in ascending order"
        )
    silent = np.setdiff1d(np.arange(events.steps), step)
    order = np.argsort(np.concatenate([step, silent]), kind="stable")
    nothing = np.full(len(silent), NULL_INDEX), np.zeros(len(silent), np.int64)
    return tuple(np.concatenate(pair)[order] for pair in ((step, silent), (index, nothing[0]), (value, nothing[1])))


def _pack(layout: data.Layout, **fields: np.ndarray) -> np.ndarray:
    words = np.uint64(0)
    for name, values in fields.items():
        mask = (1 << layout[name].width) - 1
        words = words | ((values.astype(np.int64) & mask).astype(np.uint64) << np.uint64(layout[name].offset))
    return words

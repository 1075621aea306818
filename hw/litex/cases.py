"""What the firmware runs: networks compiled for the core, steps for them, and what the oracle says must come out.

All in words of 32 bits, as ``firmware/main.c`` reads them: how many cases there are; of each its name in 16 bytes;
steps, outputs, groups of counters, the numbers of the first two groups' counters; beats of the lists and words of the
image, then these; the events of each step (index, value, 1: ends the step + 2: ends the sequence) with the value of
each output behind them; the events and multiply-accumulates of each group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from golden.macs import theoretical_events, theoretical_macs
from golden.network import FixedNetwork
from golden.reference import Oracle
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.config import CoreConfig
from hw.counters import counter_map

NAME_BYTES = 16
NO_RESULT = 1 << 31  #: in the place of a value that is not sent


@dataclass(frozen=True, eq=False)
class Case:
    """A network and sequences for it, int64 (steps, inputs) each, after each of which the state is 0 again."""

    name: str
    network: FixedNetwork
    sequences: Sequence[np.ndarray]


def encode(cases: Iterable[Case], config: CoreConfig) -> bytes:
    """Return the cases for a core, as the firmware has them.

    Raises
    ------
    golden.fanout.CompileError
        If a network does not fit the core.
    """
    encoded = [_case(case, config) for case in cases]
    return np.concatenate([np.array([len(encoded)], "<u4"), *encoded]).astype("<u4").tobytes()


def _case(case: Case, config: CoreConfig) -> np.ndarray:
    compiled = config.compile(case.network)
    name = case.name.encode()[: NAME_BYTES - 1].ljust(NAME_BYTES, b"\0")
    steps, events, macs = _steps(case)
    groups, counters = len(events), counter_map(config)
    readout = case.network.readout
    outputs = readout.units if readout else case.network.layers[-1].units
    beats = compiled.lists.beats.astype("<u8").view("<u4").reshape(-1)
    head = [
        sum(len(sequence) for sequence in case.sequences), outputs, groups, counters["events_0"], counters["macs_0"],
        len(compiled.lists.beats), len(compiled.words),
    ]  # fmt: skip
    parts = [np.frombuffer(name, "<u4"), head, beats, compiled.words, steps, events, macs]
    return np.concatenate([np.asarray(part, np.int64) & 0xFFFFFFFF for part in parts])


def _steps(case: Case) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return the words of all steps, and the events and multiply-accumulates that they take in each group."""
    network, words = case.network, []
    events = macs = np.zeros(0, np.int64)
    for sequence in case.sequences:
        inputs = sequence[:, None]
        trace = Oracle(network).run(inputs)
        ending = np.zeros((len(sequence), 1), bool)
        ending[-1] = True
        sequence_events = theoretical_events(trace, inputs).sum(axis=(0, 1))
        sequence_macs = theoretical_macs(network, trace, inputs, sequence_end=ending).sum(axis=(0, 1))
        events = events + sequence_events if len(events) else sequence_events
        macs = macs + sequence_macs if len(macs) else sequence_macs
        for t, values in enumerate(sequence.tolist()):
            packet = [[index, value, 0] for index, value in enumerate(values) if value] or [[BUS_NULL_INDEX, 0, 0]]
            packet[-1][2] = 1 | 2 * int(t == len(sequence) - 1)
            words += [word for event in packet for word in event]
            if trace.logits is not None:
                words += trace.logits[t, 0].tolist()
            else:
                words += [y or NO_RESULT for y in trace.y[-1][t, 0].tolist()]
    return words, events, macs

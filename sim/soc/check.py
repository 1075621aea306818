"""What a SoC says, read and compared with the integer oracle and the theory of counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from golden.macs import theoretical_events, theoretical_macs
from golden.network import FixedNetwork
from golden.reference import run

WAYS = ("driver", "queues")  #: in which ``firmware/soc`` runs every image, with calls of the driver and without
END = "DONE"
OVERHEAD_MAX = 0.5  #: of either way


@dataclass(frozen=True)
class Expected:
    """Of a set of images.

    best : list of (int, int)
        Index and value of the largest output of each image's last step, the lowest index of several.
    counts : dict
        By (name, number): steps, and events and multiply-accumulates of each group of sources, of all ways together.
    """

    best: list[tuple[int, int]]
    counts: dict[tuple[str, int], int]


@dataclass(frozen=True)
class Speed:
    """Cycles a step.

    elapsed : float
        From an image's first event to its last result, as the processor counts.
    core : float
        With a step under way in the core.
    own : float
        Of the processor, without those in which it had nothing to do but to ask for results.
    """

    elapsed: float
    core: float
    own: float

    @property
    def overhead(self) -> float:
        """Cycles that the core stands still because the processor sends or reads, over those in which it works."""
        return (self.elapsed - self.core) / self.core


@dataclass
class Said:
    """What a SoC said.

    best : dict of list
        By way: index and value of each image.
    speed : dict of Speed
        By way.
    lane_busy : int
        Cycles of all lanes together with a multiply-accumulate.
    load_cycles : int
        That loading the network took.
    errors : list of str
        What it said went wrong; empty if it came to its regular end.
    """

    best: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {way: [] for way in WAYS})
    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    speed: dict[str, Speed] = field(default_factory=dict)
    lane_busy: int = 0
    load_cycles: int = 0
    errors: list[str] = field(default_factory=list)


def expect(network: FixedNetwork, images: np.ndarray) -> Expected:
    """Return what a network with a readout makes of integers (steps, images, inputs), by the oracle."""
    trace = run(network, images)
    assert trace.logits is not None
    logits = trace.logits[-1]
    best = logits.argmax(axis=1)
    ends = np.zeros(images.shape[:2], bool)
    ends[-1] = True
    counts = {("steps", 0): images.shape[0] * images.shape[1]}
    events = theoretical_events(trace, images).sum(axis=(0, 1))
    macs = theoretical_macs(network, trace, images, sequence_end=ends).sum(axis=(0, 1))
    for name, groups in (("events", events), ("macs", macs)):
        counts |= {(name, group): int(count) for group, count in enumerate(groups)}
    pairs = [(int(index), int(logits[image, index])) for image, index in enumerate(best)]
    return Expected(pairs, {key: len(WAYS) * count for key, count in counts.items()})


def read(lines: Sequence[str], steps: int) -> Said:
    """Read what a SoC said; ``steps`` is how many all images have together."""
    said = Said()
    for line in lines:
        if found := re.fullmatch(rf"({'|'.join(WAYS)}) (\d+) (\d+) (-?\d+)", line):
            if int(found[2]) != len(said.best[found[1]]):
                said.errors.append(f"image out of order: {line}")
            said.best[found[1]].append((int(found[3]), int(found[4])))
        elif found := re.fullmatch(rf"({'|'.join(WAYS)}) elapsed (\d+) waited (\d+) core (\d+)", line):
            elapsed, waited, core = (int(number) / steps for number in found.groups()[1:])
            said.speed[found[1]] = Speed(elapsed, core, elapsed - waited)
        elif found := re.fullmatch(r"count (\w+) (\d+) (\d+)", line):
            if found[1] == "lane_busy":
                said.lane_busy += int(found[3])
            said.counts[found[1], int(found[2])] = int(found[3])
        elif found := re.fullmatch(r"network \d+ words, (\d+) cycles", line):
            said.load_cycles = int(found[1])
        elif line.startswith("error"):
            said.errors.append(line)
    if END not in lines:
        said.errors.append(f"it did not say {END}")
    return said


def differences(said: Said, expected: Expected) -> list[str]:
    """Return a line for each result and count that is not as it must be."""
    found = list(said.errors)
    for way, best in said.best.items():
        if len(best) != len(expected.best):
            found.append(f"{way}: {len(best)} results for {len(expected.best)} images")
        for image, (is_one, must) in enumerate(zip(best, expected.best, strict=False)):
            if is_one != must:
                found.append(f"{way}: image {image} is {is_one[0]} with {is_one[1]}, not {must[0]} with {must[1]}")
    for (name, number), must in expected.counts.items():
        counted = said.counts.get((name, number))
        if counted != must:
            found.append(f"count {name} {number} is {counted}, not {must}")
    macs = sum(count for (name, _), count in expected.counts.items() if name == "macs")
    if said.lane_busy != macs:
        found.append(f"lanes were busy {said.lane_busy} cycles in all, not {macs}")
    return found


def too_slow(said: Said) -> list[str]:
    """Return a line for each way in which the core stands still for the processor longer than it may."""
    return [
        f"{way}: the overhead is {speed.overhead:.3f}, more than {OVERHEAD_MAX}"
        for way, speed in said.speed.items()
        if speed.overhead > OVERHEAD_MAX
    ]

"""What a network's lists take in external memory, as beats (:mod:`golden.beats`), by kind.

python -m golden.beat_storage models/ptb-char/ptb-char.safetensors --lanes 16
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from golden.beats import (
    GAP_BITS,
    HALF_BITS,
    BeatError,
    StreamedLists,
    choose_format,
    encode_lists,
    kinds,
    place_streamed,
    unpack,
)
from golden.fanout import LANES_MAX
from golden.network import FixedLayer, FixedNetwork, FixedReadout, load

INPUTS_DRAWN = 16  #: of a random network: of a language model they are all alike


class Storage(NamedTuple):
    """What lists of one kind take: weights that are not 0, bits of beats, and slots for weights in them."""

    nonzeros: int
    bits: int
    slots: int


def storage(lists: StreamedLists) -> dict[str, Storage]:
    """Return what lists take by kind: from inputs to units, from units to units, from units to the readout."""
    found: dict[str, Storage] = {}
    for kind in kinds(lists):
        is_half = kind.words.shape[1] == 1
        here = Storage(
            len(unpack(lists.format, kind).beat),
            HALF_BITS * kind.words.size,
            len(kind.words) * lists.format.slots(kind.dense, half=is_half),
        )
        found[kind.name] = Storage(*map(sum, zip(found.get(kind.name, Storage(0, 0, 0)), here, strict=True)))
    return found


def directory_bits(lists: StreamedLists) -> int:
    """Return the bits of a directory of all lists but those of dense inputs, which are equally long."""
    listed = lists.count[lists.inputs * lists.format.dense_inputs :]
    return len(listed) * (int(len(lists.beats)).bit_length() + int(listed.max(initial=0)).bit_length())


def random_network(units: list[int], words: int, density: float, seed: int = 0) -> FixedNetwork:
    """Return a network with weights that are drawn, to measure formats by: a few dense rows and a dense readout."""
    rng = np.random.default_rng(seed)

    def weights(sources: int, targets: int, density: float = 1.0) -> NDArray[np.int8]:
        drawn = rng.integers(1, 128, (sources, targets), np.int8) * rng.choice(np.array([-1, 1], np.int8), (1, targets))
        return drawn * (rng.random((sources, targets), np.float32) < density)

    layers, below = [], INPUTS_DRAWN
    for l, count in enumerate(units):
        kernel = weights(below, 3 * count, density if l else 1.0)
        bias, threshold = np.zeros((4, count), np.int32), np.zeros(count, np.int16)
        layers.append(FixedLayer(kernel, weights(count, 3 * count, density), bias, threshold, (-20,) * 4))
        below = count
    readout = FixedReadout(weights(below, words), np.zeros(words, np.int32), -20)
    return FixedNetwork(tuple(layers), readout, weight_bits=8, y_bits=8, input_bits=9, input_exponent=-8)


def report(name: str, lists: StreamedLists) -> Table:
    """Return what the lists of a network take as a table."""
    form = lists.format
    table = Table(title=f"{name}: beats for {form.lanes} lanes, gaps of {form.gap_bits} bits")
    for title in ("lists", "weights that are not 0", "MB", "slots filled", "bits a weight", "with the directory"):
        table.add_column(title, justify="left" if title == "lists" else "right")
    for kind, each in storage(lists).items():
        if each.bits:
            dense = {"inputs": form.dense_inputs, "readout": form.dense_readout}.get(kind, False)
            bits = [each.bits / max(1, each.nonzeros)]
            if kind == "units":
                bits.append((each.bits + directory_bits(lists)) / max(1, each.nonzeros))
            table.add_row(
                f"{kind}, dense" if dense else kind, f"{each.nonzeros:,}", f"{each.bits / 8e6:.2f}",
                f"{each.nonzeros / each.slots:.1%}", *(f"{each:.2f}" for each in bits),
            )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m golden.beat_storage",
        description="Write the fan-out lists of a network as beats for external memory and report what they take.",
        epilog="example: python -m golden.beat_storage --random 1350,1350,750 --density 0.15 --lanes 16",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("model", type=Path, nargs="?", help="model file with an integer network")
    what.add_argument("--random", metavar="N,N,...", help="units of the layers of a network that is drawn instead")
    parser.add_argument("--words", type=int, default=10_000, help="outputs of a network that is drawn (%(default)s)")
    parser.add_argument("--density", type=float, default=0.15, help="of its weights that are not 0 (%(default)s)")
    parser.add_argument("--lanes", type=int, default=16, help="lanes of the core (default %(default)s)")
    parser.add_argument("--gap-bits", type=int, choices=GAP_BITS, help="default: the fewest beats")
    options = parser.parse_args()
    try:
        if options.random:
            units = [int(count) for count in options.random.split(",")]
            name, network = options.random, random_network(units, options.words, options.density)
        else:
            model = load(options.model)
            if model.fixed is None:
                raise BeatError(f"{options.model} holds no integer network; quantise it first")
            name, network = model.name, model.fixed
        if not 1 <= options.lanes <= LANES_MAX:
            raise BeatError(f"lanes is {options.lanes}; it must be from 1 to {LANES_MAX}")
        placement = place_streamed(network, options.lanes, np.ones(network.source_count))
        form = choose_format(network, placement)
        if options.gap_bits:
            form = replace(form, gap_bits=options.gap_bits)
        Console().print(report(name, encode_lists(network, placement, form)))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

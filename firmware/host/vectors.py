"""The self-test's vectors: two small random networks, and all that the integer oracle says of some inputs.

    python -m firmware.host.vectors firmware/host/vectors

writes them anew; equal versions of this file write equal bytes. A network is a model file, not an image: the self-test
compiles it for whatever core it meets. Its weights have 4 bits, so that cores of either kind take it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from golden.files import write_whole
from golden.macs import theoretical_events, theoretical_macs
from golden.network import FixedLayer, FixedNetwork, FixedReadout, Model, ModelError, load, save
from golden.reference import Oracle

FOLDER = Path(__file__).parent / "vectors"
#: Inputs, units of each layer, outputs of a readout or None: two layers at most, with the readout, as in small cores.
SHAPES: dict[str, tuple[int, tuple[int, ...], int | None]] = {"readout": (12, (20,), 5), "layers": (8, (12, 10), None)}
LENGTHS = (6, 4, 5)  #: steps of each sequence
STOP = 4  #: steps of the first sequence after which states are kept
WEIGHT_BITS, Y_BITS, INPUT_BITS = 4, 8, 9
SUM_EXPONENT, DENSITY, ACTIVITY = -11, 0.4, 0.3
THRESHOLD = 9000  #: the largest, Q0.15


@dataclass(frozen=True, eq=False)
class Vectors:
    """What a core is asked, and what it must answer.

    inputs : int32 (steps, inputs)
    ends : bool (steps,), the steps that end a sequence
    outputs : int32 (steps, outputs)
    events, macs : int64 (groups,), counted over all steps
    h : int16 (units,), fires : bool (units,)
        Of all layers, after the first ``stop`` steps.
    best : int64 (2,)
        Index and value of the largest output of that step; (-1, 0) where it has none.
    stop : int64 (1,)
    """

    inputs: NDArray[np.int32]
    ends: NDArray[np.bool_]
    outputs: NDArray[np.int32]
    events: NDArray[np.int64]
    macs: NDArray[np.int64]
    h: NDArray[np.int16]
    fires: NDArray[np.bool_]
    best: NDArray[np.int64]
    stop: NDArray[np.int64]


def draw_network(rng: np.random.Generator, inputs: int, units: tuple[int, ...], outputs: int | None) -> FixedNetwork:
    """Draw a network of which some units fire and some do not."""
    most = (1 << (WEIGHT_BITS - 1)) - 1

    def weights(sources: int, targets: int) -> NDArray[np.int8]:
        values = rng.integers(-most, most + 1, (sources, targets))
        return (values * (rng.random((sources, targets)) < DENSITY)).astype(np.int8)

    layers = []
    for sources, count in zip((inputs, *units), units, strict=False):
        bias = rng.integers(-1 << 10, 1 << 10, (4, count)).astype(np.int32)
        threshold = rng.integers(0, THRESHOLD, count).astype(np.int16)
        layers.append(
            FixedLayer(weights(sources, 3 * count), weights(count, 3 * count), bias, threshold, (SUM_EXPONENT,) * 4)
        )
    readout = None
    if outputs is not None:
        bias = rng.integers(-1 << 8, 1 << 8, outputs).astype(np.int32)
        readout = FixedReadout(weights(units[-1], outputs), bias, SUM_EXPONENT)
    return FixedNetwork(
        tuple(layers),
        readout,
        weight_bits=WEIGHT_BITS,
        y_bits=Y_BITS,
        input_bits=INPUT_BITS,
        input_exponent=1 - INPUT_BITS,
    )


def draw_inputs(rng: np.random.Generator, inputs: int) -> NDArray[np.int32]:
    """Draw input values, extremes among them, and one step without any."""
    limit = 1 << (INPUT_BITS - 1)
    shape = (sum(LENGTHS), inputs)
    values = rng.integers(-limit, limit, shape) * (rng.random(shape) < ACTIVITY)
    values[0, :2] = -limit, limit - 1
    values[2] = 0
    return values.astype(np.int32)


def answer(network: FixedNetwork, inputs: NDArray[np.int32]) -> Vectors:
    """Ask the oracle."""
    ends = np.zeros(len(inputs), bool)
    ends[np.cumsum(LENGTHS) - 1] = True
    outputs, events, macs = [], [], []
    kept: dict[str, Any] = {}
    for sequence in np.split(inputs, np.cumsum(LENGTHS)[:-1]):
        batch = sequence[:, None]
        trace = Oracle(network).run(batch)
        end = np.zeros((len(sequence), 1), bool)
        end[-1] = True
        outputs.append((trace.y[-1] if trace.logits is None else trace.logits)[:, 0])
        events.append(theoretical_events(trace, batch)[:, 0])
        macs.append(theoretical_macs(network, trace, batch, sequence_end=end)[:, 0])
        if not kept:
            last = outputs[0][STOP - 1]
            best = int(last.argmax())
            some = trace.logits is not None or last.any()
            kept = {
                "h": np.concatenate([h[STOP - 1, 0] for h in trace.h]).astype(np.int16),
                "fires": np.concatenate([fires[STOP - 1, 0] for fires in trace.fires]).astype(bool),
                "best": np.array([best, last[best]] if some else [-1, 0], np.int64),
                "stop": np.array([STOP], np.int64),
            }
    return Vectors(
        inputs, ends, np.concatenate(outputs).astype(np.int32), np.concatenate(events).sum(axis=0),
        np.concatenate(macs).sum(axis=0), **kept,
    )  # fmt: skip


def write_vectors(folder: Path) -> list[Path]:
    """Draw all networks and inputs, and write them with their answers."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for seed, (name, (inputs, units, outputs)) in enumerate(SHAPES.items()):
        rng = np.random.default_rng(seed)
        network = draw_network(rng, inputs, units, outputs)
        vectors = answer(network, draw_inputs(rng, inputs))
        model, values = folder / f"{name}.network.safetensors", folder / f"{name}.vectors.safetensors"
        save(Model(name, fixed=network, provenance={"command": "python -m firmware.host.vectors", "seed": seed}), model)
        arrays = {key: np.ascontiguousarray(array) for key, array in asdict(vectors).items()}
        written += [model, write_whole(values, safetensors.numpy.save(arrays))]
    return written


def read_vectors(name: str, folder: Path = FOLDER) -> tuple[FixedNetwork, Vectors]:
    """Read a network and its vectors.

    Raises
    ------
    golden.network.ModelError
        If a file is missing or damaged.
    """
    model = load(folder / f"{name}.network.safetensors")
    path = folder / f"{name}.vectors.safetensors"
    try:
        vectors = Vectors(**safetensors.numpy.load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise ModelError(
            f"the vectors {path} cannot be read ({error}); write them anew: python -m firmware.host.vectors {folder}"
        ) from None
    if model.fixed is None:
        raise ModelError(f"the vectors' model {name} has no integer network; write it anew")
    return model.fixed, vectors


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m firmware.host.vectors",
        description="Draw the self-test's networks and inputs, ask the integer oracle, and write all of it.",
    )
    parser.add_argument("folder", type=Path, help=f"to write into; the self-test reads {FOLDER.name}/ beside this file")
    options = parser.parse_args(arguments)
    try:
        written = write_vectors(options.folder)
    except (OSError, ValueError) as error:
        print(f"error: cannot write the vectors ({error}); choose another folder", file=sys.stderr)
        return 2
    for path in written:
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Make a model file from a state dict of EvNN or ``torch.nn.GRU``.

    python -m golden.convert --from evnn lm.pt --readout decoder --out lm.safetensors
    python -m golden.convert --from torch-gru gru.pt --threshold 0.1 --out gru.safetensors --quantize

Which tensor becomes which is in :mod:`golden.state_dict`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.numpy
import torch
from rich.console import Console

from golden.layers import FloatNetwork, ModelError
from golden.network import Model, save
from golden.quantize import loss_table, losses, quantize
from golden.state_dict import Array, from_evnn, from_torch_gru

#: what the readers raise on damaged files
DAMAGED = (
    *(BadZipFile, zlib.error, pickle.UnpicklingError, safetensors.SafetensorError),
    *(RuntimeError, OSError, ValueError, EOFError, KeyError),
)


def _read(path: Path) -> io.BytesIO:
    try:
        return io.BytesIO(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); correct the path") from None


def read_tensors(path: Path) -> dict[str, Array]:
    """Read a state dict: ``.npz``, ``.safetensors``, or else what ``torch.save`` wrote (tensors only, no code).

    Raises
    ------
    ModelError
        If the file cannot be read, is damaged, or holds anything but named tensors.
    """
    data = _read(path)
    try:
        if path.suffix == ".npz":
            with np.load(data, allow_pickle=False) as members:
                return {name: members[name] for name in members.files}
        if path.suffix == ".safetensors":
            return safetensors.numpy.load(data.getvalue())
        loaded = torch.load(data, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        reason = type(error).__name__
        raise ModelError(f"{path} is cut short, damaged or no state dict ({reason}); save it again") from None
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise ModelError(f"{path} holds more than named tensors; save model.state_dict() alone")
    half = (torch.float16, torch.bfloat16)
    return {str(name): (value.float() if value.dtype in half else value).numpy() for name, value in loaded.items()}


def read_array(path: Path) -> Array:
    """Read a ``.npy`` file of finite numbers, as float64.

    Raises
    ------
    ModelError
        If it cannot be read, is damaged, or holds anything else.
    """
    data = _read(path)
    try:
        array = np.load(data, allow_pickle=False).astype(np.float64)
    except (*DAMAGED, AttributeError):
        raise ModelError(f"{path} is cut short or no .npy file of numbers; write it with numpy.save") from None
    if not np.isfinite(array).all():
        raise ModelError(f"{path} holds NaN or infinity; every number must be finite")
    return array


def _threshold(text: str) -> float | Array:
    try:
        return float(text)
    except ValueError:
        return read_array(Path(text))


def _calibration(path: Path | None, network: FloatNetwork) -> Array | None:
    """Return inputs (time, batch, I); a file may also hold one sequence (time, I)."""
    if path is None:
        return None
    inputs = read_array(path)
    inputs = inputs[:, None] if inputs.ndim == 2 else inputs
    if inputs.ndim != 3 or inputs.shape[2] != network.inputs:
        raise ModelError(f"{path} has shape {list(inputs.shape)}; it must be [time, batch, {network.inputs}]")
    return inputs


def convert(options: argparse.Namespace) -> Model:
    """Return the model that the options ask for."""
    path: Path = options.state_dict
    state = read_tensors(path)
    threshold = None if options.threshold is None else _threshold(options.threshold)
    try:
        if threshold is None:
            network = from_evnn(state, readout=options.readout)
        else:
            network = from_torch_gru(state, threshold, readout=options.readout)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    quantized = None
    if options.quantize:
        calibration = _calibration(options.calibrate, network)
        quantized = quantize(network, calibration, weight_bits=options.weight_bits, y_bits=options.y_bits)
    provenance = {
        "command": f"python -m golden.convert --from {options.source}",
        "state_dict": path.name,
        "state_dict_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return Model(options.name or path.stem, network, quantized, provenance)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m golden.convert",
        description="Make a model file from a state dict of EvNN or torch.nn.GRU.",
        epilog="example: python -m golden.convert --from torch-gru gru.pt --threshold 0.1 --out gru.safetensors",
    )
    parser.add_argument(
        "--from", dest="source", choices=("evnn", "torch-gru"), required=True, help="what wrote the file"
    )
    parser.add_argument("state_dict", type=Path, help="state dict: .npz, .safetensors, or a file of torch.save")
    parser.add_argument(
        "--threshold", help="with torch-gru: a number from 0 to 1, or a .npy file with one for each unit"
    )
    parser.add_argument("--readout", metavar="NAME", help="name of a linear layer to take as the readout")
    parser.add_argument("--out", type=Path, required=True, help="model file to write")
    parser.add_argument("--name", help="name of the model (default: that of the state dict's file)")
    parser.add_argument("--quantize", action="store_true", help="write the integer form as well")
    parser.add_argument(
        "--calibrate", type=Path, metavar="INPUTS", help="with --quantize: typical inputs, .npy (time, batch, inputs)"
    )
    parser.add_argument("--weight-bits", type=int, default=8, choices=(4, 8), help="of the integer weights (default 8)")
    parser.add_argument("--y-bits", type=int, default=8, help="of the value of an event, 8 to 16 (default 8)")
    options = parser.parse_args(arguments)
    if (options.source == "torch-gru") != (options.threshold is not None):
        parser.error("--threshold is needed with --from torch-gru, and with nothing else: EvNN's file has its own")
    if options.calibrate and not options.quantize:
        parser.error("--calibrate needs --quantize")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        model = convert(options)
        save(model, options.out)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    network = model.float_network
    assert network is not None
    console = Console()
    if model.fixed is not None:
        console.print(loss_table(losses(network, model.fixed)))
    outputs = "no readout" if network.readout is None else f"a readout of {network.readout.units}"
    units = ", ".join(str(layer.units) for layer in network.layers)
    console.print(f"{options.out}: {network.inputs} inputs, layers of {units} units, {outputs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

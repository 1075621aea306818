"""Weights in few bytes: safetensors files of at most 16 MiB that hold, of every tensor, only what is not zero.

A tensor is cut into pieces of :data:`PIECE` values in row-major order. Piece k of tensor ``n`` is ``n:k:values``, its
non-zero values, float16 (float32 of a vector, as there are few), and ``n:k:mask``, uint8, one bit a value, most
significant first, 1 where it is not zero; a piece without zeros has no mask. The shape of each tensor is in the
header's metadata, a JSON object under ``shapes``; what training was told is a JSON object as well, the bytes of the
tensor ``settings`` of each file: the order of more than one item of metadata would differ from run to run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from golden.checkpoint import TrainingError

FILE_BYTES = 16 << 20
HEADER_BYTES = 1 << 16  #: left free for the header of a file, and the settings
PIECE = 4 << 20

Arrays = dict[str, NDArray[Any]]


def save_weights(weights: Mapping[str, Tensor], stem: Path, settings: Mapping[str, Any] | None = None) -> list[Path]:
    """Write ``<stem>-1.safetensors``, ``-2`` and so on, each whole or not at all; return the paths.

    ``settings``, which JSON must hold, are what training was told; :func:`load_settings` returns them.
    Files of the same stem with higher numbers, left by an earlier and larger set, are removed.

    Raises
    ------
    TrainingError
        If a file cannot be written.
    """
    files: list[Arrays] = [{}]
    room = FILE_BYTES - HEADER_BYTES
    for name, tensor in weights.items():
        kind = np.float16 if tensor.dim() > 1 else np.float32
        flat = tensor.detach().to("cpu", torch.float32).numpy().astype(kind).ravel()
        for k, start in enumerate(range(0, max(len(flat), 1), PIECE)):
            piece = _pack(f"{name}:{k}", flat[start : start + PIECE])
            size = sum(array.nbytes for array in piece.values())
            if size > room:
                files.append({})
                room = FILE_BYTES - HEADER_BYTES
            files[-1] |= piece
            room -= size
    shapes = {name: list(tensor.shape) for name, tensor in weights.items()}
    metadata = {"shapes": json.dumps(shapes)}
    told = np.frombuffer(json.dumps(dict(settings or {})).encode(), np.uint8)
    paths = []
    for number, arrays in enumerate(files, 1):
        path = stem.with_name(f"{stem.name}-{number}.safetensors")
        temporary = path.with_name(path.name + ".new")
        try:
            save_file({**arrays, "settings": told}, temporary, metadata)
            os.replace(temporary, path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise TrainingError(f"cannot write {path} ({error}); make room, or choose another folder") from None
        paths.append(path)
    number = len(paths) + 1
    while (old := stem.with_name(f"{stem.name}-{number}.safetensors")).exists():
        old.unlink()
        number += 1
    return paths


def _pack(name: str, values: NDArray[Any]) -> Arrays:
    mask = values != 0
    if mask.all():
        return {f"{name}:values": values}
    return {f"{name}:values": values[mask], f"{name}:mask": np.packbits(mask)}


def load_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Read the tensors in a set of files, float32.

    Raises
    ------
    TrainingError
        If a file cannot be read, or one of the set is missing.
    """
    pieces: Arrays = {}
    shapes: dict[str, list[int]] = {}
    for path in paths:
        with _reading(path) as file:
            shapes |= json.loads(file.metadata()["shapes"])
            pieces |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
    weights = {}
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        flat = np.zeros(count, np.float32)
        for k, start in enumerate(range(0, max(count, 1), PIECE)):
            part, key = flat[start : start + PIECE], f"{name}:{k}"
            if f"{key}:values" not in pieces:
                raise TrainingError(f"{name} is not whole in {', '.join(map(str, paths))}; give all files of the set")
            values, bits = pieces[f"{key}:values"], pieces.get(f"{key}:mask")
            mask = np.ones(len(part), bool) if bits is None else np.unpackbits(bits, count=len(part)).astype(bool)
            part[mask] = values
        weights[name] = torch.from_numpy(flat.reshape(shape))
    return weights


def load_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a file that :func:`load_weights` can read; none if it was written without.

    Raises
    ------
    TrainingError
        If the file cannot be read.
    """
    with _reading(path) as file:
        if "settings" not in file.keys():  # noqa: SIM118 (it is no mapping)
            return {}
        settings: dict[str, Any] = json.loads(file.get_tensor("settings").tobytes())
    return settings


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Open a file of weights; raise TrainingError if it cannot be opened, or what is read of it is not there."""
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        there = isinstance(error, OSError) and error.strerror or path.is_file() and "no such weights in it"
        reason = there or "No such file"
        raise TrainingError(f"cannot read weights from {path} ({reason}); give files that training wrote") from None

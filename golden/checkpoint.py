"""Checkpoints of a run of training: written whole or not at all, and read only by the run that they are of."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


class TrainingError(RuntimeError):
    """Training cannot start or go on; the message names the thing and the remedy."""


def save(path: Path, made_with: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a checkpoint of ``state``, made with these settings.

    Raises
    ------
    TrainingError
        If it cannot be written; the one before is as it was.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        torch.save({"made_with": dict(made_with), **state}, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # of PyTorch's writer
        temporary.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise TrainingError(f"cannot write {path} ({reason}); make room, or choose another folder") from None


def load(path: Path, made_with: Mapping[str, Any], device: torch.device | None = None) -> dict[str, Any]:
    """Return the state of a checkpoint that was made with the same settings.

    Raises
    ------
    TrainingError
        If the file is damaged or was made with other settings.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        then = state["made_with"]
        values = ", ".join(f"{name} {then.get(name)}" for name, now in made_with.items() if then.get(name) != now)
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError) as error:
        reason = type(error).__name__
        raise TrainingError(f"checkpoint {path} is damaged ({reason}); train without --resume") from None
    if values:
        raise TrainingError(f"checkpoint {path} was made with {values}; give the same, or train without --resume")
    return state

"""The model file: a network in floating point, in integers or both, with a description. ``docs/model-file.md``."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from golden.layers import (
    FixedLayer,
    FixedNetwork,
    FixedReadout,
    FloatLayer,
    FloatNetwork,
    FloatReadout,
    ModelError,
    accumulator_bits,
)

__all__ = [
    "FixedLayer", "FixedNetwork", "FixedReadout", "FloatLayer", "FloatNetwork", "FloatReadout", "Model", "ModelError",
    "accumulator_bits", "load", "save",
]  # fmt: skip

FORMAT = "egret-model"
FORMAT_VERSION = "1.0"  #: a reader refuses another major version, and accepts any minor one
METADATA_KEY = "egret"
FORMAT_FIELDS = ("weight_bits", "y_bits", "input_bits", "input_exponent")  #: of the description's "fixed"


@dataclass(frozen=True)
class Model:
    """What a model file holds: a name, the float network, its integer form, and what made them."""

    name: str
    float_network: FloatNetwork | None = None
    fixed: FixedNetwork | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.float_network is None and self.fixed is None:
            raise ModelError(f"model {self.name!r} is empty; give it a float network, an integer network or both")
        if self.float_network is not None and self.fixed is not None:
            sizes, fixed_sizes = _sizes(self.float_network), _sizes(self.fixed)
            if sizes != fixed_sizes:
                raise ModelError(f"the float network is {sizes}, the integer network {fixed_sizes}; quantise it again")


def _sizes(network: FloatNetwork | FixedNetwork) -> dict[str, Any]:
    return {
        "inputs": network.inputs,
        "layers": [layer.units for layer in network.layers],
        "outputs": None if network.readout is None else network.readout.units,
    }


def _tensor_fields(part: type) -> list[str]:
    """Names of the tensors of a layer or a readout: its array fields, under their own names."""
    return [f.name for f in fields(part) if "NDArray" in str(f.type)]


def _tensors(network: FloatNetwork | FixedNetwork) -> dict[str, NDArray[Any]]:
    form = "fixed." if isinstance(network, FixedNetwork) else ""
    parts: dict[str, Any] = {f"layers.{l}.{form}": layer for l, layer in enumerate(network.layers)}
    if network.readout is not None:
        parts[f"readout.{form}"] = network.readout
    return {
        prefix + name: np.ascontiguousarray(getattr(part, name))
        for prefix, part in parts.items()
        for name in _tensor_fields(type(part))
    }


@contextlib.contextmanager
def _named(prefix: str) -> Iterator[None]:
    """Put what an error is about in front of its message."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{prefix}{error}") from None


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model file. Equal models give equal bytes; the file appears whole or not at all.

    Raises
    ------
    ModelError
        If the provenance is not JSON, or the file cannot be written.
    """
    tensors: dict[str, NDArray[Any]] = {}
    description: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, "name": model.name}
    for network in (model.float_network, model.fixed):
        if network is not None:
            tensors |= _tensors(network)
            description |= _sizes(network)
    description["float"] = model.float_network is not None
    description["fixed"] = None
    if model.fixed is not None:
        readout = model.fixed.readout
        description["fixed"] = {
            **{name: int(getattr(model.fixed, name)) for name in FORMAT_FIELDS},
            "sum_exponents": [[int(exponent) for exponent in layer.sum_exponents] for layer in model.fixed.layers],
            "readout_sum_exponent": None if readout is None else int(readout.sum_exponent),
        }
    description["provenance"] = model.provenance
    try:
        text = json.dumps(description, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"provenance of model {model.name!r} is not JSON ({error}); use strings and numbers") from None
    data = safetensors.numpy.save(tensors, metadata={METADATA_KEY: text})
    target = Path(path)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as temporary:
            try:
                temporary.write(data)
                temporary.flush()
                os.chmod(temporary.name, 0o644)
                os.replace(temporary.name, target)
            except BaseException:
                os.unlink(temporary.name)
                raise
    except OSError as error:
        raise ModelError(f"cannot write model file {target}: {error.strerror}; choose a writable place") from None


def load(path: str | os.PathLike[str]) -> Model:
    """Read and check a model file.

    Raises
    ------
    ModelError
        If anything about the file is not as ``docs/model-file.md`` says; the message names the file and the thing.
    """
    with _named(f"model file {os.fspath(path)}: "):
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                description = _read_description(file.metadata() or {})
                return _build(description, file)
        except FileNotFoundError:
            raise ModelError("there is no such file; train or convert a model, or correct the path") from None
        except OSError as error:
            raise ModelError(f"it cannot be read ({error.strerror or error}); correct the path") from None
        except safetensors.SafetensorError as error:
            raise ModelError(
                f"it is cut short, damaged or no safetensors file ({error}); copy or make it again"
            ) from None


def _read_description(metadata: dict[str, str]) -> dict[str, Any]:
    """Parse the description and check everything in it that needs no tensor."""
    if METADATA_KEY not in metadata:
        raise ModelError(f"its metadata has no key {METADATA_KEY!r}; convert it with python -m golden.convert")
    try:
        description = json.loads(metadata[METADATA_KEY])
    except json.JSONDecodeError as error:
        raise ModelError(f"its description is not JSON ({error}); make the file again") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ModelError(f"its description does not say format {FORMAT!r}; convert it with python -m golden.convert")
    version = description.get("format_version")
    major = FORMAT_VERSION.split(".")[0]
    if not isinstance(version, str) or version.split(".")[0] != major:
        raise ModelError(f"format_version {version!r} is not known; this release reads {major}.x, so update it")

    def check(key: str, fits: bool, wanted: str) -> None:
        if not fits:
            raise ModelError(f"its description has {key} {description.get(key)!r}; it must be {wanted}")

    def size(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1

    layers: Any = description.get("layers")
    outputs, integer_form = description.get("outputs"), description.get("fixed")
    check("name", isinstance(description.get("name"), str), "a string")
    check("provenance", isinstance(description.get("provenance"), dict), "an object")
    check("inputs", size(description.get("inputs")), "a positive integer")
    check("layers", isinstance(layers, list) and layers != [] and all(map(size, layers)), "a list of positive integers")
    check("outputs", outputs is None or size(outputs), "a positive integer or null")
    check("float", isinstance(description.get("float"), bool), "true or false")
    check("fixed", integer_form is None or isinstance(integer_form, dict), "an object or null")
    if integer_form is not None:
        for key in (*FORMAT_FIELDS, "sum_exponents", "readout_sum_exponent"):
            if key not in integer_form:
                raise ModelError(f"its description lacks fixed.{key}; make the file again")
        exponents = integer_form["sum_exponents"]
        if not isinstance(exponents, list) or len(exponents) != len(layers):
            raise ModelError(f"its description has fixed.sum_exponents {exponents!r}; it must hold one list a layer")
    return description


def _build(description: dict[str, Any], file: Any) -> Model:
    """Make the networks that the description announces, from exactly the tensors they need."""
    prefixes: dict[str, tuple[type, type]] = {
        f"layers.{l}.": (FloatLayer, FixedLayer) for l in range(len(description["layers"]))
    }
    if description["outputs"] is not None:
        prefixes["readout."] = (FloatReadout, FixedReadout)
    wanted = set()
    for prefix, (float_part, fixed_part) in prefixes.items():
        if description["float"]:
            wanted |= {prefix + name for name in _tensor_fields(float_part)}
        if description["fixed"] is not None:
            wanted |= {f"{prefix}fixed.{name}" for name in _tensor_fields(fixed_part)}
    present = set(file.keys())
    for name in sorted(wanted - present):
        raise ModelError(f"tensor {name} is missing; make the file again")
    for name in sorted(present - wanted):
        raise ModelError(f"tensor {name} is not part of what its description announces; make the file again")

    def part(kind: Any, prefix: str, **others: Any) -> Any:
        with _named(prefix):
            return kind(**{name: _tensor(file, prefix, name) for name in _tensor_fields(kind)}, **others)

    count, outputs, form = len(description["layers"]), description["outputs"], description["fixed"]
    float_network = fixed_network = None
    if description["float"]:
        layers = tuple(part(FloatLayer, f"layers.{l}.") for l in range(count))
        float_network = FloatNetwork(layers, part(FloatReadout, "readout.") if outputs else None)
    if form is not None:
        fixed_layers = tuple(
            part(FixedLayer, f"layers.{l}.fixed.", sum_exponents=_as_tuple(form["sum_exponents"][l]))
            for l in range(count)
        )
        readout = part(FixedReadout, "readout.fixed.", sum_exponent=form["readout_sum_exponent"]) if outputs else None
        fixed_network = FixedNetwork(fixed_layers, readout, **{name: form[name] for name in FORMAT_FIELDS})
    announced = {key: description[key] for key in ("inputs", "layers", "outputs")}
    for network in (float_network, fixed_network):
        if network is not None and _sizes(network) != announced:
            raise ModelError(f"its description says {announced}, its tensors {_sizes(network)}; make the file again")
    return Model(description["name"], float_network, fixed_network, description["provenance"])


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _tensor(file: Any, prefix: str, name: str) -> NDArray[Any]:
    try:
        return file.get_tensor(prefix + name)
    except (TypeError, AttributeError):  # a type that NumPy does not have, such as bfloat16
        kind = file.get_slice(prefix + name).get_dtype()
        raise ModelError(f"{name} is of type {kind}, which cannot be read; store it as documented") from None

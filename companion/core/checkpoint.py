"""One file for weights and settings, the same for both frameworks: safetensors, no pickle.

Kernels are [in, out]. The three gates of a GRU stand side by side in the order update (z),
reset (r), candidate (n): columns 0..H-1, H..2H-1, 2H..3H-1. Row 0 of `gru/bias` belongs to the
input, row 1 to the previous state.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

FORMAT = "companion-1"


def save(path: str | Path, weights: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> None:
    """Writes a checkpoint whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        weights: arrays by name, such as "gru/kernel".
        settings: whatever JSON can hold. NumPy numbers and arrays become plain ones, so that no
            code has to run to read them back.

    Raises:
        TypeError: a setting that JSON cannot hold.
    """
    path = Path(path)
    metadata = {"format": FORMAT, "settings": json.dumps(plain(settings))}
    # A transposed view would be written in the wrong order, hence the copy.
    arrays = {name: np.asarray(value, order="C") for name, value in weights.items()}
    content = safetensors.numpy.save(arrays, metadata)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights and the settings of a checkpoint. Runs nothing that is in the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint of this package.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a checkpoint: {error}") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} holds arrays, but is not a checkpoint of the form {FORMAT!r}")
    return weights, json.loads(metadata["settings"])


def check_weights(weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compares the arrays with what a model needs.

    Raises:
        ValueError: an array is missing, is not known, or has another shape; it is named.
    """
    wrong = [f"{name} is missing" for name in shapes if name not in weights]
    wrong += [f"{name} is not known to the model" for name in weights if name not in shapes]
    wrong += [
        f"{name} has shape {weights[name].shape}; the model needs {shape}"
        for name, shape in shapes.items()
        if name in weights and weights[name].shape != shape
    ]
    if wrong:
        raise ValueError("these weights do not fit the model: " + "; ".join(wrong))


def joined(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays of several parts under one roof, each by the name "part/name"."""
    return {f"{part}/{name}": value for part, own in parts.items() for name, value in own.items()}


def part_of(arrays: Mapping[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """The arrays of one part of what `joined` gave, by their own names."""
    start = f"{part}/"
    return {name[len(start) :]: value for name, value in arrays.items() if name.startswith(start)}


def unflatten(flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """One array of all weights -> views of it by name. [W], in the order of `shapes`."""
    found: dict[str, np.ndarray] = {}
    start = 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        found[name] = flat[start : start + size].reshape(shape)
        start += size
    return found


def plain(value: Any) -> Any:
    """The same value with NumPy numbers and arrays turned into Python's own, at any depth."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value

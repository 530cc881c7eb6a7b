"""Weights of any model by name, in TensorFlow. Twin: companion/pytorch/named_weights.py.

A name is the path of attributes to a layer, then the array: "encoder/blocks/0/wide/kernel". The
arrays have one layout for both frameworks, which is Keras's: kernels [in, out], those of a
convolution [width, in, out]; a table has a row of zeros for padding. Gates: see
companion/core/checkpoint.py; those of an LSTM are input, forget, candidate, output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import Layer
from tensorflow import Tensor

from companion.core.checkpoint import check_weights
from companion.tensorflow.encoders import ItemEmbedding

_TABLE = "table"  # its row for padding is not in the model
_ARRAYS: dict[type[Layer], tuple[str, ...]] = {
    keras.layers.Dense: ("kernel", "bias"),
    keras.layers.Conv1D: ("kernel", "bias"),
    keras.layers.LayerNormalization: ("gamma", "beta"),
    keras.layers.LSTM: ("kernel", "recurrent_kernel", "bias"),
    keras.layers.GRU: ("kernel", "recurrent_kernel", "bias"),
}


def _arrays(layer: Layer, path: str = "") -> Iterator[tuple[str, keras.Variable]]:
    """Name and variable of each array."""
    if isinstance(layer, ItemEmbedding):
        yield path + _TABLE, layer.rows
    elif type(layer) in _ARRAYS:
        owner = getattr(layer, "cell", layer)  # of a recurrent layer
        for name in _ARRAYS[type(layer)]:
            yield path + name, getattr(owner, name)
    else:
        for name, value in vars(layer).items():
            if not name.startswith("_"):
                yield from _below(value, path + name)


def _below(value: Any, path: str) -> Iterator[tuple[str, keras.Variable]]:
    """The arrays of an attribute: a variable, a layer, or a list of layers."""
    if isinstance(value, keras.Variable):
        yield path, value
    elif isinstance(value, Layer):
        yield from _arrays(value, f"{path}/")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _below(entry, f"{path}/{index}")


def get_weights(model: Layer) -> dict[str, np.ndarray]:
    """Copies of a model's weights in the exchange format, in order of their names."""
    return _named({name: variable.value for name, variable in _arrays(model)})


def set_weights(model: Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Puts weights into a model; `get_weights` the other way round.

    Raises:
        ValueError: a name or a shape does not fit; it is named.
    """
    check_weights(weights, {name: value.shape for name, value in get_weights(model).items()})
    for name, variable in _arrays(model):
        variable.assign(weights[name][1:] if _is_table(name) else weights[name])


def gradients(model: Layer, loss: Callable[[], Tensor]) -> dict[str, np.ndarray]:
    """The gradient of loss() by each weight, by the names of `get_weights`; 0 where it has none."""
    learnt = {name: variable.value for name, variable in _arrays(model)}
    with tf.GradientTape() as tape:
        found = loss()
    return _named(tape.gradient(found, learnt, unconnected_gradients="zero"))


def _named(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Values by name -> arrays in the exchange format."""
    found = {name: np.array(tf.convert_to_tensor(value)) for name, value in tensors.items()}
    tables = {name: np.pad(v, [(1, 0), (0, 0)]) for name, v in found.items() if _is_table(name)}
    return dict(sorted((found | tables).items()))


def _is_table(name: str) -> bool:
    return name.rpartition("/")[2] == _TABLE

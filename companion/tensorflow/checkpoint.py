"""Weights of a Keras model in the exchange format. Twin: companion/pytorch/checkpoint.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from companion.core.checkpoint import check_weights, load, save

if TYPE_CHECKING:
    from companion.tensorflow.recommend import NextBasketModel

__all__ = ["load", "load_into", "save", "weights_of"]


def weights_of(model: NextBasketModel) -> dict[str, np.ndarray]:
    """Copies of a model's weights: names free of any framework, kernels [in, out]."""
    return from_native(variables(model))


def load_into(model: NextBasketModel, weights: Mapping[str, np.ndarray]) -> None:
    """Puts weights into a model; `weights_of` the other way round.

    Raises:
        ValueError: a name or a shape does not fit; it is named.
    """
    check_weights(weights, {name: value.shape for name, value in weights_of(model).items()})
    for name, variable in variables(model).items():
        variable.assign(weights[name][1:] if name == "embedding/table" else weights[name])


def variables(model: NextBasketModel) -> dict[str, keras.Variable]:
    """The variables by their names in the exchange format, whose layout is Keras's own.

    One differs: a table in the model has no row for padding.
    """
    gru = model.encoder.gru.cell
    return {
        "embedding/table": model.embedding.rows,
        "gru/kernel": gru.kernel,
        "gru/recurrent_kernel": gru.recurrent_kernel,
        "gru/bias": gru.bias,
        "features/kernel": model.features.kernel,
        "features/bias": model.features.bias,
        "projection/kernel": model.projection.kernel,
        "projection/bias": model.projection.bias,
        "output/bias": model.bias,
    }


def from_native(tensors: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """Weights, or their gradients, from the variables' layout to the exchange format."""
    weights = {name: np.array(tf.convert_to_tensor(value)) for name, value in tensors.items()}
    weights["embedding/table"] = np.pad(weights["embedding/table"], [(1, 0), (0, 0)])
    return weights

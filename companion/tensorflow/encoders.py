"""From items to baskets to a user's state, in TensorFlow. Twin: companion/pytorch/encoders.py."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor


class ItemEmbedding(keras.layers.Layer):
    """A vector for each item: [...] whole numbers -> [..., D].

    Item 0 is padding. Its vector is zero and no parameter at all, so nothing can train it.

    Args:
        num_items: V, padding counted.
        size: D.
        initial: [V, D] to start from; row 0 counts as zero. None: normal, with a length near 1.

    Raises:
        ValueError: `initial` has another shape.
    """

    def __init__(self, num_items: int, size: int, initial: np.ndarray | None = None):
        super().__init__()
        if initial is not None and initial.shape != (num_items, size):
            raise ValueError(f"initial has shape {initial.shape}, not {(num_items, size)}")
        normal = keras.initializers.RandomNormal(stddev=size**-0.5)
        self.rows = self.add_weight(shape=(num_items - 1, size), initializer=normal)  # [V - 1, D]
        if initial is not None:
            self.rows.assign(initial[1:])

    def table(self) -> Tensor:
        """All vectors, [V, D]; row 0 is zero."""
        return tf.pad(self.rows, [(1, 0), (0, 0)])

    def call(self, items: Tensor) -> Tensor:
        """The vectors of `items`."""
        return tf.gather(self.table(), items)


def masked_mean(vectors: Tensor, mask: Tensor) -> Tensor:
    """The mean over the places that are there; zeros where there is none.

    Args:
        vectors: [..., K, D]. What stands at places that are not there has no influence.
        mask: [..., K], True where there is something.

    Returns:
        [..., D].
    """
    total = tf.reduce_sum(tf.where(mask[..., None], vectors, 0.0), -2)  # [..., D]
    count = tf.reduce_sum(tf.cast(mask, tf.float32), -1, keepdims=True)  # [..., 1]
    return total / tf.maximum(count, 1.0)  # 0 / 1 rather than 0 / 0, whose gradient is NaN


class GRUEncoder(keras.layers.Layer):
    """Reads a user's baskets in order: [B, T, D], mask [B, T] -> states [B, T, H].

    The state at t knows the baskets 0..t. Sequences are padded on the right, so that padding
    comes after all that counts; states at padded places are zero.

        z = sigmoid(x Wz + h Uz + b),  r = sigmoid(x Wr + h Ur + b)
        n = tanh(x Wn + b + r * (h Un + b')),  h' = (1 - z) * n + z * h

    Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014), in the form
    that cuDNN computes, with the reset after the product.

    Args:
        input_size: D.
        hidden_size: H.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.gru = keras.layers.GRU(hidden_size, return_sequences=True, reset_after=True)
        self.gru.build((None, None, input_size))

    def call(self, x: Tensor, mask: Tensor) -> Tensor:
        """The states after each basket, [B, T, H]."""
        there = mask[..., None]  # [B, T, 1]
        # The layer gets no mask: a row of padding alone stops cuDNN, and is zeroed here anyway.
        states = self.gru(tf.where(there, x, 0.0))  # [B, T, H]
        return tf.where(there, states, 0.0)

    def step(self, state: Tensor, x: Tensor) -> Tensor:
        """One basket more: state [B, H] (zeros at first), x [B, D] -> the next state [B, H]."""
        _, following = self.gru.cell(x, [state])
        return following[0]


def last_state(states: Tensor, mask: Tensor) -> Tensor:
    """The state after a user's last basket; zeros for a user without any.

    Args:
        states: [B, T, H].
        mask: [B, T], True where there is a basket.

    Returns:
        [B, H].
    """
    place = tf.range(1, tf.shape(mask)[1] + 1)  # [T]
    last = tf.reduce_max(tf.cast(mask, tf.int32) * place, 1)  # [B], 0 without a basket
    padded = tf.pad(states, [(0, 0), (1, 0), (0, 0)])  # [B, 1 + T, H], zeros in front
    return tf.gather(padded, last, batch_dims=1)

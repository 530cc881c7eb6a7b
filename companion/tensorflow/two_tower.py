"""Two-tower retrieval with a sampled softmax, in TensorFlow. Twin: companion/pytorch/two_tower.py.

What needs no gradient: companion/recommenders/collaborative.py. Letters: U users, I items, B pairs
of a batch, D size of a vector, F features, H width of a layer.
"""

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.recommenders.collaborative_config import NO_FEATURES, Features, TwoTowerConfig
from companion.recommenders.next_basket import NEVER
from companion.tensorflow._layers import dense


def in_batch_loss(scores: Tensor, log_q: Tensor, hidden: Tensor) -> Tensor:
    """Mean over the pairs of -log softmax(scores - log_q)[own item].

    Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations"
    (2019). What log_q may be: `collaborative_batches.log_q_of`.

    Args:
        scores: [B, B] of each pair's user with each pair's item, divided by the temperature.
        log_q: [B, B].
        hidden: [B, B] true where the item of another pair is no negative.

    Returns:
        One number, in nats.
    """
    logits = tf.where(hidden, NEVER, scores - log_q)  # [B, B]
    return -tf.reduce_mean(tf.linalg.diag_part(tf.nn.log_softmax(logits)))


class Tower(keras.layers.Layer):
    """A vector for each user, or for each item: [...] ids -> [..., D].

    x = table[id] + W features[id] + b; then layers with ReLU, and a last one without.

    Args:
        config: settings.
        count: U, or I.
        features: [U, F], or [I, F], float32; None where there are none.
    """

    def __init__(self, config: TwoTowerConfig, count: int, features: np.ndarray | None = None):
        super().__init__()
        self.unit_length = config.unit_length
        self.ids = _table(self, count, config.size)
        self.features = None
        if features is not None:
            self.features = dense(features.shape[1], config.size)
            self._given = tf.constant(features, tf.float32)
        widths = (config.size, *config.hidden, config.size)
        self.hidden = _denses(widths if config.hidden else ())
        self.built = True

    def call(self, ids: Tensor) -> Tensor:
        """The vectors; of length 1 where the settings say so."""
        x = tf.gather(self.ids, ids)  # [..., D]
        if self.features is not None:
            x = x + self.features(tf.gather(self._given, ids))
        for number, layer in enumerate(self.hidden, start=1):
            x = layer(x) if number == len(self.hidden) else tf.nn.relu(layer(x))
        if not self.unit_length:
            return x
        return x * tf.math.rsqrt(tf.reduce_sum(x**2, -1, keepdims=True) + 1e-12)  # 0 where x is 0

    def every(self) -> Tensor:
        """The vectors of all ids: [U, D], or [I, D]."""
        return self(tf.range(self.ids.shape[0]))


class TwoTower(keras.layers.Layer):
    """score(u, i) = user tower(u) . item tower(i): [...] users, [...] items -> [...].

    Args:
        config: settings.
        shape: (U, I).
        features: of users, of items, of both or of neither.
    """

    def __init__(
        self, config: TwoTowerConfig, shape: tuple[int, int], features: Features = NO_FEATURES
    ):
        super().__init__()
        self.temperature = config.temperature
        self.user_tower = Tower(config, shape[0], features.users)
        self.item_tower = Tower(config, shape[1], features.items)
        self.built = True

    def call(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs."""
        return tf.reduce_sum(self.user_tower(users) * self.item_tower(items), -1)

    def batch_loss(self, users: Tensor, items: Tensor, log_q: Tensor, hidden: Tensor) -> Tensor:
        """The sampled softmax: [B], [B], [B, B], [B, B] -> one number."""
        x, y = self.user_tower(users), self.item_tower(items)  # [B, D]
        scores = tf.matmul(x, y, transpose_b=True)  # [B, B]
        return in_batch_loss(scores / self.temperature, log_q, hidden)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """What the towers say of all users and all items: [U, D], [I, D]."""
        return self.user_tower.every(), self.item_tower.every()


def _table(layer: keras.layers.Layer, count: int, size: int) -> Any:
    """A vector for each id, with a length near 1: [count, size]."""
    normal = keras.initializers.RandomNormal(stddev=size**-0.5)
    return layer.add_weight(shape=(count, size), initializer=normal)


def _denses(widths: tuple[int, ...]) -> list[keras.layers.Layer]:
    """Layers from each width to the next."""
    return [dense(*pair) for pair in pairwise(widths)]

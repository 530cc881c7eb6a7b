"""Collaborative filtering by gradients, in TensorFlow. Twin: companion/pytorch/collaborative.py.

What needs no gradient: companion/recommenders/collaborative.py. Letters: U users, I items, B pairs
of a batch, K negatives of a pair, D size of a vector, F features, H width of a layer.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.metrics.blocks import Vectors
from companion.recommenders.collaborative_batches import PairBatch, TowerBatch, check_batch
from companion.recommenders.collaborative_config import (
    NO_FEATURES,
    Config,
    FactorConfig,
    Features,
    NeuMFConfig,
    TwoTowerConfig,
    check_features,
    initial_weights,
)
from companion.recommenders.interactions import Interactions
from companion.tensorflow import named_weights
from companion.tensorflow._layers import dense
from companion.tensorflow.two_tower import TwoTower, _denses, _table


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of -log sigmoid(x_ui - x_uj) = softplus(x_uj - x_ui), which never overflows.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback" (2009).

    Args:
        positive: [B] scores of items that the users had.
        negative: [B, K] scores of items that they did not have.

    Returns:
        One number, in nats.
    """
    return tf.reduce_mean(tf.nn.softplus(negative - positive[:, None]))


def binary_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean over positives and negatives of the binary cross-entropy.

    He et al., "Neural collaborative filtering" (2017), equation 7, divided by the pairs.

    Args:
        positive: [B] logits of items that the users had.
        negative: [B, K] logits of items that they did not have.

    Returns:
        One number, in nats.
    """
    logits = tf.concat([positive[:, None], -negative], 1)  # [B, 1 + K]
    return tf.reduce_mean(tf.nn.softplus(-logits))


class MatrixFactorization(keras.layers.Layer):
    """score(u, i) = x_u . y_i + b_i: [...] users, [...] items -> [...].

    Args:
        config: settings.
        shape: (U, I).
    """

    def __init__(self, config: FactorConfig, shape: tuple[int, int]):
        super().__init__()
        self.penalty = config.penalty
        self.users = _table(self, shape[0], config.size)
        self.items = _table(self, shape[1], config.size)
        self.item_bias = self.add_weight(shape=(shape[1],), initializer="zeros")
        self.built = True

    def call(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs."""
        x, y = tf.gather(self.users, users), tf.gather(self.items, items)  # [..., D]
        return tf.reduce_sum(x * y, -1) + tf.gather(self.item_bias, items)

    def batch_loss(self, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        """BPR + penalty * mean of |x_u|^2 + |y_i|^2 + b_i^2 + |y_j|^2 + b_j^2: [B], [B], [B, K]."""
        loss = bpr_loss(self(users, items), self(users[:, None], negatives))
        x = tf.reduce_mean(tf.reduce_sum(tf.gather(self.users, users) ** 2, -1))
        return loss + self.penalty * (x + self._squares(items) + self._squares(negatives))

    def vectors(self) -> tuple[Tensor, Tensor]:
        """(x_u, 1) and (y_i, b_i), whose inner products are the scores: [U, D + 1], [I, D + 1]."""
        one = tf.ones((self.users.shape[0], 1))  # [U, 1]
        bias = self.item_bias[:, None]  # [I, 1]
        return tf.concat([self.users, one], 1), tf.concat([self.items, bias], 1)

    def _squares(self, items: Tensor) -> Tensor:
        y = tf.reduce_sum(tf.gather(self.items, items) ** 2, -1)  # [...]
        return tf.reduce_mean(y + tf.gather(self.item_bias, items) ** 2)


class NeuMF(keras.layers.Layer):
    """score(u, i) = h . [p_u * q_i, MLP(p'_u, q'_i)] + b: [...] users, [...] items -> [...].

    The product of the first vectors is a matrix factorisation with weights (GMF). The other two go
    through layers with ReLU. He et al., "Neural collaborative filtering" (2017), equation 12.

    Args:
        config: settings.
        shape: (U, I).
    """

    def __init__(self, config: NeuMFConfig, shape: tuple[int, int]):
        super().__init__()
        self.gmf_users, self.mlp_users = (_table(self, shape[0], config.size) for _ in range(2))
        self.gmf_items, self.mlp_items = (_table(self, shape[1], config.size) for _ in range(2))
        self.hidden = _denses((2 * config.size, *config.hidden))
        self.head = dense(config.size + config.hidden[-1], 1)
        self.built = True

    def call(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits of pairs; users and items are broadcast against each other."""
        users, items = users + tf.zeros_like(items), items + tf.zeros_like(users)
        gmf = tf.gather(self.gmf_users, users) * tf.gather(self.gmf_items, items)  # [..., D]
        both = tf.gather(self.mlp_users, users), tf.gather(self.mlp_items, items)
        x = tf.concat(both, -1)  # [..., 2 D]
        for layer in self.hidden:
            x = tf.nn.relu(layer(x))  # [..., H]
        return self.head(tf.concat([gmf, x], -1))[..., 0]

    def batch_loss(self, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        """Binary cross-entropy: [B], [B], [B, K] -> one number."""
        return binary_loss(self(users, items), self(users[:, None], negatives))

    def vectors(self) -> None:
        """None: the score is no inner product."""


class CollaborativeLearner:
    """A model with its loss and its optimiser; NumPy in, NumPy out.

    Args:
        config: settings, whose class decides which model it is.
        log: that it will be fitted on: its shape, and who stands in it.
        features: of users and items; for two towers alone.
        seed: of the starting weights, which are the same in both frameworks.

    Raises:
        ValueError: features that do not fit the log, or that the model does not read.
    """

    def __init__(
        self, config: Config, log: Interactions, *, seed: int, features: Features = NO_FEATURES
    ):
        check_features(features, log.shape)
        self.config, self.shape = config, log.shape
        self.model = _model(config, log.shape, features)
        shapes = {name: value.shape for name, value in self.get_weights().items()}
        self.set_weights(initial_weights(shapes, seed, log))
        self._variables = self.model.trainable_variables
        self._optimizer = keras.optimizers.Adam(config.learning_rate, epsilon=config.adam_epsilon)
        self._optimizer.build(self._variables)
        self._compiled_step = tf.function(self._step)

    def update(self, batch: PairBatch | TowerBatch) -> float:
        """One step of Adam; the loss before it."""
        return float(self._compiled_step(*self._tensors(batch)))

    def gradients(self, batch: PairBatch | TowerBatch) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight, by the names of `get_weights`."""
        tensors = self._tensors(batch)
        return named_weights.gradients(self.model, lambda: self.model.batch_loss(*tensors))

    def scores(self, users: np.ndarray) -> np.ndarray:
        """How well each item suits each user: [B] -> [B, I] float32."""
        rows, found = tf.constant(users), self.model.vectors()  # [B]
        if found is not None:
            return tf.matmul(tf.gather(found[0], rows), found[1], transpose_b=True).numpy()
        items = tf.range(self.shape[1], dtype=rows.dtype)  # [I]
        return self.model(rows[:, None], items[None]).numpy()

    def vectors(self) -> Vectors | None:
        """Vectors whose inner products are the scores; None where the scores are none."""
        found = self.model.vectors()
        return None if found is None else Vectors(*(part.numpy() for part in found))

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights, by their names in a checkpoint."""
        return named_weights.get_weights(self.model)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights; the optimiser keeps its own state."""
        named_weights.set_weights(self.model, weights)

    def _step(self, *batch: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = self.model.batch_loss(*batch)
        found = tape.gradient(loss, [variable.value for variable in self._variables])
        # Of a table, a gradient is a list of rows, some twice: as a table they are added up.
        self._optimizer.apply([tf.convert_to_tensor(each) for each in found], self._variables)
        return loss

    def _tensors(self, batch: PairBatch | TowerBatch) -> list[Tensor]:
        check_batch(batch, self.shape)
        return [tf.constant(column) for column in batch]


def _model(config: Config, shape: tuple[int, int], features: Features) -> Any:
    if isinstance(config, TwoTowerConfig):
        return TwoTower(config, shape, features)
    if any(part is not None for part in features):
        raise ValueError("only two towers read features")
    if isinstance(config, NeuMFConfig):
        return NeuMF(config, shape)
    return MatrixFactorization(config, shape)

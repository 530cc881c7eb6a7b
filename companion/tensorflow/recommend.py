"""Recommending the next basket, in TensorFlow. Twin: companion/pytorch/recommend.py."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.recommenders.next_basket import (
    FIRST_ITEM,
    NEVER,
    PADDING,
    NextBasketBatch,
    NextBasketConfig,
    check_batch,
    initial_weights,
    weight_shapes,
)
from companion.tensorflow.checkpoint import from_native, load_into, variables, weights_of
from companion.tensorflow.encoders import GRUEncoder, ItemEmbedding, last_state, masked_mean


class NextBasketModel(keras.Model):
    """Baskets so far and user features -> a logit for each item to be in the next basket.

    A basket is the mean of its items' vectors. The same table reads the baskets and names the
    recommendation: Press and Wolf, "Using the output embedding to improve language models" (2017).
    """

    def __init__(self, config: NextBasketConfig, num_items: int, num_features: int):
        super().__init__()
        self.embedding = ItemEmbedding(num_items, config.embedding_size)
        self.encoder = GRUEncoder(config.embedding_size, config.hidden_size)
        self.features = keras.layers.Dense(config.hidden_size)
        self.features.build((None, num_features))
        self.projection = keras.layers.Dense(config.embedding_size)
        self.projection.build((None, config.hidden_size))
        self.bias = self.add_weight(shape=(num_items,), initializer="zeros")

    def encode(self, baskets: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, K] -> states [B, T, H], and the mask [B, T] of the baskets that are there."""
        present = baskets != PADDING  # [B, T, K]
        vectors = masked_mean(self.embedding(baskets), present)  # [B, T, D]
        mask = tf.reduce_any(present, -1)  # [B, T]
        return self.encoder(vectors, mask), mask

    def logits(self, states: Tensor) -> Tensor:
        """[..., H] -> [..., V]; padding and the unknown item are never recommended."""
        blocked = NEVER * tf.cast(tf.range(self.bias.shape[0]) < FIRST_ITEM, tf.float32)  # [V]
        table = self.embedding.table()  # [V, D]
        scores = tf.matmul(self.projection(states), table, transpose_b=True)  # [..., V]
        return scores + (self.bias + blocked)

    def call(self, baskets: Tensor, features: Tensor) -> Tensor:
        """After each basket: [B, T, K], [B, F] -> [B, T, V]."""
        states, _ = self.encode(baskets)  # [B, T, H]
        return self.logits(states + self.features(features)[:, None])

    def after_last(self, baskets: Tensor, features: Tensor) -> Tensor:
        """After the last basket: [B, T, K], [B, F] -> [B, V]. Without one, features and bias."""
        state = last_state(*self.encode(baskets))  # [B, H]
        return self.logits(state + self.features(features))


def next_basket_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the baskets to predict of the mean over their items of -log softmax.

    Args:
        logits: [..., V].
        targets: [..., K], 0 = padding. A basket without a real item does not count.

    Returns:
        One number, in nats; 0 where there is no basket to predict.
    """
    real = targets >= FIRST_ITEM  # [..., K]
    count = tf.reduce_sum(tf.cast(real, tf.float32), -1)  # [...]
    log_p = tf.gather(tf.nn.log_softmax(logits), targets, batch_dims=targets.ndim - 1)  # [..., K]
    per_basket = -tf.reduce_sum(tf.where(real, log_p, 0.0), -1) / tf.maximum(count, 1.0)  # [...]
    num_baskets = tf.reduce_sum(tf.cast(count > 0, tf.float32))
    return tf.reduce_sum(per_basket) / tf.maximum(num_baskets, 1.0)


class NextBasketLearner:
    """A model with its loss and its optimiser; NumPy in, NumPy out.

    Args:
        config: sizes and step size.
        item_vectors: [V, D] to start the item table from, or None.
        num_items: V, padding and the unknown item counted.
        num_features: F, 1 or more.
        seed: of the starting weights, which are the same in both frameworks.
        loss: (logits [..., V], targets [..., K]) -> one number. It is compiled: shapes inside it
            must not depend on values.
    """

    def __init__(
        self,
        config: NextBasketConfig,
        item_vectors: np.ndarray | None = None,
        *,
        num_items: int,
        num_features: int,
        seed: int,
        loss: Callable[[Tensor, Tensor], Tensor] = next_basket_loss,
    ):
        self.config = config
        self.model = NextBasketModel(config, num_items, num_features)
        shapes = weight_shapes(config, num_items, num_features)
        self.set_weights(initial_weights(shapes, seed, item_vectors))
        self._loss = loss
        self._sizes = num_items, num_features
        self._variables = variables(self.model)
        self._optimizer = keras.optimizers.Adam(config.learning_rate, epsilon=config.adam_epsilon)
        self._optimizer.build(list(self._variables.values()))
        # XLA takes a quarter off a step on a CPU. On a GPU Keras calls cuDNN, which XLA cannot.
        on_cpu = not tf.config.get_visible_devices("GPU")
        self._compiled_step = tf.function(self._step, jit_compile=on_cpu)
        self._compiled_scores = tf.function(self.model.after_last)

    def update(self, batch: NextBasketBatch) -> float:
        """One step of Adam; the loss before it."""
        return float(self._compiled_step(*self._tensors(batch)))

    def gradients(self, batch: NextBasketBatch) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight, by the names of `get_weights`."""
        _, gradients = self._backward(*self._tensors(batch))
        return from_native(gradients)

    def scores(self, batch: NextBasketBatch) -> np.ndarray:
        """Logits of the basket after the last, [B, V] float32."""
        baskets, features, _ = self._tensors(batch)
        return self._compiled_scores(baskets, features).numpy()

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights, by their names in a checkpoint."""
        return weights_of(self.model)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights; the optimiser keeps its own state."""
        load_into(self.model, weights)

    def _backward(self, *batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        baskets, features, targets = batch
        with tf.GradientTape() as tape:
            loss = self._loss(self.model(baskets, features), targets)
        return loss, tape.gradient(loss, {k: v.value for k, v in self._variables.items()})

    def _step(self, *batch: Tensor) -> Tensor:
        loss, gradients = self._backward(*batch)
        self._optimizer.apply(gradients.values(), self._variables.values())
        return loss

    def _tensors(self, batch: NextBasketBatch) -> tuple[Tensor, ...]:
        check_batch(batch, *self._sizes)
        return tuple(tf.convert_to_tensor(column) for column in batch)

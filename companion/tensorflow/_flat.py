"""All weights of a small network in one array: one operation where there was one for each layer."""

import math
from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from companion.rl.dqn import DQNConfig

BETA1, BETA2 = 0.9, 0.999  # of Adam: Kingma and Ba (2015)


def flatten(arrays: list[Any]) -> Tensor:
    """Arrays, or variables -> all their numbers in one array, [W]."""
    return tf.concat([tf.reshape(array, [-1]) for array in arrays], 0)


def views(flat: Tensor, like: list[Any]) -> list[Tensor]:
    """[W] -> its pieces in the shapes of the arrays, in their order."""
    pieces = tf.split(flat, [math.prod(array.shape) for array in like])
    return [tf.reshape(piece, array.shape) for piece, array in zip(pieces, like, strict=True)]


def adam_step(
    weights: Tensor,
    moments: tuple[Tensor, Tensor],
    g: Tensor,
    steps: Tensor,
    config: DQNConfig,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """g <- g min(1, c / |g|);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2

    w <- w - a (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    PyTorch's Adam; Keras adds epsilon before the second moment is corrected.

    Args:
        weights: [W].
        moments: m and v, [W] each.
        g: the gradient, [W].
        steps: t, this step included.
        config: a, eps, and c, the longest gradient that is used whole, or None.

    Returns:
        The weights and moments after the step.
    """
    if config.max_gradient_norm is not None:
        g = g * tf.minimum(config.max_gradient_norm / (tf.norm(g) + 1e-6), 1.0)
    first = BETA1 * moments[0] + (1 - BETA1) * g
    second = BETA2 * moments[1] + (1 - BETA2) * tf.square(g)
    rate = config.learning_rate / (1 - BETA1**steps)
    size = tf.sqrt(second / (1 - BETA2**steps)) + config.adam_epsilon
    return weights - rate * first / size, (first, second)

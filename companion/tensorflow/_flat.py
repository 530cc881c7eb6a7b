"""All weights of a small network in one array: one operation where there was one for each layer."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.core.checkpoint import check_weights, unflatten

BETA1, BETA2 = 0.9, 0.999  # of Adam: Kingma and Ba (2015)


class AdamSettings(Protocol):
    """What the settings of an algorithm say about its optimiser."""

    @property
    def learning_rate(self) -> float:
        """a."""

    @property
    def adam_epsilon(self) -> float:
        """Added to the root of the second moment."""

    @property
    def max_gradient_norm(self) -> float | None:
        """The longest gradient that is used whole, or None."""


def flatten(arrays: list[Any]) -> Tensor:
    """Arrays, or variables -> all their numbers in one array, [W]."""
    return tf.concat([tf.reshape(array, [-1]) for array in arrays], 0)


def views(flat: Tensor, like: list[Any]) -> list[Tensor]:
    """[W] -> its pieces in the shapes of the arrays, in their order."""
    pieces = tf.split(flat, [math.prod(array.shape) for array in like])
    return [tf.reshape(piece, array.shape) for piece, array in zip(pieces, like, strict=True)]


def named(
    variables: list[tf.Variable], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Copies by name, kernels [in, out]."""
    return unflatten(flatten(variables).numpy(), shapes)


def assign(
    variables: list[tf.Variable],
    weights: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Takes over what `named` gave.

    Raises:
        ValueError: a name or a shape does not fit; it is named.
    """
    check_weights(weights, shapes)
    flat = np.concatenate([weights[name].ravel() for name in shapes]).astype(np.float32)
    for variable, value in zip(variables, views(flat, variables), strict=True):
        variable.assign(value)


class FlatAdam:
    """Adam over all weights together; the gradient's length is limited before.

    Args:
        variables: the weights.
        config: the settings.

    Attributes:
        steps: made so far.
        moments: "first" and "second", [W] each, in lists of one, as the weights are in a list.
    """

    def __init__(self, variables: list[tf.Variable], config: AdamSettings):
        self.variables, self._config = variables, config
        empty = tf.zeros_like(flatten(variables))
        self.moments = {"first": [tf.Variable(empty)], "second": [tf.Variable(empty)]}
        self.steps = tf.Variable(0.0)

    def updates(
        self, count: int | Tensor, backward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Steps of Adam, one after the other in one graph.

        Args:
            count: K.
            backward: k and the weights [W] that step k - 1 left -> the gradient [W], and whatever
                is wanted of step k.

        Returns:
            That of all steps, [K, ...], and the weights at the end, [W].
        """
        first, second = self.moments["first"][0], self.moments["second"][0]

        def one(k: Tensor, weights: Tensor, moments: Any, kept: tf.TensorArray) -> Any:
            gradient, found = backward(k, weights)
            step = self.steps + tf.cast(k + 1, tf.float32)
            weights, moments = adam_step(weights, moments, gradient, step, self._config)
            return k + 1, weights, moments, kept.write(k, found)

        moments = first.value(), second.value()
        start = tf.constant(0), flatten(self.variables), moments, tf.TensorArray(tf.float32, count)
        end = tf.while_loop(lambda k, *_: k < count, one, start, parallel_iterations=1)
        _, weights, moments, kept = end
        places = [*self.variables, first, second]
        for place, value in zip(places, [*views(weights, self.variables), *moments], strict=True):
            place.assign(value)
        self.steps.assign_add(tf.cast(count, tf.float32))
        return kept.stack(), weights


def adam_step(
    weights: Tensor,
    moments: tuple[Tensor, Tensor],
    g: Tensor,
    steps: Tensor,
    config: AdamSettings,
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

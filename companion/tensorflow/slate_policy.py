"""The softmax policy in TensorFlow. Twin: companion/pytorch/slate_policy.py."""

import tensorflow as tf
from tensorflow import Tensor

from companion.rl.slate_policy import FORBIDDEN, places


def masked_logits(logits: Tensor, mask: Tensor) -> Tensor:
    """The logits with -1e9 where an action is not allowed: probability and gradient exactly 0."""
    return tf.where(mask, logits, FORBIDDEN)


def entropy(logits: Tensor) -> Tensor:
    """-sum over a of pi(a) log pi(a), in nats: [B, A] -> [B]."""
    log_prob = tf.nn.log_softmax(logits)  # [B, A]
    return -tf.reduce_sum(tf.exp(log_prob) * log_prob, -1)


def slate_log_probability(logits: Tensor, action: Tensor) -> Tensor:
    """log pi(slate): the sum over places k of l_k - log(sum of exp(l_j) over what was left then).

    Left are the item itself, those below it and all that is not in the slate. [B, A], [B, K] -> [B]
    """
    chosen = tf.gather(logits, action, batch_dims=1)  # [B, K]
    inside = tf.one_hot(action, logits.shape[-1], True, False, dtype=tf.bool)  # [B, K, A]
    others = tf.where(tf.reduce_any(inside, -2), FORBIDDEN, logits)  # [B, A]
    others = tf.reduce_logsumexp(others, -1, keepdims=True)  # [B, 1]
    ends = tf.concat([chosen, others], -1)[:, None, :]  # [B, 1, K + 1]
    below = places(action.shape[-1])  # [K, K + 1]
    left = tf.reduce_logsumexp(tf.where(below, ends, FORBIDDEN), -1)  # [B, K]
    return tf.reduce_sum(chosen - left, -1)

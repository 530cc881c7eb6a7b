"""Losses over a user's items, in TensorFlow. Twin: companion/pytorch/sequence_losses.py.

Their references in NumPy: companion/recommenders/sequence_losses.py.
"""

import tensorflow as tf
from tensorflow import Tensor

from companion.recommenders.next_basket import FIRST_ITEM, PADDING


def next_item_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the places with a real target of -log softmax(logits)[target].

    Args:
        logits: [..., V].
        targets: [...] items; padding and the unknown item are not predicted.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    surprise = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # [...]
    return _mean_of_real(surprise, targets)


def sampled_loss(positive: Tensor, negative: Tensor, targets: Tensor) -> Tensor:
    """Mean over the places with a real target of -log sigmoid(p) - sum log(1 - sigmoid(n)).

    Binary cross-entropy: Kang and McAuley, "Self-attentive sequential recommendation" (2018),
    with K = 1. It orders the items; its scores are no longer probabilities of the next item.

    Args:
        positive: [...] scores of the targets, p.
        negative: [..., K] scores of items that were drawn, n.
        targets: [...] items; padding and the unknown item are not predicted.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    others = tf.reduce_sum(tf.nn.softplus(negative), -1)  # [...]
    return _mean_of_real(tf.nn.softplus(-positive) + others, targets)


def masked_item_loss(logits: Tensor, items: Tensor, hidden: Tensor) -> Tensor:
    """Mean over the hidden places of -log softmax(logits)[item that stood there].

    Sun et al., "BERT4Rec" (2019), equation 8.

    Args:
        logits: [..., V].
        items: [...] what stood there before it was hidden.
        hidden: [...] true where an item was hidden.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    return next_item_loss(logits, tf.where(hidden, items, PADDING))


def _mean_of_real(surprise: Tensor, targets: Tensor) -> Tensor:
    real = targets >= FIRST_ITEM  # [...]
    count = tf.reduce_sum(tf.cast(real, tf.float32))
    return tf.reduce_sum(tf.where(real, surprise, 0.0)) / tf.maximum(count, 1.0)

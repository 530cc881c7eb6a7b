"""SlateQ in TensorFlow: a loss for `DQNLearner`. Twin: companion/pytorch/slate_q.py."""

from functools import partial

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.rl.replay import Batch
from companion.rl.slate_q import PageModel
from companion.tensorflow.dqn import Loss, QNetwork, td_loss

Odds = tuple[Tensor, Tensor]  # of a click on each item [B, M] and of no click [B], up to a factor


def page_odds(utility: Tensor, mask: Tensor) -> Odds:
    """e^u and 1, both divided by the largest: no overflow. An item that is not allowed has 0.

    Odds below e^-80 of the largest count as that, so that no page's sum is 0 in float32.
    """
    top = tf.maximum(tf.reduce_max(tf.where(mask, utility, 0.0), -1), 0.0)  # [B]
    weight = tf.exp(tf.maximum(utility - top[:, None], -80.0))  # [B, M]
    return tf.where(mask, weight, 0.0), tf.exp(tf.maximum(-top, -80.0))


def page_values(q: Tensor, odds: Odds, pages: Tensor, factors: Tensor) -> Tensor:
    """Q(s, A) = sum over j in A of p(j | s, A) Q(s, j) + p(none | s, A) Q(s, none).

    [B, M + 1], odds, [B, K] items of the pages, [K] factors of their places -> [B]
    """
    weight, one = odds
    clicked = tf.gather(weight, pages, batch_dims=1) * factors  # [B, K]
    value = tf.gather(q, pages, batch_dims=1)  # [B, K]
    total = tf.reduce_sum(clicked * value, -1) + one * q[:, -1]  # [B]
    return total / (tf.reduce_sum(clicked, -1) + one)


def best_pages(q: Tensor, odds: Odds, mask: Tensor, model: PageModel) -> Tensor:
    """The K items with the largest Q(s, A), the largest factor's first: `envs.best_slate`. [B, K]

    It begins with the K largest values. Each round is one of Dinkelbach's, and a page is given up
    for a better one only. Where clicks are rare, three rounds are exact; where nearly every page
    is clicked, six are, but for a few rows in ten thousand.
    """
    factors = tf.constant(model.falling, q.dtype)  # [K]
    weight, value = odds[0], tf.where(mask, q[:, :-1], -np.inf)  # [B, M]
    pages = tf.math.top_k(value, model.slate_size).indices  # [B, K], the largest first
    worth = page_values(q, odds, pages, factors)  # [B]
    for _ in range(model.rounds):
        gain = tf.where(mask, weight * (q[:, :-1] - worth[:, None]), -np.inf)  # [B, M]
        found = tf.math.top_k(gain, model.slate_size).indices  # [B, K]
        reached = page_values(q, odds, found, factors)  # [B]
        pages = tf.where((reached > worth)[:, None], found, pages)
        worth = tf.maximum(worth, reached)
    return pages


def slate_target(
    online: QNetwork, target: QNetwork, batch: Batch[Tensor], double: bool, *, model: PageModel
) -> Tensor:
    """y = r + gamma^n max over pages A of Q_target(s', A), and y = r where s' is terminal.

    The page is the best by Q_target or, with `double`, by Q_online. Where fewer than K items may be
    shown, it holds those alone. Returns [B] from a batch of tensors; it has no gradient.
    """
    q_next = target(batch.next_obs)  # [B, M + 1]
    chooser = online(batch.next_obs) if double else q_next  # [B, M + 1]
    utility = batch.next_obs[:, model.first : model.first + model.num_items]  # [B, M]
    mask = tf.ones_like(utility, tf.bool)
    if batch.next_mask is not None:
        mask = batch.next_mask[:, : model.num_items]
    odds = page_odds(utility, mask)
    factors = tf.constant(model.falling, utility.dtype)  # [K]
    future = page_values(q_next, odds, best_pages(chooser, odds, mask, model), factors)  # [B]
    y = batch.reward + batch.discount * tf.where(batch.terminated, 0.0, future)
    return tf.stop_gradient(y)


def slate_td_loss(model: PageModel) -> Loss:
    """A loss for `DQNLearner` with M + 1 actions, the last of them no click. Ie et al. (2019).

    The weighted mean of (y - Q(s, a))^2, or of Huber's loss of it, where a is what was clicked.

    Args:
        model: how a page is clicked.
    """
    return partial(td_loss, aim=partial(slate_target, model=model))

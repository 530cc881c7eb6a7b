"""Conservative Q-learning in TensorFlow. Twin: companion/pytorch/offline.py."""

from collections.abc import Callable

import tensorflow as tf
from tensorflow import Tensor

from companion.rl.dqn import DQNConfig
from companion.rl.replay import Batch
from companion.rl.slate_policy import FORBIDDEN
from companion.tensorflow.dqn import Loss, QNetwork, td_loss

Allowed = Callable[[Tensor], Tensor]  # obs [B, D] -> [B, A] bool


def conservative_gap(q: Tensor, action: Tensor, allowed: Tensor | None = None) -> Tensor:
    """log(sum over allowed a of exp Q(s, a)) - Q(s, action): how far others stand above the log's.

    Never below 0: the action of the log counts as allowed. [B, A], [B], [B, A] bool -> [B]
    """
    chosen = tf.gather(q, action, batch_dims=1)  # [B]
    if allowed is not None:
        taken = tf.one_hot(action, q.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
        q = tf.where(allowed | taken, q, FORBIDDEN)  # [B, A]
    return tf.reduce_logsumexp(q, -1) - chosen


def cql_loss(alpha: float, *, allowed: Allowed | None = None) -> Loss:
    """A loss for `DQNLearner`: that of DQN + alpha x the weighted mean of `conservative_gap`.

    Kumar et al. (2020), arXiv:2006.04779, equation 4. The values of what the log does not show are
    pushed down, and those of what it shows more often than a softmax of Q would are pushed up. So
    the values rank actions; they forecast returns only where alpha is small beside the rewards. The
    paper halves the squared error, so its alpha is half of this one unless the config sets `huber`.

    Args:
        alpha: how conservative, 0 or more; 0 is DQN.
        allowed: what an observation allows; None: every action.

    Raises:
        ValueError: alpha is below 0 or not finite.
    """
    if not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha must be 0 or more and finite; got {alpha}")

    def loss(
        online: QNetwork, target: QNetwork, batch: Batch[Tensor], config: DQNConfig
    ) -> tuple[Tensor, Tensor]:
        of_dqn, error = td_loss(online, target, batch, config)
        mask = None if allowed is None else allowed(batch.obs)  # [B, A]
        gap = conservative_gap(online(batch.obs), batch.action, mask)  # [B]
        if batch.weight is not None:
            gap = batch.weight * gap
        return of_dqn + alpha * tf.reduce_mean(gap), error

    return loss

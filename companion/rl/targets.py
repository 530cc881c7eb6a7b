"""What a Q-network is trained towards, in NumPy: the reference that both twins must match."""

import numpy as np

from companion.rl.replay import Batch


def best_allowed(q: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """The allowed action of highest value. [..., A], [..., A] -> [...]; 0 where none is allowed."""
    return (q if mask is None else np.where(mask, q, -np.inf)).argmax(-1)


def td_target_reference(
    batch: Batch[np.ndarray], q_next_target: np.ndarray, q_next_online: np.ndarray | None = None
) -> np.ndarray:
    """y = r + gamma^n Q_target(s', a*), and y = r where s' is terminal or allows no action.

    a* maximises Q_target, as in Mnih et al. (2015), or Q_online if it is given: Double DQN, van
    Hasselt, Guez and Silver (2016).

    Args:
        batch: [..., B] transitions.
        q_next_target: [..., B, A] the target network's values of next_obs.
        q_next_online: [..., B, A] the online network's, for Double DQN.

    Returns:
        [..., B].
    """
    chooser = q_next_target if q_next_online is None else q_next_online
    best = best_allowed(chooser, batch.next_mask)
    future = np.take_along_axis(q_next_target, best[..., None], -1)[..., 0]
    ends = batch.terminated
    if batch.next_mask is not None:
        ends = ends | ~batch.next_mask.any(-1)
    # Chosen, not multiplied by zero: 0 times infinity is not a number.
    return batch.reward + batch.discount * np.where(ends, 0.0, future)


def squared_reference(error: np.ndarray) -> np.ndarray:
    """error^2, whose slope grows without limit."""
    return error**2


def huber_reference(error: np.ndarray) -> np.ndarray:
    """error^2 / 2 up to 1, then |error| - 1/2: the slope never passes 1. Huber (1964)."""
    size = np.abs(error)
    return np.where(size <= 1, 0.5 * error**2, size - 0.5)


def td_loss_reference(
    batch: Batch[np.ndarray], q: np.ndarray, target: np.ndarray, huber: bool
) -> float:
    """The mean over the batch of weight x loss(y - Q(s, a)); values of other actions do not count.

    Args:
        batch: [B] transitions.
        q: [B, A] the online network's values of obs.
        target: [B] from `td_target_reference`.
        huber: Huber's loss rather than the squared.
    """
    chosen = np.take_along_axis(q, batch.action[:, None], 1)[:, 0]
    loss = huber_reference if huber else squared_reference
    weight = 1.0 if batch.weight is None else batch.weight
    return float(np.mean(weight * loss(target - chosen)))

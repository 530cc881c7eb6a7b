"""Returns, advantages and losses of policy gradients, in NumPy: what both twins must match.

All steps weigh the same. The gradient of the discounted return from the start would weigh step t of
an episode by gamma^t; as in nearly all programs it does not, because late steps would then hardly
be learnt from. With gamma = 1 both are the same: Nota and Thomas, "Is the policy gradient a
gradient?" (2020).
"""

from typing import NamedTuple

import numpy as np

from companion.rl.policy_gradient import PolicyBatch, PolicyGradientConfig, network_output
from companion.rl.slate_policy import entropy, slate_log_probability


class Path(NamedTuple):
    """T steps of N environments, one below the other. All columns are [T, N]."""

    reward: np.ndarray
    value: np.ndarray  # V(s_t)
    next_value: np.ndarray  # V(s_{t+1}), where an episode ended that of its true last observation
    terminated: np.ndarray  # bool: nothing comes after
    truncated: np.ndarray  # bool: cut off, and worth what its last observation is worth


def discounted_returns(path: Path, gamma: float) -> np.ndarray:
    """G_t = r_t + gamma G_{t+1}, where an episode goes on. [T, N].

    Where it is cut off, by the time limit or by the end of the rollout, V(s_{t+1}) stands for the
    rest; where it terminated, the rest is 0.
    """
    return gae(path, gamma, 1.0) + path.value


def gae(path: Path, gamma: float, gae_lambda: float) -> np.ndarray:
    """Generalised advantage estimates. Schulman et al. (2016), equation 16. [T, N] float64.

    delta_t = r_t + gamma V(s_{t+1}) - V(s_t), with V(s_{t+1}) = 0 after a terminal step
    A_t = delta_t + gamma lambda A_{t+1}, with A_{t+1} = 0 after a step that ends an episode

    A step that is both terminal and at the time limit is terminal.

    Args:
        path: the steps.
        gamma: discount of one step.
        gae_lambda: 0 gives the TD error, 1 the return less V(s_t).

    Raises:
        ValueError: the columns are not all [T, N] of one shape; the column is named.
    """
    shape = path.reward.shape
    for name, column in path._asdict().items():
        if column.shape != shape or len(shape) != 2:
            raise ValueError(
                f"{name} must have the shape [T, N] of reward, {shape}; got {column.shape}"
            )
    # Chosen, not multiplied by zero: 0 times infinity is not a number.
    future = np.where(path.terminated, 0.0, path.next_value)
    delta = path.reward + gamma * future - path.value
    ended = path.terminated | path.truncated
    advantage, following = np.zeros(shape), np.zeros(shape[1])
    for t in reversed(range(shape[0])):
        following = delta[t] + gamma * gae_lambda * np.where(ended[t], 0.0, following)
        advantage[t] = following
    return advantage


def normalized(advantage: np.ndarray) -> np.ndarray:
    """(A - mean) / standard deviation; only less its mean where all are alike, as one number is."""
    centred = advantage - advantage.mean()
    spread = float(centred.std())
    scale = np.abs(advantage).max(initial=0.0)
    return centred / spread if spread > 1e-8 * scale else centred


def policy_loss_reference(
    log_prob: np.ndarray, batch: PolicyBatch[np.ndarray], clip_ratio: float | None
) -> float:
    """-mean of A log pi(a | s); with a clip ratio -mean of min(ratio A, clip(ratio) A).

    ratio = pi(a | s) / pi_old(a | s), and clip keeps it within 1 +- clip_ratio: Schulman et al.
    (2017), equation 7.

    Args:
        log_prob: [B] of the slates under the policy that learns.
        batch: [B] steps.
        clip_ratio: epsilon of PPO, or None.
    """
    if clip_ratio is None:
        return float(-np.mean(batch.advantage * log_prob))
    ratio = np.exp(log_prob - batch.log_prob)
    clipped = np.clip(ratio, 1 - clip_ratio, 1 + clip_ratio)
    return float(-np.mean(np.minimum(ratio * batch.advantage, clipped * batch.advantage)))


def value_loss_reference(value: np.ndarray, target: np.ndarray) -> float:
    """The mean of (target - V)^2. [B], [B]."""
    return float(np.mean((target - value) ** 2))


def loss_reference(
    weights: dict[str, np.ndarray], batch: PolicyBatch[np.ndarray], config: PolicyGradientConfig
) -> dict[str, float]:
    """The whole loss and what it is made of, under the names of `Diagnostics`.

    loss = policy_loss + value_coef value_loss - entropy_coef entropy

    Args:
        weights: of both networks, by name.
        batch: [B] steps.
        config: settings.
    """
    logits = network_output(weights, "policy", batch.obs)  # [B, A]
    value = network_output(weights, "value", batch.obs)[:, 0]  # [B]
    log_prob = slate_log_probability(logits, batch.action, batch.mask).sum(-1)  # [B]
    policy = policy_loss_reference(log_prob, batch, config.clip_ratio)
    valued = config.baseline == "value"
    squared = value_loss_reference(value, batch.target) if valued else 0.0
    spread = float(entropy(logits, batch.mask).mean())
    change = log_prob - batch.log_prob
    clip = np.inf if config.clip_ratio is None else config.clip_ratio
    return {
        "loss": policy + config.value_coef * squared - config.entropy_coef * spread,
        "policy_loss": policy,
        "value_loss": squared,
        "entropy": spread,
        "approx_kl": float(np.mean(np.exp(change) - 1 - change)),
        "clip_fraction": float(np.mean(np.abs(np.exp(change) - 1) > clip)),
    }

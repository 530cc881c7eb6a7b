"""The softmax policy over actions, and over slates of K of them; the NumPy reference of the twins.

A slate is drawn place by place without replacement, each place by a softmax over what is left
(Plackett 1975, Luce 1959). With K = 1 it is the ordinary softmax policy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from companion.envs.slates import plackett_luce, top_k

# A forbidden action's logit. exp(it - any logit) is exactly 0 in float32 and float64, and where
# minus infinity would make NaN of 0 x inf, this gives 0.
FORBIDDEN = -1e9


class Chosen(NamedTuple):
    """What a policy chose for N observations."""

    items: np.ndarray  # [N, K] int64, first place first
    log_prob: np.ndarray  # [N, K] float64, of the item at its place, given the items above it


def log_softmax(logits: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Log-probabilities of single actions. [..., A] -> [..., A]; forbidden ones are about -1e9."""
    logits = logits if mask is None else np.where(mask, logits, FORBIDDEN)
    return logits - logsumexp(logits, axis=-1)[..., None]


def probabilities(logits: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Of single actions, in float64: [..., A] -> [..., A]. Forbidden ones have exactly 0."""
    return np.exp(log_softmax(np.asarray(logits, np.float64), mask))


def entropy(logits: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """-sum over a of pi(a) log pi(a), in nats: [..., A] -> [...]. Of a slate, its first place."""
    log_prob = log_softmax(logits, mask)
    return -(np.exp(log_prob) * log_prob).sum(-1)


def slate_log_probability(
    logits: np.ndarray, items: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """log pi(item k | the items above it) for each place; their sum is the slate's.

    log pi_k = l_k - log(sum over j >= k of exp(l_j) + sum over the items not in the slate)

    Args:
        logits: [..., A].
        items: [..., K] of the slate, all different.
        mask: [..., A] true where an item is allowed; None allows all.

    Returns:
        [..., K].
    """
    logits = logits if mask is None else np.where(mask, logits, FORBIDDEN)
    chosen = np.take_along_axis(logits, items, -1)  # [..., K]
    others = logits.copy()
    np.put_along_axis(others, items, FORBIDDEN, -1)
    ends = np.concatenate([chosen, logsumexp(others, axis=-1)[..., None]], -1)  # [..., K + 1]
    left = np.where(places(items.shape[-1]), ends[..., None, :], FORBIDDEN)  # [..., K, K + 1]
    return chosen - logsumexp(left, axis=-1)


def places(k: int) -> np.ndarray:
    """[K, K + 1] true where a column still stands to be drawn at a place: itself and all later.

    The last column stands for the items that are not in the slate.
    """
    return np.triu(np.ones((k, k + 1), bool))


def draw_slates(
    logits: np.ndarray, mask: np.ndarray | None, k: int, rng: np.random.Generator
) -> Chosen:
    """Slates drawn from the policy, with their exact log-probabilities.

    Args:
        logits: [N, A].
        mask: [N, A] true where an item is allowed; None allows all.
        k: items of a slate.
        rng: of the draws.

    Raises:
        ValueError: a row allows fewer than k items, or a logit is not a number: it is named; or
            a shape or k is wrong.
    """
    logits, free = _checked(logits, mask, k)
    slate = plackett_luce(logits, free, k, temperature=1.0, rng=rng)
    return Chosen(slate.items, np.log(slate.propensity))


def best_slates(logits: np.ndarray, mask: np.ndarray | None, k: int) -> np.ndarray:
    """The K items of highest logit, the highest first; of equals the first. [N, A] -> [N, K].

    Raises:
        ValueError: as `draw_slates`.
    """
    return top_k(*_checked(logits, mask, k), k).items


def greedy_act(
    logits: Callable[[np.ndarray], np.ndarray], k: int = 1
) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Acts by the highest logits, for `rollout.evaluate`: [N] actions if k is 1, else [N, K]."""
    return lambda obs, mask: as_actions(best_slates(logits(obs), mask, k))


def sampling_act(
    logits: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator, k: int = 1
) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Acts by drawing from the policy, for `rollout.evaluate`: [N] actions if k is 1, or [N, K]."""
    return lambda obs, mask: as_actions(draw_slates(logits(obs), mask, k, rng).items)


def as_actions(items: np.ndarray) -> np.ndarray:
    """[N, K] items in the form that an environment takes: [N] for K = 1."""
    return items[:, 0] if items.shape[1] == 1 else items


def _checked(logits: np.ndarray, mask: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The logits in float64 and the mask, once it is clear that each row has a slate."""
    logits = np.asarray(logits, np.float64)
    if not np.isfinite(logits).all():
        row = np.argwhere(~np.isfinite(logits))[0][0]
        raise ValueError(f"row {row}: a logit is not a finite number; got {logits[row]}")
    if mask is None:
        return logits, np.ones(logits.shape, bool)
    if (allowed := np.count_nonzero(mask, axis=-1)).min(initial=k) < k:
        row = int((allowed < k).argmax())
        raise ValueError(f"row {row}: {allowed[row]} actions are allowed; the slate needs {k}")
    return logits, mask

"""The policy that wrote a log: known, counted, or estimated by a classifier.

A behaviour gives the probability of each action: obs [N, D], mask [N, A] -> [N, A].
"""

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from companion.rl.slate_policy import probabilities

Behaviour = Callable[[np.ndarray, np.ndarray], np.ndarray]


def epsilon_greedy_behaviour(
    scores: Callable[[np.ndarray], np.ndarray], epsilon: float
) -> Behaviour:
    """One of the best actions, and with probability epsilon any allowed one.

    Args:
        scores: obs [N, D] -> [N, A].
        epsilon: 0 to 1.

    Raises:
        ValueError: epsilon is outside 0 to 1.
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must be from 0 to 1; got {epsilon}")

    def behaviour(obs: np.ndarray, mask: np.ndarray) -> np.ndarray:
        values = np.where(mask, scores(obs), -np.inf)
        best = mask & (values == values.max(axis=1, keepdims=True))
        return epsilon * uniform_over(mask) + (1 - epsilon) * uniform_over(best)

    return behaviour


def softmax_behaviour(
    scores: Callable[[np.ndarray], np.ndarray], temperature: float = 1.0
) -> Behaviour:
    """Actions in proportion to exp(score / temperature).

    Args:
        scores: obs [N, D] -> [N, A].
        temperature: above 0.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}")
    return lambda obs, mask: probabilities(scores(obs) / temperature, mask)


def counted_behaviour(obs: np.ndarray, action: np.ndarray, num_actions: int) -> Behaviour:
    """The shares of the actions in each observation of a log, for worlds with few observations.

    An observation that the log does not have gets all allowed actions alike.

    Args:
        obs: [L, D] of the log.
        action: [L] that were taken.
        num_actions: A.

    Raises:
        ValueError: the log is empty, or an action is not from 0 to A - 1.
    """
    _check_actions(action, num_actions)
    counts: dict[bytes, np.ndarray] = {}
    for row, taken in zip(np.asarray(obs, np.float32), action, strict=True):
        counts.setdefault(row.tobytes(), np.zeros(num_actions))[taken] += 1
    unseen = np.zeros(num_actions)

    def behaviour(obs: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows = [counts.get(row.tobytes(), unseen) for row in np.asarray(obs, np.float32)]
        return _shares(np.stack(rows), mask)

    return behaviour


def fitted_behaviour(
    obs: np.ndarray, action: np.ndarray, num_actions: int, *, penalty: float = 1.0
) -> Behaviour:
    """Multinomial logistic regression of the action on the observation, by scikit-learn.

    It is exact for a policy that draws by a softmax of scores that are linear in the observation,
    such as the utilities at the end of a `CandidateShop`'s. It is poor for one that takes the best
    score: no slope is steep enough. An action that the log does not have gets probability 0.

    Args:
        obs: [L, D] of the log.
        action: [L] that were taken.
        num_actions: A.
        penalty: 1 / C of scikit-learn, above 0, on features of mean 0 and deviation 1.

    Raises:
        ValueError: the penalty is not above 0, the log has fewer than two different actions, or an
            action is not from 0 to A - 1.
    """
    _check_actions(action, num_actions)
    if not 0 < penalty < np.inf:
        raise ValueError(f"penalty must be above 0 and finite; got {penalty}")
    known = np.unique(action)
    if len(known) < 2:
        raise ValueError(f"a log needs two different actions or more; it has {known.tolist()}")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=1_000))
    model.fit(obs, action)

    def behaviour(obs: np.ndarray, mask: np.ndarray) -> np.ndarray:
        chances = np.zeros((len(obs), num_actions))
        chances[:, known] = model.predict_proba(obs)
        return _shares(chances, mask)

    return behaviour


def supported(chances: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """Which allowed actions the behaviour takes often enough. [..., A] bool

    chance(a) >= threshold * max over allowed actions of chance. The most frequent one always is.

    Args:
        chances: [..., A] of the behaviour.
        mask: [..., A] bool, what is allowed.
        threshold: 0 to 1.

    Raises:
        ValueError: the threshold is out of range.
    """
    check_threshold(threshold)
    chances = np.where(mask, chances, 0.0)
    often: np.ndarray = mask & (chances >= threshold * chances.max(axis=-1, keepdims=True))
    return often


def check_threshold(threshold: float) -> None:
    """Refuses what is no share.

    Raises:
        ValueError: it is not from 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1; got {threshold}")


def uniform_over(mask: np.ndarray) -> np.ndarray:
    """Every allowed action with the same chance, [N, A]; zeros where none is allowed."""
    shares: np.ndarray = mask / np.maximum(np.count_nonzero(mask, axis=1), 1)[:, None]
    return shares


def _shares(weights: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The weights of what is allowed, summing to 1; uniform where nothing is known of it."""
    weights = np.where(mask, weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), uniform_over(mask))


def _check_actions(action: np.ndarray, num_actions: int) -> None:
    if not len(action):
        raise ValueError("the log is empty: there is nothing to estimate a policy from")
    wrong = (action < 0) | (action >= num_actions)
    if wrong.any():
        row = int(wrong.argmax())
        wish = f"the action must be from 0 to {num_actions - 1}"
        raise ValueError(f"row {row} of the log: {wish}; got {action[row]}")

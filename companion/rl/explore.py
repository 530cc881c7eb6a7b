"""How an agent chooses between the best action it knows and the others. Book chapter 2.

Equal values are decided at random, never by their place: with all values at 0 an argmax takes
action 0 for ever. An action with the value -inf is not allowed and is never chosen.
"""

import numpy as np

LOWEST = float(np.finfo(np.float64).min)  # every allowed value is at least this


def highest(q_row: np.ndarray) -> float:
    """max over a of Q(a), as a loop: compiled, it is several times as fast as `numpy.max`."""
    best = q_row[0]
    for action in range(1, len(q_row)):
        best = q_row[action] if q_row[action] > best else best
    return best


def epsilon_greedy(q_row: np.ndarray, epsilon: float, rng: np.random.Generator) -> int:
    """With probability epsilon any allowed action, otherwise one of the best. Book section 2.2.

    One uniform number per decision: whether it is below epsilon says if we explore, and where it
    lies within its part says which action. Numba compiles this function as it is.

    Args:
        q_row: [A] values of the actions; -inf marks one that is not allowed.
        epsilon: probability of exploring, from 0 to 1.
        rng: gives one number.

    Returns:
        The action.

    Raises:
        ValueError: epsilon is outside 0 to 1, or no action has a value above -inf.
    """
    best = highest(q_row)
    if not (0.0 <= epsilon <= 1.0 and best > -np.inf):
        raise ValueError("epsilon must be from 0 to 1, and an action must have a value above -inf")
    draw = rng.random()
    if draw < epsilon:  # explore: every allowed action is a candidate
        lowest, share = LOWEST, draw / epsilon
    else:  # exploit: the best are
        lowest, share = best, (draw - epsilon) / (1.0 - epsilon)
    candidates, chosen = 0, 0
    for action in range(len(q_row)):
        if q_row[action] >= lowest:
            candidates, chosen = candidates + 1, action
    if candidates > 1:
        skip = int(share * candidates)  # of the candidates, at random
        for action in range(len(q_row)):
            if q_row[action] >= lowest and skip >= 0:
                chosen, skip = action, skip - 1
    return chosen


def epsilon_greedy_probabilities(q_row: np.ndarray, epsilon: float) -> np.ndarray:
    """How probable each action is under `epsilon_greedy`. [A], sums to 1.

    epsilon / |allowed| for each allowed action, and (1 - epsilon) / |best| more for each best.

    Raises:
        ValueError: epsilon is outside 0 to 1, or no action is allowed.
    """
    q, highest = _rows(q_row, None)
    _check_epsilon(epsilon)
    allowed, best = q > -np.inf, q == highest
    return (epsilon * allowed / allowed.sum() + (1 - epsilon) * best / best.sum())[0]


def epsilon_greedy_value(q_row: np.ndarray, epsilon: float) -> float:
    """The mean of Q under `epsilon_greedy`: sum over a of pi(a) Q(a). Numba compiles it as it is.

    An action that is not allowed counts nothing, although its value is -inf.
    """
    best, total, allowed = -np.inf, 0.0, 0
    for value in q_row:
        if value > -np.inf:
            best, total, allowed = max(best, value), total + value, allowed + 1
    return epsilon * total / allowed + (1.0 - epsilon) * best


def epsilon_greedy_batch(
    q: np.ndarray,
    epsilon: float | np.ndarray,
    rng: np.random.Generator,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """`epsilon_greedy` for many rows at once. The same actions as row by row, from the same rng.

    Args:
        q: [N, A] values.
        epsilon: one for all rows, or [N].
        rng: gives one number per row.
        mask: [N, A] true where an action is allowed; None allows all.

    Returns:
        [N] int64 actions.

    Raises:
        ValueError: epsilon is outside 0 to 1; a row allows no action or holds NaN (it is named).
    """
    q, best = _rows(q, mask)
    _check_epsilon(epsilon)
    draw = rng.random(len(q))  # [N]
    explore = draw < epsilon
    candidates = q == best[:, None]
    if explore.any():
        candidates |= explore[:, None] & (q > -np.inf)
    count = np.count_nonzero(candidates, axis=1)
    if count.max() == 1:
        return candidates.argmax(axis=1)
    # The draw, stretched from its own part of [0, 1) to all of it, chooses among the candidates.
    width = np.where(explore, epsilon, 1.0 - np.asarray(epsilon))
    share = (draw - np.where(explore, 0.0, epsilon)) / width
    return _pick(candidates, count, share)


def softmax_probabilities(q_row: np.ndarray, temperature: float) -> np.ndarray:
    """exp(Q(a) / temperature), divided by the sum over the actions. [A]. Book section 13.1.

    Raises:
        ValueError: the temperature is not above 0, or no action is allowed.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}")
    (q,), best = _rows(q_row, None)
    weights: np.ndarray = np.exp((q - best) / temperature)  # the largest is 1: no overflow
    return weights / weights.sum()


def softmax(q_row: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """An action drawn from `softmax_probabilities`. Low temperatures are nearly greedy."""
    below = np.cumsum(softmax_probabilities(q_row, temperature))
    return int(np.searchsorted(below, rng.random() * below[-1], side="right"))


def ucb(
    q_row: np.ndarray, counts: np.ndarray, t: int, *, c: float, rng: np.random.Generator
) -> int:
    """The action with the highest upper confidence bound: Q(a) + c sqrt(ln t / N(a)).

    Book equation 2.10. An action that was never tried comes first; ties are decided at random.

    Args:
        q_row: [A] values; -inf marks an action that is not allowed.
        counts: [A] how often each was tried.
        t: the time step, from 1.
        c: degree of exploration, 0 or more.
        rng: gives one number.

    Raises:
        ValueError: t is below 1, c or a count is negative, or no action is allowed.
    """
    counts = np.asarray(counts)
    if t < 1:
        raise ValueError(f"t must be 1 or more; got {t}")
    if c < 0 or (counts < 0).any():
        raise ValueError(f"c and the counts must be 0 or more; got c = {c}, counts = {counts}")
    q, _ = _rows(q_row, None)
    bound = q + c * np.sqrt(np.log(t) / np.maximum(counts, 1))  # [1, A]
    bound = np.where((counts == 0) & (q > -np.inf), np.inf, bound)
    candidates = bound == bound.max()
    return int(_pick(candidates, candidates.sum(axis=1), rng.random(1))[0])


def _rows(q: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The values as [N, A], -inf where an action is not allowed; and the best of each row, [N]."""
    q = np.atleast_2d(q)
    if mask is not None:
        if np.shape(mask) != q.shape:
            raise ValueError(f"mask must have the shape {q.shape} of q; got {np.shape(mask)}")
        q = np.where(mask, q, -np.inf)
    best = q.max(axis=1)
    fine = best > -np.inf  # false for NaN too
    if not fine.all():
        wrong = fine.argmin()
        reason = "a value is NaN" if np.isnan(best[wrong]) else "no action is allowed"
        raise ValueError(f"row {wrong}: {reason}; got {q[wrong]}")
    return q, best


def _check_epsilon(epsilon: float | np.ndarray) -> None:
    if isinstance(epsilon, float) and 0 <= epsilon <= 1:
        return  # the usual case, at each step
    outside = ~((np.asarray(epsilon) >= 0) & (np.asarray(epsilon) <= 1))
    if outside.any():
        raise ValueError(f"epsilon must be from 0 to 1; got {np.asarray(epsilon)[outside][0]}")


def _pick(candidates: np.ndarray, count: np.ndarray, share: np.ndarray) -> np.ndarray:
    """One candidate of each row.

    Args:
        candidates: [N, A] bool.
        count: [N] how many they are.
        share: [N] from 0 to below 1: which of them.
    """
    skip = np.minimum((share * count).astype(np.int64), count - 1)
    return np.argmax(np.cumsum(candidates, axis=1) > skip[:, None], axis=1)

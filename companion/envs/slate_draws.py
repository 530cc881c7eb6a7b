"""Picking one item, or the best few, in each of many rows."""

import numpy as np

_ONE_BY_ONE = 32  # up to so many places, one argmax for each is faster than sorting all items
_TRIES = 8  # draws before the allowed items are counted, which is slower and never fails


def highest(left: np.ndarray, k: int) -> np.ndarray:
    """[N, K] the best of each row, in order; of equals the first. Uses `left` up."""
    if k > _ONE_BY_ONE:
        return np.argsort(-left, axis=1, kind="stable")[:, :k]
    items, rows = np.empty((len(left), k), np.int64), np.arange(len(left))
    for place in range(k):
        items[:, place] = best = left.argmax(axis=1)
        left[rows, best] = -np.inf
    return items


def best_of(left: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first of the best of each row, its value, and how many are as good. All [N]."""
    first = left.argmax(axis=1)
    best = left[np.arange(len(left)), first]
    return first, best, np.count_nonzero(left == best[:, None], axis=1)


def any_of(free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[N] one of the true places of each row, each with the same chance."""
    drawn = rng.integers(free.shape[1], size=len(free))
    wrong = np.flatnonzero(~free[np.arange(len(free)), drawn])
    for _ in range(_TRIES):
        if not len(wrong):
            return drawn
        drawn[wrong] = rng.integers(free.shape[1], size=len(wrong))
        wrong = wrong[~free[wrong, drawn[wrong]]]
    if len(wrong):  # few are true: count them
        below = np.cumsum(free[wrong], axis=1)
        drawn[wrong] = np.argmax(below > rng.integers(below[:, -1])[:, None], axis=1)
    return drawn

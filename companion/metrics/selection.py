"""The k highest scores of each row, exactly, with a defined order among equals.

It is the one place where a list is made of scores: `ranking.top_k`, the ranking in blocks and the
sampled ranking all call it, so that ties, missing candidates and NaN mean the same everywhere.
"""

import numpy as np

from companion.metrics.checks import NOTHING, check_k, refuse_scores

GROUPS = 256  # groups of columns, at least
MANY = 16  # times k scores from the bound on: then the row is cut before anything is copied


def select(mixed: np.ndarray, order: np.ndarray, k: int, *, first_user: int = 0) -> np.ndarray:
    """The k items with the highest scores; of equal scores, those whose column comes first.

    The maximum of each group of columns is found first. The k-th highest of these is no more than
    the k-th highest score, so that only scores from there on, a few more than k, are sorted. It
    takes a fraction of the time of a partition of the row, and no tie is lost at the k-th place.

    Args:
        mixed: [B, V] floats, columns in random order. An item with -inf is no candidate.
        order: [V] the item of each column.
        k: places, from 1 to V.
        first_user: index of the first row, for the error.

    Returns:
        [B, k] items, best first; `NOTHING` (-1) where a row has fewer than k candidates.

    Raises:
        ValueError: k is below 1 or above V, or a score is NaN or +inf (user and item are named).
    """
    check_k(k, mixed.shape[1])
    highest = _group_maxima(mixed, k)  # [B, G]
    if not (highest < np.inf).all():  # NaN is not below it either
        refuse_scores(mixed, order, first_user)
    bound = np.partition(highest, highest.shape[1] - k, axis=1)[:, -k]  # [B]
    bound = np.maximum(bound, np.finfo(mixed.dtype).min)  # -inf is no candidate
    values, columns = _candidates(mixed, bound, k)  # [B, L], L >= k
    if values.shape[1] > k:
        keep = _highest(values, k)
        values, columns = values[keep].reshape(-1, k), columns[keep].reshape(-1, k)
    best_first = np.argsort(-values, axis=1, kind="stable")
    top = order[np.take_along_axis(columns, best_first, axis=1)]
    return np.where(np.isneginf(np.take_along_axis(values, best_first, axis=1)), NOTHING, top)


def _group_maxima(mixed: np.ndarray, k: int) -> np.ndarray:
    """The highest score of each of k groups or more; together they have all columns. [B, G]"""
    size = mixed.shape[1]
    width = max(1, size // max(GROUPS, 8 * k))
    groups = size // width
    highest = mixed[:, :groups].copy()
    for start in range(groups, size, groups):
        part = mixed[:, start : start + groups]
        np.maximum(highest[:, : part.shape[1]], part, out=highest[:, : part.shape[1]])
    return highest


def _candidates(mixed: np.ndarray, bound: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores from the bound on and their columns, in order of columns, padded with -inf. [B, L]"""
    count, size = mixed.shape
    inside = mixed >= bound[:, None]
    flat, sizes = _true_places(inside)
    many = np.flatnonzero(sizes > MANY * k)  # a crowd of equal scores
    if len(many):
        inside[many] = _highest(mixed[many], k)
        flat, sizes = _true_places(inside)
    rows = np.repeat(np.arange(count), sizes)
    columns = flat - rows * size
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shape = (count, max(k, int(sizes.max(initial=0))))
    values, found = np.full(shape, -np.inf, mixed.dtype), np.zeros(shape, np.intp)
    values[rows, place] = mixed[rows, columns]
    found[rows, place] = columns
    return values, found


def _true_places(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of true values in the flat table, and how many each row has. [N], [B]"""
    flat = np.flatnonzero(inside)
    starts = np.arange(len(inside) + 1) * inside.shape[1]
    return flat, np.diff(np.searchsorted(flat, starts))


def _highest(values: np.ndarray, k: int) -> np.ndarray:
    """True at the k highest of each row; of those equal to the k-th, at the first. [B, L]"""
    last = np.partition(values, values.shape[1] - k, axis=1)[:, -k, None]  # [B, 1]
    above, equal = values > last, values == last
    room = k - above.sum(axis=1, keepdims=True)
    return above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room))

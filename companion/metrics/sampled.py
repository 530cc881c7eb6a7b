"""Ranking the relevant items among others drawn at random: only to repeat a published figure.

Many papers rank one relevant item among 99 drawn ones and call it HR@10. It is not the HR@10 of the
catalogue, it is far higher, and it can turn the order of two models round: Krichene and Rendle
(2020), "On sampled metrics for item recommendation", KDD. Its result has a type of its own.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import sparse

from companion.core.seeding import generator
from companion.metrics.blocks import Source, blocks, count_unreachable, exclude, same_users
from companion.metrics.ranking import METRICS, Hits
from companion.metrics.relevance import Relevant, as_matrix, hits_of
from companion.metrics.results import SampledRanking
from companion.metrics.selection import select

TAKEN = 2.0  # above every random key


def sample_negatives(
    relevant: Relevant, items: int, count: int, *, seed: int, seen: Relevant | None = None
) -> np.ndarray:
    """Items that are neither relevant nor seen, uniformly and without replacement. [U, n]

    Args:
        relevant: sparse [U, V], or padded [U, R].
        items: V.
        count: n, for each user.
        seed: of the draws.
        seen: items that are never drawn, as `relevant`.

    Raises:
        ValueError: count is below 1, or a user has fewer items to draw from (the user is named).
    """
    if count < 1:
        raise ValueError(f"negatives must be 1 or more; got {count}")
    matrix = as_matrix(relevant, items)
    taken = matrix if seen is None else matrix + as_matrix(seen, items)
    left = items - np.diff(sparse.csr_array(taken).indptr)
    if (left < count).any():
        user = int(np.flatnonzero(left < count)[0])
        raise ValueError(f"user {user} has {left[user]} items to draw from; {count} were asked for")
    rng = generator(seed, "negatives")
    drawn = np.empty((matrix.shape[0], count), np.intp)
    for rows in blocks(matrix.shape[0], items):
        keys = rng.random((rows.stop - rows.start, items))  # [b, V]
        keys[taken[rows].nonzero()] = TAKEN
        drawn[rows] = np.argpartition(keys, count - 1, axis=1)[:, :count]
    return drawn


def evaluate_sampled(
    scores: Source,
    relevant: Relevant,
    *,
    k: int,
    negatives: int = 99,
    seen: Relevant | None = None,
    metrics: Mapping[str, Callable[[Hits], np.ndarray]] = METRICS,
    seed: int = 0,
) -> SampledRanking:
    """Metrics of each user's relevant items ranked among `negatives` others, one value per user.

    Args:
        scores: `blocks.Vectors`, or `blocks.Scores` of a function.
        relevant: sparse [U, V], or padded [U, R]; all items of a user are ranked together.
        k: places, from 1 to negatives + 1.
        negatives: drawn for each user, by `sample_negatives`.
        seen: items that are neither drawn nor candidates, as `relevant`.
        metrics: name to a function of hits; the result's names begin with "sampled".
        seed: of the draws and of the order among equal scores.

    Raises:
        ValueError: k is outside its range, too few items to draw from, a candidate's score is NaN
            or +inf, or the numbers of users differ.
    """
    users, items = scores.shape
    matrix = same_users(as_matrix(relevant, items), users, "relevant")
    if not 1 <= k <= negatives + 1:
        raise ValueError(f"k must be from 1 to the {negatives + 1} candidates; got {k}")
    drawn = sample_negatives(matrix, items, negatives, seed=seed, seen=seen)
    hidden = None if seen is None else as_matrix(seen, items)
    order = generator(seed, "ties").permutation(items)
    place = np.argsort(order)
    score = scores.scorer(order)
    top = np.empty((users, k), np.intp)
    for rows in blocks(users, items):
        mixed = np.where(_candidates(matrix[rows], drawn[rows], place), score(rows), -np.inf)
        if hidden is not None:
            exclude(mixed, rows, hidden, place)
        top[rows] = select(mixed, order, k, first_user=rows.start)
    found = hits_of(top, matrix)
    values = {f"sampled {name}": metric(found) for name, metric in metrics.items()}
    return SampledRanking(k, negatives, seed, values, count_unreachable(matrix, seen))


def _candidates(relevant: sparse.csr_array, drawn: np.ndarray, place: np.ndarray) -> np.ndarray:
    """True in the columns of the relevant and of the drawn items. [b, V]"""
    keep = np.zeros(relevant.shape, bool)
    users, items = relevant.nonzero()
    keep[users, place[items]] = True
    np.put_along_axis(keep, place[drawn], True, axis=1)
    return keep

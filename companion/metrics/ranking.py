"""How good a ranking is. Every function gives one value per user, so that intervals can follow.

Full ranking: each user's relevant items are searched among all items of the catalogue. A figure
from a sample of items is another quantity and must never stand beside these.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from companion.core.seeding import generator

NOTHING = -1


def top_k(scores: npt.ArrayLike, k: int, *, seed: int = 0) -> np.ndarray:
    """The k items with the highest scores, best first. Equal scores are ordered at random.

    The random order is one for all users of a call; another seed gives another.

    Args:
        scores: [B, V]. An item with score -inf is no candidate.
        k: places, from 1 to V.
        seed: of the order among equal scores. Keeping the input's order instead would rank first
            whatever stands first, and a constant scorer would look perfect.

    Returns:
        [B, k] item indices; `NOTHING` (-1) where a user has fewer than k candidates.

    Raises:
        ValueError: k is below 1 or above V, or a score is NaN or +inf (user and item are named).
    """
    scores = np.atleast_2d(np.asarray(scores))
    if scores.dtype.kind != "f":
        scores = scores.astype(float)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must be from 1 to the {scores.shape[1]} items; got {k}")
    wrong = np.isnan(scores) | np.isposinf(scores)
    if wrong.any():
        user, item = np.argwhere(wrong)[0]
        raise ValueError(f"user {user}, item {item}: the score is {scores[user, item]}")
    shuffle = generator(seed, "ties").permutation(scores.shape[1])  # [V]
    mixed = scores[:, shuffle]
    best = np.argpartition(-mixed, k - 1, axis=1)[:, :k] if k < mixed.shape[1] else None
    if best is None:
        best = np.broadcast_to(np.arange(k), mixed.shape).copy()
    best = np.sort(best, axis=1)  # the shuffled order decides between equals
    values = np.take_along_axis(mixed, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    top = shuffle[np.take_along_axis(best, order, axis=1)]
    return np.where(np.isneginf(np.take_along_axis(scores, top, axis=1)), NOTHING, top)


class Hits(NamedTuple):
    """Where a ranking is right.

    Attributes:
        at: [B, k] true where the item in that place is relevant.
        relevant: [B] number of relevant items of each user.
    """

    at: np.ndarray
    relevant: np.ndarray


def hits(top: npt.ArrayLike, relevant: npt.ArrayLike) -> Hits:
    """Compares rankings with what was relevant.

    Args:
        top: [B, k] items from `top_k`.
        relevant: [B, R] items, each once, padded with `NOTHING` (-1).

    Raises:
        ValueError: the two have different numbers of users, or a relevant item stands twice.
    """
    top, relevant = np.asarray(top), np.asarray(relevant)
    if len(top) != len(relevant):
        raise ValueError(f"{len(top)} rankings and {len(relevant)} users with relevant items")
    ordered = np.sort(relevant, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOTHING)
    if twice.any():
        raise ValueError(f"user {np.argwhere(twice)[0][0]} has a relevant item twice")
    at = (top[:, :, None] == relevant[:, None, :]).any(axis=2) & (top != NOTHING)
    return Hits(at, (relevant != NOTHING).sum(axis=1))


def _where_relevant(values: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """NaN for a user without relevant items: there was nothing to find."""
    return np.where(relevant > 0, values, np.nan)


def recall(found: Hits) -> np.ndarray:
    """Share of the relevant items that are among the k. [B]; NaN where nothing is relevant."""
    return _where_relevant(found.at.sum(axis=1) / np.maximum(found.relevant, 1), found.relevant)


def precision(found: Hits) -> np.ndarray:
    """Share of the k places that hold a relevant item, also when fewer than k were filled. [B]"""
    return _where_relevant(found.at.sum(axis=1) / found.at.shape[1], found.relevant)


def hit_rate(found: Hits) -> np.ndarray:
    """1 where at least one of the k is relevant. [B]"""
    return _where_relevant(found.at.any(axis=1).astype(float), found.relevant)


def ndcg(found: Hits) -> np.ndarray:
    """Normalised discounted cumulative gain with gain 1 for a relevant item. [B]

    The sum of 1 / log2(place + 1) over the hits, divided by the same for a perfect list of k.
    Järvelin and Kekäläinen (2002), ACM TOIS 20(4).
    """
    k = found.at.shape[1]
    discount = 1 / np.log2(np.arange(2, k + 2))  # [k]
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(found.relevant, k)]
    return _where_relevant((found.at @ discount) / np.maximum(ideal, 1e-12), found.relevant)


METRICS = {"recall": recall, "precision": precision, "hit rate": hit_rate, "NDCG": ndcg}

"""How good a ranking is. Every function gives one value per user, so that intervals can follow.

Full ranking: each user's relevant items are searched among all items of the catalogue. A figure
from a sample of items is another quantity and must never stand beside these: `metrics.sampled`.

What is defined, here and in every module that ranks (`blocks`, `sampled`, `groups`):

equal scores            in random order, one for all users, by a seed; also at the k-th place
no relevant item        NaN: the user is not counted
nothing was shown       0: the user is counted
fewer than k candidates empty places, which are misses; precision divides by k all the same
k above the catalogue   an error
a score NaN or +inf     an error that names user and item; -inf is no candidate
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from companion.core.seeding import generator
from companion.metrics.checks import NOTHING, refuse_twice
from companion.metrics.selection import select

__all__ = [
    "ALL_METRICS",
    "METRICS",
    "NOTHING",
    "Hits",
    "average_precision",
    "hit_rate",
    "hits",
    "ndcg",
    "precision",
    "recall",
    "reciprocal_rank",
    "top_k",
    "truncated_precision",
]
Denominator = Literal["min(R, k)", "R", "hits"]


def top_k(scores: npt.ArrayLike, k: int, *, seed: int = 0) -> np.ndarray:
    """The k items with the highest scores, best first. Equal scores are ordered at random.

    The random order is one for all users of a call, also among those that are equal to the k-th;
    another seed gives another.

    Args:
        scores: [B, V]. An item with score -inf is no candidate.
        k: places, from 1 to V. More places than items is an error, never a shorter list: with
            k = V every scorer has a recall of 1, which says nothing about it.
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
    shuffle = generator(seed, "ties").permutation(scores.shape[1])  # [V]
    return select(np.take(scores, shuffle, axis=1), shuffle, k)


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
        ValueError: the two have different numbers of users, or an item stands twice in a ranking
            or among a user's relevant items.
    """
    top, relevant = np.asarray(top), np.asarray(relevant)
    if len(top) != len(relevant):
        raise ValueError(f"{len(top)} rankings and {len(relevant)} users with relevant items")
    refuse_twice(relevant, "has a relevant item twice")
    refuse_twice(top, "is shown an item twice")
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


def truncated_precision(found: Hits) -> np.ndarray:
    """Hits divided by min(R, k): 1 where all that could be hit was hit. [B]

    It is not precision: with one relevant item, precision in ten places is at most 0.1. The
    library implicit calls this figure precision, and pools its two sums over users.
    """
    most = np.minimum(found.relevant, found.at.shape[1])
    return _where_relevant(found.at.sum(axis=1) / np.maximum(most, 1), found.relevant)


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


def average_precision(found: Hits, *, denominator: Denominator) -> np.ndarray:
    """Average precision in k places; its mean over users is MAP@k. [B]

    AP = sum over places j with a hit of precision in j places / denominator. Which denominator
    must be said, since the figures differ:

    "min(R, k)"  most hits that a list of k can have, so that a perfect list has 1. ml_metrics
                 (Kaggle), implicit, RecBole.
    "R"          all relevant items: with R > k even a perfect list is below 1. trec_eval
                 (`map_cut`); Buckley and Voorhees (2000), SIGIR.
    "hits"       hits in the list: an item that was missed costs nothing, so that a list with one
                 hit in the first place has 1 whatever else was relevant. torchmetrics.

    Args:
        found: hits of each user, R relevant items.
        denominator: one of the three.

    Raises:
        ValueError: another denominator.
    """
    if denominator not in get_args(Denominator):
        names = ", ".join(repr(name) for name in get_args(Denominator))
        raise ValueError(f"denominator must be one of {names}; got {denominator!r}")
    k = found.at.shape[1]
    total = found.at.sum(axis=1)
    precisions = np.cumsum(found.at, axis=1) / np.arange(1, k + 1)  # [B, k]
    below = {"min(R, k)": np.minimum(found.relevant, k), "R": found.relevant, "hits": total}
    summed = (precisions * found.at).sum(axis=1)
    return _where_relevant(summed / np.maximum(below[denominator], 1), found.relevant)


def reciprocal_rank(found: Hits) -> np.ndarray:
    """1 / place of the first hit; 0 where none of the k is one. Its mean over users is MRR@k. [B]

    Voorhees (1999), TREC-8 question answering track report.
    """
    first = 1 / (found.at.argmax(axis=1) + 1)
    return _where_relevant(np.where(found.at.any(axis=1), first, 0.0), found.relevant)


METRICS: dict[str, Callable[[Hits], np.ndarray]] = {
    "recall": recall,
    "precision": precision,
    "hit rate": hit_rate,
    "NDCG": ndcg,
}
ALL_METRICS: Mapping[str, Callable[[Hits], np.ndarray]] = {
    **METRICS,
    "MAP / min(R, k)": partial(average_precision, denominator="min(R, k)"),
    "MRR": reciprocal_rank,
}

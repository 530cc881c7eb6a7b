"""One interface for all recommenders that are fitted on `Interactions`: scores, and lists of k.

A recommender is fitted once. It then scores all items for any of its users, some at a time, so
that no table of all users and all items is ever in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.metrics import ranking
from companion.recommenders.sparse_rows import row_of_each

__all__ = [
    "ItemModel",
    "Recommender",
    "Rescaling",
    "checked_users",
    "hide",
    "in_blocks",
    "top_items",
]


class Recommender(Protocol):
    """What every fitted recommender can do."""

    @property
    def shape(self) -> tuple[int, int]:
        """(U, I)."""

    def scores(self, users: npt.ArrayLike, *, remove_seen: bool = False) -> np.ndarray:
        """How well each item suits each of B users. [B, I] float64; higher is better.

        Args:
            users: [B] in [0, U).
            remove_seen: -inf for what the user had in the log.

        Raises:
            ValueError: a user is outside the log.
        """


class Rescaling(NamedTuple):
    """What brings scores to the scale of the ratings.

    Attributes:
        unit: [U, I] affinity where every row of the log had weight 1.
        low: lowest affinity of a user and an item.
        high: highest.
    """

    unit: sparse.csr_array
    low: float
    high: float


@dataclass(frozen=True)
class ItemModel:
    """Scores by similar items: scores = affinity @ similarity.

    Attributes:
        affinity: [U, I] how much each user has of each item, sparse.
        similarity: [I, I] row i holds what an owned item i says of each other, sparse.
        seen: [U, I] sparse, stored where the user had the item.
        rescaling: None leaves the scores as they are.
    """

    affinity: sparse.csr_array
    similarity: sparse.csr_array
    seen: sparse.csr_array
    rescaling: Rescaling | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(U, I)."""
        users, items = self.affinity.shape
        return users, items

    def scores(self, users: npt.ArrayLike, *, remove_seen: bool = False) -> np.ndarray:
        """As in `Recommender`. A user without a log has 0 everywhere. [B, I]"""
        rows = checked_users(users, self.shape[0])
        found = self._times_similarity(self.affinity[rows])
        if self.rescaling is not None:
            found = self._rescaled(found, rows, self.rescaling)
        return hide(found, self.seen, rows) if remove_seen else found

    @cached_property
    def _factor(self) -> Any:
        """The similarity, whole where that takes no more memory: it multiplies faster. [I, I]"""
        stored, size = self.similarity.nnz, self.similarity.shape[0] ** 2
        return self.similarity.toarray() if 3 * stored > 2 * size else self.similarity

    def _times_similarity(self, owned: sparse.csr_array) -> np.ndarray:
        found = owned @ self._factor
        return found.toarray() if sparse.issparse(found) else found

    def _rescaled(self, scores: np.ndarray, rows: np.ndarray, scale: Rescaling) -> np.ndarray:
        """Each user's scores from the range that they could have to [low, high]. [B, I]"""
        possible = self._times_similarity(scale.unit[rows])
        least = possible.min(axis=1, keepdims=True) * scale.low  # [B, 1]
        span = possible.max(axis=1, keepdims=True) * scale.high - least
        share = (scores - least) / np.where(span > 0, span, 1.0)  # without a log: 0
        found: np.ndarray = scale.low + share * (scale.high - scale.low)
        return found


def checked_users(users: npt.ArrayLike, size: int) -> np.ndarray:
    """Codes of users as an array. [B] int64

    Raises:
        ValueError: one is no whole number in [0, size).
    """
    rows = np.asarray(users)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise ValueError(f"users must be whole numbers in one row; got {rows.dtype} {rows.shape}")
    wrong = (rows < 0) | (rows >= size)
    if wrong.any():
        raise ValueError(f"user {rows[wrong.argmax()]} is not in the log of {size} users")
    return rows.astype(np.int64)


def hide(scores: np.ndarray, seen: sparse.csr_array, rows: np.ndarray) -> np.ndarray:
    """-inf at what each user has seen, in place. [B, I]

    Args:
        scores: [B, I].
        seen: [U, I] sparse, stored where seen.
        rows: [B] users.
    """
    mine = seen[rows]
    scores[row_of_each(mine), mine.indices] = -np.inf
    return scores


def in_blocks(users: npt.ArrayLike, block: int) -> Iterator[np.ndarray]:
    """The users, some at a time. [<= block] each

    Raises:
        ValueError: block is below 1.
    """
    if block < 1:
        raise ValueError(f"block must be 1 or more; got {block}")
    rows = np.asarray(users)
    return (rows[first : first + block] for first in range(0, len(rows), block))


def top_items(
    model: Recommender,
    users: npt.ArrayLike,
    k: int,
    *,
    remove_seen: bool = False,
    never: Sequence[int] = (),
    block: int = 1_024,
    seed: int = 0,
) -> np.ndarray:
    """The k items with the highest scores for each user, best first. [N, k]; -1 where none is left.

    Args:
        model: fitted.
        users: [N] in [0, U).
        k: places.
        remove_seen: leaves out what the user had in the log.
        never: items that are no candidates, such as padding.
        block: users at a time; block times I scores are in memory.
        seed: of the order among equal scores.

    Raises:
        ValueError: block is below 1, or as in `Recommender.scores` and `ranking.top_k`.
    """
    parts = [np.zeros((0, k), np.int64)]
    for rows in in_blocks(users, block):
        scores = model.scores(rows, remove_seen=remove_seen)
        scores[:, list(never)] = -np.inf
        parts.append(ranking.top_k(scores, k, seed=seed))
    return np.concatenate(parts)

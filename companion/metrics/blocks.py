"""Ranking the whole catalogue for many users, block by block.

A table of scores of 100,000 users and 10,000 items has 4 GB. Here a block of users is scored and
ranked, and its memory serves the next. The items are brought into the random order of ties once,
before the product: nothing is copied to break ties.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from companion.core.seeding import generator
from companion.metrics.checks import check_k
from companion.metrics.ranking import METRICS, Hits
from companion.metrics.relevance import Relevant, as_matrix, hits_of
from companion.metrics.results import FullRanking
from companion.metrics.selection import select

BLOCK_SIZE = 2**21  # scores in a block: 8 MiB of float32


class Source(Protocol):
    """Anything that can score all items for a run of users."""

    @property
    def shape(self) -> tuple[int, int]:
        """(U, V)."""

    def scorer(self, order: np.ndarray) -> Callable[[slice], np.ndarray]:
        """A function from users to floats [b, V], columns in the given order.

        The caller may write into the result, and the next call may too.
        """


@dataclass(frozen=True, eq=False)
class Vectors:
    """Score = inner product of a user's and an item's vector, in float32.

    Attributes:
        users: [U, d].
        items: [V, d].

    Raises:
        ValueError: the two have not the same width.
    """

    users: np.ndarray
    items: np.ndarray

    def __post_init__(self) -> None:
        shapes = np.shape(self.users), np.shape(self.items)
        if [len(s) for s in shapes] != [2, 2] or shapes[0][1] != shapes[1][1]:
            raise ValueError(f"users must be [U, d] and items [V, d]; got {shapes[0]}, {shapes[1]}")

    @property
    def shape(self) -> tuple[int, int]:
        """(U, V)."""
        return len(self.users), len(self.items)

    def scorer(self, order: np.ndarray) -> Callable[[slice], np.ndarray]:
        """The product of a block, in memory that the next block uses again.

        Raises:
            ValueError: a number of a vector is not finite in float32; the vector is named.
        """
        items = _finite(self.items, "item")[order].T  # [d, V]
        kept = np.empty((0, len(order)), np.float32)

        def score(rows: slice) -> np.ndarray:
            nonlocal kept
            users = _finite(self.users[rows], "user", rows.start)
            if len(kept) < len(users):
                kept = np.empty((len(users), len(order)), np.float32)
            return np.matmul(users, items, out=kept[: len(users)])  # [b, V]

        return score


def _finite(vectors: np.ndarray, name: str, first: int = 0) -> np.ndarray:
    """The vectors in float32. An infinite one could give -inf: no candidate, and no error."""
    with np.errstate(over="ignore"):  # of a number too large for float32, which is named below
        found = np.asarray(vectors, np.float32)
    wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(wrong):
        raise ValueError(f"the vector of {name} {first + wrong[0]} is not finite in float32")
    return found


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores that a function gives for a run of users.

    Attributes:
        function: slice of the users to [b, V].
        users: U.
        items: V.
    """

    function: Callable[[slice], np.ndarray]
    users: int
    items: int

    @property
    def shape(self) -> tuple[int, int]:
        """(U, V)."""
        return self.users, self.items

    def scorer(self, order: np.ndarray) -> Callable[[slice], np.ndarray]:
        """The function, with its columns in the given order. ValueError: of the wrong shape."""

        def score(rows: slice) -> np.ndarray:
            block = np.asarray(self.function(rows))
            wanted = (rows.stop - rows.start, self.items)
            if block.shape != wanted:
                raise ValueError(f"the scores of a block must be {wanted}; got {block.shape}")
            block = block if block.dtype.kind == "f" else block.astype(float)
            return np.take(block, order, axis=1)

        return score


def exclude(block: np.ndarray, rows: slice, seen: sparse.csr_array, place: np.ndarray) -> None:
    """Writes -inf where a user has seen the item. `place`: [V] the column of each item."""
    part = seen.indptr[rows.start : rows.stop + 1]
    users = np.repeat(np.arange(len(part) - 1), np.diff(part))
    block[users, place[seen.indices[part[0] : part[-1]]]] = -np.inf


def blocks(users: int, items: int, block: int | None = None) -> Iterator[slice]:
    """Runs of users, all but the last of one length.

    Raises:
        ValueError: the length is below 1.
    """
    length = max(1, BLOCK_SIZE // max(items, 1)) if block is None else block
    if length < 1:
        raise ValueError(f"block must be 1 or more users; got {length}")
    for start in range(0, users, length):
        yield slice(start, min(start + length, users))


def top_k_in_blocks(
    scores: Source,
    k: int,
    *,
    seen: Relevant | None = None,
    block: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """`ranking.top_k` without the whole table of scores; ties fall as they do there.

    Args:
        scores: `Vectors`, or `Scores` of a function.
        k: places, from 1 to V.
        seen: items that are no candidates: sparse [U, V], or padded [U, R].
        block: users in a block; so many that a block has about two million scores, if None.
        seed: of the order among equal scores.

    Returns:
        [U, k] items, best first; `NOTHING` (-1) where a user has fewer than k candidates.

    Raises:
        ValueError: k is below 1 or above V, a candidate's score is NaN or +inf (user and item are
            named), or `seen` does not fit.
    """
    users, items = scores.shape
    check_k(k, items)
    hidden = None if seen is None else same_users(as_matrix(seen, items), users, "seen")
    order = generator(seed, "ties").permutation(items)  # [V]
    place = np.argsort(order)
    score = scores.scorer(order)
    top = np.empty((users, k), np.intp)
    for rows in blocks(users, items, block):
        mixed = score(rows)  # [b, V]
        if hidden is not None:
            exclude(mixed, rows, hidden, place)
        top[rows] = select(mixed, order, k, first_user=rows.start)
    return top


def same_users(matrix: sparse.csr_array, users: int, name: str) -> sparse.csr_array:
    """The matrix, if it has as many users as the scores. ValueError: it has not."""
    if matrix.shape[0] != users:
        raise ValueError(f"{name} has {matrix.shape[0]} users; the scores have {users}")
    return matrix


def count_unreachable(relevant: sparse.csr_array, seen: Relevant | None) -> int:
    """How many relevant items are excluded: they can never be found."""
    if seen is None:
        return 0
    return int(((relevant > 0) * (as_matrix(seen, relevant.shape[1]) > 0)).nnz)


def evaluate_in_blocks(
    scores: Source,
    relevant: Relevant,
    *,
    k: int,
    seen: Relevant | None = None,
    metrics: Mapping[str, Callable[[Hits], np.ndarray]] = METRICS,
    block: int | None = None,
    seed: int = 0,
) -> FullRanking:
    """Metrics of a full ranking, one value per user.

    An item that is both relevant and seen can never be found. It counts as missed, and the result
    says how many there are.

    Args:
        scores: `Vectors`, or `Scores` of a function.
        relevant: sparse [U, V], or padded [U, R]; any grade above 0 is relevant.
        k: places, from 1 to V.
        seen: items that are no candidates, as `relevant`.
        metrics: name to a function of hits; `ranking.ALL_METRICS` has more.
        block: users in a block.
        seed: of the order among equal scores.

    Raises:
        ValueError: as `top_k_in_blocks` and `as_matrix`, or the numbers of users differ.
    """
    users, items = scores.shape
    matrix = same_users(as_matrix(relevant, items), users, "relevant")
    top = top_k_in_blocks(scores, k, seen=seen, block=block, seed=seed)
    found = hits_of(top, matrix)
    values = {name: metric(found) for name, metric in metrics.items()}
    return FullRanking(k, items, values, count_unreachable(matrix, seen))

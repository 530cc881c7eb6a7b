"""What was relevant to whom, as a sparse matrix, and where rankings meet it.

A padded table of relevant items, as `ranking.hits` takes it, is as wide as the busiest user's
answer. A sparse matrix is not: it serves many users, and it holds grades where there are some.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.metrics.checks import NOTHING, refuse_outside, refuse_twice
from companion.metrics.ranking import Hits

Relevant: TypeAlias = npt.ArrayLike | sparse.csr_array


def as_matrix(relevant: Relevant, items: int) -> sparse.csr_array:
    """The grade of each user's relevant items. [U, V] sparse float64, columns in order

    Args:
        relevant: a sparse [U, V] matrix of grades above 0 (stored zeros are dropped), or padded
            [U, R] items, each once, with `NOTHING` (-1) in empty places: grade 1 each.
        items: V.

    Raises:
        ValueError: an item lies outside the catalogue or stands twice, a grade is negative or not
            finite (user and item are named), or the shape does not fit.
    """
    if sparse.issparse(relevant):
        return _checked(sparse.csr_array(relevant, dtype=float, copy=True), items)
    table: np.ndarray = np.asarray(relevant)
    if table.ndim != 2:
        raise ValueError(f"relevant items must be [U, R]; got the shape {table.shape}")
    refuse_outside(table, items)
    refuse_twice(table, "has a relevant item twice")
    rows, places = np.nonzero(table != NOTHING)
    ones = np.ones(len(rows))
    found = sparse.csr_array((ones, (rows, table[rows, places])), shape=(len(table), items))
    found.sort_indices()
    return found


def _checked(matrix: sparse.csr_array, items: int) -> sparse.csr_array:
    """The matrix if its width and its grades are right, with equal places added up."""
    if matrix.shape[1] != items:
        raise ValueError(f"relevant has {matrix.shape[1]} columns; the catalogue has {items} items")
    matrix.sum_duplicates()
    wrong = np.flatnonzero(~(np.isfinite(matrix.data) & (matrix.data >= 0)))
    if len(wrong):
        user = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1
        raise ValueError(
            f"user {user}, item {matrix.indices[wrong[0]]}: "
            f"a grade must be 0 or more; got {matrix.data[wrong[0]]}"
        )
    matrix.eliminate_zeros()
    return matrix


def grades_at(top: npt.ArrayLike, relevant: sparse.csr_array) -> np.ndarray:
    """The grade of the item in each place; 0 where it is not relevant or the place is empty. [B, k]

    Args:
        top: [B, k] items; `NOTHING` (-1) in an empty place.
        relevant: [B, V] of `as_matrix`.

    Raises:
        ValueError: the two have different numbers of users, an item of a ranking is outside the
            catalogue, or it stands there twice.
    """
    top = np.asarray(top)
    users, items = relevant.shape
    if len(top) != users:
        raise ValueError(f"{len(top)} rankings and {users} users with relevant items")
    refuse_outside(top, items)
    refuse_twice(top, "is shown an item twice")
    if not relevant.nnz:
        return np.zeros(top.shape)
    rows = np.repeat(np.arange(users), np.diff(relevant.indptr))
    known = rows * items + relevant.indices  # in order: one number for a user and an item
    asked = np.arange(users)[:, None] * items + top
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where((known[place] == asked) & (top != NOTHING), relevant.data[place], 0.0)


def hits_of(top: npt.ArrayLike, relevant: sparse.csr_array) -> Hits:
    """As `ranking.hits`, with a sparse matrix: every grade above 0 is relevant.

    Raises:
        ValueError: as `grades_at`.
    """
    return Hits(grades_at(top, relevant) > 0, np.diff(relevant.indptr))


class Graded(NamedTuple):
    """What a ranking gained and what the best would.

    Attributes:
        at: [B, k] the grade of the item in each place, 0 where it is not relevant.
        ideal: [B, k] the user's highest grades, best first, 0 where there are no more.
    """

    at: np.ndarray
    ideal: np.ndarray


def graded_hits(top: npt.ArrayLike, relevant: sparse.csr_array) -> Graded:
    """Compares rankings with what was relevant, and how much.

    Raises:
        ValueError: as `grades_at`.
    """
    at = grades_at(top, relevant)
    rows = np.repeat(np.arange(len(at)), np.diff(relevant.indptr))
    order = np.lexsort((-relevant.data, rows))  # each user's grades, best first
    place = np.arange(relevant.nnz) - relevant.indptr[rows]
    inside = place < at.shape[1]
    ideal = np.zeros(at.shape)
    ideal[rows[inside], place[inside]] = relevant.data[order][inside]
    return Graded(at, ideal)

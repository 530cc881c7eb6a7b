"""Candidates that came as rows, a few for each session, as a table that the metrics take."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse


class Candidates(NamedTuple):
    """Sessions with their own candidates; an item is a place in the session's list.

    Attributes:
        ids: [B] the sessions, in order.
        scores: [B, L] in the rows' order, -inf where a session has no more candidates.
        relevant: [B, L] sparse grades.
    """

    ids: np.ndarray
    scores: np.ndarray
    relevant: sparse.csr_array


def from_rows(
    sessions: npt.ArrayLike, scores: npt.ArrayLike, grades: npt.ArrayLike, *, k: int
) -> Candidates:
    """Rows of candidates, side by side; wide enough for k places.

    With L >= k, `ranking.top_k` defines what fewer candidates than places mean: the rest of the
    list is empty. A session with one candidate has an NDCG of 1 if it is relevant, else NaN.

    Args:
        sessions: [N] ids; rows of a session need not stand together.
        scores: [N].
        grades: [N] 0 where the candidate is not relevant.
        k: places.

    Raises:
        ValueError: the three differ in length, k is below 1, a score is NaN or infinite, or a grade
            is negative or not finite (row and session are named).
    """
    names, values = np.asarray(sessions), np.asarray(scores, dtype=float)
    gains = np.asarray(grades, dtype=float)
    if not (names.ndim == 1 and names.shape == values.shape == gains.shape):
        raise ValueError(
            f"sessions, scores and grades must be [N]; "
            f"got {names.shape}, {values.shape} and {gains.shape}"
        )
    if k < 1:
        raise ValueError(f"k must be 1 or more; got {k}")
    for what, column, right in (
        ("score", values, np.isfinite(values)),
        ("grade", gains, np.isfinite(gains) & (gains >= 0)),
    ):
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            raise ValueError(f"row {row}, session {names[row]}: the {what} is {column[row]}")
    ids, group, sizes = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    rows = group[order]
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    table = np.full((len(ids), max(k, int(sizes.max(initial=0)))), -np.inf)
    table[rows, place] = values[order]
    relevant = sparse.csr_array((gains[order], (rows, place)), shape=table.shape)
    relevant.eliminate_zeros()
    return Candidates(ids, table, relevant)

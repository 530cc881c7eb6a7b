"""Rows of a sparse matrix: some of what they store, such as the few largest values."""

import numpy as np
from scipy import sparse


def largest_per_row(matrix: sparse.csr_array, k: int) -> sparse.csr_array:
    """The same matrix with only the k largest stored values of each row. [M, N] -> [M, N]

    Of equal values, the one that stands further left is kept.

    Args:
        matrix: [M, N]; what is not stored is never kept, also where all that is stored is below 0.
        k: 1 or more.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more; got {k}")
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    ends, keep = matrix.indptr, np.ones(matrix.nnz, bool)
    for row in np.flatnonzero(np.diff(ends) > k):
        here = slice(ends[row], ends[row + 1])
        keep[here] = _largest(matrix.data[here], k)
    return only(matrix, keep)


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """True at the k largest of more than k values; of equals, at the first. [n]"""
    least = np.partition(values, -k)[-k]
    kept: np.ndarray = values > least
    kept[np.flatnonzero(values == least)[: k - np.count_nonzero(kept)]] = True
    return kept


def row_of_each(matrix: sparse.csr_array) -> np.ndarray:
    """The row of each stored value, in the order of `matrix.data`. [nnz]"""
    rows: np.ndarray = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return rows


def only(matrix: sparse.csr_array, keep: np.ndarray) -> sparse.csr_array:
    """The same matrix with some of its stored values. [M, N] -> [M, N]

    Args:
        matrix: [M, N].
        keep: [nnz] bool, in the order of `matrix.data`.
    """
    if keep.all():
        return matrix.copy()
    ends = np.append(0, np.cumsum(keep))[matrix.indptr]
    return sparse.csr_array((matrix.data[keep], matrix.indices[keep], ends), shape=matrix.shape)

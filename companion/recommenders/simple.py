"""Recommenders that learn by counting. They are strong, and every model must stand beside them."""

import numpy as np
from scipy import sparse


def popularity(items: np.ndarray, size: int) -> np.ndarray:
    """How often each item was bought. [V] float32

    Args:
        items: [N] item indices of the training part, in [0, size).
        size: V.

    Raises:
        ValueError: an index is outside the catalogue.
    """
    items = np.asarray(items)
    if items.size and (items.min() < 0 or items.max() >= size):
        raise ValueError(f"indices must lie in [0, {size - 1}]; got {items.min()} to {items.max()}")
    return np.bincount(items, minlength=size).astype(np.float32)


def own_counts(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """How often each user bought each item. [U, V] sparse

    Args:
        users: [N] rows.
        items: [N] item indices.
        shape: (U, V).
    """
    ones = np.ones(len(users), np.float32)
    return sparse.csr_array((ones, (users, items)), shape=shape)  # equal places are added up


def own_frequency(counts: sparse.csr_array, popular: np.ndarray) -> np.ndarray:
    """Each user's own counts; popularity decides between equals and fills the rest. [U, V] float32

    A user without a history gets the popular items: the policy for the cold start.

    Args:
        counts: [U, V] from `own_counts`.
        popular: [V] from `popularity`.
    """
    top = float(popular.max()) if popular.size else 0.0
    share = np.minimum(popular / (top + 1), 0.999)  # below 1 after rounding too: never overrules
    return counts.toarray() + share[None, :].astype(np.float32)


def blend(scores: np.ndarray, counts: sparse.csr_array, weight: float) -> np.ndarray:
    """A model's scores and the user's own habits: scores + weight * log(1 + counts). [U, V]

    Args:
        scores: [U, V] logits of a model.
        counts: [U, V] from `own_counts`.
        weight: 0 is the model alone; as it grows, habits decide.
    """
    habits = counts.copy()
    habits.data = np.log1p(habits.data)
    return scores + np.float32(weight) * habits.toarray()

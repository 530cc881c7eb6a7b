"""Popularity and own frequency behind the interface of `scoring`, so that they stand in one table.

The counting itself is in `companion.recommenders.simple`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.recommenders import simple
from companion.recommenders.interactions import Interactions
from companion.recommenders.scoring import checked_users, hide


@dataclass(frozen=True)
class CountingModel:
    """Scores by how often items were had.

    Attributes:
        counts: [U, I] sparse, weights of each user and item added up.
        popular: [I] float32.
        own: whether the user's own counts come before popularity.
    """

    counts: sparse.csr_array
    popular: np.ndarray
    own: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(U, I)."""
        users, items = self.counts.shape
        return users, items

    def scores(self, users: npt.ArrayLike, *, remove_seen: bool = False) -> np.ndarray:
        """As in `Recommender`. [B, I]"""
        rows = checked_users(users, self.shape[0])
        if self.own:
            found = simple.own_frequency(self.counts[rows], self.popular).astype(np.float64)
        else:
            found = np.tile(self.popular.astype(np.float64), (len(rows), 1))
        return hide(found, self.counts, rows) if remove_seen else found


def fit_popularity(log: Interactions) -> CountingModel:
    """The same list for everybody: items by how many rows of the log they have."""
    return CountingModel(log.matrix(), simple.popularity(log.items, log.shape[1]), own=False)


def fit_own_frequency(log: Interactions) -> CountingModel:
    """Each user's own items by the sum of their weights; popularity decides the rest.

    With weights that are whole numbers, popularity never overrules a difference.
    """
    return CountingModel(log.matrix(), simple.popularity(log.items, log.shape[1]), own=True)

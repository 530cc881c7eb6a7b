"""SAR, the Simple Algorithm for Recommendation: what a user has, times what is alike.

    scores = A S
    A[u, i] = sum over the rows of u and i of  weight * (1/2)^((now - t) / half-life)

C[i, j] is in how many users' logs both i and j stand, and n_i = C[i, i]. S is one of

    co-occurrence    C[i, j]
    jaccard          C[i, j] / (n_i + n_j - C[i, j])
    lift             C[i, j] / (n_i n_j)
    cosine           C[i, j] / sqrt(n_i n_j)
    inclusion        C[i, j] / min(n_i, n_j)

Counts favour what is popular, lift favours what is rare, Jaccard stands between. An item is alike
to itself: without `remove_seen`, SAR also recommends what the user has.

Source: Graham, Min and Wu (2019), "Microsoft recommenders: tools to accelerate developing
recommender systems", RecSys, doi:10.1145/3298689.3346967, and the description in its repository.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from companion.recommenders.interactions import Interactions
from companion.recommenders.scoring import ItemModel, Rescaling
from companion.recommenders.sparse_rows import only, row_of_each

Formula = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SIMILARITIES: dict[str, Formula] = {  # of C[i, j], n_i and n_j
    "co-occurrence": lambda both, one, other: both,
    "jaccard": lambda both, one, other: both / (one + other - both),
    "lift": lambda both, one, other: both / (one * other),
    "cosine": lambda both, one, other: both / np.sqrt(one * other),
    "inclusion": lambda both, one, other: both / np.minimum(one, other),
}
DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class SarConfig:
    """Settings of SAR.

    Attributes:
        similarity: a name of `SIMILARITIES`.
        half_life: days until a row counts half; None: age does not matter.
        now: the moment from which age is counted, in the log's seconds; None: its latest row. What
            is later counts whole.
        threshold: pairs of items that fewer users share are not alike at all.
        rescale: brings each user's scores to the scale of the weights. The order stays.
    """

    similarity: str = "jaccard"
    half_life: float | None = 30.0
    now: float | None = None
    threshold: int = 1
    rescale: bool = False

    def __post_init__(self) -> None:
        if self.similarity not in SIMILARITIES:
            known = ", ".join(SIMILARITIES)
            raise ValueError(f"similarity must be one of {known}; got {self.similarity!r}")
        if self.half_life is not None and not 0 < self.half_life < np.inf:
            raise ValueError(f"half_life must be above 0 and finite; got {self.half_life}")
        if self.threshold < 1:
            raise ValueError(f"threshold must be 1 or more; got {self.threshold}")


def fit_sar(log: Interactions, config: SarConfig | None = None) -> ItemModel:
    """Counts affinities and similarities. Nothing else is learned.

    Args:
        log: weights are ratings, or what each kind of event is worth.
        config: None for the defaults.

    Raises:
        ValueError: scores are to be rescaled, and all affinities are the same: there is no scale.
    """
    config = config or SarConfig()
    decay, seen = decay_of(log, config), log.seen()
    affinity = log.matrix(log.weight * decay)
    similarity = similarity_of(cooccurrence(seen), config)
    rescaling = None
    if config.rescale:
        low, high = float(affinity.data.min()), float(affinity.data.max())
        if low == high:
            raise ValueError(f"there is no scale to bring scores to: all affinities are {low}")
        rescaling = Rescaling(log.matrix(decay), low, high)
    return ItemModel(affinity, similarity, seen, rescaling)


def decay_of(log: Interactions, config: SarConfig) -> np.ndarray:
    """What is left of each row's weight at its age: (1/2)^(age / half-life), at most 1. [N]"""
    if config.half_life is None:
        return np.ones(len(log.seconds))
    now = log.seconds.max() if config.now is None else config.now
    age = np.maximum(now - log.seconds, 0.0)
    left: np.ndarray = np.exp2(-age / (config.half_life * DAY))
    return left


def cooccurrence(seen: sparse.csr_array) -> sparse.csr_array:
    """C: how many users have both of two items; on the diagonal, how many have the one. [I, I]

    Args:
        seen: [U, I] sparse, 1 where a user had an item.
    """
    return sparse.csr_array(seen.T @ seen)


def similarity_of(counts: sparse.csr_array, config: SarConfig) -> sparse.csr_array:
    """S, by the formula that the settings name. [I, I] sparse; pairs below the threshold are out.

    Args:
        counts: [I, I] from `cooccurrence`.
        config: `similarity` and `threshold` are used.
    """
    own, kept = counts.diagonal(), only(counts, counts.data >= config.threshold)
    formula = SIMILARITIES[config.similarity]
    kept.data = formula(kept.data, own[row_of_each(kept)], own[kept.indices])
    return kept

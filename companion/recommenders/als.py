"""Matrix factorisation of implicit feedback by alternating least squares.

    minimise  sum over all u, i of  c_ui (p_ui - x_u . y_i)^2  +  l (sum |x_u|^2 + sum |y_i|^2)
    p_ui = 1 where u had i, or 0;   c_ui = 1 + a r_ui, where r_ui adds up the weights

With the items' factors fixed, each user's factors are a least-squares solution, and the other way
round: x_u = (Y^T C_u Y + l I)^-1 Y^T C_u p_u. Every step is exact, so the loss never rises.

Source: Hu, Koren and Volinsky (2008), "Collaborative filtering for implicit feedback datasets",
ICDM. The computing is left to the library `implicit`.
"""

from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.core.seeding import generator
from companion.recommenders.interactions import Interactions
from companion.recommenders.scoring import checked_users, hide


@dataclass(frozen=True)
class AlsConfig:
    """Settings of ALS.

    Attributes:
        factors: length of x and y.
        alpha: a, how much more a row of weight 1 counts than nothing at all.
        penalty: l.
        rounds: of users, then items.
    """

    factors: int = 64
    alpha: float = 1.0
    penalty: float = 10.0
    rounds: int = 15

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < np.inf:
                raise ValueError(f"{field.name} must be above 0 and finite; got {value}")


@dataclass(frozen=True)
class FactorModel:
    """Scores by inner products: scores = x y^T.

    Attributes:
        users: [U, D] float32 x; 0 for a user without a log.
        items: [I, D] float32 y; 0 for an item that nobody had.
        seen: [U, I] sparse, stored where a user had an item.
    """

    users: np.ndarray
    items: np.ndarray
    seen: sparse.csr_array

    @property
    def shape(self) -> tuple[int, int]:
        """(U, I)."""
        return len(self.users), len(self.items)

    def scores(self, users: npt.ArrayLike, *, remove_seen: bool = False) -> np.ndarray:
        """As in `Recommender`. A user without a log has 0 everywhere. [B, I]"""
        rows = checked_users(users, self.shape[0])
        found = (self.users[rows] @ self.items.T).astype(np.float64)
        return hide(found, self.seen, rows) if remove_seen else found


def fit_als(
    log: Interactions, config: AlsConfig | None = None, *, seed: int, threads: int = 1
) -> FactorModel:
    """Factors of all users and items.

    Args:
        log: times do not matter.
        config: None for the defaults.
        seed: of the factors at the start, which are small and random.
        threads: of the processor; 0 for all. Their number does not change the result.

    Raises:
        ImportError: implicit is not installed.
        ValueError: threads is below 0.
    """
    config = config or AlsConfig()
    if threads < 0:
        raise ValueError(f"threads must be 0 or more; got {threads}")
    confidence = log.matrix()
    confidence.data = 1 + config.alpha * confidence.data
    library, limits = _library("implicit.cpu.als"), _library("threadpoolctl")
    with limits.threadpool_limits(1, "blas"):  # many threads of BLAS inside many threads are slow
        model = library.AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.penalty,
            alpha=1.0,  # it is in the confidence already
            iterations=config.rounds,
            use_cg=False,
            num_threads=threads,
            random_state=generator(seed, "als"),
        )
        model.fit(sparse.csr_matrix(confidence, dtype=np.float32), show_progress=False)
    return FactorModel(model.user_factors, model.item_factors, log.seen())


def _library(name: str) -> Any:
    """A module of implicit, or one that it needs."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError("implicit is not installed: pip install 'implicit>=0.7.2'") from error

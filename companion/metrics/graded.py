"""NDCG where some items are more relevant than others. Its gain must be named: there are two."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from companion.metrics.relevance import Graded


def linear_gain(grades: npt.ArrayLike) -> np.ndarray:
    """The grade itself: Järvelin and Kekäläinen (2002), ACM TOIS 20(4); scikit-learn, trec_eval."""
    return np.asarray(grades, float)


def exponential_gain(grades: npt.ArrayLike) -> np.ndarray:
    """2^grade - 1: Burges et al. (2005), ICML; LightGBM, XGBoost. High grades weigh far more.

    Raises:
        ValueError: a grade of 1,024 or more, whose gain is no finite number.
    """
    grades = np.asarray(grades, float)
    if (grades >= 1_024).any():
        raise ValueError(f"2^grade - 1 needs grades below 1,024; got {grades.max():g}")
    return np.exp2(grades) - 1


def graded_ndcg(found: Graded, *, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Normalised discounted cumulative gain. [B]; NaN for a user without relevant items.

    NDCG = sum over places j of gain(grade_j) / log2(j + 1), divided by the same sum for the user's
    k best items in order. Both sums end at k: Järvelin and Kekäläinen (2002). With grades of 0 and
    1 the two gains agree, and are `ranking.ndcg`.

    Args:
        found: of `relevance.graded_hits`.
        gain: `linear_gain` or `exponential_gain`.
    """
    discount = 1 / np.log2(np.arange(2, found.at.shape[1] + 2))  # [k]
    best = gain(found.ideal) @ discount
    return np.divide(
        gain(found.at) @ discount, best, out=np.full(len(best), np.nan), where=best > 0
    )

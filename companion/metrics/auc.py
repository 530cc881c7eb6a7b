"""The area under the ROC curve: how often a relevant item has a higher score than another.

AUC = P(score of a relevant item > score of another) + P(equal) / 2: a tie counts half, so that a
constant scorer has 0.5. It is computed from ranks: Mann and Whitney (1947), Annals of Mathematical
Statistics 18(1); Hanley and McNeil (1982), Radiology 143(1).
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score

from companion.metrics.checks import refuse_scores
from companion.metrics.clicks import checked_clicks, checked_users
from companion.metrics.relevance import Relevant, as_matrix


def auc(scores: npt.ArrayLike, relevant: Relevant) -> np.ndarray:
    """AUC of each user's ranking of the catalogue. [B]

    NaN for a user without relevant items, or without a candidate that is not relevant. A relevant
    item that is no candidate counts as below all others: it was not found.

    Args:
        scores: [B, V]. An item with score -inf is no candidate.
        relevant: sparse [B, V], or padded [B, R].

    Raises:
        ValueError: a score is NaN or +inf (user and item are named), or the two do not fit.
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    matrix = as_matrix(relevant, scores.shape[1])
    if matrix.shape != scores.shape:
        raise ValueError(f"{len(scores)} rankings and {matrix.shape[0]} users with relevant items")
    refuse_scores(scores)
    candidate, wanted = ~np.isneginf(scores), matrix.toarray() > 0
    there = candidate & wanted
    number = there.sum(axis=1)
    ranks = stats.rankdata(scores, axis=1) - (~candidate).sum(axis=1, keepdims=True)
    wins = (ranks * there).sum(axis=1) - number * (number + 1) / 2
    pairs = wanted.sum(axis=1) * (candidate & ~wanted).sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(scores), np.nan), where=pairs > 0)


def click_auc(clicks: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """AUC over all impressions together, by scikit-learn.

    It also rewards telling users apart who click much from those who click little, which no ranking
    for one user needs: see `click_auc_by_user`.

    Args:
        clicks: [N] 0 or 1.
        scores: [N] any numbers, higher where a click is likelier.

    Raises:
        ValueError: the two do not fit, a value is wrong (its row is named), or there are only
            clicks, or none.
    """
    clicks, scores = checked_clicks(clicks, scores, probabilities=False)
    if clicks.min() == clicks.max():
        what = "a click" if clicks[0] else "no click"
        raise ValueError(f"AUC needs clicks and others; every impression has {what}")
    return float(roc_auc_score(clicks, scores))


def click_auc_by_user(
    clicks: npt.ArrayLike, scores: npt.ArrayLike, users: npt.ArrayLike
) -> pd.Series:
    """AUC within each user's impressions; its index has the users, in order.

    NaN for a user with only clicks, or none. Zhu et al. (2017), "Optimized cost per click in Taobao
    display advertising", KDD, average it over users by impressions and call it GAUC.

    Args:
        clicks: [N] 0 or 1.
        scores: [N] any numbers.
        users: [N] ids.

    Raises:
        ValueError: as `checked_clicks` and `checked_users`.
    """
    clicks, scores = checked_clicks(clicks, scores, probabilities=False)
    ids = checked_users(users, len(clicks))
    rows = pd.DataFrame({"click": clicks, "rank": pd.Series(scores).groupby(ids).rank()})
    rows["of a click"] = rows["click"] * rows["rank"]
    totals = rows.groupby(ids).agg(
        clicks=("click", "sum"), count=("click", "size"), ranks=("of a click", "sum")
    )
    wins = totals["ranks"] - totals["clicks"] * (totals["clicks"] + 1) / 2
    pairs = totals["clicks"] * (totals["count"] - totals["clicks"])
    return (wins / pairs.where(pairs > 0)).rename("AUC")

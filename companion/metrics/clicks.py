"""How good probabilities of a click are: log-loss and calibration, from impressions.

A ranking needs the order alone. A bid, a slate's value or a reward needs the probability itself,
and a model can have a perfect order and probabilities ten times too high.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics

Bins = Literal["equal width", "equal count"]
LEAST = float(np.finfo(float).eps)  # a probability is kept this far from 0 and 1, as scikit-learn


def checked_clicks(
    clicks: npt.ArrayLike, predicted: npt.ArrayLike, *, probabilities: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Both as floats, [N] each, if they are right.

    Args:
        clicks: [N] 0 or 1.
        predicted: [N] probabilities or, if `probabilities` is false, any finite numbers.
        probabilities: whether they must lie in [0, 1].

    Raises:
        ValueError: the shapes differ, there is no row, or a value is wrong (its row is named).
    """
    seen, given = np.asarray(clicks, dtype=float), np.asarray(predicted, dtype=float)
    if seen.ndim != 1 or seen.shape != given.shape:
        raise ValueError(f"clicks and predictions must be [N]; got {seen.shape} and {given.shape}")
    if not len(seen):
        raise ValueError("there is no impression")
    wrong = np.flatnonzero((seen != 0) & (seen != 1))
    if len(wrong):
        raise ValueError(f"row {wrong[0]}: a click is 0 or 1; got {seen[wrong[0]]}")
    right = (given >= 0) & (given <= 1) if probabilities else np.isfinite(given)
    wrong = np.flatnonzero(~right)
    if len(wrong):
        what = "a probability lies in [0, 1]" if probabilities else "a score must be finite"
        raise ValueError(f"row {wrong[0]}: {what}; got {given[wrong[0]]}")
    return seen, given


def checked_users(users: npt.ArrayLike, count: int) -> np.ndarray:
    """The users of as many rows, if each row has one. [N]

    Raises:
        ValueError: the number differs, or a user is missing (the row is named).
    """
    ids = np.asarray(users)
    if ids.shape != (count,):
        raise ValueError(f"{count} rows need as many users; got the shape {ids.shape}")
    missing = np.flatnonzero(pd.isna(ids))
    if len(missing):
        raise ValueError(f"row {missing[0]} has no user")
    return ids


def log_losses(clicks: npt.ArrayLike, probabilities: npt.ArrayLike) -> np.ndarray:
    """-log of the probability of what happened, in nats, for each impression. [N]

    A probability of 0 or 1 is moved by 2.2e-16, as scikit-learn does it: being wrong and sure
    costs 36.04, not infinity.

    Args:
        clicks: [N] 0 or 1.
        probabilities: [N] of a click.

    Raises:
        ValueError: as `checked_clicks`.
    """
    seen, given = checked_clicks(clicks, probabilities)
    given = np.clip(given, LEAST, 1 - LEAST)
    return -np.log(np.where(seen == 1, given, 1 - given))


def log_loss(clicks: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean of `log_losses`, by scikit-learn; defined too where all impressions are alike.

    Raises:
        ValueError: as `checked_clicks`.
    """
    seen, given = checked_clicks(clicks, probabilities)
    return float(metrics.log_loss(seen, given, labels=[0.0, 1.0]))


def mean_by_user(values: npt.ArrayLike, users: npt.ArrayLike) -> pd.Series:
    """Mean of each user's values: what an interval over users needs. Index: the users, in order.

    Args:
        values: [N] of impressions, such as `log_losses`.
        users: [N] ids.

    Raises:
        ValueError: as `checked_users`.
    """
    array = np.asarray(values, dtype=float)
    return pd.Series(array).groupby(checked_users(users, len(array))).mean()


def reliability(
    clicks: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    bins: Bins = "equal width",
    count: int = 10,
) -> pd.DataFrame:
    """Predicted probability beside the share of clicks, bin by bin.

    A bin has the probabilities above its lower and up to its upper edge; the first has 0 too.
    Bins of "equal width" cut [0, 1]; click probabilities are small, so nearly all may lie in the
    first. Bins of "equal count" cut at quantiles of the probabilities; edges that fall together
    are one, so that there may be fewer bins.

    Args:
        clicks: [N] 0 or 1.
        probabilities: [N] of a click.
        bins: "equal width" or "equal count".
        count: number of bins.

    Returns:
        A row for each bin that is not empty: `low`, `high`, `impressions`, `predicted` (mean
        probability), `clicked` (share of clicks).

    Raises:
        ValueError: as `checked_clicks`, other bins, or fewer than one.
    """
    seen, given = checked_clicks(clicks, probabilities)
    if bins not in get_args(Bins):
        raise ValueError(f"bins must be 'equal width' or 'equal count'; got {bins!r}")
    if count < 1:
        raise ValueError(f"count must be 1 or more bins; got {count}")
    edges = np.linspace(0, 1, count + 1)
    if bins == "equal count":
        edges = np.unique(np.quantile(given, edges))
    place = np.searchsorted(edges[1:-1], given, side="left")  # [N]
    size = max(len(edges) - 1, 1)
    number = np.bincount(place, minlength=size)
    rows = {
        "low": edges[:size],
        "high": edges[-size:],
        "impressions": number,
        "predicted": np.bincount(place, given, size) / np.maximum(number, 1),
        "clicked": np.bincount(place, seen, size) / np.maximum(number, 1),
    }
    return pd.DataFrame(rows)[number > 0].reset_index(drop=True)


def calibration_error(
    clicks: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    bins: Bins = "equal width",
    count: int = 10,
) -> float:
    """Expected calibration error: the mean gap between predicted and clicked, over impressions.

    ECE = sum over bins of n_b / N |predicted_b - clicked_b|. Naeini et al. (2015), AAAI; Guo et al.
    (2017), ICML. It depends on the bins, so these must be told with it; a model that predicts the
    overall click rate for everyone has 0, so it must never stand without a log-loss or an AUC.

    Args:
        clicks: [N] 0 or 1.
        probabilities: [N] of a click.
        bins: "equal width" or "equal count", as in `reliability`.
        count: number of bins.

    Raises:
        ValueError: as `reliability`.
    """
    table = reliability(clicks, probabilities, bins=bins, count=count)
    gaps = (table["predicted"] - table["clicked"]).abs()
    return float(np.average(gaps, weights=table["impressions"]))

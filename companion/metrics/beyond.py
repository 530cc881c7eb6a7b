"""What a list of items is worth beside being right: variety, novelty, reach of the catalogue.

None of these asks what was relevant, so every user is counted. A list of random items is first in
all of them: they stand beside a measure of accuracy, never alone.
"""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.metrics.checks import NOTHING, refuse_outside


def _shown(top: npt.ArrayLike, items: int) -> np.ndarray:
    """The lists, if each item is of the catalogue. [B, k]"""
    table = np.atleast_2d(np.asarray(top))
    refuse_outside(table, items)
    return table


def diversity(top: npt.ArrayLike, vectors: npt.ArrayLike) -> np.ndarray:
    """Intra-list diversity: mean cosine distance of two items of the list. [B], in [0, 2]

    ILD = 1 - mean over pairs i < j of cos(v_i, v_j). Smyth and McClave (2001), ICCBR; Ziegler et
    al. (2005), WWW. With unit vectors and n items the mean is (|sum v|^2 - n) / (n (n - 1)): no
    pair need be formed.

    Args:
        top: [B, k] items; `NOTHING` (-1) in an empty place.
        vectors: [V, d], what items are like: of their features, not of the model that ranked them.

    Returns:
        NaN for a user who was shown fewer than two items.

    Raises:
        ValueError: an item outside the catalogue, or a shown item whose vector is zero or not
            finite (the item is named).
    """
    table = np.asarray(vectors, dtype=float)
    top = _shown(top, len(table))
    lengths = np.linalg.norm(table, axis=1)
    shown = np.unique(top[top != NOTHING])
    wrong = shown[~(np.isfinite(lengths[shown]) & (lengths[shown] > 0))]
    if len(wrong):
        raise ValueError(f"item {wrong[0]} has no direction: its length is {lengths[wrong[0]]}")
    units = np.zeros_like(table)
    units[shown] = table[shown] / lengths[shown, None]
    rows, places = np.nonzero(top != NOTHING)
    ones = np.ones(len(rows))
    lists = sparse.csr_array((ones, (rows, top[rows, places])), shape=(len(top), len(table)))
    sums = lists @ units  # [B, d]
    number = (top != NOTHING).sum(axis=1)
    pairs = number * (number - 1)
    alike = np.full(len(top), np.nan)
    np.divide((sums**2).sum(axis=1) - number, pairs, out=alike, where=pairs > 0)
    return np.clip(1 - alike, 0, 2)  # rounding alone leads outside


def novelty(top: npt.ArrayLike, holders: npt.ArrayLike, users: int) -> np.ndarray:
    """Mean self-information of the shown items, in bits. [B]; NaN where nothing was shown.

    -log2 p_i, with p_i = holders_i / users, the share of training users who have the item: 0 for an
    item that everyone has. An item that nobody has counts as one that a single user has, which is
    the most that the log can tell. Zhou et al. (2010), PNAS 107(10); Vargas and Castells (2011),
    RecSys.

    Args:
        top: [B, k] items; `NOTHING` (-1) in an empty place.
        holders: [V] users who have each item: each user counts once.
        users: of the training part.

    Raises:
        ValueError: an item outside the catalogue, no users, or a count below 0 or above them.
    """
    counts = np.asarray(holders, dtype=float)
    top = _shown(top, len(counts))
    if users < 1:
        raise ValueError(f"users must be 1 or more; got {users}")
    wrong = np.flatnonzero(~((counts >= 0) & (counts <= users)))
    if len(wrong):
        raise ValueError(
            f"item {wrong[0]}: from 0 to {users} users can have it; got {counts[wrong[0]]:g}"
        )
    bits = -np.log2(np.maximum(counts, 1) / users)
    there = top != NOTHING
    number = there.sum(axis=1)
    total = np.where(there, bits[top], 0.0).sum(axis=1)
    return np.divide(total, number, out=np.full(len(top), np.nan), where=number > 0)


def _exposure(top: npt.ArrayLike, items: int) -> np.ndarray:
    """How often each item of the catalogue was shown. [V]"""
    if items < 1:
        raise ValueError(f"the catalogue must have 1 item or more; got {items}")
    table = _shown(top, items)
    return np.bincount(table[table != NOTHING], minlength=items)


def coverage(top: npt.ArrayLike, items: int) -> float:
    """Share of the catalogue that was shown to anybody. It grows with the number of users.

    Herlocker et al. (2004), ACM TOIS 22(1); Ge et al. (2010), RecSys.

    Args:
        top: [B, k] items; `NOTHING` (-1) in an empty place.
        items: V.

    Raises:
        ValueError: an item outside the catalogue, or an empty one.
    """
    return float((_exposure(top, items) > 0).mean())


def exposure_gini(top: npt.ArrayLike, items: int) -> float:
    """Gini coefficient of how often items are shown: 0 all alike, 1 - 1/V one item alone.

    G = sum over j of (2 j - V - 1) x_j / (V sum x), with x the exposures in ascending order. Items
    that were never shown count. Fleder and Hosanagar (2009), Management Science 55(5).

    Args:
        top: [B, k] items; `NOTHING` (-1) in an empty place.
        items: V.

    Returns:
        NaN where nothing was shown.

    Raises:
        ValueError: an item outside the catalogue, or an empty one.
    """
    exposure = np.sort(_exposure(top, items))
    if not exposure.sum():
        return float("nan")
    weights = 2 * np.arange(1, items + 1) - items - 1
    return float(weights @ exposure / (items * exposure.sum()))

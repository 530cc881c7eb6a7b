"""What a slate is asked of: scores and masks that hold K items for each shopper."""

import numpy as np


def allowed_scores(scores: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    """Scores as [N, I] float64, a copy, with -inf where an item may not be shown."""
    scores, mask = np.asarray(scores, np.float64), np.asarray(mask)
    if scores.shape not in (mask.shape, mask.shape[1:]):
        raise ValueError(f"scores must have the shape {mask.shape} of mask; got {scores.shape}")
    check_mask(mask, k)
    left = np.where(mask, scores, -np.inf)
    best = left.max(axis=1)
    if np.isnan(best).any():
        raise ValueError(f"shopper {int(np.isnan(best).argmax())}: a score is NaN")
    check_count(left > -np.inf, k)
    return left


def free_items(mask: np.ndarray, k: int) -> np.ndarray:
    """A copy of the mask. [N, I]"""
    mask = np.asarray(mask)
    check_mask(mask, k)
    check_count(mask, k)
    return mask.copy()


def check_mask(mask: np.ndarray, k: int) -> None:
    """Refuses a mask that is no table of truths, and a slate that is longer than the catalogue."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(
            f"mask must be [N, I] true or false; got {mask.dtype} of the shape {mask.shape}"
        )
    if not 1 <= k <= mask.shape[1]:
        raise ValueError(
            f"a slate must have from 1 to {mask.shape[1]} places, one an item; got {k}"
        )


def check_count(free: np.ndarray, k: int) -> None:
    """Refuses a shopper to whom fewer than K items may be shown. free: [N, I] bool."""
    count = np.count_nonzero(free, axis=1)
    if (count < k).any():
        row = int((count < k).argmax())
        raise ValueError(
            f"shopper {row}: {count[row]} items may be shown; the slate has {k} places"
        )


def check_items(items: np.ndarray, wide: np.ndarray) -> None:
    """Refuses slates that are no slates of this catalogue. wide: [N, I]."""
    if items.ndim != 2 or len(items) != len(wide) or items.dtype.kind not in "iu":
        raise ValueError(
            f"items must be [{len(wide)}, K] whole numbers; got {items.dtype} of {items.shape}"
        )
    outside = ((items < 0) | (items >= wide.shape[1])).any(axis=1)
    if outside.any():
        row, last = int(outside.argmax()), wide.shape[1] - 1
        raise ValueError(f"shopper {row}: items must be from 0 to {last}; got {items[row]}")
    twice = (np.diff(np.sort(items, axis=1), axis=1) == 0).any(axis=1)
    if twice.any():
        row = int(twice.argmax())
        raise ValueError(f"shopper {row}: an item stands twice in the slate {items[row]}")


def check_epsilon(epsilon: float) -> None:
    """Refuses what is no probability."""
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must be from 0 to 1; got {epsilon}")

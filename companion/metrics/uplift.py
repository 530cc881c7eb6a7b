"""Means and differences with intervals, over users."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from companion.core.seeding import generator


class Interval(NamedTuple):
    """A mean with its interval, the level of the interval, and how many users it rests on."""

    mean: float
    low: float
    high: float
    level: float
    users: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def bootstrap_mean(
    values: npt.ArrayLike, *, seed: int, level: float = 0.95, samples: int = 2_000
) -> Interval:
    """The mean over users and its percentile bootstrap interval.

    Users are drawn with replacement, since users are what another week would bring anew.

    Args:
        values: [B], one per user; NaN for a user who was not evaluated.
        seed: of the draws.
        level: of the interval, in (0, 1).
        samples: number of draws.

    Raises:
        ValueError: fewer than two users were evaluated.
    """
    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    if len(array) < 2:
        raise ValueError(f"an interval needs two users or more; got {len(array)}")
    if np.ptp(array) == 0:
        return Interval(float(array[0]), float(array[0]), float(array[0]), level, len(array))
    result = stats.bootstrap(
        (array,),
        np.mean,
        n_resamples=samples,
        confidence_level=level,
        method="percentile",
        vectorized=True,
        batch=200,
        rng=generator(seed, "bootstrap"),
    )
    low, high = result.confidence_interval
    return Interval(float(array.mean()), float(low), float(high), level, len(array))


def paired_difference(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    *,
    seed: int,
    level: float = 0.95,
    samples: int = 2_000,
) -> Interval:
    """The mean over users of ours minus theirs. Both were measured on the same users.

    Args:
        ours: [B], one per user.
        theirs: [B], the same users in the same order.
        seed: of the draws.
        level: of the interval.
        samples: number of draws.

    Raises:
        ValueError: the two differ in length, or fewer than two users were evaluated in both.
    """
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if ours.shape != theirs.shape:
        raise ValueError(f"the same users are needed in both; got {ours.shape} and {theirs.shape}")
    return bootstrap_mean(ours - theirs, seed=seed, level=level, samples=samples)

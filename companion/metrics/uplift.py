"""Means and differences with intervals, over users."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
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
        ValueError: fewer than two users were evaluated, a value is infinite, or the level is not
            in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    if np.isinf(array).any():
        raise ValueError("a value is infinite")
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


def comparison(
    values: Mapping[str, npt.ArrayLike], incumbent: str, *, seed: int, level: float = 0.95
) -> pd.DataFrame:
    """A table of methods: mean with interval, and the paired difference to the incumbent.

    Args:
        values: name of the method to [B] values, the same users in the same order.
        incumbent: the method that is there already.
        seed: of the bootstrap.
        level: of the intervals, each on its own (not corrected for looking at several).

    Returns:
        Indexed by method: `mean`, `low`, `high`, `difference`, `difference low`,
        `difference high`; the incumbent's difference is 0.

    Raises:
        ValueError: the incumbent is not among the methods, or the users differ.
    """
    if incumbent not in values:
        raise ValueError(f"{incumbent!r} is not among the methods: {', '.join(values)}")
    evaluated = {name: np.isnan(np.asarray(found, float)) for name, found in values.items()}
    for name, missing in evaluated.items():
        if not np.array_equal(missing, evaluated[incumbent]):
            raise ValueError(f"{name!r} and {incumbent!r} were not evaluated on the same users")
    rows = {}
    for name, ours in values.items():
        mean = bootstrap_mean(ours, seed=seed, level=level)
        gap = paired_difference(ours, values[incumbent], seed=seed, level=level)
        rows[name] = (*mean[:3], *gap[:3])
    names = ["mean", "low", "high", "difference", "difference low", "difference high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def verdict(table: pd.DataFrame, name: str, incumbent: str) -> str:
    """One sentence that says what the interval allows to say, and no more.

    Args:
        table: from `comparison`.
        name: the method in question.
        incumbent: the method it is compared with.
    """
    columns = ["difference", "difference low", "difference high"]
    mean, low, high = table.loc[name, columns].to_numpy(dtype=float)
    gap = f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"
    if low > 0:
        return f"“{name}” is better than “{incumbent}”: {gap}."
    if high < 0:
        return f"“{name}” is worse than “{incumbent}”: {gap}."
    return f"“{name}” and “{incumbent}” cannot be told apart: {gap}, and zero is in the interval."

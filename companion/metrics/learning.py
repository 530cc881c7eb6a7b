"""Learning curves over seeds: the middle, and how far another set of seeds might lie."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from companion.core.seeding import generator


class Band(NamedTuple):
    """A curve with an interval at each point. [E] each."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def band(
    runs: npt.ArrayLike, *, seed: int, robust: bool = False, level: float = 0.95, samples: int = 500
) -> Band:
    """The mean over runs and its percentile bootstrap interval, point by point.

    Runs are drawn with replacement and whole, since a run is what another seed would bring anew.

    Args:
        runs: [N, E], a row for each seed.
        seed: of the draws.
        robust: the interquartile mean rather than the mean: one lucky run moves it less. Agarwal
            et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021).
        level: of the interval, in (0, 1).
        samples: number of draws.

    Raises:
        ValueError: fewer than two runs, a number that is not finite (run and place are named), or
            a level outside (0, 1).
    """
    values = np.asarray(runs, float)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"runs must be [N, E] with two runs or more; got the shape {values.shape}")
    if not np.isfinite(values).all():
        run, place = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"run {run}, place {place} is not finite: {values[run, place]}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    rng = generator(seed, "band")
    drawn = rng.integers(len(values), size=(samples, len(values)))
    if robust:
        middles = np.stack([stats.trim_mean(values[rows], 0.25) for rows in drawn])
        middle = stats.trim_mean(values, 0.25)
    else:
        times = np.stack([np.bincount(rows, minlength=len(values)) for rows in drawn])
        middles, middle = times @ values / len(values), values.mean(0)
    low, high = np.quantile(middles, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Band(middle, low, high)


def smooth(values: npt.ArrayLike, window: int) -> np.ndarray:
    """The mean of each value and those before it, `window` in all; of fewer at the beginning.

    A mean that looked ahead would show a gain before it happened.

    Args:
        values: [..., E].
        window: places, 1 or more.

    Raises:
        ValueError: the window is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be 1 or more; got {window}")
    array = np.asarray(values, float)
    sums = np.cumsum(array, -1)
    sums[..., window:] = sums[..., window:] - np.cumsum(array, -1)[..., :-window]
    return sums / np.minimum(np.arange(1, array.shape[-1] + 1), window)

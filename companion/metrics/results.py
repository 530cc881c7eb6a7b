"""What an evaluation found, with its protocol on it, and a comparison that refuses to mix two.

The figures of a full and of a sampled ranking bear the same names and are different quantities: a
sample can even turn the order of two models round. Krichene and Rendle (2020), "On sampled metrics
for item recommendation", KDD. So they are of two types, and `compare` takes one of them alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from companion.metrics.uplift import comparison


@dataclass(frozen=True, eq=False)
class FullRanking:
    """Figures of a ranking of the whole catalogue.

    Attributes:
        k: places.
        items: V, all of them candidates, but those that were excluded.
        values: name of the metric to [U], NaN for a user without relevant items.
        unreachable: relevant items that were excluded; they count as missed.
    """

    k: int
    items: int
    values: Mapping[str, np.ndarray]
    unreachable: int = 0

    @property
    def protocol(self) -> str:
        """What was ranked, in words."""
        return f"full ranking among {self.items:,} items"

    def mean(self, name: str) -> float:
        """Mean over the users with relevant items; see `_mean`."""
        return _mean(self.values, name)

    def __str__(self) -> str:
        return _describe(self.values, self.k, self.protocol, self.unreachable)


@dataclass(frozen=True, eq=False)
class SampledRanking:
    """Figures of a ranking of each user's relevant items among some others drawn at random.

    Attributes:
        k: places.
        negatives: items drawn for each user.
        seed: of the draws.
        values: name of the metric, which begins with "sampled", to [U].
        unreachable: relevant items that were excluded; they count as missed.
    """

    k: int
    negatives: int
    seed: int
    values: Mapping[str, np.ndarray]
    unreachable: int = 0

    @property
    def protocol(self) -> str:
        """What was ranked, in words."""
        return f"sampled ranking among {self.negatives:,} negatives, seed {self.seed}"

    def mean(self, name: str) -> float:
        """Mean over the users with relevant items; see `_mean`."""
        return _mean(self.values, name)

    def __str__(self) -> str:
        return _describe(self.values, self.k, self.protocol, self.unreachable)


def _mean(values: Mapping[str, np.ndarray], name: str) -> float:
    """Mean over the users with relevant items.

    Raises:
        ValueError: no such metric, or no user has a relevant item.
    """
    if name not in values:
        raise ValueError(f"{name!r} is not among the metrics: {', '.join(values)}")
    known = values[name][~np.isnan(values[name])]
    if not len(known):
        raise ValueError(f"no user has a relevant item: {name!r} has no mean")
    return float(known.mean())


def _describe(values: Mapping[str, np.ndarray], k: int, protocol: str, unreachable: int) -> str:
    """Means, how many users they rest on, and the protocol, in a line."""
    users = len(next(iter(values.values())))
    evaluated = int((~np.isnan(next(iter(values.values())))).sum())
    shown = [f"{name}@{k} {_mean(values, name):.4f}" for name in values if evaluated]
    parts = [", ".join(shown)] if shown else []
    parts += [f"{evaluated:,} of {users:,} users evaluated", protocol]
    parts += [f"{unreachable:,} relevant items were excluded"] if unreachable else []
    return "; ".join(parts)


def compare(
    results: Mapping[str, FullRanking] | Mapping[str, SampledRanking],
    metric: str,
    incumbent: str,
    *,
    seed: int,
    level: float = 0.95,
) -> pd.DataFrame:
    """`uplift.comparison` of one metric; the name of the table's index says the protocol.

    Args:
        results: name of the method to its result.
        metric: a name among their values.
        incumbent: the method that is there already.
        seed: of the bootstrap.
        level: of the intervals.

    Raises:
        ValueError: two results differ in protocol or places (both are named), or as `comparison`.
    """
    settings = {name: f"{found.protocol}, k = {found.k}" for name, found in results.items()}
    for name, setting in settings.items():
        if incumbent in settings and setting != settings[incumbent]:
            raise ValueError(
                f"{name!r} and {incumbent!r} cannot be compared: "
                f"{setting}, against {settings[incumbent]}"
            )
    for name, found in results.items():
        if metric not in found.values:
            raise ValueError(f"{name!r} has no {metric!r}; it has {', '.join(found.values)}")
    values = {name: found.values[metric] for name, found in results.items()}
    table = comparison(values, incumbent, seed=seed, level=level)
    return table.rename_axis(f"{metric}, {settings[incumbent]}")

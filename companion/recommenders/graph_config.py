"""Settings and starting weights of what reads a graph of items, without a framework."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from companion.core.seeding import generator
from companion.recommenders.encoder_config import starting_weights

WEIGHTS = ("count", "ppmi")
FREE = ("users", "items")  # names of vectors that belong to one node each


@dataclass(frozen=True)
class CoPurchaseConfig:
    """Which pairs of items are joined, and how strongly.

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    weight: str = "count"  # baskets with both; "ppmi": how much more often than by chance
    threshold: int = 1  # pairs that fewer baskets hold are not joined
    neighbours: int | None = None  # only the strongest of each item; None: all

    def __post_init__(self) -> None:
        if self.weight not in WEIGHTS:
            raise ValueError(f"weight must be one of {WEIGHTS}; got {self.weight!r}")
        _check_counts(self, "threshold")
        if self.neighbours is not None:
            _check_counts(self, "neighbours")


@dataclass(frozen=True)
class LightGCNConfig:
    """Settings that mean the same in both frameworks. The defaults are those of the paper.

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    size: int = 64  # D, of the vectors
    layers: int = 3  # L, steps along the graph; 0: matrix factorisation
    l2: float = 1e-4  # weight of the penalty on the vectors of a batch

    def __post_init__(self) -> None:
        _check_counts(self, "size")
        if self.layers < 0:
            raise ValueError(f"layers must be 0 or more; got {self.layers}")
        if not 0 <= self.l2 < math.inf:
            raise ValueError(f"l2 must be 0 or more and finite; got {self.l2}")


@dataclass(frozen=True)
class GraphSAGEConfig:
    """Settings that mean the same in both frameworks.

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    num_features: int  # F, of an item
    sizes: tuple[int, ...] = (64, 64)  # of the vectors that each layer gives; L of them

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        _check_counts(self, "num_features")
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"sizes must be one or more numbers from 1; got {self.sizes}")


def starting_graph_weights(
    shapes: Mapping[str, tuple[int, ...]], seed: int
) -> dict[str, np.ndarray]:
    """Starting weights, float32: one seed starts both frameworks from the same numbers.

    Vectors of users and items are normal with a deviation of 0.1, as in the program of LightGCN's
    authors. The rest is as in `encoder_config.starting_weights`.

    Args:
        shapes: by name, such as those of `get_weights(model)`.
        seed: a whole number, 0 or more.
    """
    weights = starting_weights(shapes, seed)
    for name in FREE:
        if name in shapes:
            normal = generator(seed, "weights", name).normal(0, 0.1, shapes[name])
            weights[name] = normal.astype(np.float32)
    return weights


def _check_counts(config: object, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be 1 or more; got {getattr(config, name)}")

"""Collaborative filtering by gradients: settings, features, and the weights to start from.

Letters: U users, I items, B pairs of a batch, K negatives of a pair, D size of a vector, F
features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.recommenders.collaborative_batches import CORRECTIONS
from companion.recommenders.encoder_config import starting_weights
from companion.recommenders.interactions import Interactions


@dataclass(frozen=True)
class FactorConfig:
    """Settings of matrix factorisation with BPR, which mean the same in both frameworks."""

    size: int = 64  # D
    penalty: float = 1e-4  # on the squares of what a pair uses
    negatives: int = 1  # K
    batch_size: int = 1_024  # B
    epochs: int = 20
    learning_rate: float = 0.01
    adam_epsilon: float = 1e-10  # so small that it does not matter where a framework adds it

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class NeuMFConfig:
    """Settings of neural matrix factorisation, which mean the same in both frameworks."""

    size: int = 32  # D, of the vectors of both parts
    hidden: tuple[int, ...] = (64, 32, 16)  # widths of the layers of the MLP part
    negatives: int = 4  # K
    batch_size: int = 1_024  # B
    epochs: int = 20
    learning_rate: float = 0.003
    adam_epsilon: float = 1e-10

    def __post_init__(self) -> None:
        _check(self)
        if not self.hidden:
            raise ValueError("hidden must name one layer or more: without, there is no MLP part")


@dataclass(frozen=True)
class TwoTowerConfig:
    """Settings of two towers, which mean the same in both frameworks."""

    size: int = 64  # D
    hidden: tuple[int, ...] = ()  # widths of a tower's layers between its input and its vector
    temperature: float = 0.1  # scores are divided by it in the softmax
    unit_length: bool = True  # whether vectors are brought to length 1
    correction: str = "negatives"  # one of CORRECTIONS
    batch_size: int = 256  # B: B - 1 pairs are the negatives of each
    epochs: int = 20
    learning_rate: float = 0.01
    adam_epsilon: float = 1e-10

    def __post_init__(self) -> None:
        _check(self)
        if self.correction not in CORRECTIONS:
            raise ValueError(f"correction must be one of {CORRECTIONS}; got {self.correction!r}")
        if self.batch_size < 2:
            raise ValueError("batch_size must be 2 or more: the other pairs are the negatives")


Config = FactorConfig | NeuMFConfig | TwoTowerConfig


def _check(config: Config) -> None:
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        if name == "penalty" and not 0 <= value < np.inf:
            raise ValueError(f"penalty must be 0 or more and finite; got {value}")
        if name in ("penalty", "unit_length", "correction"):
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if not 0 < number < np.inf:
                raise ValueError(f"{name} must be above 0 and finite; got {number}")


class Features(NamedTuple):
    """What is known of users and items besides their ids. None: nothing."""

    users: np.ndarray | None = None  # [U, F]
    items: np.ndarray | None = None  # [I, F']


NO_FEATURES = Features()


def initial_weights(
    shapes: Mapping[str, tuple[int, ...]], seed: int, log: Interactions
) -> dict[str, np.ndarray]:
    """Starting weights, float32: one seed starts both frameworks from the same numbers.

    Vectors are normal with a length near 1; those of users and items without a row in the log are
    0, so that chance never ranks them. Kernels are uniform within 1 / sqrt(in), biases 0.

    Args:
        shapes: by name, those of `get_weights(model)`.
        seed: a whole number, 0 or more.
        log: that the model will be fitted on.
    """
    tables = {}
    for name, shape in shapes.items():
        if name.endswith(("kernel", "bias")):
            continue
        known = np.zeros(shape[0], bool)
        known[log.users if "user" in name else log.items] = True
        vectors = generator(seed, "weights", name).normal(size=shape) / np.sqrt(shape[1])
        tables[name] = np.where(known[:, None], vectors, 0.0)
    return starting_weights(shapes, seed, tables)


def check_features(features: Features, shape: tuple[int, int]) -> None:
    """Refuses features that do not belong to the users and items.

    Raises:
        ValueError: not one row for each, no column, or a value that is no finite number.
    """
    for name, table, size in zip(Features._fields, features, shape, strict=True):
        if table is None:
            continue
        if table.ndim != 2 or len(table) != size or table.shape[1] == 0:
            raise ValueError(f"features of {name} must be [{size}, 1 or more]; got {table.shape}")
        if not np.isfinite(table).all():
            row = int((~np.isfinite(table)).any(1).argmax())
            raise ValueError(f"features of {name}: row {row} has a value that is not finite")

"""Experience replay: a ring of transitions in memory that is allocated once.

Lin, "Self-improving reactive agents based on reinforcement learning, planning and teaching" (1992);
Mnih et al., "Human-level control through deep reinforcement learning" (2015).
"""

import math
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np

Array = TypeVar("Array")  # np.ndarray, or a framework's tensor
Other = TypeVar("Other")
SIZES = ("capacity", "obs_size", "num_actions")


class Batch(NamedTuple, Generic[Array]):
    """Transitions to learn from. The leading axes are free: [B, ...] or [K, B, ...]."""

    obs: Array  # [..., D] float32
    action: Array  # [...] int64
    reward: Array  # [...] float32, summed and discounted over n steps
    next_obs: Array  # [..., D] float32, the observation n steps later
    terminated: Array  # [...] bool, True where nothing comes after next_obs
    discount: Array  # [...] float32, gamma ** n
    next_mask: Array | None  # [..., A] bool, what next_obs allows; None: every action
    weight: Array | None  # [...] float32, of each transition in the loss; None: 1

    def each(self, change: Callable[[Array], Other]) -> "Batch[Other]":
        """The same function of every column that is there."""
        return Batch(*(None if column is None else change(column) for column in self))  # type: ignore[arg-type]


class Transitions(NamedTuple):
    """What one step of N environments added: the columns of a batch, without the weight."""

    obs: np.ndarray  # [N, D]
    action: np.ndarray  # [N]
    reward: np.ndarray  # [N]
    next_obs: np.ndarray  # [N, D]
    terminated: np.ndarray  # [N]
    discount: np.ndarray  # [N]
    next_mask: np.ndarray  # [N, A]


class Replay:
    """A ring buffer: the newest transition takes the place of the oldest.

    Everything is copied in, so that an environment may reuse its arrays.

    Args:
        capacity: transitions that fit.
        obs_size: D.
        num_actions: A.

    Raises:
        ValueError: a size is below 1.
    """

    def __init__(self, capacity: int, obs_size: int, num_actions: int):
        for name, size in zip(SIZES, (capacity, obs_size, num_actions), strict=True):
            if size < 1:
                raise ValueError(f"{name} must be 1 or more; got {size}")
        self.capacity, self.num_actions = capacity, num_actions
        self._masked = False  # whether any action was ever not allowed
        self.added = 0  # since the beginning, also those that were overwritten
        self._columns = Transitions(
            obs=np.zeros((capacity, obs_size), np.float32),
            action=np.zeros(capacity, np.int64),
            reward=np.zeros(capacity, np.float32),
            next_obs=np.zeros((capacity, obs_size), np.float32),
            terminated=np.zeros(capacity, bool),
            discount=np.zeros(capacity, np.float32),
            next_mask=np.zeros((capacity, num_actions), bool),
        )

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    @property
    def full(self) -> bool:
        """Whether the next transition overwrites one."""
        return self.added >= self.capacity

    def add(self, new: Transitions) -> np.ndarray:
        """Stores N transitions in the order given; returns their rows in the ring, [N].

        Raises:
            ValueError: there are more than the ring holds, or a number is not finite; the column
                and the row are named.
        """
        count = len(new.action)
        if count > self.capacity:
            raise ValueError(f"{count} transitions do not fit a capacity of {self.capacity}")
        new = new._replace(
            obs=self._finite("obs", new.obs),
            reward=self._finite("reward", new.reward),
            next_obs=self._finite("next_obs", new.next_obs),
        )
        start = self.added % self.capacity
        before = min(count, self.capacity - start)  # fit before the end of the ring
        for column, values in zip(self._columns, new, strict=True):
            column[start : start + before] = values[:before]
            if before < count:
                column[: count - before] = values[before:]
        self.added += count
        self._masked = self._masked or not new.next_mask.all()
        return np.arange(start, start + count) % self.capacity

    def _finite(self, name: str, values: np.ndarray) -> np.ndarray:
        """The values as they will be stored, once it is clear that each is a number."""
        with np.errstate(over="ignore"):  # 1e39 is infinite in float32, and is named below
            stored = np.asarray(values, np.float32)
        # A finite sum of squares shows it at a fraction of the cost; a large one needs the look.
        if not math.isfinite(np.vdot(stored, stored)) and not np.isfinite(stored).all():
            row = np.argwhere(~np.isfinite(stored))[0][0]
            raise ValueError(f"{name} of transition {self.added + row} is not finite")
        return stored

    def sample(
        self, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Batch[np.ndarray], np.ndarray]:
        """Transitions drawn with replacement, each with the same chance, and their rows.

        Raises:
            ValueError: nothing is stored yet.
        """
        if not self.added:
            raise ValueError("the replay is empty: there is nothing to sample")
        rows = rng.integers(len(self), size=shape)
        return self.take(rows), rows

    def update(self, rows: np.ndarray, errors: np.ndarray) -> None:
        """Takes note of the TD errors of sampled rows. A uniform replay has no use for them."""

    def take(self, rows: np.ndarray, weight: np.ndarray | None = None) -> Batch[np.ndarray]:
        """The transitions in these rows of the ring, [...]."""
        stored = Batch(*self._columns, weight=None)
        stored = stored if self._masked else stored._replace(next_mask=None)
        return stored.each(lambda column: column.take(rows, axis=0))._replace(weight=weight)

    def windows(self, length: int) -> np.ndarray:
        """All runs of `length` transitions that were stored one after the other, oldest first.

        A run never crosses the place where the newest meets the oldest.

        Returns:
            [W, length] rows of the ring.

        Raises:
            ValueError: length is below 1.
        """
        if length < 1:
            raise ValueError(f"length must be 1 or more; got {length}")
        starts = np.arange(self.added - len(self), self.added - length + 1)
        return (starts[:, None] + np.arange(length)) % self.capacity

    def state(self) -> dict[str, np.ndarray]:
        """All that is stored, for a checkpoint."""
        columns = self._columns._asdict().items()
        kept = {name: column[: len(self)].copy() for name, column in columns}
        return {**kept, "added": np.array(self.added)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` of a replay of the same sizes gave.

        Raises:
            ValueError: a column has another shape; it is named.
        """
        added = int(state["added"])
        for name, column in self._columns._asdict().items():
            needed = (min(added, self.capacity), *column.shape[1:])
            if state[name].shape != needed:
                found = state[name].shape
                raise ValueError(f"{name} has the shape {found}; this replay needs {needed}")
        self.added = added
        for name, column in self._columns._asdict().items():
            column[: len(self)] = state[name]
        self._masked = not state["next_mask"].all()

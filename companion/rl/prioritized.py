"""Prioritised replay: transitions that surprised most are drawn most often."""

import numpy as np

from companion.rl.replay import Batch, Replay, Transitions


class SumTree:
    """Sums of non-negative numbers over a binary tree: a draw in proportion costs log2(C) steps.

    Sums are float64 and always added up anew from the two children, so that they do not drift.

    Args:
        capacity: C, the number of leaves.
    """

    def __init__(self, capacity: int):
        self._leaves = 1 << (capacity - 1).bit_length()  # C rounded up to a power of two
        self._sums = np.zeros(2 * self._leaves)  # node i has the children 2 i and 2 i + 1

    @property
    def total(self) -> float:
        """The sum of all leaves."""
        return float(self._sums[1])

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self._sums[self._leaves :][rows]

    def __setitem__(self, rows: np.ndarray, values: np.ndarray) -> None:
        nodes = np.asarray(rows).ravel() + self._leaves
        self._sums[nodes] = np.ravel(values)
        for _ in range(self._leaves.bit_length() - 1):
            total = self._sums.take(nodes) + self._sums.take(nodes ^ 1)  # and its sibling
            nodes = nodes >> 1
            self._sums[nodes] = total

    def clear(self) -> None:
        """Sets all leaves to 0."""
        self._sums[:] = 0

    def find(self, sums: np.ndarray) -> np.ndarray:
        """The leaves at which the running sum of all leaves passes these numbers in [0, total)."""
        left, nodes = np.array(sums, np.float64), np.ones(np.shape(sums), np.int64)
        for _ in range(self._leaves.bit_length() - 1):
            nodes = 2 * nodes
            below = self._sums[nodes]
            # Rounding must not lead to a branch without any priority.
            right = (left >= below) & (self._sums[nodes + 1] > 0)
            left -= np.where(right, below, 0.0)
            nodes += right
        return nodes - self._leaves


class PrioritizedReplay(Replay):
    """Draws row i with P(i) = p_i^alpha / sum_k p_k^alpha, where p_i = |TD error| + a little.

    The weights w_i = (N P(i))^-beta / max_k w_k take back in the loss what the draw preferred.
    A new transition gets the highest priority so far, so that each is soon seen. Schaul et al.,
    "Prioritized experience replay" (2016), the proportional form.

    Args:
        capacity: transitions that fit.
        obs_size: D.
        num_actions: A.
        alpha: 0 is uniform, 1 is in proportion to the error.
        epsilon: added to each error, so that each can be drawn again.

    Raises:
        ValueError: a size is below 1, alpha is negative, or epsilon is not above 0.
    """

    def __init__(
        self, capacity: int, obs_size: int, num_actions: int, *, alpha: float, epsilon: float
    ):
        super().__init__(capacity, obs_size, num_actions)
        if not (alpha >= 0 and epsilon > 0):
            raise ValueError(f"alpha must be >= 0 and epsilon > 0; got {alpha} and {epsilon}")
        self.beta = 1.0  # of the next draws; a schedule may move it
        self._alpha, self._epsilon = alpha, epsilon
        self._tree = SumTree(capacity)
        self._highest = 1.0

    def add(self, new: Transitions) -> np.ndarray:
        """Stores N transitions with the highest priority so far; returns their rows."""
        rows = super().add(new)
        self._tree[rows] = np.full(len(rows), self._highest)
        return rows

    def sample(
        self, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Batch[np.ndarray], np.ndarray]:
        """Transitions drawn by priority, [..., B]: one from each of B equal parts of the total.

        Their weights belong to `beta`; the smallest priority stored has the weight 1.

        Raises:
            ValueError: nothing is stored yet.
        """
        if not self.added:
            raise ValueError("the replay is empty: there is nothing to sample")
        strata = (np.arange(shape[-1]) + rng.random(shape)) / shape[-1]  # [..., B] in [0, 1)
        rows = self._tree.find(strata * self._tree.total)
        weights = (self._tree[: len(self)].min() / self._tree[rows]) ** self.beta
        return self.take(rows, weights.astype(np.float32)), rows

    def update(self, rows: np.ndarray, errors: np.ndarray) -> None:
        """Sets the priorities of sampled rows from their TD errors, of the same shape.

        Of a row that is there twice, the later error counts.

        Raises:
            ValueError: an error is not finite: the values have diverged.
        """
        if not np.isfinite(errors).all():
            found = errors[~np.isfinite(errors)][0]
            raise ValueError(f"a TD error is {found}: the values have diverged")
        priorities = (np.abs(errors.astype(np.float64)) + self._epsilon) ** self._alpha
        self._highest = max(self._highest, float(priorities.max()))
        self._tree[rows] = priorities

    def state(self) -> dict[str, np.ndarray]:
        """All that is stored, priorities included."""
        found = {"priority": self._tree[: len(self)].copy(), "highest": np.array(self._highest)}
        return {**super().state(), **found}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` of a replay of the same sizes gave."""
        super().restore(state)
        self._tree.clear()
        self._tree[np.arange(len(self))] = state["priority"]
        self._highest = float(state["highest"])

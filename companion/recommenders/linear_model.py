"""Linear regression that knows how unsure it is, for many arms side by side.

P = ridge I + sum of x x^T,  m = sum of r x,  theta = P^-1 m. With noise of variance s^2 and the
prior theta ~ N(0, s^2 / ridge I), the posterior is N(theta, s^2 P^-1). Li et al. (2010),
arXiv:1003.0146, write A for P and b for m; Agrawal and Goyal (2013), arXiv:1209.3352, B and f.
"""

import numpy as np


class Ridge:
    """P, m and theta of A arms with d features each; sums are kept, never an updated inverse.

    P and m are plain sums, so they lose nothing however many examples come. The Cholesky factor
    of P is computed anew when it is asked for. Sherman and Morrison's update of the inverse is
    cheaper for one example at a time, but examples come thousands at a time here.

    Args:
        arms: A.
        size: d.
        ridge: what P begins with, above 0.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(self, arms: int, size: int, ridge: float = 1.0):
        for name, number in (("arms", arms), ("size", size)):
            if number < 1:
                raise ValueError(f"{name} must be 1 or more; got {number}")
        if not 0 < ridge < np.inf:
            raise ValueError(f"ridge must be above 0 and finite; got {ridge}")
        self.precision = np.tile(ridge * np.eye(size), (arms, 1, 1))  # P [A, d, d]
        self.moment = np.zeros((arms, size))  # m [A, d]
        self._root = np.tile(np.eye(size) / np.sqrt(ridge), (arms, 1, 1))
        self._theta = np.zeros((arms, size))
        self._stale = np.zeros(arms, np.bool_)

    def update(self, x: np.ndarray, reward: np.ndarray, arm: np.ndarray | None = None) -> None:
        """Adds examples; their order does not matter.

        Args:
            x: [M, d].
            reward: [M].
            arm: [M] whose example it is; None: all are of arm 0.

        Raises:
            ValueError: a shape is wrong, or a number is not finite; its row is named.
        """
        x, reward = np.asarray(x, np.float64), np.asarray(reward, np.float64)
        arm = np.zeros(len(x), np.int64) if arm is None else np.asarray(arm)
        self._check(x, reward, arm)
        order = np.argsort(arm, kind="stable")
        arms, starts = np.unique(arm[order], return_index=True)
        for which, rows in zip(arms, np.split(order, starts[1:]), strict=True):
            self.precision[which] += x[rows].T @ x[rows]
            self.moment[which] += reward[rows] @ x[rows]
        self._stale[arms] = True

    @property
    def root(self) -> np.ndarray:
        """R with R^T R = P^-1: the inverse of P's Cholesky factor. [A, d, d]"""
        self._refresh()
        return self._root

    @property
    def theta(self) -> np.ndarray:
        """P^-1 m. [A, d]"""
        self._refresh()
        return self._theta

    def _refresh(self) -> None:
        stale = np.flatnonzero(self._stale)
        if len(stale):
            root = np.linalg.inv(np.linalg.cholesky(self.precision[stale]))  # [S, d, d]
            half = root @ self.moment[stale][:, :, None]  # [S, d, 1]
            self._root[stale] = root
            self._theta[stale] = (root.transpose(0, 2, 1) @ half)[:, :, 0]
            self._stale[:] = False

    def _check(self, x: np.ndarray, reward: np.ndarray, arm: np.ndarray) -> None:
        arms, size = self.moment.shape
        if x.ndim != 2 or x.shape[1] != size or not len(x) == len(reward) == len(arm):
            shapes = f"{x.shape}, {reward.shape} and {arm.shape}"
            raise ValueError(f"x must be [M, {size}], reward and arm [M]; got {shapes}")
        wrong = ~(np.isfinite(x).all(axis=1) & np.isfinite(reward))
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"row {row}: x and reward must be finite; got {x[row]}, {reward[row]}")
        if len(arm) and (arm.min() < 0 or arm.max() >= arms):
            raise ValueError(f"arm must be from 0 to {arms - 1}; got {arm.min()} to {arm.max()}")

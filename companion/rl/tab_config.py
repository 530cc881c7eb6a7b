"""Settings of tabular learning."""

from dataclasses import dataclass

import numpy as np

from companion.rl.schedules import Schedule


@dataclass(frozen=True, eq=False)
class TabularConfig:
    """Settings of a run. A step size or epsilon may be a number, a schedule of the episode, or [E].

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    alpha: float | Schedule | np.ndarray = 0.5  # step size, in [0, 1]
    gamma: float = 1.0  # discount of one step, in [0, 1]
    epsilon: float | Schedule | np.ndarray = 0.1  # of the policy that acts, in [0, 1]
    episodes: int = 500  # E
    max_steps: int = 10_000  # an episode is cut off after so many
    initial_q: float | np.ndarray = 0.0  # of every pair, or a table; -inf where not allowed
    keep_history: bool = False  # also the table after each episode

    def __post_init__(self) -> None:
        for name in ("episodes", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more; got {getattr(self, name)}")
        for name in ("alpha", "gamma", "epsilon"):
            values = self.per_episode(name)
            wrong = values[~((values >= 0) & (values <= 1))]
            if len(wrong):
                raise ValueError(f"{name} must be from 0 to 1; got {wrong[0]}")
        if not np.isfinite(self.initial_q).all():
            raise ValueError(f"initial_q must hold finite numbers; got {self.initial_q}")

    def per_episode(self, name: str) -> np.ndarray:
        """A setting as [E], one value for each episode."""
        value = getattr(self, name)
        if callable(value):
            value = [value(episode) for episode in range(self.episodes)]
        values = np.asarray(value, float)
        if values.shape not in ((), (self.episodes,)):
            raise ValueError(
                f"{name} must be one number or one for each of the {self.episodes} episodes; "
                f"got the shape {values.shape}"
            )
        return np.broadcast_to(values, self.episodes).copy()

"""The ten-armed testbed of Sutton and Barto's section 2.3."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded


def draw(num_problems: int, arms: int, rng: np.random.Generator) -> np.ndarray:
    """True values q*(a) of many bandit problems, each normal with mean 0 and deviation 1.

    Returns:
        [num_problems, arms] float64.

    Raises:
        ValueError: a number is below 1.
    """
    for name, number in (("num_problems", num_problems), ("arms", arms)):
        if number < 1:
            raise ValueError(f"{name} must be 1 or more; got {number}")
    return rng.standard_normal((num_problems, arms))


class TestbedEnv(gymnasium.Env[Any, Any]):
    """One bandit problem an episode. Book section 2.3.

    ## Description
    Each reset draws a true value q*(a) for every arm, normal with mean 0 and deviation 1.

    ## Action Space
    `Discrete(arms)`: the arm to pull.

    ## Observation Space
    `Discrete(1)`: there is one state, 0.

    ## Rewards
    Normal with mean q*(a) and deviation 1.

    ## Starting State
    0.

    ## Episode End
    Never terminated. `gymnasium.make` truncates after 1,000 steps, as in the book.

    ## Arguments
    arms: 1 or more. render_mode: None, or "ansi" for the true values as text.

    `info["values"]` ([arms]) holds q*, for the measurement of regret and not for the agent;
    `info["action_mask"]` is all ones, since every arm is allowed.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 - declared so by Gymnasium
    __test__ = False  # the name begins with Test, and pytest would take it for one

    def __init__(self, arms: int = 10, *, render_mode: str | None = None) -> None:
        if arms < 1:
            raise ValueError(f"arms must be 1 or more; got {arms}")
        if render_mode not in (None, "ansi"):
            raise ValueError(f'render_mode must be None or "ansi"; got {render_mode!r}')
        self.observation_space = gymnasium.spaces.Discrete(1)
        self.action_space = gymnasium.spaces.Discrete(arms)
        self.render_mode = render_mode
        self._arms = arms
        self._values: np.ndarray | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Draws a new problem. Without a seed, the random stream goes on where it was."""
        super().reset(seed=seed)
        self._values = draw(1, self._arms, self.np_random)[0]
        return 0, self._info(self._values)

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Pulls one arm.

        Raises:
            ResetNeeded: before the first reset.
            ValueError: the action is no whole number in the action space.
        """
        if self._values is None:
            raise ResetNeeded("the environment must be reset before it is used")
        if not self.action_space.contains(action):
            last = self._arms - 1
            raise ValueError(f"action must be a whole number from 0 to {last}; got {action!r}")
        reward = float(self.np_random.normal(self._values[int(action)], 1.0))
        return 0, reward, False, False, self._info(self._values)

    def render(self) -> str | None:
        """The true values as text where `render_mode` is "ansi", else None."""
        if self._values is None:
            raise ResetNeeded("the environment must be reset before it is used")
        text = " ".join(f"{value:.2f}" for value in self._values) + "\n"
        return text if self.render_mode == "ansi" else None

    def _info(self, values: np.ndarray) -> dict[str, Any]:
        mask = np.ones(len(values), dtype=np.int8)
        return {"action_mask": mask, "values": values.copy()}

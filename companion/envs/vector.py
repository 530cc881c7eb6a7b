"""Many copies of a world given as tables, stepped together."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from companion.envs.tables import NEEDS_RESET, check_render_mode, cumulative, find_world
from companion.envs.world import World


class TableVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N copies of a world, stepped together in NumPy.

    A copy whose episode ends is reset in the same step, as the metadata declare. Its last
    observation is then in `info["final_obs"]` and its last info in `info["final_info"]`, in the
    form that Gymnasium's own vector environments give. All copies share one random stream.

    Args:
        num_envs: N, 1 or more.
        world: a `World`, or a name in `WORLDS`.
        max_episode_steps: the time limit, which truncates; None or -1 for none.
        render_mode: None, or "ansi" for text.
        options: for the world of that name.

    Raises:
        ValueError: an argument is out of range.
    """

    metadata = {  # noqa: RUF012 - declared so by Gymnasium
        "render_modes": ["ansi"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        world: World | str = "cliff",
        *,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        check_render_mode(render_mode)
        limit = -1 if max_episode_steps is None else max_episode_steps
        if num_envs < 1:
            raise ValueError(f"num_envs must be 1 or more; got {num_envs}")
        if limit != -1 and limit < 1:
            raise ValueError(f"max_episode_steps must be 1 or more, or -1; got {limit}")
        self.world = find_world(world, options)
        self.num_envs, self.render_mode, self._limit = num_envs, render_mode, limit
        states, actions = self.world.mdp.allowed.shape
        self.single_observation_space = gymnasium.spaces.Discrete(states)
        self.single_action_space = gymnasium.spaces.Discrete(actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._cumulative = cumulative(self.world.mdp)
        self._states: np.ndarray | None = None
        self._elapsed = np.zeros(num_envs, dtype=np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode in every copy. Without a seed, the random stream goes on."""
        if options is not None and "reset_mask" in options:
            raise ValueError("reset_mask is not taken: a copy resets itself when its episode ends")
        super().reset(seed=seed)
        self._states = np.full(self.num_envs, self.world.mdp.start, dtype=np.int64)
        self._elapsed = np.zeros(self.num_envs, dtype=np.int64)
        return self._states.copy(), self._info(self._states)

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Acts once in every copy.

        Args:
            actions: [N] whole numbers.

        Returns:
            obs [N] int64, reward [N] float64, terminated [N], truncated [N], info.

        Raises:
            ResetNeeded: before the first reset.
            ValueError: an action is outside the action space, or not allowed where its copy is.
        """
        if self._states is None:
            raise ResetNeeded(NEEDS_RESET)
        mdp, actions = self.world.mdp, self._checked(self._states, np.asarray(actions))
        landed, reward = self._outcomes(self._states, actions)
        self._elapsed += 1
        terminated = mdp.terminal[landed]
        truncated = (self._elapsed >= self._limit) if self._limit > 0 else terminated & False
        ended = terminated | truncated
        self._states = np.where(ended, mdp.start, landed)
        self._elapsed[ended] = 0
        info: dict[str, Any] = self._final(landed, ended) if ended.any() else {}
        return self._states.copy(), reward, terminated, truncated, info | self._info(self._states)

    def render(self) -> tuple[str, ...] | None:
        """Each copy as text where `render_mode` is "ansi", else None."""
        if self._states is None:
            raise ResetNeeded(NEEDS_RESET)
        if self.render_mode != "ansi":
            return None
        return tuple(self.world.draw(state) for state in self._states)

    def _outcomes(self, states: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws next states and rewards, both [N]."""
        mdp = self.world.mdp
        k = np.zeros(self.num_envs, dtype=np.int64)
        if mdp.next_state.shape[2] > 1:
            drawn = self.np_random.random((self.num_envs, 1))
            k = (self._cumulative[states, actions] <= drawn).sum(axis=1)
        reward = mdp.reward[states, actions, k]
        noise = mdp.noise[states, actions, k]
        if noise.any():
            reward = reward + noise * self.np_random.standard_normal(self.num_envs)
        return mdp.next_state[states, actions, k], reward

    def _checked(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        allowed = self.world.mdp.allowed
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(f"actions must be {self.num_envs} whole numbers; got {actions!r}")
        outside = (actions < 0) | (actions >= allowed.shape[1])
        if outside.any():
            copy, last = int(outside.argmax()), allowed.shape[1] - 1
            raise ValueError(f"copy {copy}: action must be from 0 to {last}; got {actions[copy]}")
        refused = ~allowed[states, actions]
        if refused.any():
            copy = int(refused.argmax())
            what = f"action {actions[copy]} is not allowed in state {states[copy]}"
            raise ValueError(f"copy {copy}: {what}")
        return actions

    def _info(self, states: np.ndarray) -> dict[str, Any]:
        mask = self.world.mdp.allowed[states].astype(np.int8)  # [N, A]
        return {"action_mask": mask, "_action_mask": np.ones(self.num_envs, dtype=np.bool_)}

    def _final(self, landed: np.ndarray, ended: np.ndarray) -> dict[str, Any]:
        """What the copies that ended last saw; None or 0 for the others."""
        obs = np.full(self.num_envs, None, dtype=object)
        obs[ended] = landed[ended].tolist()
        mask = self.world.mdp.allowed[landed].astype(np.int8) * ended[:, None]
        info = {"action_mask": mask.astype(np.int8), "_action_mask": ended.copy()}
        return {
            "final_obs": obs,
            "_final_obs": ended.copy(),
            "final_info": info,
            "_final_info": ended.copy(),
        }

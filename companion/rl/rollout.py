"""Stepping environments: real transitions only, whatever way an environment resets itself."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from companion.core.seeding import generator
from companion.rl.targets import best_allowed

Envs = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]  # obs [N, D], mask [N, A] -> actions [N]


class Step(NamedTuple):
    """One step of those environments that really made one.

    Where an episode ended, `next_obs` is its true last observation, not the first of the next.
    """

    env: np.ndarray  # [M] which environment, M <= N
    obs: np.ndarray  # [M, D]
    action: np.ndarray  # [M]
    reward: np.ndarray  # [M] as the environment gives it
    next_obs: np.ndarray  # [M, D]
    terminated: np.ndarray  # [M]
    truncated: np.ndarray  # [M]
    next_mask: np.ndarray  # [M, A]


def make_envs(name: str, num_envs: int, **settings: Any) -> VectorEnv[Any, Any, Any]:
    """N environments by Gymnasium's name, in one array step where the environment offers it.

    Raises:
        ValueError: fewer than one environment.
        gymnasium.error.NameNotFound: there is no such environment.
    """
    if num_envs < 1:
        raise ValueError(f"num_envs must be 1 or more; got {num_envs}")
    if gym.spec(name).vector_entry_point is not None:
        return gym.make_vec(name, num_envs, "vector_entry_point", **settings)
    return _one_by_one([lambda: gym.make(name, **settings) for _ in range(num_envs)])


def as_vector(env: Envs) -> VectorEnv[Any, Any, Any]:
    """A single environment as a vector of one; a vector stays as it is."""
    return env if isinstance(env, VectorEnv) else _one_by_one([lambda: env])


def _one_by_one(makers: list[Callable[[], gym.Env[Any, Any]]]) -> VectorEnv[Any, Any, Any]:
    """Without autoreset: SAME_STEP would lose the last observation of one that reuses its array."""
    return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.DISABLED)


class Stepper:
    """Steps N environments and gives observations as float32 vectors of D numbers.

    Gymnasium has three ways to begin the next episode. NEXT_STEP spends a step on it, in which the
    action is ignored: that step is no transition and is left out. SAME_STEP hands the true last
    observation over in `info`. DISABLED leaves the reset to the caller: it is done here.

    `info["action_mask"]` says which actions an environment allows; without it, all are allowed. In
    a step that only resets, the action is ignored, so there all are allowed too.

    Args:
        envs: a vector environment; observations are a Box (flattened) or Discrete (one-hot),
            actions are Discrete from 0.

    Attributes:
        info: of the last step, as the environments gave it; `told` reads it.

    Raises:
        ValueError: another kind of space, or an autoreset mode that is not declared.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]):
        self.envs, self.num_envs = envs, envs.num_envs
        self.obs_size = observation_size(envs.single_observation_space)
        self.num_actions = action_count(envs.single_action_space)
        mode = envs.metadata.get("autoreset_mode")
        if mode not in list(AutoresetMode):
            raise ValueError(f"{envs} does not declare metadata['autoreset_mode']; got {mode!r}")
        self.autoreset_mode = mode
        self.info: Mapping[str, Any] = {}
        self._rows = np.arange(self.num_envs)
        self._all = np.ones((self.num_envs, self.num_actions), bool)
        self._all.flags.writeable = False  # handed out at each step without a mask
        self._resets: np.ndarray | None = None  # [N] in which the next step only resets

    @property
    def masked(self) -> bool:
        """Whether the next decision may find an action that is not allowed."""
        return self.mask is not self._all

    def reset(self, seed: int) -> None:
        """Begins an episode everywhere; the same seed gives the same episodes."""
        obs, info = self.envs.reset(seed=seed)
        self._resets = None
        self.obs, self.mask, self.info = self._vectors(obs), self._masks(info), info

    def step(self, actions: np.ndarray) -> Step:
        """One step; `obs` [N, D] and `mask` [N, A] then hold what the next decision sees."""
        obs, reward, terminated, truncated, info = self.envs.step(actions)
        before, resets, self.info = self.obs, self._resets, info
        # Copies: an environment may use its arrays again.
        reward, terminated, truncated = map(np.array, (reward, terminated, truncated))
        ended = np.logical_or(terminated, truncated)
        self.obs, self.mask, self._resets = self._vectors(obs), self._masks(info), None
        found = before, actions, reward, self.obs, terminated, truncated, self.mask
        step = Step(self._rows, *found)
        if ended.any():
            step = self._begin_again(step, ended, info)
        if resets is None:
            return step
        return Step(*(np.asarray(column)[~resets] for column in step))

    def told(self, name: str, found: Step) -> np.ndarray:
        """What `info` told of a step that was just made, [M, ...], also where an episode ended.

        Where every environment only reset itself, nothing was told: [0].

        Raises:
            ValueError: the environments do not tell it.
        """
        if not len(found.env):
            return np.zeros(0)
        final = self.info.get("final_info")
        last = final[name] if isinstance(final, Mapping) and name in final else None
        if name not in self.info and last is None:
            raise ValueError(f"info must hold {name!r}; it holds {sorted(self.info)}")
        value = np.asarray(self.info.get(name, last))[found.env]
        ended = np.logical_or(found.terminated, found.truncated)
        if last is not None and ended.any():
            value[ended] = np.asarray(last)[found.env[ended]]
        return value

    def _begin_again(self, step: Step, ended: np.ndarray, info: Mapping[str, Any]) -> Step:
        """The step with its true last observations; `obs` and `mask` go on with what comes next."""
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._resets = ended
            self.mask = self.mask | ended[:, None]
            return step
        next_obs, next_mask = self.obs.copy(), self.mask.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            next_obs[ended] = self._vectors(np.stack(list(info["final_obs"][ended])))
            final = info.get("final_info")
            next_mask[ended] = self._masks(final if isinstance(final, Mapping) else {})[ended]
            return step._replace(next_obs=next_obs, next_mask=next_mask)
        obs, info = self.envs.reset(options={"reset_mask": ended.copy()})
        next_obs[ended], next_mask[ended] = self._vectors(obs)[ended], self._masks(info)[ended]
        self.obs, self.mask = next_obs, self._all if next_mask.all() else next_mask
        return step

    def _vectors(self, obs: np.ndarray) -> np.ndarray:
        """Copies: an environment may write its next observation into the same array."""
        space = self.envs.single_observation_space
        if not isinstance(space, spaces.Discrete):
            return np.array(obs, np.float32, order="C").reshape(len(obs), self.obs_size)
        vectors = np.zeros((len(obs), self.obs_size), np.float32)
        vectors[np.arange(len(obs)), np.asarray(obs, np.int64) - space.start] = 1
        return vectors

    def _masks(self, info: Mapping[str, Any]) -> np.ndarray:
        """[N, A]; environments that gave no mask, as "_action_mask" says, allow every action."""
        if "action_mask" not in info:
            return self._all
        given = np.asarray(info.get("_action_mask", np.ones(self.num_envs, bool)))
        rows = np.asarray(info["action_mask"])[given]
        if rows.dtype == object:  # environments that give lists
            rows = np.array([list(row) for row in rows])
        if len(rows) and rows.shape[1:] != (self.num_actions,):
            raise ValueError(
                f"action_mask must have the shape ({self.num_actions},); got {rows.shape[1:]}"
            )
        masks = self._all.copy()
        masks[given] = rows.reshape(-1, self.num_actions)
        return masks


def observation_size(space: spaces.Space[Any]) -> int:
    """Numbers in an observation as a network sees it.

    Raises:
        ValueError: the space is neither a Box nor Discrete.
    """
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.Box):
        return int(np.prod(space.shape))
    raise ValueError(
        f"observations must be a Box or Discrete, not {space}; "
        "gymnasium.wrappers.FlattenObservation makes a Box of most spaces"
    )


def action_count(space: spaces.Space[Any]) -> int:
    """The number of actions.

    Raises:
        ValueError: the space is not Discrete, or its first action is not 0.
    """
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise ValueError(f"actions must be Discrete, from 0; got {space}")
    return int(space.n)


def greedy(q_values: Callable[[np.ndarray], np.ndarray]) -> Act:
    """Acts by the highest value among the allowed actions; the first of equals."""
    return lambda obs, mask: best_allowed(q_values(obs), mask)


def evaluate(act: Act, envs: Envs, *, seed: int, steps: int = 10_000) -> np.ndarray:
    """The return of one whole episode in each environment, undiscounted.

    One episode each: counting the first episodes to end would favour the short ones.

    Args:
        act: observations [N, D] and masks [N, A] to actions [N].
        envs: N environments, or a single one. They are reset, so they must not be those of a
            training that is to go on.
        seed: of the environments.
        steps: after which an episode that has not ended is an error: a policy may loop for ever.

    Returns:
        [N] float64.

    Raises:
        RuntimeError: an episode had not ended after `steps` steps.
    """
    stepper = Stepper(as_vector(envs))
    stepper.reset(int(generator(seed, "evaluate").integers(2**31)))
    returns, running = np.zeros(stepper.num_envs), np.ones(stepper.num_envs, bool)
    for _ in range(steps):
        found = stepper.step(act(stepper.obs, stepper.mask))
        returns[found.env] += np.where(running[found.env], found.reward, 0.0)
        running[found.env] &= ~(found.terminated | found.truncated)
        if not running.any():
            return returns
    raise RuntimeError(f"{running.sum()} episodes had not ended after {steps} steps")

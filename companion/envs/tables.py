"""The environment of a world given as tables."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from companion.envs.finite import FiniteMDP, check
from companion.envs.gridworlds import WORLDS
from companion.envs.world import World

NEEDS_RESET = "the environment must be reset before it is used"


def find_world(world: World | str, options: dict[str, Any]) -> World:
    """The world itself after a check of its tables, or the one of that name with its options.

    Raises:
        ValueError: no world has that name, or the tables are wrong (see `finite.check`).
    """
    if isinstance(world, World):
        if options:
            raise ValueError(f"a finished world takes no options; got {sorted(options)}")
        check(world.mdp)
        return world
    if world not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}; got {world!r}")
    return WORLDS[world](**options)


def check_render_mode(render_mode: str | None) -> None:
    """Refuses a mode that is neither None nor "ansi"."""
    if render_mode not in (None, "ansi"):
        raise ValueError(f'render_mode must be None or "ansi"; got {render_mode!r}')


def cumulative(mdp: FiniteMDP) -> np.ndarray:
    """[S, A, K] running sums of the probabilities.

    The last used outcome gets exactly 1: round-off below 1 would let a number drawn between the
    two fall on an outcome that does not exist.
    """
    total = np.cumsum(mdp.probability, axis=2)
    return np.where(total > 1 - 1e-9, 1.0, total)


class TableEnv(gymnasium.Env[Any, Any]):
    """One copy of a world given as tables.

    ## Description
    The docstring of each world in `companion.envs.gridworlds` describes it. Drawn outcomes and
    rewards come from `self.np_random` alone, which `reset(seed=...)` sets.

    ## Action Space
    `Discrete(A)`. Where a world does not allow every action, `info["action_mask"]` (int8, [A])
    says which are, in the form that `action_space.sample(mask)` takes.

    ## Observation Space
    `Discrete(S)`: the number of the state.

    ## Rewards
    Those of the world's tables.

    ## Starting State
    The world's start.

    ## Episode End
    Terminated in a terminal state. Never truncated here: the time limit is Gymnasium's wrapper,
    which `gymnasium.make` adds.

    ## Arguments
    world: a `World`, or a name in `WORLDS`. render_mode: None, or "ansi" for text. Any other
    argument goes to the world of that name, such as `moves=8` to "windy".
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 - declared so by Gymnasium

    def __init__(
        self, world: World | str, *, render_mode: str | None = None, **options: Any
    ) -> None:
        check_render_mode(render_mode)
        self.world = find_world(world, options)
        states, actions = self.world.mdp.allowed.shape
        self.observation_space = gymnasium.spaces.Discrete(states)
        self.action_space = gymnasium.spaces.Discrete(actions)
        self.render_mode = render_mode
        self._cumulative = cumulative(self.world.mdp)
        self._state: int | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Begins an episode. Without a seed, the random stream goes on where it was."""
        super().reset(seed=seed)
        self._state = int(self.world.mdp.start)
        return self._state, self._info(self._state)

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Acts once.

        Raises:
            ResetNeeded: before the first reset, or after the end of an episode.
            ValueError: the action is no whole number in the action space, or not allowed here.
        """
        mdp, state = self.world.mdp, self._state
        if state is None or mdp.terminal[state]:
            raise ResetNeeded(NEEDS_RESET)
        if not self.action_space.contains(action):
            last = mdp.allowed.shape[1] - 1
            raise ValueError(f"action must be a whole number from 0 to {last}; got {action!r}")
        pair = (state, int(action))
        if not mdp.allowed[pair]:
            raise ValueError(f"action {pair[1]} is not allowed in state {state}")
        k = 0
        if mdp.next_state.shape[2] > 1:
            k = int((self._cumulative[pair] <= self.np_random.random()).sum())
        outcome = (*pair, k)
        reward = float(mdp.reward[outcome])
        if mdp.noise[outcome] > 0:
            reward += float(mdp.noise[outcome] * self.np_random.standard_normal())
        self._state = int(mdp.next_state[outcome])
        terminated = bool(mdp.terminal[self._state])
        return self._state, reward, terminated, False, self._info(self._state)

    def render(self) -> str | None:
        """The world as text where `render_mode` is "ansi", else None."""
        if self._state is None:
            raise ResetNeeded(NEEDS_RESET)
        return self.world.draw(self._state) if self.render_mode == "ansi" else None

    def _info(self, state: int) -> dict[str, Any]:
        return {"action_mask": self.world.mdp.allowed[state].astype(np.int8)}

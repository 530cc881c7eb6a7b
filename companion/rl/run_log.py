"""What a training run has done: its actions and its episodes, enough to step through it again."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.rl.rollout import Step, Stepper


class Episode(NamedTuple):
    """An episode that has ended while training."""

    step: int  # steps of all environments together when it ended
    reward: float  # its return, undiscounted
    length: int


class RunLog:
    """The steps of N environments, counted. Environments cannot be stored, so their actions are.

    Args:
        stepper: of the environments; it is reset.
        seed: of the environments.

    Attributes:
        step: steps so far, over all environments.
        episodes: those that have ended, in this order.
    """

    def __init__(self, stepper: Stepper, *, seed: int):
        self.stepper, self.step = stepper, 0
        self.episodes: list[Episode] = []
        self._actions = bytearray()  # int32
        self._shape: tuple[int, ...] = (stepper.num_envs,)  # of the actions of a step
        self._return = np.zeros(stepper.num_envs)
        self._length = np.zeros(stepper.num_envs, np.int64)
        stepper.reset(int(generator(seed, "environment").integers(2**31)))

    def note(self, actions: np.ndarray) -> None:
        """Keeps the actions of a step, [N] or [N, K], as the environments get them."""
        self._actions += actions.astype(np.int32).tobytes()
        self._shape = actions.shape

    def count(self, found: Step) -> np.ndarray:
        """Counts a step; gives back which of its M episodes have ended, [M]."""
        ended = np.logical_or(found.terminated, found.truncated)
        self.step += len(found.env)
        self._return[found.env] += found.reward
        self._length[found.env] += 1
        for env in found.env[ended]:
            total, length = float(self._return[env]), int(self._length[env])
            self.episodes.append(Episode(self.step, total, length))
            self._return[env] = self._length[env] = 0
        return ended

    def returns(self) -> np.ndarray:
        """The returns of the episodes so far, in the order in which they ended."""
        return np.array([episode.reward for episode in self.episodes])

    def done(self) -> dict[str, np.ndarray]:
        """What was done, and where it led: what the same environments do again."""
        return {
            "actions": np.frombuffer(bytes(self._actions), np.int32).reshape(-1, *self._shape),
            "episodes": np.array(self.episodes, np.float64).reshape(-1, 3),
            "return": self._return.copy(),
            "length": self._length.copy(),
            "obs": self.stepper.obs,
            "mask": self.stepper.mask,
        }

    def environments(self) -> dict[str, Any]:
        """Sizes and kind of the environments, for a comparison."""
        sizes = {k: getattr(self.stepper, k) for k in ("num_envs", "obs_size", "num_actions")}
        return {**sizes, "autoreset_mode": str(self.stepper.autoreset_mode.value)}

    def step_again(self, run: dict[str, np.ndarray], path: str | Path) -> None:
        """Steps through a run that `done` described, from the beginning.

        Args:
            run: from `done`.
            path: of the file it was stored in, for the sentence.

        Raises:
            ValueError: the environments do something else this time.
        """
        different = f"the environments do not repeat the run in {path}"
        for actions in run["actions"].astype(np.int64):
            items = actions.reshape(len(actions), -1)  # [N, 1] or [N, K]
            if not np.take_along_axis(self.stepper.mask, items, 1).all():
                raise ValueError(f"{different}: an action is not allowed now")
            self.note(actions)
            self.count(self.stepper.step(actions))
        for name, value in self.done().items():
            if not np.array_equal(value, run[name]):
                raise ValueError(f"{different}: {name} differs")


def refuse_others(path: str | Path, stored: dict[str, Any], own: dict[str, Any]) -> None:
    """Refuses a stored run whose settings are not one's own.

    Raises:
        ValueError: a setting differs; it is named.
    """
    for name in own:
        if own[name] != stored.get(name):
            raise ValueError(f"{path} was made with {name}={stored.get(name)}, not {own[name]}")


class Logged:
    """A training that keeps a log of its run, and tells what is in it."""

    _log: RunLog

    def returns(self) -> np.ndarray:
        """The returns of the episodes so far, in the order in which they ended."""
        return self._log.returns()

    @property
    def step(self) -> int:
        """Steps so far, over all environments."""
        return self._log.step

    @property
    def episodes(self) -> list[Episode]:
        """The episodes that have ended."""
        return self._log.episodes

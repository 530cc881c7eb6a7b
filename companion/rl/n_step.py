"""From single steps to n-step transitions, for N environments side by side."""

import numpy as np

from companion.rl.replay import Transitions


class NStep:
    """Joins n steps of each environment into one transition.

    R = r_1 + gamma r_2 + ... + gamma^(n-1) r_n, then bootstrap with gamma^n at the state reached.
    Book section 7.1. At the end of an episode the shorter rests are passed on too, each with its
    own gamma^m, so that every pair (s, a) comes out exactly once and nothing reaches across the
    end. Off the policy that acted, n > 1 is biased: the later rewards are its, not the greedy
    policy's.

    Args:
        n: steps, 1 or more.
        gamma: discount.
        num_envs: N.

    Raises:
        ValueError: n or num_envs is below 1.
    """

    def __init__(self, n: int, gamma: float, num_envs: int):
        if n < 1 or num_envs < 1:
            raise ValueError(f"n and num_envs must be 1 or more; got {n} and {num_envs}")
        self._n, self._gamma, self._num_envs = n, gamma, num_envs
        # A ring for each environment. Where a pair (s, a) leads to is known from the last step.
        self._waiting: dict[str, np.ndarray] = {
            "action": np.zeros((num_envs, n), np.int64),
            "reward": np.zeros((num_envs, n)),  # so far
            "discount": np.zeros((num_envs, n)),  # of what comes next
            "first": np.zeros(num_envs, np.int64),  # the place of the oldest
            "count": np.zeros(num_envs, np.int64),
        }

    def push(self, new: Transitions, env: np.ndarray, ended: np.ndarray) -> Transitions:
        """Takes one step of some environments; returns the transitions that are complete.

        Args:
            new: [M] single steps, discount gamma.
            env: [M] the environment of each, none of them twice.
            ended: [M] True where the episode is over, terminated or truncated.

        Returns:
            Environment after environment, the oldest first.
        """
        if self._n == 1:
            return new
        self._append(new, env)
        first, count = self._waiting["first"], self._waiting["count"]
        age = np.arange(self._n)
        leaves = age < np.where(ended, count[env], count[env] == self._n)[:, None]  # [M, n]
        rows, ages = np.nonzero(leaves)
        places = env[rows], (first[env[rows]] + ages) % self._n
        leaving = leaves.sum(1)
        first[env] = (first[env] + leaving) % self._n
        count[env] -= leaving
        obs, action, reward, discount = (
            self._waiting[name][places] for name in ("obs", "action", "reward", "discount")
        )
        reached = new.next_obs[rows], new.terminated[rows]
        return Transitions(obs, action, reward, *reached, discount, new.next_mask[rows])

    def _append(self, new: Transitions, env: np.ndarray) -> None:
        """Those that wait reach one step further, and the new ones wait too."""
        waiting = self._waiting
        if "obs" not in waiting:
            waiting["obs"] = np.zeros((self._num_envs, self._n, *new.obs.shape[1:]), new.obs.dtype)
        # Places where nothing waits are moved too: they are set before they are used.
        waiting["reward"][env] += waiting["discount"][env] * new.reward[:, None]
        waiting["discount"][env] *= self._gamma
        place = env, (waiting["first"][env] + waiting["count"][env]) % self._n
        for name in ("obs", "action", "reward", "discount"):
            waiting[name][place] = getattr(new, name)
        waiting["count"][env] += 1

    def state(self) -> dict[str, np.ndarray]:
        """What waits, for a checkpoint."""
        return {name: value.copy() for name, value in self._waiting.items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` of another with the same n and num_envs gave.

        Raises:
            ValueError: an array is missing or has another shape; it is named.
        """
        for name, value in self._waiting.items():
            if name != "obs" and (name not in state or state[name].shape != value.shape):
                raise ValueError(f"{name} of the waiting steps must have the shape {value.shape}")
        self._waiting = {name: value.copy() for name, value in state.items()}

"""The ten-armed testbed, many problems side by side. Book chapter 2.

In each problem the true value of an arm is drawn from a normal distribution with mean 0 and
standard deviation 1; a reward is that value plus normal noise of standard deviation 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.rl.explore import epsilon_greedy_batch


@dataclass(frozen=True)
class BanditConfig:
    """How the agents choose and learn.

    `epsilon` and `initial` alone make greedy, epsilon-greedy and optimistic agents. With `ucb_c`
    they take the highest upper confidence bound (equation 2.10); with `gradient` they follow
    preferences H with the policy softmax(H / temperature) (section 2.8); with `temperature` alone
    they take softmax of the estimates.

    Raises:
        ValueError: a setting is out of its range, or two ways of choosing are asked for.
    """

    epsilon: float = 0.0
    initial: float = 0.0  # estimate of each arm at the start; 5 is optimistic
    alpha: float | None = None  # constant step size; None: the mean of all rewards, 1 / N
    ucb_c: float | None = None  # degree of exploration
    temperature: float | None = None
    gradient: bool = False  # alpha must be given; the baseline is the mean reward so far

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon must be from 0 to 1; got {self.epsilon}")
        if self.alpha is not None and not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be above 0 and at most 1; got {self.alpha}")
        if self.ucb_c is not None and not self.ucb_c >= 0:
            raise ValueError(f"ucb_c must be 0 or more; got {self.ucb_c}")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature must be above 0; got {self.temperature}")
        if self.gradient and self.alpha is None:
            raise ValueError("gradient needs a step size; alpha is None")
        soft = self.gradient or self.temperature is not None
        if (self.epsilon > 0) + (self.ucb_c is not None) + soft > 1:
            raise ValueError("choose one of epsilon, ucb_c and temperature or gradient")


class Testbed(NamedTuple):
    """Means over the problems, for each time step."""

    reward: np.ndarray  # [T]
    best_action: np.ndarray  # [T] share of the problems where the best arm was taken
    best_value: float  # mean of the true values of the best arms: no agent can do better


def run_testbed(
    config: BanditConfig, *, arms: int = 10, runs: int = 2_000, steps: int = 1_000, seed: int = 0
) -> Testbed:
    """Lets one kind of agent play `runs` problems for `steps` steps.

    The problems depend on the seed alone, so that agents of one seed play the same ones.

    Raises:
        ValueError: arms, runs or steps is below 1.
    """
    for name, number in (("arms", arms), ("runs", runs), ("steps", steps)):
        if number < 1:
            raise ValueError(f"{name} must be 1 or more; got {number}")
    values = generator(seed, "bandit problems").standard_normal((runs, arms))  # [N, A]
    rng = generator(seed, "bandit agents")
    best, rows = values.argmax(axis=1), np.arange(runs)
    estimates, counts = np.full((runs, arms), float(config.initial)), np.zeros((runs, arms))
    baseline = np.zeros(runs)  # mean reward so far
    rewards, right = np.zeros(steps), np.zeros(steps)
    for t in range(steps):
        action = _choose(config, estimates, counts, rng)  # [N]
        reward = values[rows, action] + rng.standard_normal(runs)
        counts[rows, action] += 1
        if config.gradient:
            baseline += (reward - baseline) / (t + 1)
            policy = _softmax(estimates, config.temperature or 1.0)
            estimates += gradient_step(policy, action, config.alpha * (reward - baseline))
        else:
            size = config.alpha or 1.0 / counts[rows, action]
            estimates[rows, action] += size * (reward - estimates[rows, action])
        rewards[t], right[t] = reward.mean(), (action == best).mean()
    return Testbed(rewards, right, float(values.max(axis=1).mean()))


def gradient_step(policy: np.ndarray, action: np.ndarray, size: np.ndarray) -> np.ndarray:
    """How the preferences move: size (1[a = A] - pi(a)). [N, A]. Book equation 2.12.

    Args:
        policy: [N, A] probabilities pi.
        action: [N] the actions A taken.
        size: [N] alpha times (reward - baseline).
    """
    taken = action[:, None] == np.arange(policy.shape[1])
    return size[:, None] * (taken - policy)


def _choose(
    config: BanditConfig, estimates: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """[N] actions. Ties are decided at random."""
    if config.gradient or config.temperature is not None:
        below = np.cumsum(_softmax(estimates, config.temperature or 1.0), axis=1)  # [N, A]
        draw = rng.random((len(estimates), 1)) * below[:, -1:]
        return np.argmax(below > draw, axis=1)
    if config.ucb_c is not None:
        time = counts[0].sum() + 1  # the same in every problem
        bound = estimates + config.ucb_c * np.sqrt(np.log(time) / np.maximum(counts, 1))
        return epsilon_greedy_batch(np.where(counts == 0, np.inf, bound), 0.0, rng)
    return epsilon_greedy_batch(estimates, config.epsilon, rng)


def _softmax(values: np.ndarray, temperature: float) -> np.ndarray:
    weights: np.ndarray = np.exp((values - values.max(axis=1, keepdims=True)) / temperature)
    return weights / weights.sum(axis=1, keepdims=True)

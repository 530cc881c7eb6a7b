"""What every recommender of the shop has in common: it shows slates and learns from pages.

A policy reads observations and `info` of `companion.envs.shop`, never the hidden interest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np

from companion.core.seeding import generator
from companion.envs.slates import Slate, epsilon_greedy_slate, plackett_luce, top_k, uniform

Info = Mapping[str, Any]
Scores = Callable[[np.ndarray, Info], np.ndarray]  # obs [N, D], info -> [N, I] or [I]
Row = Callable[[np.ndarray, Slate, Info], tuple[np.ndarray, ...]]


class Policy(Protocol):
    """Chooses slates for N shoppers at once."""

    @property
    def name(self) -> str:
        """In tables and figures."""

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper.

        Args:
            obs: [N, D].
            info: of the same moment; "action_mask" [N, I] says what may be shown.
            rng: of the choice.
        """

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Learns from one page of each shopper; does nothing where the policy is fixed.

        Args:
            obs: [N, D] what `act` saw.
            slate: what was shown.
            info: of the step, as `after_step` gives it.
        """


@dataclass(frozen=True)
class Choice:
    """How scores become a slate: the best, or with exploration. The propensities are exact.

    Raises:
        ValueError: a setting is out of its range, or both ways of exploring are asked for.
    """

    slate_size: int = 1  # K
    epsilon: float = 0.0  # of `epsilon_greedy_slate`; 0 with no temperature is `top_k`
    temperature: float | None = None  # of `plackett_luce`

    def __post_init__(self) -> None:
        if self.slate_size < 1:
            raise ValueError(f"slate_size must be 1 or more; got {self.slate_size}")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon must be from 0 to 1; got {self.epsilon}")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature must be above 0; got {self.temperature}")
        if self.epsilon > 0 and self.temperature is not None:
            raise ValueError("choose one of epsilon and temperature")

    def __call__(self, scores: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Slate:
        """A slate for each shopper. scores: [N, I] or [I]; mask: [N, I]."""
        if self.temperature is not None:
            return plackett_luce(
                scores, mask, self.slate_size, temperature=self.temperature, rng=rng
            )
        if self.epsilon > 0:
            return epsilon_greedy_slate(
                scores, mask, self.slate_size, epsilon=self.epsilon, rng=rng
            )
        return top_k(scores, mask, self.slate_size)


class RandomPolicy:
    """Every allowed item with the same chance: the policy whose log tells the most.

    Args:
        slate_size: K.

    Raises:
        ValueError: K is below 1.
    """

    name = "random"

    def __init__(self, slate_size: int = 1):
        self.slate_size = Choice(slate_size).slate_size

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper."""
        return uniform(mask_of(info), self.slate_size, rng)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Nothing to learn."""


class ScorePolicy:
    """Shows the items of high score. Fixed: it does not learn while it acts.

    Args:
        name: in tables and figures.
        scores: obs [N, D] and info to scores [N, I], or [I] for all shoppers.
        choice: how scores become a slate.
    """

    def __init__(self, name: str, scores: Scores, choice: Choice):
        self.name, self.scores, self.choice = name, scores, choice

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper."""
        return self.choice(self.scores(obs, info), mask_of(info), rng)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Nothing to learn."""


def mask_of(info: Info) -> np.ndarray:
    """Which items may be shown. [N, I] bool

    Raises:
        ValueError: the info says nothing about it.
    """
    if "action_mask" not in info:
        raise ValueError(f"info must hold 'action_mask'; it holds {sorted(info)}")
    return np.asarray(info["action_mask"], np.bool_)


def of_step(info: Info, *names: str) -> list[Any]:
    """What a policy learns from.

    Raises:
        ValueError: the info does not come from `after_step`, or the shop does not tell it.
    """
    for name in names:
        if name not in info:
            raise ValueError(
                f"learn needs info[{name!r}], as after_step gives it; got {sorted(info)}"
            )
    return [info[name] for name in names]


class StepResult(NamedTuple):
    """What `env.step` of a vector environment returns, by name."""

    next_obs: np.ndarray  # [N, D]
    reward: np.ndarray  # [N]
    terminated: np.ndarray  # [N]
    truncated: np.ndarray  # [N]
    info: Info


def after_step(before: Info, result: StepResult) -> dict[str, Any]:
    """What really happened in a step, for `Policy.learn`.

    Where an episode ends, Gymnasium's SAME_STEP hands over the first observation and info of the
    next one, and puts the last ones aside in `final_obs` and `final_info`. They are put back here.

    Args:
        before: the info that `act` saw.
        result: of `env.step`.

    Returns:
        The info of the step, and in it also "next_obs" [N, D], "reward", "terminated" and
        "truncated" [N], and `before` under "before". Nothing of it belongs to the next episode.
    """
    found: dict[str, Any] = dict(result.info)
    ended = np.logical_or(result.terminated, result.truncated)
    next_obs = np.array(result.next_obs)
    if ended.any() and "final_obs" in found:
        next_obs[ended] = np.stack(list(found["final_obs"][ended]))
        for key, value in found.get("final_info", {}).items():
            if not key.startswith("_"):
                last = np.asarray(value)
                found[key] = np.array(found[key]) if key in found else np.zeros_like(last)
                found[key][ended] = last[ended]
    for key in ("final_obs", "_final_obs", "final_info", "_final_info"):
        found.pop(key, None)
    ends = {"terminated": np.asarray(result.terminated), "truncated": np.asarray(result.truncated)}
    more = {"before": before, "next_obs": next_obs, "reward": np.asarray(result.reward)}
    return {**found, **more, **ends}


class Played(NamedTuple):
    """What T pages of N shoppers brought. A shopper who leaves makes room for the next one."""

    reward: np.ndarray  # [T, N]
    click: np.ndarray  # [T, N] clicks on the page
    cart: np.ndarray  # [T, N]
    purchase: np.ndarray  # [T, N]
    terminated: np.ndarray  # [T, N]
    truncated: np.ndarray  # [T, N]


def play(
    envs: gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    steps: int,
    seed: int,
    learn: bool = True,
    watch: Callable[[np.ndarray, Slate, Info], None] | None = None,
) -> Played:
    """Lets a policy act, and learn if it can.

    Args:
        envs: N shops with SAME_STEP autoreset. They are reset.
        policy: of the slates.
        steps: T.
        seed: of the shops and of the choices, two streams apart.
        learn: False freezes the policy.
        watch: is called after each step with what `learn` is called with.

    Raises:
        ValueError: steps is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more; got {steps}")
    single = isinstance(envs.single_action_space, gym.spaces.Discrete)
    rng = generator(seed, "policy")
    info: Info
    obs, info = envs.reset(seed=int(generator(seed, "shops").integers(2**31)))
    rows = []
    for _ in range(steps):
        obs = np.array(obs)  # an environment may write the next one into the same array
        slate = policy.act(obs, info, rng)
        result = StepResult(*envs.step(slate.items[:, 0] if single else slate.items))
        after = after_step(info, result)
        if learn:
            policy.learn(obs, slate, after)
        if watch is not None:
            watch(obs, slate, after)
        counts = [np.sum(after[name], axis=1) for name in ("click", "cart", "purchase")]
        rows.append((after["reward"], *counts, after["terminated"], after["truncated"]))
        obs, info = result.next_obs, result.info
    return Played(*(np.stack(column) for column in zip(*rows, strict=True)))


def gathered(
    envs: gym.vector.VectorEnv[Any, Any, Any], policy: Policy, row: Row, *, steps: int, seed: int
) -> list[np.ndarray]:
    """What is to be kept of T pages of N shoppers, in columns; the policy does not learn.

    Args:
        envs: as in `play`, and so are policy, steps and seed.
        row: what `learn` would be called with -> some arrays, each with the same first axis in
            every step. They are copied, so that an environment may write into its own.

    Returns:
        Each of those arrays, of all steps one after another.

    Raises:
        ValueError: steps is below 1.
    """
    rows: list[list[np.ndarray]] = []

    def keep(obs: np.ndarray, slate: Slate, info: Info) -> None:
        rows.append([np.array(one) for one in row(obs, slate, info)])

    play(envs, policy, steps=steps, seed=seed, learn=False, watch=keep)
    return [np.concatenate(column) for column in zip(*rows, strict=True)]

"""Trials: the same shoppers served by each policy, from their first page to their last.

What is played for a fixed number of pages counts shoppers who stay more often than others, and cuts
the last ones off. Here each shopper counts once, with one whole episode. The shop fixes all of an
episode's chance by the shopper's seed, so two policies meet the same shoppers with the same luck,
and their difference is far less noisy than either of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from companion.core.seeding import generator
from companion.envs.policies import Info, Policy, StepResult, after_step
from companion.metrics.uplift import Interval, bootstrap_mean

Shop = gym.vector.VectorEnv[Any, Any, Any]

FIGURES = ("returns", "clicks", "carts", "purchases", "pages", "click_rate")


class Episodes(NamedTuple):
    """One whole episode of each of N shoppers; [S, N] where there are S agents (see `stacked`)."""

    returns: np.ndarray  # [N] sum of the rewards, without discount
    clicks: np.ndarray  # [N]
    carts: np.ndarray  # [N]
    purchases: np.ndarray  # [N]
    pages: np.ndarray  # [N] 1 or more

    @property
    def click_rate(self) -> np.ndarray:
        """Clicks of each shopper / her pages. [N]"""
        rate: np.ndarray = self.clicks / self.pages
        return rate


def episodes(policy: Policy, shop: Shop, *, shoppers: int, seed: int) -> Episodes:
    """One whole episode of each of N shoppers.

    Args:
        policy: acts and does not learn.
        shop: any number of copies with SAME_STEP autoreset; N shoppers come to them in turn. It is
            reset. A copy whose shopper has left is served on, and does not count.
        shoppers: N.
        seed: of the shoppers and of the policy, two streams apart. The same seed brings the same
            shoppers, whatever the number of copies.

    Raises:
        ValueError: shoppers is below 1, or the shop resets itself in another way.
    """
    if shoppers < 1:
        raise ValueError(f"shoppers must be 1 or more; got {shoppers}")
    mode = shop.metadata.get("autoreset_mode")
    if mode is not gym.vector.AutoresetMode.SAME_STEP:
        raise ValueError(f"the shop must reset itself in the same step; its mode is {mode}")
    together, rng = shop.num_envs, generator(seed, "policy")
    turns = -(-shoppers // together)
    drawn = generator(seed, "shoppers").integers(2**31, size=turns * together).tolist()
    parts = [
        _turn(policy, shop, drawn[first : first + together], rng)
        for first in range(0, len(drawn), together)
    ]
    return Episodes(*np.concatenate(parts, axis=1)[:, :shoppers])


def _turn(policy: Policy, shop: Shop, seeds: list[int], rng: np.random.Generator) -> np.ndarray:
    """The figures of one shopper in each copy, in the order of `Episodes`. [5, N]"""
    one_item = isinstance(shop.single_action_space, gym.spaces.Discrete)
    info: Info
    obs, info = shop.reset(seed=seeds)  # type: ignore[arg-type]  # a list is taken as well
    total, here = np.zeros((5, len(seeds))), np.ones(len(seeds), bool)
    while here.any():
        # An environment may write the next observation into the same array.
        items = policy.act(np.array(obs), info, rng).items
        result = StepResult(*shop.step(items[:, 0] if one_item else items))
        after = after_step(info, result)
        counts = [np.sum(after[name], axis=1) for name in ("click", "cart", "purchase")]
        total += here * np.stack([result.reward, *counts, np.ones(len(seeds))])
        here &= ~(result.terminated | result.truncated)
        obs, info = result.next_obs, result.info
    return total


def stacked(found: Sequence[Episodes]) -> Episodes:
    """The same N shoppers served by S agents, such as one that was trained with S seeds. [S, N]

    Raises:
        ValueError: there is none, or the numbers of shoppers differ.
    """
    sizes = {one.pages.shape for one in found}
    if len(sizes) != 1:
        raise ValueError(f"the same shoppers are needed for each agent; got {sorted(sizes)}")
    return Episodes(*(np.stack(column) for column in zip(*found, strict=True)))


def crossed_mean(values: npt.ArrayLike, *, seed: int, level: float = 0.95) -> Interval:
    """The mean over agents and shoppers, and an interval for other agents and other shoppers.

    mean +- t sqrt(V), V = s_r^2 / S + s_c^2 / N, where s_r is the standard deviation of the S
    agents' means, s_c that of the N shoppers' means, and t is Student's quantile with the degrees
    of freedom of Satterthwaite (1946), doi:10.2307/3002019: V^2 / (V_r^2 / (S - 1) + V_c^2 / (N -
    1)). The noise of a single pair is in both parts, so the interval is a little too wide rather
    than too narrow; no exact one exists, not by a bootstrap either (Owen, 2007,
    doi:10.1214/07-AOAS122). A percentile bootstrap cannot go beyond the agents that are there, and
    of few agents it is far too narrow. One agent alone says nothing about others: the interval is
    then for other shoppers, from `bootstrap_mean`.

    Args:
        values: [S, N], or [N] for one agent.
        seed: of the bootstrap, where there is one agent.
        level: of the interval, in (0, 1).

    Raises:
        ValueError: a shape is wrong, a value is not finite, there are fewer than two shoppers, or
            the level is not in (0, 1).
    """
    table = np.atleast_2d(np.asarray(values, float))
    if table.ndim != 2 or not len(table):
        raise ValueError(f"values must be [S, N] or [N]; got the shape {np.shape(values)}")
    if not np.isfinite(table).all():
        agent, shopper = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(f"agent {agent}, shopper {shopper}: {table[agent, shopper]} is no number")
    if len(table) == 1:
        return bootstrap_mean(table[0], seed=seed, level=level)
    if table.shape[1] < 2:
        raise ValueError(f"an interval needs two shoppers or more; got {table.shape[1]}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    parts = np.array([np.var(table.mean(axis=n), ddof=1) for n in (1, 0)]) / table.shape
    total, mean = parts.sum(), float(table.mean())
    freedom = total**2 / max((parts**2 / (np.array(table.shape) - 1)).sum(), np.finfo(float).tiny)
    half = float(stats.t.ppf((1 + level) / 2, max(freedom, 1.0)) * np.sqrt(total))
    return Interval(mean, mean - half, mean + half, level, table.shape[1])


def paired(
    ours: npt.ArrayLike, theirs: npt.ArrayLike, *, seed: int, level: float = 0.95
) -> Interval:
    """The mean of ours minus theirs for the same shoppers, as in `crossed_mean`.

    Args:
        ours: [S, N], or [N] for one agent.
        theirs: likewise. S agents are compared one by one in their order, such as by the seed with
            which both were trained; one agent is compared with each of the others'.
        seed: of the bootstrap, where there is one agent.
        level: of the interval.

    Raises:
        ValueError: the shoppers or the numbers of agents do not fit, or as in `crossed_mean`.
    """
    mine, other = (np.atleast_2d(np.asarray(found, float)) for found in (ours, theirs))
    if mine.shape[1:] != other.shape[1:]:
        raise ValueError(f"the same shoppers are needed; got {mine.shape} and {other.shape}")
    if len(mine) != len(other) and 1 not in (len(mine), len(other)):
        raise ValueError(f"{len(mine)} agents cannot be compared with {len(other)} one by one")
    return crossed_mean(mine - other, seed=seed, level=level)


def trial_table(
    found: Mapping[str, Episodes],
    incumbent: str,
    *,
    seed: int,
    figure: str = "returns",
    level: float = 0.95,
) -> pd.DataFrame:
    """A table of policies: mean with interval, and the paired difference to the incumbent.

    Args:
        found: name of the policy to its episodes, of the same shoppers.
        incumbent: the policy that the others are compared with.
        seed: of the bootstrap.
        figure: one of `FIGURES`.
        level: of the intervals, each on its own (not corrected for looking at several).

    Returns:
        Indexed by policy: `agents`, `mean`, `low`, `high`, `difference`, `difference low`,
        `difference high`; the incumbent's difference is 0. `metrics.uplift.verdict` reads it.

    Raises:
        ValueError: the incumbent or the figure is unknown, or as in `paired`.
    """
    if incumbent not in found:
        raise ValueError(f"{incumbent!r} is not among the policies: {', '.join(found)}")
    if figure not in FIGURES:
        raise ValueError(f"figure must be one of {', '.join(FIGURES)}; got {figure!r}")
    values = {name: np.atleast_2d(getattr(one, figure)) for name, one in found.items()}
    rows = {}
    for name, ours in values.items():
        mean = crossed_mean(ours, seed=seed, level=level)
        gap = paired(ours, values[incumbent], seed=seed, level=level)
        rows[name] = (len(ours), *mean[:3], *gap[:3])
    names = ["agents", "mean", "low", "high", "difference", "difference low", "difference high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)

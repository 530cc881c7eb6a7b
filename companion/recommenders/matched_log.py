"""A log seen with the eyes of another policy: what would it have got?

In a log whose choices have known probabilities, an impression that the policy would have made too
counts 1 / propensity, all others 0. It is read place by place: whole pages of K items are never the
same. At each place k, with w such weights, C_k = sum of w over pages clicked there, Z_k = sum of w
over pages without any click, S_k = sum of w over all pages:

- "choice": at most one click on a page, and what else is shown does not change an item's odds
  against no click (McFadden, 1974). o_k = C_k / Z_k are the odds of the place, and clicks per item
  shown = sum of o / (1 + sum of o) / K. Exact in the mean where each place's odds are the same on
  all pages, and close where they differ.
- "independent": what else is shown changes nothing at all: the mean of C_k / S_k over the places,
  as in Li et al. (2018), arXiv:1804.10488. Where one click ends the page, it flatters a good page
  in a log of poor ones.

A place has sums of its own, since a propensity is given the items above: an item that stands higher
up cannot be drawn again, so that the weights of a place need not have the mean 1.

With K = 1 both are the self-normalised estimate of Swaminathan and Joachims (2015).

What no such estimate sees: its pages are those to which the log's policy has led. A policy that
keeps shoppers in a better mood gets more than that. In a shop with a horizon of one page there is
no such difference.
"""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from companion.core.seeding import generator
from companion.envs.policies import Info, Policy, gathered, of_step
from companion.envs.slates import Slate
from companion.metrics.uplift import Interval, bootstrap_mean

ASSUMPTIONS = ("choice", "independent")
BLOCKS = 2_000  # of shoppers: what a bootstrap draws where there are more of them

Envs = gym.vector.VectorEnv[Any, Any, Any]


class Matched(NamedTuple):
    """P pages of a log, seen with the eyes of a policy."""

    weight: np.ndarray  # [P, K] 1 / propensity where the policy has the same item there, or 0
    click: np.ndarray  # [P, K] bool
    shopper: np.ndarray  # [P] int64, a number for each episode


class _Watched:
    """The log's policy, while the other one says what it would show at the same moment."""

    def __init__(self, behaviour: Policy, policy: Policy, seed: int):
        self.name, self._behaviour, self._policy = behaviour.name, behaviour, policy
        self._rng = generator(seed, "policy in question")
        self.weight = np.empty(0)

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        slate = self._behaviour.act(obs, info, rng)
        wished = self._policy.act(obs, info, self._rng).items
        if wished.shape != slate.items.shape:
            sizes = f"{wished.shape[1]} places; the log's have {slate.items.shape[1]}"
            raise ValueError(f"the pages of {self._policy.name!r} have {sizes}")
        self.weight = (wished == slate.items) / slate.propensity
        return slate

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Neither learns."""


def match(envs: Envs, behaviour: Policy, policy: Policy, *, steps: int, seed: int) -> Matched:
    """A log of one policy, and which of its impressions are those of another.

    Neither learns. A policy that draws its pages is asked once for each page: on average that is as
    good as its probabilities.

    Args:
        envs: N shops. They are reset.
        behaviour: writes the log, with exact propensities. One that explores little matches little.
        policy: the one in question.
        steps: pages of each shop: P = N steps.
        seed: of the shops and of both policies, streams apart.

    Raises:
        ValueError: steps is below 1, or the two have pages of different length.
    """
    both = _Watched(behaviour, policy, seed)
    return _pages(envs, both, steps, seed)


def shown(envs: Envs, policy: Policy, *, steps: int, seed: int) -> Matched:
    """What a policy gets in the simulator itself: every impression counts 1.

    Args:
        envs: N shops. They are reset.
        policy: it does not learn.
        steps: pages of each shop.
        seed: of the shops and of the policy.

    Raises:
        ValueError: steps is below 1.
    """
    found = _pages(envs, policy, steps, seed)
    return found._replace(weight=np.ones(found.click.shape))


def _pages(envs: Envs, policy: Policy, steps: int, seed: int) -> Matched:
    shopper = np.arange(envs.num_envs)

    def row(obs: np.ndarray, slate: Slate, info: Info) -> tuple[np.ndarray, ...]:
        click, terminated, truncated = of_step(info, "click", "terminated", "truncated")
        weight = policy.weight if isinstance(policy, _Watched) else np.ones(slate.items.shape)
        here = shopper.copy()
        ended = np.flatnonzero(np.logical_or(terminated, truncated))
        shopper[ended] = shopper.max() + 1 + np.arange(len(ended))  # the next one comes in
        return weight, np.asarray(click, bool), here

    return Matched(*gathered(envs, policy, row, steps=steps, seed=seed))


def click_rate(
    pages: Matched, *, seed: int, assumption: str = "choice", level: float = 0.95
) -> Interval:
    """Clicks per item shown of the policy in question, with a bootstrap interval over shoppers.

    A function of sums; the interval is that of its linear part in each shopper's sums.

    Args:
        pages: from `match` or `shown`.
        seed: of the bootstrap.
        assumption: "choice" or "independent", as above. On pages from `shown` both are the plain
            rate where a page has one click at most.
        level: of the interval.

    Returns:
        An interval; NaN where some place has no match, or with "choice" none without a click.

    Raises:
        ValueError: there is no such assumption, "choice" is asked for pages with several clicks, or
            there are fewer than two shoppers.
    """
    weight, click, shopper = pages
    numbers, shopper = np.unique(shopper, return_inverse=True)
    clicks = np.count_nonzero(click, axis=1)
    if assumption not in ASSUMPTIONS:
        raise ValueError(f"assumption must be one of {', '.join(ASSUMPTIONS)}; got {assumption!r}")
    if assumption == "choice" and (clicks > 1).any():
        page = int((clicks > 1).argmax())
        raise ValueError(f"page {page} has {clicks[page]} clicks; 'choice' allows one at most")
    block = shopper % BLOCKS  # sums over as many shoppers are as independent, and fewer
    rest = np.ones_like(clicks) if assumption == "independent" else clicks == 0  # [P]
    top, bottom = (
        _sums(part, block) for part in (weight * click, weight * rest[:, None])
    )  # [U, K]
    if (bottom.sum(axis=0) == 0).any():
        return Interval(np.nan, np.nan, np.nan, level, len(numbers))
    ratio, places = top.sum(axis=0) / bottom.sum(axis=0), click.shape[1]  # [K]
    moved = ((top - ratio * bottom) / bottom.mean(axis=0)).sum(axis=1)  # [U] of the ratios' sum
    rate, slope = float(ratio.sum()), 1.0
    if assumption == "choice":
        rate, slope = rate / (1 + rate), 1 / (1 + rate) ** 2
    linear = (rate + slope * moved) / places
    return bootstrap_mean(linear, seed=seed, level=level)._replace(users=len(numbers))


def _sums(columns: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Sums of the rows of each block. [P, K] -> [U, K]"""
    return np.stack([np.bincount(block, column) for column in columns.T], axis=1)


def effective_size(weight: np.ndarray) -> float:
    """(sum of w)^2 / sum of w^2: as many impressions of equal weight say as much. Kish (1965)."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0

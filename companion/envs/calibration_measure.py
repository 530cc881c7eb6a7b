"""Figures of the simulated shop with intervals over shoppers."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.envs.calibration_log import gini
from companion.envs.calibration_targets import FIRST_PAGES
from companion.envs.calibration_walk import PLACES, Walk, walk
from companion.envs.policies import Choice, Info, Policy, RandomPolicy, ScorePolicy
from companion.envs.shop_world import ShopWorld
from companion.envs.shopper import ShopperConfig
from companion.metrics.uplift import Interval

EPSILON, SAMPLES, TINY = 0.1, 200, 1e-300
POLICIES = ("random", "bestsellers", "own frequency", "list")
# [S, N] how often each shopper was drawn -> [S] values of the figure
Figure = Callable[[np.ndarray], np.ndarray]
Walks = Mapping[str, Walk]


def served(world: ShopWorld) -> dict[str, Policy]:
    """The fixed policies that the targets speak of.

    "random" shows every item alike, so that nothing depends on a policy: all figures but the
    uplifts and the long list are measured there. "bestsellers" is the counterpart of the bandit of
    the Open Bandit Data, which knows no user: the most popular items, with `EPSILON` of others.
    "own frequency" is the good simple policy: what the household bought most often, by popularity
    where that is equal, with as many others. "list" pages through the same ranking from its top, as
    a search does.
    """
    popular = np.log(np.maximum(world.popularity, 1e-9))
    bought = np.log1p(world.bought) + 1e-3 * popular  # [H, I]
    order = np.argsort(-bought, axis=1, kind="stable")
    rank = np.argsort(order, axis=1)  # [H, I] from 0, the best

    def listed(obs: np.ndarray, info: Info) -> np.ndarray:
        ahead = rank[info["user"]] - PLACES * np.asarray(info["page"])[:, None]
        return -(ahead % world.num_items).astype(np.float64)

    mixed = Choice(PLACES, epsilon=EPSILON)
    return {
        "random": RandomPolicy(PLACES),
        "bestsellers": ScorePolicy("bestsellers", lambda obs, info: popular, mixed),
        "own frequency": ScorePolicy(
            "own frequency", lambda obs, info: bought[info["user"]], mixed
        ),
        "list": ScorePolicy("list", listed, Choice(PLACES)),
    }


def walks(
    world: ShopWorld,
    shopper: ShopperConfig,
    *,
    shoppers: int,
    seed: int,
    policies: Sequence[str] = POLICIES,
) -> dict[str, Walk]:
    """The same N shoppers, served by each of these policies of `served`."""
    made = served(world)
    return {
        name: walk(world, shopper, made[name], shoppers=shoppers, seed=seed) for name in policies
    }


def ratio(above: np.ndarray, below: np.ndarray) -> Figure:
    """Sum over shoppers / sum over shoppers, [N] each; NaN where there is nothing to divide by."""

    def at(times: np.ndarray) -> np.ndarray:
        total = times @ below
        found: np.ndarray = np.where(total > 0, times @ above, np.nan) / np.maximum(total, TINY)
        return found

    return at


def quantile(values: np.ndarray, owner: np.ndarray, level: float) -> Figure:
    """The least value that a share of `level` of all values does not exceed; NaN without values.

    Args:
        values: [V].
        owner: [V] the shopper of each.
        level: in (0, 1).
    """
    order = np.argsort(values, kind="stable")

    def at(times: np.ndarray) -> np.ndarray:
        if len(values) == 0:
            return np.full(len(times), np.nan)
        reached = np.cumsum(times[:, owner[order]], axis=1)
        place = (reached < level * reached[:, -1:]).sum(axis=1)
        found: np.ndarray = values[order][np.minimum(place, len(values) - 1)]
        return found

    return at


class _Sums(NamedTuple):
    """A walk, added up by shopper."""

    walk: Walk
    shoppers: int

    def of(self, column: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Sum of a column of pages by shopper, [N], over some of the pages."""
        weights = column if where is None else column * where
        return np.bincount(self.walk.shopper, weights, minlength=self.shoppers)

    def pages(self) -> np.ndarray:
        """Pages by shopper, [N]."""
        return self.of(np.ones(len(self.walk.page)))


def figures(found: Walks) -> dict[str, Figure]:
    """The figures that targets name, as far as their policies were walked with.

    Args:
        found: from `walks`; "random" must be among them.
    """
    sums = {name: _Sums(one, len(one.bought)) for name, one in found.items()}
    table: dict[str, Figure] = {
        f"uplift, {name}": _uplift(one, sums["random"])
        for name, one in sums.items()
        if name not in ("random", "list")
    }
    if "list" in sums:
        table |= _falls("list", sums["list"])
    everywhere, here = sums["random"], found["random"]
    clicks, carts = everywhere.of(here.click), everywhere.of(here.cart)
    return table | {
        "click rate": ratio(clicks, PLACES * everywhere.pages()),
        "carts per click": ratio(carts, clicks),
        "purchases per cart": ratio(everywhere.of(here.purchase), carts),
        **_visits(here, everywhere),
        **_falls("fatigue", everywhere),
        **_purchases(here, everywhere),
    }


def _uplift(ours: _Sums, theirs: _Sums) -> Figure:
    """Clicks per page, as a share more than theirs."""
    first, second = (ratio(one.of(one.walk.click), one.pages()) for one in (ours, theirs))
    return lambda times: first(times) / second(times) - 1


def _visits(here: Walk, sums: _Sums) -> dict[str, Figure]:
    """Length of visits, leaving and gaps between visits."""
    begins = here.page == 0
    _, visit, length = np.unique(
        here.shopper * (here.visit.max() + 1) + here.visit, return_index=True, return_counts=True
    )
    owner = here.shopper[visit]

    def of_visits(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values, minlength=sums.shoppers)

    number = of_visits(np.ones(len(owner)))
    found = {
        "pages per visit, mean": ratio(of_visits(length), number),
        "pages per visit, median": quantile(length, owner, 0.5),
        "pages per visit, 9 of 10": quantile(length, owner, 0.9),
        "visits of 1 to 5 pages": ratio(of_visits(length <= len(FIRST_PAGES)), number),
    }
    for page in range(1, len(FIRST_PAGES) + 1):
        leaving = ratio(of_visits(length == page), of_visits(length >= page))
        found[f"leaving after page {page}"] = leaving
    again = begins & (here.visit > 0)
    for name, level in (("lower quartile", 0.25), ("median", 0.5), ("upper quartile", 0.75)):
        days = quantile(here.away[again], here.shopper[again], level)
        found[f"days between visits, {name}"] = days
    return found


def _falls(name: str, sums: _Sums) -> dict[str, Figure]:
    """How many times more clicks the first page of a visit has than a later one."""
    page, click = sums.walk.page, sums.walk.click

    def on(number: int) -> Figure:
        return ratio(sums.of(click, page == number), sums.of(np.ones(len(page)), page == number))

    def fall(number: int) -> Figure:
        return lambda times: on(0)(times) / on(number)(times)

    return {f"{name}, page 1 / page 4": fall(3), f"{name}, page 1 / page 11": fall(10)}


def _purchases(here: Walk, sums: _Sums) -> dict[str, Figure]:
    total = sums.of(here.purchase)
    return {
        "Gini of purchases": lambda times: gini(times @ here.bought),
        "repeat share": ratio(sums.of(here.known), total),
        "price": ratio(sums.of(here.dear), total),
        "taste": ratio(sums.of(here.liked), total),
    }


def intervals(
    found: Mapping[str, Figure], *, shoppers: int, seed: int, level: float = 0.95
) -> dict[str, Interval]:
    """Each figure with its percentile bootstrap interval. Shoppers are drawn, with all they did.

    Args:
        found: from `figures`.
        shoppers: N of the walks.
        seed: of the draws.
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: fewer than two shoppers, or a level outside (0, 1).
    """
    if shoppers < 2:
        raise ValueError(f"an interval needs two shoppers or more; got {shoppers}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    rng = generator(seed, "bootstrap")
    times = rng.multinomial(shoppers, np.full(shoppers, 1 / shoppers), size=SAMPLES)
    every, ends = np.ones((1, shoppers)), [(1 - level) / 2, (1 + level) / 2]
    table = {}
    for name, figure in found.items():
        low, high = np.quantile(figure(times.astype(np.float64)), ends)
        table[name] = Interval(float(figure(every)[0]), float(low), float(high), level, shoppers)
    return table

"""Finds the settings of the user model that bring the simulated figures to their targets.

Each setting has a figure that it moves most; none of them is a score of an agent that learns.

| setting | figure |
|---|---|
| no_click | click rate |
| repeat, popularity | uplift of the bestsellers, Gini of purchases |
| interest | uplift of own frequency, taste |
| cart_fit | repeat share |
| price | price |
| cart, purchase | carts per click, purchases per cart |
| fatigue | fatigue from page 1 to page 11 |
| patience, patience_spread | mean pages, visits of 1 to 5 pages |
| gap_spread | quartiles of days between visits |
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from companion.envs.calibration_log import Era
from companion.envs.calibration_measure import POLICIES, figures, walks
from companion.envs.calibration_targets import Target, targets
from companion.envs.shop_world import ShopWorld
from companion.envs.shopper import ShopperConfig

ENOUGH = 1e-3  # share by which a step must still improve the fit, or move the settings
# name: lowest, highest, step of the difference quotient
FREE = {
    "no_click": (0.0, 12.0, 0.1),
    "popularity": (0.0, 2.0, 0.05),
    "interest": (0.0, 2.0, 0.05),
    "repeat": (0.0, 2.0, 0.05),
    "price": (0.0, 2.0, 0.05),
    "cart": (-12.0, 3.0, 0.2),
    "cart_fit": (0.0, 10.0, 0.2),
    "purchase": (-8.0, 3.0, 0.1),
    "fatigue": (0.0, 1.0, 0.02),
    "patience": (0.5, 20.0, 0.2),
    "patience_spread": (0.1, 2.5, 0.05),
    "gap_spread": (0.1, 2.5, 0.05),
}


class Block(NamedTuple):
    """Settings that are fitted together, and the targets that count."""

    free: tuple[str, ...]
    names: tuple[str, ...]


VISITS = Block(
    ("fatigue", "patience", "patience_spread", "gap_spread"),
    (
        "pages per visit, mean",
        "visits of 1 to 5 pages",
        "fatigue, page 1 / page 11",
        "days between visits, lower quartile",
        "days between visits, upper quartile",
    ),
)
LEVELS = Block(
    ("no_click", "cart", "purchase"), ("click rate", "carts per click", "purchases per cart")
)
_SHAPE = Block(
    ("popularity", "interest", "repeat", "price", "cart_fit", *LEVELS.free),
    ("uplift, own frequency", "Gini of purchases", "repeat share", "price", "taste", *LEVELS.names),
)
SHAPES = {
    "retailrocket": _SHAPE._replace(names=("uplift, bestsellers", *_SHAPE.names)),
    "open bandit": _SHAPE._replace(names=("uplift, bestsellers", *_SHAPE.names)),
    "taobao": _SHAPE._replace(
        names=("list, page 1 / page 4", "list, page 1 / page 11", *_SHAPE.names)
    ),
}


def fit_profile(
    profile: str, first: Era, whole: Era, start: ShopperConfig, *, shoppers: int = 2_000
) -> ShopperConfig:
    """Visits, then what is liked, then the levels of the three rates.

    How long a history the log has moves the rates, so the levels are fitted on the world in which
    agents act. Their targets are published figures; of the log's last weeks nothing is used.

    Args:
        profile: one of `calibration_targets.PROFILES`.
        first: the era to fit on.
        whole: the era to check on; only its world is used.
        start: where to begin.
        shoppers: N; 8 times as many for the visits, whose lengths vary most, and 4 times for the
            levels. Both need the random policy alone.

    Raises:
        ValueError: there is no such profile.
    """
    wanted = targets(profile, first.later, first.world.source)
    shopper = fit(first.world, wanted, start, VISITS, shoppers=8 * shoppers)
    shopper = fit(first.world, wanted, shopper, SHAPES[profile], shoppers=shoppers, rounds=25)
    return fit(whole.world, wanted, shopper, LEVELS, shoppers=4 * shoppers)


def fit(
    world: ShopWorld,
    wanted: Sequence[Target],
    start: ShopperConfig,
    block: Block,
    *,
    shoppers: int = 1_000,
    seed: int = 0,
    rounds: int = 6,
) -> ShopperConfig:
    """The least squares of (simulated - middle of the target) / scale.

    The scale is the target's tolerance and half of its range.

    The same shoppers with the same luck are met in every evaluation, so the figures move little by
    little with the settings.

    Args:
        world: of the fitting era.
        wanted: targets, all of the block's among them.
        start: where to begin; what is not free stays.
        block: which settings may move, and which targets count.
        shoppers: N.
        seed: of the shoppers.
        rounds: steps of Gauss and Newton at most.

    Raises:
        ValueError: no target has one of these names, or a setting cannot be fitted.
    """
    free, names, chosen = *block, _chosen(wanted, block)
    low, high, step = np.array([FREE[name] for name in free]).T

    def off(values: np.ndarray) -> np.ndarray:
        shopper = replace(start, **dict(zip(free, values.tolist(), strict=True)))
        found = simulated(world, shopper, names, shoppers=shoppers, seed=seed)
        return np.array([(found[t.name] - t.middle) / _scale(t) for t in chosen])

    first = np.clip([getattr(start, name) for name in free], low + 1e-6, high - 1e-6)
    best = least_squares(
        off,
        first,
        lambda values: _slopes(off, values, np.where(values + step > high, -step, step)),
        (low, high),
        x_scale=10 * step,
        max_nfev=rounds,
        ftol=ENOUGH,
        xtol=ENOUGH,
    )
    return replace(start, **dict(zip(free, best.x.tolist(), strict=True)))


def _chosen(wanted: Sequence[Target], block: Block) -> list[Target]:
    """The targets of a block, which is refused if it asks for what is not there."""
    chosen = [target for target in wanted if target.name in block.names]
    if missing := sorted(set(block.names) - {target.name for target in chosen}):
        raise ValueError(f"there is no target {missing[0]!r}")
    if unknown := [name for name in block.free if name not in FREE]:
        raise ValueError(f"{unknown[0]} is not among the settings that can be fitted")
    return chosen


def _slopes(
    off: Callable[[np.ndarray], np.ndarray], values: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Difference quotients, [targets, settings]. Steps are wide, since what is drawn jumps."""
    here = off(values)
    moved = [(off(values + row) - here) / row.sum() for row in np.diag(step)]
    return np.stack(moved, axis=1)


def _scale(target: Target) -> float:
    return target.tolerance + (target.high - target.low) / 2


def simulated(
    world: ShopWorld,
    shopper: ShopperConfig,
    names: Sequence[str],
    *,
    shoppers: int,
    seed: int,
) -> dict[str, float]:
    """The simulated figures of these names, without intervals."""
    needed = [one for one in POLICIES if one == "random" or any(one in name for name in names)]
    found = figures(walks(world, shopper, shoppers=shoppers, seed=seed, policies=needed))
    every = np.ones((1, shoppers))
    return {name: float(found[name](every)[0]) for name in names}

"""A log of the simulated shop in the event schema, with the exact propensities of its policy."""

from typing import Any

import numpy as np

from companion.core.seeding import generator
from companion.data.schema import Dataset, nothing_rejected, validate
from companion.envs.policies import Policy
from companion.envs.shop import ShopEnv, ShopVectorEnv
from companion.envs.shop_clock import Clock
from companion.envs.shop_floor import Floor
from companion.envs.shop_luck import first_keys
from companion.envs.shop_rows import Pages, events_of, items_of, users_of
from companion.envs.shop_view import ShopConfig

NAME = "simulated-shop"
LICENCE = "Apache-2.0, as the project that made it; names and prices are those of its source"
ABOUT = (
    "a simulated log: impressions, clicks, carts and purchases of simulated shoppers who meet the "
    "slates of the policy {policy!r}; catalogue and households from {source}"
)
TOGETHER = 1_000  # shoppers stepped together


def simulate(
    shop: ShopEnv | ShopVectorEnv | ShopConfig | None,
    policy: Policy,
    *,
    shoppers: int,
    seed: int,
) -> Dataset:
    """The log of so many shoppers, each for one whole episode.

    The policy acts and does not learn. On an impression, `propensity` is the probability that the
    item stood at its place given the items above it, so the product over a page is the page's
    probability. `query` is the search that the visit began with. Purchases of a visit are made
    together at its end. `page` and `visit` count from 1.

    Args:
        shop: an environment, which is not stepped: the log is made in a shop like it; or the
            settings of one with the default world; None for all defaults.
        policy: its slates must have the shop's K.
        shoppers: episodes.
        seed: of the shoppers, the policy, the clock and the words, each a stream of its own.

    Returns:
        A dataset whose ids begin with `sim_`; its items and users have what the world knows.

    Raises:
        ValueError: shoppers is below 1, or a slate cannot be shown.
    """
    if shoppers < 1:
        raise ValueError(f"shoppers must be 1 or more; got {shoppers}")
    like = shop.floor if isinstance(shop, ShopEnv | ShopVectorEnv) else None
    if like is None:
        floor = Floor(None, shop, None, {})  # type: ignore[arg-type]
    else:
        floor = Floor(like.world, like.config, like.shopper, {})
    seeds = generator(seed, "shoppers").integers(2**63, size=shoppers).tolist()
    rngs = {name: generator(seed, name) for name in ("policy", "clock", "queries")}
    parts: list[Pages] = []
    for first in range(0, shoppers, TOGETHER):
        parts += _episodes(floor, policy, first_keys(seeds[first : first + TOGETHER]), first, rngs)
    pages = Pages(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return Dataset(
        NAME,
        validate(events_of(pages, floor.world, rngs["queries"])),
        items_of(floor.world),
        users_of(pages, floor.world),
        nothing_rejected(),
        LICENCE,
        ABOUT.format(policy=policy.name, source=floor.world.source),
    )


def _episodes(
    floor: Floor, policy: Policy, keys: np.ndarray, first: int, rngs: dict[str, Any]
) -> list[Pages]:
    """The pages of one episode of each shopper, step by step."""
    floor.open(keys)
    rows, clock = np.arange(len(keys)), Clock(len(keys), rngs["clock"])
    running, parts = np.ones(len(keys), bool), []
    while running.any():
        before = floor.facts_of(rows)
        second = clock.page(before["visit"], before["day"])
        slate = policy.act(floor.see(rows), before, rngs["policy"])
        items = np.ascontiguousarray(slate.items, dtype=np.int64)
        if items.shape != (len(keys), floor.config.slate_size):
            wish, got = floor.config.slate_size, items.shape[-1]
            raise ValueError(
                f"the shop shows slates of {wish} places; the policy {policy.name!r} gives {got}"
            )
        found = floor.show(items)
        info = before | found.info
        every: dict[str, np.ndarray] = {
            "shopper": first + rows,
            "second": second,
            "items": items,
            "propensity": slate.propensity,
            "cart": np.asarray(info["cart"].any(axis=1)),
            "purchase": np.asarray(info["purchase"].any(axis=1)),
            **{name: info[name] for name in ("user", "visit", "page", "search", "position")},
        }
        parts.append(Pages(**{name: column[running] for name, column in every.items()}))
        running = running & ~(found.terminated | found.truncated)
    return parts

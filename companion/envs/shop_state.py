"""What the shop and the shoppers are at one moment, as arrays."""

from typing import NamedTuple

import numpy as np

from companion.envs.shop_tables import ShopWorld, topic_prices
from companion.envs.shopper import (
    Rules,
    ShopperConfig,
    conviction,
    freshness,
    relevance,
    tiredness,
    unneeded,
)


class Facts(NamedTuple):
    """What does not change, in the form that the page needs."""

    appeal: np.ndarray  # [I] weight of popularity * log(popularity / mean popularity)
    familiar: np.ndarray  # [H, I] float32, log(1 + purchases in the log)
    dear: np.ndarray  # [I] log(price / median price of the topic)
    level: np.ndarray  # [H] log(price level of the household)
    topic: np.ndarray  # [I]
    kind: np.ndarray  # [I]


class State(NamedTuple):
    """N shoppers in the middle of something. Arrays are changed in place."""

    key: np.ndarray  # [N] uint64, of the stream
    episode: np.ndarray  # [N] number of the episode in that stream
    luck: np.ndarray  # [N] uint64, key of the episode
    user: np.ndarray  # [N] household
    interest: np.ndarray  # [N, C] shares of today; hidden
    satiation: np.ndarray  # [N, C] recent clicks as boredom counts them; hidden
    patience: np.ndarray  # [N] pages without a click that are left of the visit; hidden
    last_bought: np.ndarray  # [N, G] day of the last purchase of a kind, -inf for never; hidden
    buys: np.ndarray  # [N] purchases of the episode
    clicked: np.ndarray  # [N, C] recent clicks, fading from page to page
    shown: np.ndarray  # [N, C] recently shown share of places, fading likewise
    ordered: np.ndarray  # [N, C] purchases of the episode
    allowed: np.ndarray  # [N, I] bool: not in the cart of this visit
    left: np.ndarray  # [N] how many more may go into the cart before a page lacks items
    page: np.ndarray  # [N] of the visit, from 0
    pages: np.ndarray  # [N] of the episode
    visit: np.ndarray  # [N] from 0
    clicks: np.ndarray  # [N] of the visit
    day: np.ndarray  # [N] float, since the first visit began
    away: np.ndarray  # [N] days between the last visit and this one; 0 in the first
    searched: np.ndarray  # [N] kind that this visit began with a search for, or -1


class Hidden(NamedTuple):
    """What no log shows, for oracles and for tests that nothing else uses it."""

    user: np.ndarray  # [N]
    interest: np.ndarray  # [N, C]
    satiation: np.ndarray  # [N, C]
    patience: np.ndarray  # [N]
    last_bought: np.ndarray  # [N, G]
    day: np.ndarray  # [N]
    page: np.ndarray  # [N]
    searched: np.ndarray  # [N]


def facts(world: ShopWorld, config: ShopperConfig) -> Facts:
    """The world in the form that the page needs."""
    popular = np.log(np.maximum(world.popularity * world.num_items, 1e-3))
    return Facts(
        appeal=config.popularity * popular,
        familiar=np.log1p(world.bought),
        dear=np.log(world.price / topic_prices(world)[world.topic]),
        level=np.log(world.price_level),
        topic=world.topic.copy(),  # what Numba compiles differs for an array that is read-only
        kind=world.kind.copy(),
    )


def empty_state(world: ShopWorld, keys: np.ndarray) -> State:
    """N shoppers before their first episode.

    Args:
        world: for the sizes.
        keys: [N] uint64 from `shop_luck.first_keys`.
    """
    count, topics = len(keys), world.num_topics
    whole = {name: np.zeros(count, np.int64) for name in WHOLE}
    real = {name: np.zeros(count) for name in ("patience", "day", "away")}
    by_topic = {name: np.zeros((count, topics)) for name in BY_TOPIC}
    return State(
        key=keys.copy(),
        luck=np.zeros(count, np.uint64),
        last_bought=np.full((count, len(world.kinds)), -np.inf),
        allowed=np.ones((count, world.num_items), bool),
        **whole,
        **real,
        **by_topic,
    )


WHOLE = ("episode", "user", "left", "page", "pages", "visit", "clicks", "buys", "searched")
BY_TOPIC = ("interest", "satiation", "clicked", "shown", "ordered")


def hidden(state: State) -> Hidden:
    """A copy of what no log shows."""
    return Hidden(*(getattr(state, name).copy() for name in Hidden._fields))


def utilities(
    known: Facts, rules: Rules, seen: Hidden, items: np.ndarray | None = None
) -> np.ndarray:
    """What each item is worth to each shopper on the page that comes next, without the place.

    An oracle that ranks by it shows the page that is clicked most now: with a multinomial logit
    that is the K highest, in order.

    Args:
        known: from `facts`.
        rules: from `shopper.rules`.
        seen: from `hidden()` of the environment.
        items: [N, J] items; None for all.

    Returns:
        [N, J] or [N, I] float64.
    """
    rows = np.arange(len(seen.user))[:, None]
    items = np.arange(len(known.topic))[None, :] if items is None else items
    topic = known.topic[items]
    fresh = freshness(seen.satiation[rows, topic], rules.boredom, rules.full)
    topics = seen.interest.shape[1]
    liked = relevance(seen.interest[rows, topic], fresh, topics, rules.interest_floor)
    value = known.appeal[items] + rules.interest * liked
    value += convictions(known, rules, seen, items)
    value += rules.intent * (known.kind[items] == seen.searched[:, None])
    return value - rules.fatigue * tiredness(seen.page)[:, None]


def convictions(
    known: Facts, rules: Rules, seen: Hidden, items: np.ndarray | None = None
) -> np.ndarray:
    """What repeats, price and need say of each item to each shopper: `shopper.conviction`.

    Args:
        known: as in `utilities`, and so are rules, seen and items.

    Returns:
        [N, J] or [N, I] float64.
    """
    rows, user = np.arange(len(seen.user))[:, None], seen.user[:, None]
    items = np.arange(len(known.topic))[None, :] if items is None else items
    days = seen.day[:, None] - seen.last_bought[rows, known.kind[items]]
    dear, familiar = known.dear[items] - known.level[user], known.familiar[user, items]
    found: np.ndarray = conviction(rules, familiar, dear, unneeded(days, rules.need_days))
    return found

"""How episodes and visits begin and end, for many shoppers at once."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from companion.envs.shop_luck import episode_keys, uniforms
from companion.envs.shop_state import State
from companion.envs.shop_tables import ShopWorld
from companion.envs.shopper import ShopperConfig, chance

# Numbers of the draws on a page; the first three are the funnel's.
RETURN, GAP, PATIENCE, SEARCH, TOPIC, KIND, USER, MOOD = 3, 4, 5, 6, 7, 8, 9, 10
FROM_ZERO = ("pages", "visit", "buys", "day", "away", "clicked", "shown", "ordered", "satiation")
TINY = 2.0**-54  # half of the smallest draw above 0: 0 itself would be a normal of -inf


def normals(draws: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) as standard normal ones."""
    return ndtri(np.maximum(draws, TINY))


class Guests(NamedTuple):
    """The world and the settings, in the form that the beginning of a visit needs."""

    config: ShopperConfig
    taste: np.ndarray  # [H, C]
    gap: np.ndarray  # [H]
    weight: np.ndarray  # [H] running sum
    sold: np.ndarray  # [C] bool, topics that have items
    kind: np.ndarray  # [I] of the items in order of topic
    share: np.ndarray  # [I] running sum of popularity in that order
    first: np.ndarray  # [C] where a topic begins in that order
    last: np.ndarray  # [C] and where it ends
    visits: int  # at most
    spare: int  # items beyond a page


def guests(world: ShopWorld, config: ShopperConfig, visits: int, places: int) -> Guests:
    """Prepares what does not change.

    Args:
        world: H households, I items.
        config: of the shoppers.
        visits: at most, in an episode.
        places: K.
    """
    order, topics = np.argsort(world.topic, kind="stable"), np.arange(world.num_topics)
    first = np.searchsorted(world.topic[order], topics, side="left")
    end = np.searchsorted(world.topic[order], topics, side="right")
    return Guests(
        config=config,
        taste=world.taste,
        gap=world.gap,
        weight=np.cumsum(world.weight),
        sold=end > first,
        kind=world.kind[order],
        share=np.cumsum(world.popularity[order] + TINY),
        first=first,
        last=np.maximum(end - 1, 0),
        visits=visits,
        spare=world.num_items - places,
    )


def begin_episodes(rows: np.ndarray, state: State, those: Guests) -> None:
    """A new shopper in each of these rows: her household, her interest of today, her first visit.

    Args:
        rows: [M] of the N shoppers.
        state: changed in place.
        those: from `guests`.
    """
    state.luck[rows] = episode_keys(state.key[rows], state.episode[rows])
    state.episode[rows] += 1
    for name in FROM_ZERO:
        getattr(state, name)[rows] = 0
    state.last_bought[rows] = -np.inf
    drawn = uniforms(state.luck[rows], state.pages[rows], 0, MOOD + len(those.sold))
    place = np.searchsorted(those.weight, drawn[:, USER] * those.weight[-1], side="right")
    state.user[rows] = user = np.minimum(place, len(those.gap) - 1)
    today = those.taste[user] * np.exp(those.config.mood * normals(drawn[:, MOOD:]))
    state.interest[rows] = today / today.sum(axis=1, keepdims=True)
    _begin_visits(rows, state, those, drawn)


def _begin_visits(rows: np.ndarray, state: State, those: Guests, drawn: np.ndarray) -> None:
    """Patience, an empty cart, perhaps a search. `drawn` is [M, KIND + 1 or more]."""
    config = those.config
    state.page[rows], state.clicks[rows] = 0, 0
    state.allowed[rows], state.left[rows] = True, those.spare
    spread = config.patience_spread * normals(drawn[:, PATIENCE])
    state.patience[rows] = config.patience * np.exp(spread)
    kinds = wanted_kinds(state.interest[rows], drawn[:, TOPIC], drawn[:, KIND], those)
    state.searched[rows] = np.where(drawn[:, SEARCH] < config.search, kinds, -1)


def wanted_kinds(
    interest: np.ndarray, first: np.ndarray, second: np.ndarray, those: Guests
) -> np.ndarray:
    """A topic by interest among those that have items, then an item of it by popularity: its kind.

    Args:
        interest: [M, C] shares.
        first: [M] draws in [0, 1), for the topic.
        second: [M] draws for the item.
        those: from `guests`.

    Returns:
        [M] kinds.
    """
    sums = np.cumsum(interest * those.sold, axis=1)
    topic = (sums <= first[:, None] * sums[:, -1:]).sum(axis=1)
    begin, end = those.first[topic], those.last[topic]
    low = np.where(begin > 0, those.share[begin - 1], 0.0)
    wanted = low + second * (those.share[end] - low)
    place = np.searchsorted(those.share, wanted, side="right")
    return those.kind[np.clip(place, begin, end)]


def leave(rows: np.ndarray, state: State, those: Guests) -> np.ndarray:
    """These shoppers leave. Those who come back begin their next visit after a gap.

    She comes back with probability chance(returning + returning_clicks * s), where s is the share
    of the visit's pages with a click, after gap * exp(gap_spread * z - gap_clicks * s) days, with
    the household's median gap and z normal.

    Args:
        rows: [M] of the N shoppers.
        state: changed in place.
        those: from `guests`.

    Returns:
        [M] bool, true for those who never come back.
    """
    config = those.config
    drawn = uniforms(state.luck[rows], state.pages[rows], 0, KIND + 1)
    pleased = state.clicks[rows] / np.maximum(state.page[rows], 1)
    back = chance(config.returning + config.returning_clicks * pleased)
    gone = (state.visit[rows] + 1 >= those.visits) | (drawn[:, RETURN] >= back)
    stays, drawn, pleased = rows[~gone], drawn[~gone], pleased[~gone]
    spread = config.gap_spread * normals(drawn[:, GAP]) - config.gap_clicks * pleased
    days = those.gap[state.user[stays]] * np.exp(spread)
    state.day[stays] += days
    state.away[stays] = days
    state.visit[stays] += 1
    state.satiation[stays] *= np.exp(-days / config.boredom_days)[:, None]
    _begin_visits(stays, state, those, drawn)
    return gone

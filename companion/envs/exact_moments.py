"""All moments that an episode of a small shop may come to, and what leads from one to the next.

What a page leads to is what the shop's own `shop_page.pages` makes of it when its draws are forced:
a draw of 0 makes a thing happen, a draw of 1 keeps it from happening. How probable that is comes
from `calibration_walk.expected`. So nothing of the user model is written a second time.
"""

from dataclasses import replace
from itertools import permutations
from math import perm
from typing import NamedTuple

import numpy as np

from companion.envs.calibration_walk import expected
from companion.envs.shop_floor import Floor
from companion.envs.shop_luck import first_keys
from companion.envs.shop_page import Scene, pages
from companion.envs.shop_state import State
from companion.envs.shop_tables import ShopWorld, check, mix_of
from companion.envs.shop_visits import leave
from companion.envs.shopper import ShopperConfig, chance

HIDDEN = ("mood", "search", "patience_spread", "gap_spread")
DIGITS = 10  # to which moments are compared: by two paths, the same may differ in the last digits
FORCED = np.array([[1.0, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])  # none, click, cart, purchase
NEVER = -100.0  # a utility whose chance is 0
STAGES = 3  # how far a click goes: no further, into the cart, bought


class Layer(NamedTuple):
    """The S moments in which an episode may be before a page of this number.

    A slates of K of the I items. Events of a page, E = 1 + 3 I: no click, then for each item a
    click that goes no further, one that goes into the cart, one that is bought.
    """

    state: State  # of S shoppers
    possible: np.ndarray  # [S, A] bool, whether all items of the slate may be shown
    chance: np.ndarray  # [S, A, K, 3] of a click at each place that goes so far and no further
    reward: np.ndarray  # [S, A] expected on this page
    goes: np.ndarray  # [S, E] moment of the next layer that an event leads to; -1 for the end
    stays: np.ndarray  # [S, E] chance that the shopper sees another page after it


def visible(shopper: ShopperConfig, *, cart: bool = True) -> ShopperConfig:
    """The same shopper without what is hidden or drawn: all have the median patience and gap.

    Args:
        shopper: any.
        cart: False: nothing goes into the cart either. A small shop runs out of items there: those
            that are left of a last page are never taken off it, so that it pays to have the worse
            ones put into the cart first. A large shop knows no such trick.
    """
    off = dict.fromkeys(HIDDEN, 0.0) | ({} if cart else {"cart": NEVER})
    return replace(shopper, **off)


def corner(world: ShopWorld, *, topics: int = 2, per_topic: int = 2, users: int = 2) -> ShopWorld:
    """A small shop cut out of a large one.

    Args:
        world: of which the topics with the most purchases are taken, of these the items bought most
            and of the households those with the most visits. Shares are made to sum to 1 again.
        topics: C of the new world.
        per_topic: its items of each topic, or all where there are fewer.
        users: its households, H.

    Raises:
        ValueError: a number is below 1, or there are fewer in the world; or one item is left.
    """
    sold = mix_of(world)
    limits = {"topics": int(np.count_nonzero(sold)), "per_topic": world.num_items}
    limits |= {"users": world.num_users}
    for (name, most), number in zip(limits.items(), (topics, per_topic, users), strict=True):
        if not 1 <= number <= most:
            raise ValueError(f"{name} must be from 1 to {most}; got {number}")
    kept = np.argsort(-sold, kind="stable")[:topics]
    best = np.argsort(-world.popularity, kind="stable")
    items = np.concatenate([best[world.topic[best] == topic][:per_topic] for topic in kept])
    rows = np.argsort(-world.weight, kind="stable")[:users]
    kinds, kind = np.unique(world.kind[items], return_inverse=True)
    taste = world.taste[np.ix_(rows, kept)]
    by_item = {name: getattr(world, name)[items] for name in ("item_ids", "names", "price")}
    by_user = {name: getattr(world, name)[rows] for name in ("user_ids", "gap", "price_level")}
    small = world._replace(
        topics=tuple(world.topics[topic] for topic in kept),
        topic=(world.topic[items][:, None] == kept).argmax(axis=1),
        kinds=tuple(world.kinds[one] for one in kinds),
        kind=kind,
        vectors=world.vectors[items],
        popularity=world.popularity[items] / world.popularity[items].sum(),
        taste=taste / taste.sum(axis=1, keepdims=True),
        bought=world.bought[np.ix_(rows, items)],
        weight=world.weight[rows] / world.weight[rows].sum(),
        **by_item,
        **by_user,
    )
    return check(small)


def slates_of_shop(floor: Floor) -> np.ndarray:
    """All slates of the shop, [A, K], in order."""
    items, places = floor.world.num_items, floor.config.slate_size
    return np.array(list(permutations(range(items), places)), np.int64)


def names_of(state: State, floor: Floor) -> list[bytes]:
    """What tells one moment from another, for each of N shoppers: all that matters later.

    Args:
        state: of N shoppers who have seen as many pages.
        floor: of the shop.
    """
    days = state.day[:, None] - state.last_bought  # [N, G]
    endless = np.where(np.isinf(state.patience), -1.0, state.patience)
    parts = [state.user, endless, state.interest, state.allowed]
    if floor.shopper.boredom > 0:
        parts += [state.satiation]
    if floor.shopper.need != 0:
        parts += [np.where(np.isinf(days), -1.0, days)]  # -1: never bought
    if floor.config.visits > 1:
        parts += [state.page, state.visit, state.clicks]
    columns = [part if part.ndim == 2 else part[:, None] for part in parts]
    table = np.round(np.concatenate(columns, axis=1), DIGITS) + 0.0  # no -0.0
    return [row.tobytes() for row in table]


def first_moments(floor: Floor) -> State:
    """The first moment of each household, [H].

    Raises:
        ValueError: something about the shopper is hidden or drawn from a continuum.
    """
    for name in HIDDEN:
        if getattr(floor.shopper, name) != 0:
            value = getattr(floor.shopper, name)
            raise ValueError(f"{name} must be 0 on a shop that is solved exactly; got {value}")
    households = floor.world.num_users
    floor.open(first_keys(list(range(households))))
    floor.state.user[:] = np.arange(households)
    floor.state.interest[:] = floor.world.taste
    return floor.state


def layers(floor: Floor, limit: int) -> list[Layer]:
    """The moments of each page of an episode, from the first page to the last possible one.

    Args:
        floor: of the shop; its shoppers are replaced.
        limit: of the moments before a page times the slates or events that each may have.

    Raises:
        ValueError: it is too much, or something about the shopper is hidden.
    """
    items, places = floor.world.num_items, floor.config.slate_size
    width = max(perm(items, places) * places, 1 + STAGES * items)
    state, found = first_moments(floor), []
    _check_size(0, state, width, limit)  # before all slates are made
    slates = slates_of_shop(floor)
    for page in range(floor.config.horizon):
        chances = _chances(floor, state, slates)
        after, stays = _events(floor, state)
        stays *= _happens(state, slates, chances[1])
        if page + 1 == floor.config.horizon:
            stays[:] = 0.0
        goes, first = _merged(after, stays, floor)
        found.append(Layer(state, *chances, goes, stays))
        if not len(first):
            break
        state = _rows(after, first)
        _check_size(page + 1, state, width, limit)
    return found


def _check_size(page: int, state: State, width: int, limit: int) -> None:
    if len(state.user) * width > limit:
        raise ValueError(
            f"page {page} has {len(state.user)} moments, each with {width} events or places of "
            f"slates, more than {limit} in all: take fewer items, places, pages or households"
        )


def _merged(after: State, stays: np.ndarray, floor: Floor) -> tuple[np.ndarray, np.ndarray]:
    """Which of what the events lead to is the same moment.

    Args:
        after: [S * E] what the events lead to.
        stays: [S, E] chance that it is met.
        floor: of the shop.

    Returns:
        [S, E] number of the moment, or -1 where it is not met; and for each moment the first place
        in `after` where it is found.
    """
    number: dict[bytes, int] = {}
    goes = np.full(stays.size, -1)
    first: list[int] = []
    met = np.flatnonzero(stays.ravel() > 0)
    for place, name in zip(met.tolist(), names_of(_rows(after, met), floor), strict=True):
        goes[place] = number.setdefault(name, len(number))
        if goes[place] == len(first):
            first.append(place)
    return goes.reshape(stays.shape), np.array(first, np.int64)


def _rows(state: State, rows: np.ndarray) -> State:
    return State(*(table[rows] for table in state))


def _events(floor: Floor, state: State) -> tuple[State, np.ndarray]:
    """What each event of a page leads to, [S * E], and the chance of another page then, [S, E]."""
    items, moments = floor.world.num_items, len(state.user)
    item = np.append(0, np.repeat(np.arange(items), STAGES))  # [E]
    luck = np.concatenate([FORCED[:1], np.tile(FORCED[1:], (items, 1))])  # [E, 3]
    after = _rows(state, np.repeat(np.arange(moments), len(item)))
    slates = np.tile(item, moments)[:, None]
    pages(slates, np.tile(luck, (moments, 1)), Scene(floor.facts, after, floor.rules))
    stays, config = np.ones(len(slates)), floor.shopper
    leaving = np.flatnonzero(after.patience <= 0)
    pleased = after.clicks[leaving] / after.page[leaving]
    stays[leaving] = chance(config.returning + config.returning_clicks * pleased)
    # All come back here but those whose visits are used up; the chance of it is in `stays`.
    eager = floor.guests._replace(config=replace(config, returning=np.inf))
    stays[leaving[leave(leaving, after, eager)]] = 0.0
    return after, stays.reshape(moments, len(item))


def _happens(state: State, slates: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Whether an event has a chance on any possible slate, [S, E]."""
    found = [np.ones((len(shares), 1), bool)]
    for item in range(state.allowed.shape[1]):
        chances = shares[:, slates == item]  # [S, times, 3]
        found.append((chances > 0).any(axis=1) & state.allowed[:, [item]])
    return np.concatenate(found, axis=1)


def _chances(
    floor: Floor, state: State, slates: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which slates are possible, the chances of what they lead to, and their rewards."""
    floor.state, moments, weights = state, len(state.user), floor.config
    shares = np.empty((moments, *slates.shape, STAGES))  # [S, A, K, 3]
    reward = np.empty((moments, len(slates)))
    for number, slate in enumerate(slates):
        click, cart, buy = expected(floor, np.tile(slate, (moments, 1)))  # [S, K]
        shares[:, number] = np.stack([click - cart, cart - buy, buy], axis=-1)
        worth = weights.click * click + weights.cart * cart + weights.purchase * buy
        reward[:, number] = worth.sum(axis=1)
    return np.all(state.allowed[:, slates], axis=2), shares, reward

"""One page for each of N shoppers, as a loop that Numba compiles.

With NUMBA_DISABLE_JIT=1 the same loop runs as plain Python and gives the same numbers. All chance
comes in as an argument.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit

from companion.envs import shopper
from companion.envs.shop_state import Facts, State
from companion.envs.shopper import Rules

MEMORY = 0.8  # share of recent clicks and places that an observation keeps from page to page
NO_CLICK = -1
FUNNEL = 3  # draws of a page: click, cart, purchase
FAULTS = ("", "is not in the catalogue", "stands twice in the slate", "is in the cart already")

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as Numba's; division by zero follows IEEE, as NumPy's does."""
    return cast(Function, njit(nogil=True, error_model="numpy", forceinline=True)(function))


freshness, relevance = compiled(shopper.freshness), compiled(shopper.relevance)
unneeded, tiredness = compiled(shopper.unneeded), compiled(shopper.tiredness)
conviction, chance = compiled(shopper.conviction), compiled(shopper.chance)
satiated, drifted = compiled(shopper.satiated), compiled(shopper.drifted)


class Scene(NamedTuple):
    """All that a page depends on beside the slates and chance."""

    facts: Facts
    state: State
    rules: Rules


class Outcome(NamedTuple):
    """What became of a page, for each of N shoppers."""

    position: np.ndarray  # [N] place of the click, from 0, or -1
    cart: np.ndarray  # [N] bool
    purchase: np.ndarray  # [N] bool


@compiled
def first_fault(slates: np.ndarray, allowed: np.ndarray) -> tuple[int, int, int]:
    """Row, place and kind (see `FAULTS`) of the first item that cannot be shown; kind 0 if none.

    Args:
        slates: [N, K] items.
        allowed: [N, I] bool.
    """
    for n in range(slates.shape[0]):
        for place in range(slates.shape[1]):
            item = slates[n, place]
            if item < 0 or item >= allowed.shape[1]:
                return n, place, 1
            for above in range(place):
                if slates[n, above] == item:
                    return n, place, 2
            if not allowed[n, item]:
                return n, place, 3
    return 0, 0, 0


@compiled
def convinced(familiar: float, dear: float, days: float, rules: Rules) -> float:
    """What repeats, price and need say of an item; `days` since its kind was bought."""
    return conviction(rules, familiar, dear, unneeded(days, rules.need_days))


@compiled
def liking(interest: float, satiation: float, topics: int, rules: Rules) -> float:
    """What the interest in the item's topic says, after boredom."""
    fresh = freshness(satiation, rules.boredom, rules.full)
    return rules.interest * relevance(interest, fresh, topics, rules.interest_floor)


@compiled
def weigh(n: int, slate: np.ndarray, value: np.ndarray, scene: Scene) -> None:
    """Writes what each place of a page is worth to one shopper into `value`, [K]."""
    facts, state, rules = scene
    user, tired = state.user[n], rules.fatigue * tiredness(state.page[n])
    topics = state.interest.shape[1]
    for place in range(len(slate)):
        item = slate[place]
        topic, kind = facts.topic[item], facts.kind[item]
        days = state.day[n] - state.last_bought[n, kind] if state.buys[n] else math.inf
        worth = facts.appeal[item] + place * rules.place - tired
        worth += liking(state.interest[n, topic], state.satiation[n, topic], topics, rules)
        dear = facts.dear[item] - facts.level[user]
        worth += convinced(facts.familiar[user, item], dear, days, rules)
        value[place] = worth + (rules.intent if kind == state.searched[n] else 0.0)


@compiled
def choose(value: np.ndarray, no_click: float, luck: float) -> int:
    """A place in proportion to exp(value), or -1 for no click. Overwrites `value`, [K]."""
    highest = no_click
    for place in range(len(value)):
        highest = max(highest, value[place])
    total = 0.0
    for place in range(len(value)):
        value[place] = np.exp(value[place] - highest)
        total += value[place]
    left = luck * (np.exp(no_click - highest) + total)
    for place in range(len(value)):
        left -= value[place]
        if left < 0.0:
            return place
    return NO_CLICK


@compiled
def remember(n: int, slate: np.ndarray, topic: int, scene: Scene) -> None:
    """What an observation keeps of a page: recent clicks and recent places by topic."""
    facts, state, _ = scene
    for c in range(state.clicked.shape[1]):
        state.clicked[n, c] *= MEMORY
        state.shown[n, c] *= MEMORY
    for item in slate:
        state.shown[n, facts.topic[item]] += (1 - MEMORY) / len(slate)
    if topic >= 0:
        state.clicked[n, topic] += 1 - MEMORY
        state.clicks[n] += 1


@compiled
def change(n: int, topic: int, scene: Scene) -> None:
    """What a page does to a shopper; `topic` is that of the click, or -1."""
    _, state, rules = scene
    clicked = topic >= 0
    for c in range(state.interest.shape[1]):
        here = 1.0 if c == topic else 0.0
        state.satiation[n, c] = satiated(state.satiation[n, c], here, rules.retention)
        if clicked:
            state.interest[n, c] = drifted(state.interest[n, c], here, rules.drift)
    state.patience[n] -= 1.0 - rules.patience_click if clicked else 1.0
    state.page[n] += 1
    state.pages[n] += 1


@compiled
def funnel(fit: float, first: float, second: float, rules: Rules) -> int:
    """How far a click goes: 0 no further, 1 into the cart, 2 bought, by two draws in [0, 1)."""
    if first >= chance(rules.cart + rules.cart_fit * fit):
        return 0
    return 2 if second < chance(rules.purchase + rules.purchase_fit * fit) else 1


@compiled
def follow(n: int, item: int, luck: np.ndarray, scene: Scene) -> int:
    """What a click on an item leads to (see `funnel`).

    What is in the cart is not shown again in this visit, as long as a whole page of others is left.
    """
    facts, state, rules = scene
    user, kind = state.user[n], facts.kind[item]
    dear, days = facts.dear[item] - facts.level[user], state.day[n] - state.last_bought[n, kind]
    fit = convinced(facts.familiar[user, item], dear, days, rules)
    stage = funnel(fit, luck[n, 1], luck[n, 2], rules)
    if stage > 0 and state.left[n] > 0:
        state.allowed[n, item] = False
        state.left[n] -= 1
    if stage == 2:
        state.buys[n] += 1
        state.ordered[n, facts.topic[item]] += 1
        state.last_bought[n, kind] = state.day[n]
    return stage


@compiled
def _pages(slates: np.ndarray, luck: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    copies, places = slates.shape
    position, stage = np.full(copies, NO_CLICK, np.int64), np.zeros(copies, np.int64)
    value = np.empty(places)
    for n in range(copies):
        slate, topic = slates[n], -1
        weigh(n, slate, value, scene)
        place = choose(value, scene.rules.no_click, luck[n, 0])
        if place >= 0:
            position[n], topic = place, scene.facts.topic[slate[place]]
            stage[n] = follow(n, slate[place], luck, scene)
        remember(n, slate, topic, scene)
        change(n, topic, scene)
    return position, stage


def pages(slates: np.ndarray, luck: np.ndarray, scene: Scene) -> Outcome:
    """Each shopper looks at a page, may click, put into the cart and buy; the state moves on.

    Args:
        slates: [N, K] int64 items, distinct and allowed.
        luck: [N, 3] in [0, 1), for click, cart and purchase.
        scene: of N shoppers; its state is changed in place.
    """
    position, stage = _pages(slates, luck, scene)
    return Outcome(position, stage >= 1, stage == 2)

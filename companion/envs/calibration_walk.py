"""What shoppers do when a fixed policy serves them, in chances rather than in draws.

Purchases are rare: 1,000 shoppers make about 15 of them. So each page is counted with its chances
of a click, a cart and a purchase, which the user model gives exactly, and only the path (who
leaves, what bores) is drawn. The means are the same, and far fewer shoppers are needed.
"""

from typing import NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.envs.policies import Policy
from companion.envs.shop_floor import Floor
from companion.envs.shop_luck import first_keys
from companion.envs.shop_state import State, convictions, hidden, utilities
from companion.envs.shop_tables import ShopWorld, mix_of
from companion.envs.shop_view import ShopConfig
from companion.envs.shopper import ShopperConfig, chance, page_shares

TOGETHER = 1_000  # shoppers stepped together
PLACES, VISITS, LONGEST = 10, 3, 100  # items on a page, visits, pages of a visit in the mean
SHOP = ShopConfig(slate_size=PLACES, visits=VISITS, horizon=VISITS * LONGEST)


class Walk(NamedTuple):
    """The P pages of N shoppers, in the order in which they were seen, and what they buy."""

    shopper: np.ndarray  # [P] from 0
    visit: np.ndarray  # [P] from 0
    page: np.ndarray  # [P] of the visit, from 0
    away: np.ndarray  # [P] days since the visit before; 0 in the first
    clicked: np.ndarray  # [P] bool, drawn
    click: np.ndarray  # [P] chance of a click
    cart: np.ndarray  # [P] chance of a cart
    purchase: np.ndarray  # [P] chance of a purchase
    known: np.ndarray  # [P] chance of the purchase of an item that the household had bought
    liked: np.ndarray  # [P] sum of the chances of a purchase * the household's taste / the shop's
    dear: np.ndarray  # [P] sum of the chances of a purchase * log(price / usual price)
    bought: np.ndarray  # [N, I] expected purchases


class Funnel(NamedTuple):
    """Chances of each place of a page, of all stages up to this one."""

    click: np.ndarray  # [N, K]
    cart: np.ndarray  # [N, K]
    purchase: np.ndarray  # [N, K]


def expected(floor: Floor, slates: np.ndarray) -> Funnel:
    """The chances of the next page, [N, K] each.

    Args:
        floor: with N shoppers; not changed.
        slates: [N, K] items.
    """
    known, rules, seen = floor.facts, floor.rules, hidden(floor.state)
    click = page_shares(utilities(known, rules, seen, slates), rules)
    fit = convictions(known, rules, seen, slates)
    cart = click * chance(rules.cart + rules.cart_fit * fit)
    return Funnel(click, cart, cart * chance(rules.purchase + rules.purchase_fit * fit))


def walk(
    world: ShopWorld, shopper: ShopperConfig, policy: Policy, *, shoppers: int, seed: int
) -> Walk:
    """One episode of each shopper. The same seed brings the same shoppers with the same luck.

    Args:
        world: of the shop.
        shopper: the user model.
        policy: acts and does not learn; its pages have `PLACES` places.
        shoppers: N.
        seed: of the shoppers and of the policy, two streams apart.

    Raises:
        ValueError: shoppers is below 1.
    """
    if shoppers < 1:
        raise ValueError(f"shoppers must be 1 or more; got {shoppers}")
    floor, rng = Floor(world, SHOP, shopper, {}), generator(seed, "policy")
    seeds = generator(seed, "shoppers").integers(2**63, size=shoppers).tolist()
    bought = np.zeros((shoppers, world.num_items))
    parts = []
    for first in range(0, shoppers, TOGETHER):
        floor.open(first_keys(seeds[first : first + TOGETHER]))
        who = np.arange(first, min(first + TOGETHER, shoppers))
        while len(who):
            row, who = _page(floor, policy, (who, rng, bought))
            parts.append(row)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Walk._make([*columns, bought])


def _page(
    floor: Floor, policy: Policy, run: tuple[np.ndarray, np.random.Generator, np.ndarray]
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """One page of those who are still there; who left for ever is taken off the floor."""
    who, rng, bought = run
    rows, world = np.arange(len(who)), floor.world
    before = floor.facts_of(rows)
    items = policy.act(floor.see(rows), before, rng).items
    away, user = floor.state.away.copy(), before["user"][:, None]
    found = expected(floor, items)
    bought[who[:, None], items] += found.purchase
    known = found.purchase * (world.bought[user, items] > 0)
    topic = world.topic[items]
    lift = world.taste[user, topic] / mix_of(world)[topic]
    events = floor.show(items)
    stays = ~(events.terminated | events.truncated)
    floor.state = State(*(table[stays] for table in floor.state))
    dear = found.purchase * (floor.facts.dear[items] - floor.facts.level[user])
    sums = (found.click, found.cart, found.purchase, known, found.purchase * lift, dear)
    seen = (who, before["visit"], before["page"], away, events.info["position"] >= 0)
    return (*seen, *(table.sum(axis=1) for table in sums)), who[stays]

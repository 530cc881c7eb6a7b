"""The exact value of policies on a small shop, and what looking ahead is worth there.

Bellman's equation, backwards from the last page over all moments of an episode (book sections 3.5
and 4.4), gives the value of the best of all policies, of the myopic one and of the random one.
Nothing is drawn, so there is no interval. The best less the myopic one is the price of myopia: what
planning can gain at most, for a policy that knows the shopper.

It can be computed where little can happen: few items and pages, nothing that is drawn from a
continuum, nothing hidden. `visible` makes a shopper of this kind, `corner` a world.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.envs.exact import greedy_policy
from companion.envs.exact_moments import (
    STAGES,
    Layer,
    corner,
    layers,
    names_of,
    slates_of_shop,
    visible,
)
from companion.envs.policies import Info
from companion.envs.shop_floor import Floor
from companion.envs.shop_tables import ShopWorld
from companion.envs.shop_vector import ShopVectorEnv
from companion.envs.shop_view import ShopConfig
from companion.envs.shopper import ShopperConfig
from companion.envs.slates import Slate

__all__ = ["ExactPolicy", "ExactShop", "Value", "corner", "myopia_table", "visible"]

SOLVED = ("optimum", "myopic", "random")
LIMIT = 1_000_000  # some hundreds of MB
Chances = list[np.ndarray]  # of each layer [S, A]: with which chance a policy shows each slate


class Value(NamedTuple):
    """What a policy brings in an episode, as expectations."""

    returns: float  # sum of the rewards, without discount
    clicks: float
    pages: float


class ExactShop:
    """A small shop, solved.

    Args:
        world: few items and households, such as from `corner`.
        shopper: without anything hidden, such as from `visible`.
        config: of the shop; few pages.
        limit: of the moments before a page times the slates or events that each may have.

    Attributes:
        policies: "optimum", "myopic" and "random" to their chances. The myopic one shows the slates
            of the largest expected reward of this page, the optimum those of the largest expected
            sum of this reward and all that follow; equals share the chance.
        values: the same names to their values.
        moments: how many there are before each page.

    Raises:
        ValueError: it is more than the limit, or something about the shopper is hidden.
    """

    def __init__(
        self,
        world: ShopWorld,
        shopper: ShopperConfig,
        config: ShopConfig,
        *,
        limit: int = LIMIT,
    ):
        floor = Floor(world, config, shopper, {})
        self.world, self.shopper, self.config = floor.world, shopper, config
        self._layers, self._slates = layers(floor, limit), slates_of_shop(floor)
        self.moments = [len(layer.reward) for layer in self._layers]
        rewards = [np.where(one.possible, one.reward, -np.inf) for one in self._layers]
        equal = [one.possible / one.possible.sum(axis=1, keepdims=True) for one in self._layers]
        self.policies: dict[str, Chances] = {
            "optimum": self._best(),
            "myopic": [greedy_policy(reward) for reward in rewards],
            "random": equal,
        }
        self.values = {name: self.value(chances) for name, chances in self.policies.items()}

    def value(self, policy: Chances) -> Value:
        """What a policy brings, the households weighted by their share of visits.

        Args:
            policy: [S, A] for each layer, rows that sum to 1 over possible slates.
        """
        found = []
        for figure in range(3):
            after = np.zeros(0)
            for layer, chances in zip(self._layers[::-1], policy[::-1], strict=True):
                clicks = layer.chance.sum(axis=(2, 3))
                gain = (layer.reward, clicks, np.ones_like(clicks))[figure]
                after = (chances * self._ahead(layer, gain, after)).sum(axis=1)
            found.append(float(self.world.weight @ after))
        return Value(*found)

    def _best(self) -> Chances:
        after, found = np.zeros(0), []
        for layer in self._layers[::-1]:
            q = np.where(layer.possible, self._ahead(layer, layer.reward, after), -np.inf)
            found.append(greedy_policy(q))
            after = q.max(axis=1)
        return found[::-1]

    def _ahead(self, layer: Layer, gain: np.ndarray, after: np.ndarray) -> np.ndarray:
        """What each slate brings on this page and after it, [S, A].

        Args:
            layer: S moments.
            gain: [S, A] of this page.
            after: value of each moment of the next layer.
        """
        then = np.append(after, 0.0)[layer.goes] * layer.stays  # [S, E]; -1 is the end, worth 0
        by_item = then[:, 1:].reshape(len(then), -1, STAGES)  # [S, I, 3]
        clicked = (layer.chance * by_item[:, self._slates]).sum(axis=(2, 3))
        none = 1 - layer.chance.sum(axis=(2, 3))
        found: np.ndarray = gain + clicked + none * then[:, :1]
        return found

    def shop(self, copies: int) -> ShopVectorEnv:
        """The same shop as an environment of N copies."""
        return ShopVectorEnv(copies, self.world, self.config, self.shopper)

    def policy(self, name: str, shop: ShopVectorEnv) -> "ExactPolicy":
        """One of the policies, to act in a shop with.

        Args:
            name: one of `policies`.
            shop: from `shop`.

        Raises:
            ValueError: no such policy.
        """
        if name not in self.policies:
            raise ValueError(f"the policy must be one of {', '.join(self.policies)}; got {name!r}")
        names = [names_of(layer.state, shop.floor) for layer in self._layers]
        rows = [{known: row for row, known in enumerate(layer)} for layer in names]
        return ExactPolicy(name, shop, (rows, self._slates, self.policies[name]))


class ExactPolicy:
    """Acts by a table of all moments. `ExactShop.policy` makes one.

    Like the oracle, it looks at the shoppers where they stand in the shop, never at observations.
    """

    def __init__(
        self,
        name: str,
        shop: ShopVectorEnv,
        solved: tuple[list[dict[bytes, int]], np.ndarray, Chances],
    ):
        self.name, self._shop = name, shop
        self._rows, self._slates, self._chances = solved

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper; the propensity of its items is told at the first place.

        Slates are drawn as a whole, so the items below the first place have the propensity 1.
        """
        state = self._shop.floor.state
        names = names_of(state, self._shop.floor)
        pages = state.pages.tolist()
        rows = [self._rows[page][name] for page, name in zip(pages, names, strict=True)]
        chances = [self._chances[page][row] for page, row in zip(pages, rows, strict=True)]
        total = np.cumsum(chances, axis=1)  # [N, A]
        drawn = (total > rng.random(len(total))[:, None] * total[:, -1:]).argmax(axis=1)
        items, propensity = self._slates[drawn], np.ones((len(drawn), self._slates.shape[1]))
        propensity[:, 0] = np.stack(chances)[np.arange(len(drawn)), drawn]
        return Slate(items, propensity)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Nothing to learn."""


def myopia_table(
    world: ShopWorld,
    shoppers: Mapping[str, ShopperConfig],
    config: ShopConfig,
    *,
    cart: bool = True,
    limit: int = LIMIT,
) -> pd.DataFrame:
    """What looking ahead is worth for each of these shoppers, exactly.

    Args:
        world: of a small shop.
        shoppers: by name; what is hidden is taken away by `visible`.
        config: of the shop.
        cart: as in `visible`.
        limit: as in `ExactShop`.

    Returns:
        Indexed by name: the return of an episode under the `optimum`, the `myopic` and the `random`
        policy, the `price` of myopia (optimum - myopic) and its `share` of the optimum, and under
        the optimum the `click rate` (clicks / pages) and the `pages`; and the `moments`, all in
        all.
    """
    rows = {}
    for name, shopper in shoppers.items():
        exact = ExactShop(world, visible(shopper, cart=cart), config, limit=limit)
        best, myopic, random = (exact.values[policy] for policy in SOLVED)
        price = best.returns - myopic.returns
        share = price / best.returns if best.returns else 0.0
        figures = (price, share, best.clicks / best.pages, best.pages, sum(exact.moments))
        rows[name] = (best.returns, myopic.returns, random.returns, *figures)
    columns = [*SOLVED, "price", "share", "click rate", "pages", "moments"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

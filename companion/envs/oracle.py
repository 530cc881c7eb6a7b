"""The myopic oracle: it knows the shopper, and shows the page that is worth most now.

It sees what no log shows (interest of today, boredom, needs), so no recommender can be as good on
the page that comes next. It does not look further, so a policy that plans may be better over a
whole episode. It is a bound to compare with, never a policy to use.
"""

import numpy as np

from companion.envs.best_slate import best_slate
from companion.envs.policies import Info, mask_of
from companion.envs.shop_floor import Floor
from companion.envs.shop_state import convictions, hidden, utilities
from companion.envs.shop_vector import ShopVectorEnv
from companion.envs.shopper import chance
from companion.envs.slates import Slate


def click_values(floor: Floor) -> np.ndarray:
    """The reward that a click on each item is expected to bring, all stages together. [N, I]

    v(i) = click + P(cart | click) (cart + P(purchase | cart) purchase), with the shop's weights.

    Args:
        floor: with N shoppers; not changed.
    """
    known, rules, weights, seen = floor.facts, floor.rules, floor.config, hidden(floor.state)
    fit = convictions(known, rules, seen)  # [N, I]
    cart = chance(rules.cart + rules.cart_fit * fit)
    bought = chance(rules.purchase + rules.purchase_fit * fit)
    value: np.ndarray = weights.click + cart * (weights.cart + bought * weights.purchase)
    return value


class MyopicOracle:
    """Shows each shopper the page of the largest expected reward, by her true utilities.

    Args:
        shop: whose shoppers it serves. It looks at them where they stand, so it must act on the
            page that comes next there.
        name: in tables and figures.
    """

    def __init__(self, shop: ShopVectorEnv, name: str = "myopic oracle"):
        self.name, self._shop = name, shop

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper. Nothing is left to chance, so each propensity is 1.

        Raises:
            ValueError: the info is not of as many shoppers as are in the shop.
        """
        floor, mask = self._shop.floor, mask_of(info)
        known, rules = floor.facts, floor.rules
        if len(mask) != self._shop.num_envs:
            raise ValueError(
                f"the oracle's shop has {self._shop.num_envs} shoppers, not {len(mask)}"
            )
        utility = utilities(known, rules, hidden(floor.state)) - rules.no_click
        places, place = floor.config.slate_size, floor.shopper.place
        items = best_slate(utility, click_values(floor), 0.0, mask, places, place=place)
        return Slate(items, np.ones(items.shape))

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Nothing to learn."""

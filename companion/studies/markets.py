"""Where policies are tried: the shop with several shoppers, and a second world."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv

from companion.envs.calibration import SHOPPERS
from companion.envs.candidates import Catalogue
from companion.envs.sardine import DEFAULT, SardineVectorEnv
from companion.envs.shop import ShopConfig, ShopVectorEnv, ShopWorld, layout, load_world
from companion.envs.shopper import ShopperConfig, boredom_presets, without_memory
from companion.recommenders.choice_model import ChoiceModel, static_scores
from companion.recommenders.linear_arms import Pairs
from companion.recommenders.sardine_features import SardineFeatures
from companion.recommenders.shop_features import PairFeatures

Envs = VectorEnv[Any, Any, Any]
SARDINE = "sardine"
ONE_ITEM = "sardine/SingleItem-BoredInf-v0"  # for agents that learn from pages of one item
# Known users, carts or hidden tables: what SARDINE lacks.
SHOP_ONLY = ("popularity", "own frequency", "Q-Learning", "SARSA", "myopic oracle")


class Market(NamedTuple):
    """A world that can be opened as often as it is needed.

    Attributes:
        name: of the market, in tables.
        world: of the items; a `ShopWorld` where the market is the shop.
        config: K of the pages that count, and the rewards.
        pairs: features of shoppers and items.
        static: what a choice model says of items whatever the page, [H, I] or [I].
        shop: N and K to a vector environment.
        without: names of policies that cannot be made here.
    """

    name: str
    world: Catalogue
    config: ShopConfig
    pairs: Pairs
    static: Callable[[ChoiceModel], np.ndarray]
    shop: Callable[[int, int], Envs]
    without: tuple[str, ...] = ()

    @property
    def slate_size(self) -> int:
        """K."""
        return self.config.slate_size

    @property
    def weights(self) -> tuple[float, float, float]:
        """Rewards of a click, a cart and a purchase."""
        return self.config.click, self.config.cart, self.config.purchase


def shoppers() -> dict[str, ShopperConfig]:
    """The user models that policies are tried on, by name.

    "calibrated" is the chosen one. Boredom off and doubled, and no memory at all, are changes of
    it; "open bandit" and "taobao" are the other calibrated profiles.
    """
    boredom = boredom_presets(SHOPPERS["retailrocket"])
    return {
        "calibrated": boredom["published"],
        "boredom off": boredom["off"],
        "boredom doubled": boredom["doubled"],
        "no memory": without_memory(boredom["published"]),
        "open bandit": SHOPPERS["open bandit"],
        "taobao": SHOPPERS["taobao"],
    }


MARKETS = [*shoppers(), SARDINE]


def shop_market(
    name: str,
    shopper: ShopperConfig,
    *,
    world: ShopWorld | None = None,
    config: ShopConfig | None = None,
) -> Market:
    """The shop with this shopper.

    Args:
        name: of the market.
        shopper: the user model.
        world: such as your own log's; None loads the default one.
        config: of the shop; its slate size is the market's.
    """
    shop, known = config or ShopConfig(), world or load_world()

    def opened(copies: int, places: int) -> Envs:
        return ShopVectorEnv(copies, known, replace(shop, slate_size=places), shopper)

    pairs = PairFeatures(known, layout(shop, known))
    return Market(name, known, shop, pairs, partial(static_scores, world=known), opened)


def sardine_market() -> Market:
    """SARDINE, with ten topics, pages of ten and boredom: nothing of it was made for this course.

    A click is worth what it is in the shop. An item is the better a candidate, the more it belongs
    to its topic.

    Raises:
        ImportError: sardine-rec is not installed.
    """
    one = SardineVectorEnv(1)
    purity = one.world.vectors.max(axis=1).astype(np.float64)  # [I]

    def opened(copies: int, places: int) -> Envs:
        known = {one.slate_size: DEFAULT, 1: ONE_ITEM}
        if places not in known:
            raise ValueError(f"a page of {SARDINE} has 1 or {one.slate_size} places; got {places}")
        return SardineVectorEnv(copies, known[places])

    config = ShopConfig(slate_size=one.slate_size, purchase=0.0)
    pairs = SardineFeatures(one.world, one.parts)
    return Market(SARDINE, one.world, config, pairs, lambda model: purity, opened, SHOP_ONLY)


def market(name: str) -> Market:
    """A market by name, one of `MARKETS`.

    Raises:
        ValueError: there is no such market.
        ImportError: it needs sardine-rec, which is not installed.
    """
    if name not in MARKETS:
        raise ValueError(f"market must be one of {', '.join(MARKETS)}; got {name!r}")
    return sardine_market() if name == SARDINE else shop_market(name, shoppers()[name])

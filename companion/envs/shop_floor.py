"""N shoppers in the shop: what both environments of the shop are made of."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Space

from companion.envs import shop_luck
from companion.envs.shop_page import FAULTS, FUNNEL, Scene, first_fault, pages
from companion.envs.shop_state import empty_state, facts
from companion.envs.shop_tables import check
from companion.envs.shop_view import ShopConfig, View, action_spaces
from companion.envs.shop_visits import begin_episodes, guests, leave
from companion.envs.shop_world import ShopWorld, load_world
from companion.envs.shopper import ShopperConfig, rules


class Events(NamedTuple):
    """What happened on a page of each of N shoppers."""

    reward: np.ndarray  # [N]
    terminated: np.ndarray  # [N] left for ever, or after the last visit that the episode allows
    truncated: np.ndarray  # [N] has seen `horizon` pages
    info: dict[str, np.ndarray]  # click, cart, purchase [N, K] bool; position, revenue [N]


class Floor:
    """N shoppers who are shown pages.

    Args:
        world: what is sold and to whom; None loads the default one.
        config: of the shop; None for the defaults.
        shopper: of the shoppers; None for the defaults.
        settings: fields of `config` that are changed, such as `slate_size=1`.

    Raises:
        ValueError: the world, or a setting, is wrong, or a page has more places than there are
            items.
        TypeError: there is no setting of that name.
    """

    def __init__(
        self,
        world: ShopWorld | None,
        config: ShopConfig | None,
        shopper: ShopperConfig | None,
        settings: dict[str, Any],
    ):
        self.world = check(world if world is not None else load_world())
        self.config = replace(config or ShopConfig(), **settings)
        self.shopper = shopper or ShopperConfig()
        if self.config.slate_size > self.world.num_items:
            size, items = self.config.slate_size, self.world.num_items
            raise ValueError(f"slate_size is {size}, but the catalogue has {items} items")
        self.facts, self.rules = facts(self.world, self.shopper), rules(self.shopper)
        visits, places = self.config.visits, self.config.slate_size
        self.guests = guests(self.world, self.shopper, visits, places)
        self.view = View(self.config, self.world)

    def spaces(self, copies: int = 1) -> tuple[Box, Space[Any], Space[Any]]:
        """Observations [D] and actions of one shopper, and actions of N together."""
        seen = Box(0.0, 1.0, (self.view.size,), np.float32)
        return seen, *action_spaces(self.world.num_items, self.config.slate_size, copies)

    def open(self, keys: np.ndarray) -> None:
        """Lets N shoppers in, whose streams have these keys, [N] uint64."""
        self.state = empty_state(self.world, keys)
        self.begin(np.arange(len(keys)))

    def begin(self, rows: np.ndarray) -> None:
        """Begins an episode in each of these rows, [M]."""
        begin_episodes(rows, self.state, self.guests)

    def see(self, rows: np.ndarray) -> np.ndarray:
        """Observations of these rows, [M, D] float32."""
        return self.view.of(self.state, rows)

    def facts_of(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the shop knows beside the observation, for `info`."""
        state = self.state
        info = {name: getattr(state, name)[rows] for name in ("user", "page", "visit", "day")}
        return info | {"search": state.searched[rows], "action_mask": state.allowed[rows]}

    def show(self, slates: np.ndarray) -> Events:
        """Shows each shopper a page. Who leaves and comes back is already in her next visit.

        Args:
            slates: [N, K] int64.

        Raises:
            ValueError: an item cannot be shown; the sentence names the shopper's row.
        """
        row, place, fault = first_fault(slates, self.state.allowed)
        if fault:
            item, last = slates[row, place], self.world.num_items - 1
            known = f"; items are 0 to {last}" if fault == 1 else ""
            raise ValueError(f"shopper {row}: item {item} {FAULTS[fault]}{known}")
        state, every = self.state, np.arange(len(slates))
        luck = shop_luck.uniforms(state.luck, state.pages, 0, FUNNEL)
        found = pages(slates, luck, Scene(self.facts, state, self.rules))
        terminated = np.zeros(len(slates), bool)
        leaving = np.flatnonzero(state.patience <= 0)
        terminated[leaving] = leave(leaving, state, self.guests)
        truncated = (state.pages >= self.config.horizon) & ~terminated
        clicked = found.position[:, None] == np.arange(slates.shape[1])  # [N, K]
        item = slates[every, np.maximum(found.position, 0)]
        info = {
            "click": clicked,
            "cart": clicked & found.cart[:, None],
            "purchase": clicked & found.purchase[:, None],
            "position": found.position,
            "revenue": np.where(found.purchase, self.world.price[item], 0.0),
        }
        weights, went = self.config, found.position >= 0
        reward = weights.click * went + weights.cart * found.cart
        return Events(reward + weights.purchase * found.purchase, terminated, truncated, info)

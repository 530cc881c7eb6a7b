"""The simulated shop as Gymnasium environments: one shopper; N of them are in `shop_vector`."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from companion.envs import shop_luck
from companion.envs.shop_floor import Floor
from companion.envs.shop_state import Hidden, hidden, utilities
from companion.envs.shop_vector import Info, ShopVectorEnv, refuse_render, slates_of
from companion.envs.shop_view import ShopConfig, SlateSpace, layout
from companion.envs.shop_world import ShopWorld, load_world
from companion.envs.shopper import ShopperConfig
from companion.envs.tables import NEEDS_RESET

__all__ = [
    "ShopConfig",
    "ShopEnv",
    "ShopVectorEnv",
    "ShopWorld",
    "SlateSpace",
    "layout",
    "load_world",
    "utilities",
]


class ShopEnv(gymnasium.Env[Any, Any]):
    """One shopper in a simulated shop.

    ## Description
    A household of the log visits the shop. On each page she sees K items and clicks at most one; a
    clicked item may go into the cart, and what is in the cart may be bought. Pages without a click
    cost patience. When it is used up she leaves, and comes back after some days or never. Her
    interest of today, her boredom with topics and her patience are hidden. The mechanisms and
    their papers are in `companion.envs.shopper`. All of it is simulated: no figure from here is a
    figure of a real shop.

    ## Action Space
    The item to show, `Discrete(I)`, where K is 1; else a slate of K distinct items,
    `MultiDiscrete([I] * K)`. `info["action_mask"]` (bool, [I]) says which items may be shown: those
    that are not in the cart of this visit, as long as K others are left.

    ## Observation Space
    `Box(0, 1, (5 C + 6,))`, float32: what the shop's log knows. `layout(config, world)` names the
    parts.

    ## Rewards
    click * (clicked) + cart * (put into the cart) + purchase * (bought), with the weights of
    `ShopConfig`.

    ## Starting State
    A household drawn by its share of visits, with an interest of today around its usual one.

    ## Episode End
    Terminated when the shopper leaves for ever, at the latest after `visits` visits. Truncated
    after `horizon` pages.

    ## Arguments
    world: a `ShopWorld`; None for Complete Journey where it is installed, else the sample. config:
    a `ShopConfig`. shopper: a `ShopperConfig`. Any other argument changes a field of `config`, such
    as `slate_size=1`.

    `info` also has user (row of the world's households), page, visit, day, search (kind that was
    searched for, or -1), and after a step click, cart, purchase ([K] bool), position of the click
    from 0 or -1, and revenue. The whole of an episode's chance is fixed by the seed and the number
    of the episode: two policies meet the same shoppers with the same luck.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - declared so by Gymnasium

    def __init__(
        self,
        world: ShopWorld | None = None,
        config: ShopConfig | None = None,
        shopper: ShopperConfig | None = None,
        *,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        refuse_render(render_mode)
        self.floor = Floor(world, config, shopper, settings)
        self.observation_space, self.action_space, _ = self.floor.spaces()
        self.render_mode, self._row, self._on = render_mode, np.zeros(1, np.int64), False

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Begins an episode. Without a seed, the stream of shoppers goes on where it was."""
        super().reset(seed=seed)
        if seed is not None:
            self.floor.open(shop_luck.first_keys([seed]))
        elif not hasattr(self.floor, "state"):
            self.floor.open(self.np_random.integers(2**64, size=1, dtype=np.uint64))
        else:
            self.floor.begin(self._row)
        self._on = True
        return self.floor.see(self._row)[0], _first(self.floor.facts_of(self._row))

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Shows a page.

        Args:
            action: an item, or [K] items.

        Raises:
            ResetNeeded: before the first reset, or after the end of an episode.
            ValueError: the action has another shape, or an item cannot be shown.
        """
        if not self._on:
            raise ResetNeeded(NEEDS_RESET)
        places = self.floor.config.slate_size
        shapes: list[tuple[int, ...]] = [(), (1,)] if places == 1 else [(places,)]
        found = self.floor.show(slates_of(action, 1, places, *shapes))
        terminated, truncated = bool(found.terminated[0]), bool(found.truncated[0])
        self._on = not (terminated or truncated)
        info = _first(self.floor.facts_of(self._row) | found.info)
        obs = self.floor.see(self._row)[0]
        return obs, float(found.reward[0]), terminated, truncated, info

    def hidden(self) -> Hidden:
        """What no log shows, as arrays of one row: for oracles, never for a policy."""
        return hidden(self.floor.state)

    def utilities(self) -> np.ndarray:
        """What each item is worth on the next page, [I]: for oracles, never for a policy."""
        return utilities(self.floor.facts, self.floor.rules, self.hidden())[0]


def _first(info: dict[str, np.ndarray]) -> Info:
    """The info of the only shopper, numbers as Python's."""
    rows = {name: table[0] for name, table in info.items()}
    return {name: row if row.ndim else row.item() for name, row in rows.items()}

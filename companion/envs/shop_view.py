"""What an agent sees of the shop: what is in the shop's log, scaled to about [0, 1]."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector.utils import batch_space

from companion.envs.shop_state import State
from companion.envs.shop_tables import ShopWorld, topic_counts

YEAR, ENOUGH = 365.0, 50.0  # days, and purchases, that an observation takes for long and many


@dataclass(frozen=True)
class ShopConfig:
    """The shop's side of an episode.

    Attributes:
        slate_size: K, items on a page.
        horizon: pages after which an episode is truncated.
        visits: visits at most; 1 ends the episode with the first visit.
        click: reward of a click.
        cart: reward of a cart.
        purchase: reward of a purchase. The weights 0.2 and 1 are those of SQN (Xin et al., 2020,
            arXiv:2006.05779); a purchase also brings the rewards of its click and its cart.
    """

    slate_size: int = 10
    horizon: int = 50
    visits: int = 5
    click: float = 0.2
    cart: float = 0.0
    purchase: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what cannot be, by name and value."""
        for name in ("slate_size", "horizon", "visits"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number, 1 or more; got {value!r}")
        for name in ("click", "cart", "purchase"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number; got {getattr(self, name)}")


def layout(config: ShopConfig, world: ShopWorld) -> dict[str, slice]:
    """Which numbers of an observation are what. D = 5 C + 6.

    `bought`: share of the purchases in the log by topic, zeros without any. `clicked` and `shown`:
    clicks and places of the last pages by topic, fading by a fifth a page. `ordered`: n / (n + 1)
    for n purchases of this episode, by topic. `searched`: the topic of this visit's search.
    `page`, `visit`: how far they are. `away`: days since the last visit. `clicks`: share of this
    visit's pages with a click. `price_level`, `history`: how dear and how much the household buys.
    """
    topics = world.num_topics
    widths = dict.fromkeys(("bought", "clicked", "shown", "ordered", "searched"), topics)
    widths |= dict.fromkeys(("page", "visit", "away", "clicks", "price_level", "history"), 1)
    ends = np.cumsum(list(widths.values())).tolist()
    return {
        name: slice(end - width, end)
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }


class View:
    """Makes observations. It has the log's part of the world and no other.

    Args:
        config: for the scales.
        world: of the shop.
    """

    def __init__(self, config: ShopConfig, world: ShopWorld):
        self.parts = layout(config, world)
        self.size = max(part.stop for part in self.parts.values())
        counts = topic_counts(world)
        total = counts.sum(axis=1, keepdims=True)
        level = world.price_level[:, None]
        self._household = np.concatenate(
            [counts / np.maximum(total, 1), level / (1 + level), total / (total + ENOUGH)], axis=1
        ).astype(np.float32)
        self._topic_of_kind = np.zeros(len(world.kinds), np.int64)
        self._topic_of_kind[world.kind] = world.topic
        self._horizon, self._visits = config.horizon, config.visits

    def of(self, state: State, rows: np.ndarray) -> np.ndarray:
        """Observations of some shoppers, [M, D] float32.

        Args:
            state: of N shoppers.
            rows: [M] of them.
        """
        obs = np.zeros((len(rows), self.size), np.float32)
        household, parts = self._household[state.user[rows]], self.parts
        topics = household.shape[1] - 2
        obs[:, parts["bought"]] = household[:, :topics]
        obs[:, parts["price_level"].start] = household[:, topics]
        obs[:, parts["history"].start] = household[:, topics + 1]
        obs[:, parts["clicked"]] = state.clicked[rows]
        obs[:, parts["shown"]] = state.shown[rows]
        ordered = state.ordered[rows]
        obs[:, parts["ordered"]] = ordered / (ordered + 1)
        searched = state.searched[rows]
        did = np.flatnonzero(searched >= 0)
        obs[did, parts["searched"].start + self._topic_of_kind[searched[did]]] = 1
        page = state.page[rows]
        obs[:, parts["page"].start] = np.log1p(page) / np.log1p(self._horizon)
        obs[:, parts["visit"].start] = state.visit[rows] / self._visits
        away = np.log1p(state.away[rows]) / np.log1p(YEAR)
        obs[:, parts["away"].start] = np.minimum(away, 1)
        obs[:, parts["clicks"].start] = state.clicks[rows] / np.maximum(page, 1)
        return obs


class SlateSpace(gymnasium.spaces.MultiDiscrete):
    """Slates of K distinct items out of I, for one shopper [K] or for N of them [N, K]."""

    def __init__(
        self, items: int, shape: tuple[int, ...], seed: int | np.random.Generator | None = None
    ):
        self.items = items
        super().__init__(np.full(shape, items), seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> npt.NDArray[np.int64]:
        """K distinct items at random.

        Args:
            mask: [I] or [N, I], true where an item may be shown; None for all.
            probability: not taken: `companion.envs.slates` draws with weights.

        Raises:
            ValueError: a probability is given, or the mask leaves fewer than K items.
        """
        if probability is not None:
            raise ValueError("a slate space takes no probability; draw with companion.envs.slates")
        places = self.shape[-1]
        order = self.np_random.random((*self.shape[:-1], self.items))
        if mask is not None:
            allowed = np.broadcast_to(np.asarray(mask, bool), order.shape)
            if (allowed.sum(axis=-1) < places).any():
                raise ValueError(f"the mask leaves fewer than {places} items")
            order = np.where(allowed, order, 2.0)
        chosen = np.argsort(order, axis=-1)[..., :places]
        return chosen.astype(np.int64)

    def contains(self, x: Any) -> bool:
        """Whether it is a slate of distinct items of the catalogue."""
        if not super().contains(x):
            return False
        ordered = np.sort(np.asarray(x), axis=-1)
        return not (ordered[..., 1:] == ordered[..., :-1]).any()


def action_spaces(
    items: int, places: int, copies: int
) -> tuple[gymnasium.spaces.Space[Any], gymnasium.spaces.Space[Any]]:
    """Actions of one shopper, and of N together: items where a page has one place, else slates.

    Args:
        items: I.
        places: K.
        copies: N.
    """
    if places == 1:
        one = gymnasium.spaces.Discrete(items)
        return one, batch_space(one, copies)
    return SlateSpace(items, (places,)), SlateSpace(items, (copies, places))

"""Features of a shopper and an item, from what a shop knows: its log, its catalogue, the page."""

from collections.abc import Mapping

import numpy as np

from companion.envs.policies import Info
from companion.envs.shop_tables import ShopWorld, topic_prices

NAMES = (
    "constant",
    "popularity",  # log(popularity / mean popularity)
    "bought before",  # log(1 + this household's purchases of this item in the log)
    "likes the topic",  # log(1 + share of its purchases in the topic / mean share)
    "taste",  # cosine of the item's vector and the mean vector of what it bought; 0 without any
    "dear",  # log(price / the topic's median price / the household's price level)
    "clicked",  # recent clicks in the topic
    "clicked squared",  # so that more clicks may first say "likes it", then "has had enough"
    "shown",  # recent places of the topic
    "ordered",  # purchases n of this episode in the topic, as n / (n + 1)
    "searched topic",
    "searched kind",
)


class PairFeatures:
    """What is known of N shoppers and each item, or the items of their pages.

    Args:
        world: the catalogue and what the log knows of the households.
        parts: of an observation, from `companion.envs.shop.layout`.

    Raises:
        ValueError: a part is missing.
    """

    names = NAMES
    size = len(NAMES)

    def __init__(self, world: ShopWorld, parts: Mapping[str, slice]):
        self._parts = check_parts(parts, ("bought", "clicked", "shown", "ordered", "searched"))
        self._world = world
        popular = np.log(np.maximum(world.popularity * world.num_items, 1e-3))
        dear = np.log(world.price / topic_prices(world)[world.topic])
        self._items = np.stack((np.ones(len(dear)), popular, dear), axis=1).astype(np.float32)
        self._familiar = np.log1p(world.bought)  # [H, I] float32
        taste = world.bought @ world.vectors  # [H, E]
        length = np.linalg.norm(taste, axis=1, keepdims=True)
        self._cosine = (taste / np.maximum(length, 1e-12)) @ world.vectors.T  # [H, I]
        self._level = np.log(world.price_level).astype(np.float32)  # [H]

    def __call__(self, obs: np.ndarray, info: Info, items: np.ndarray | None = None) -> np.ndarray:
        """The features. [N, I, d] float32, or [N, K, d] of items [N, K].

        Args:
            obs: [N, D].
            info: of the same moment; "user" and "search" are [N].
            items: None for all.
        """
        world, rows = self._world, np.arange(len(obs))[:, None]
        user = np.asarray(info["user"])[:, None]  # [N, 1]
        items = np.arange(world.num_items)[None] if items is None else items
        topic = world.topic[items]
        part = {name: obs[:, where][rows, topic] for name, where in self._parts.items()}
        x = np.empty((len(obs), topic.shape[1], self.size), np.float32)
        x[:, :, [0, 1]], dear = self._items[items, :2], self._items[items, 2]
        x[:, :, 2] = self._familiar[user, items]
        x[:, :, 3] = np.log1p(world.num_topics * part["bought"])
        x[:, :, 4] = self._cosine[user, items]
        x[:, :, 5] = dear - self._level[user]
        x[:, :, 6] = part["clicked"]
        x[:, :, 7] = part["clicked"] ** 2
        x[:, :, 8] = part["shown"]
        x[:, :, 9] = part["ordered"]
        x[:, :, 10] = part["searched"]
        x[:, :, 11] = world.kind[items] == np.asarray(info["search"])[:, None]
        return x


class ContextFeatures:
    """Parts of the observation and a constant: features of the shopper alone. [N, d]

    Args:
        parts: of an observation, from `companion.envs.shop.layout`.
        names: which; few, since a theta for each item costs d^2 operations.

    Raises:
        ValueError: a part is missing.
    """

    def __init__(self, parts: Mapping[str, slice], names: tuple[str, ...] = ("bought",)):
        found = check_parts(parts, names)
        places = [np.arange(where.start, where.stop) for where in found.values()]
        self._columns = np.concatenate(places)

    @property
    def size(self) -> int:
        """d."""
        return len(self._columns) + 1

    def __call__(self, obs: np.ndarray, info: Info) -> np.ndarray:
        """The features. [N, D] -> [N, d]"""
        return np.concatenate((np.ones((len(obs), 1)), obs[:, self._columns]), axis=1)


def check_parts(parts: Mapping[str, slice], names: tuple[str, ...]) -> dict[str, slice]:
    """Those parts of an observation.

    Raises:
        ValueError: one of them is missing.
    """
    for name in names:
        if name not in parts:
            raise ValueError(f"an observation must have the part {name!r}; it has {sorted(parts)}")
    return {name: parts[name] for name in names}

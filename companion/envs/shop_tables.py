"""The catalogue and the households of the simulated shop, taken from a log of purchases."""

from typing import NamedTuple

import numpy as np

TABLES = {  # shape in letters, type
    "topic": ("I", np.int64),
    "kind": ("I", np.int64),
    "price": ("I", np.float64),
    "popularity": ("I", np.float64),
    "vectors": ("IE", np.float32),
    "taste": ("HC", np.float64),
    "bought": ("HI", np.float32),
    "weight": ("H", np.float64),
    "gap": ("H", np.float64),
    "price_level": ("H", np.float64),
}


class ShopWorld(NamedTuple):
    """What the shop sells, and who comes to it.

    I items in C topics, each of one of G kinds (the finest grouping that the log's table of items
    has, such as "fluid milk white only"), and H households. `taste` is what moves a shopper and is
    no part of an observation; `bought` is what the shop's log knows of her.
    """

    source: str  # name of the log
    item_ids: np.ndarray  # [I] text
    names: np.ndarray  # [I] text
    topics: tuple[str, ...]  # [C]
    topic: np.ndarray  # [I] int64
    kinds: tuple[str, ...]  # [G]
    kind: np.ndarray  # [I] int64
    price: np.ndarray  # [I] float64, above 0
    popularity: np.ndarray  # [I] float64, share of the training purchases, sums to 1
    vectors: np.ndarray  # [I, E] float32, rows of length 1: what is bought together
    user_ids: np.ndarray  # [H] text
    taste: np.ndarray  # [H, C] float64, rows sum to 1: smoothed share of purchases by topic
    bought: np.ndarray  # [H, I] float32, purchases in the training weeks
    weight: np.ndarray  # [H] float64, share of visits, sums to 1
    gap: np.ndarray  # [H] float64, median days between baskets
    price_level: np.ndarray  # [H] float64, price paid / median price of the topic; 1 is the middle

    @property
    def num_items(self) -> int:
        """I."""
        return len(self.item_ids)

    @property
    def num_topics(self) -> int:
        """C."""
        return len(self.topics)

    @property
    def num_users(self) -> int:
        """H."""
        return len(self.user_ids)


def check(world: ShopWorld) -> ShopWorld:
    """Returns the world as it is, if it is one.

    Raises:
        ValueError: fewer than two items, no household, a table of the wrong shape or type, or a
            value that cannot be. The sentence names the table and the first wrong row.
    """
    if world.num_items < 2:
        raise ValueError(f"a catalogue needs 2 items or more; got {world.num_items}")
    if world.num_users < 1:
        raise ValueError("a shop needs 1 household or more; got 0")
    sizes = {"I": world.num_items, "C": world.num_topics, "H": world.num_users}
    sizes["E"] = world.vectors.shape[-1]
    for name, (letters, dtype) in TABLES.items():
        table, shape = getattr(world, name), tuple(sizes[letter] for letter in letters)
        if table.shape != shape or table.dtype != dtype:
            wish, got = f"{list(shape)} of {np.dtype(dtype)}", f"{list(table.shape)} {table.dtype}"
            raise ValueError(f"{name} must be {wish}; got {got}")
        _refuse(name, table, ~np.isfinite(table), "must be a finite number")
    for name, size in (("topic", world.num_topics), ("kind", len(world.kinds))):
        table = getattr(world, name)
        _refuse(name, table, (table < 0) | (table >= size), f"must be from 0 to {size - 1}")
    for name in ("price", "gap", "price_level"):
        _refuse(name, getattr(world, name), getattr(world, name) <= 0, "must be above 0")
    for name in ("popularity", "taste", "weight"):
        _check_shares(name, getattr(world, name))
    _refuse("bought", world.bought, world.bought < 0, "must be 0 or more")
    return world


def _check_shares(name: str, table: np.ndarray) -> None:
    _refuse(name, table, table < 0, "must be 0 or more")
    total = np.atleast_1d(table.sum(axis=-1))
    _refuse(f"sum of {name}", total, np.abs(total - 1) > 1e-6, "must be 1")


def _refuse(name: str, table: np.ndarray, wrong: np.ndarray, says: str) -> None:
    if wrong.any():
        place = np.argwhere(wrong)[0]
        raise ValueError(f"row {place[0]}: {name} {says}; got {table[tuple(place)]}")


def topic_prices(world: ShopWorld) -> np.ndarray:
    """The median price of each topic's items, [C]; 1 for a topic without items."""
    known = [world.price[world.topic == topic] for topic in range(world.num_topics)]
    return np.array([np.median(prices) if len(prices) else 1.0 for prices in known])


def topic_counts(world: ShopWorld) -> np.ndarray:
    """Purchases of each household by topic, [H, C] float64: what the shop's log knows."""
    counts = np.zeros((world.num_topics, world.num_users))
    np.add.at(counts, world.topic, world.bought.T.astype(np.float64))
    return counts.T.copy()


def mix_of(world: ShopWorld) -> np.ndarray:
    """The shop's own shares of purchases by topic, [C]."""
    return np.bincount(world.topic, world.popularity, minlength=world.num_topics)


def with_newcomers(world: ShopWorld, share: float) -> ShopWorld:
    """The world with one more household that has bought nothing: the shopper without a history.

    Her taste is the shop's own mix of topics, her gap and price level are the medians. The log
    knows nothing of her, so her observations begin as zeros.

    Args:
        world: H households.
        share: of all visits that are hers, in (0, 1).

    Returns:
        A world of H + 1 households, the last of them "newcomer".

    Raises:
        ValueError: share is outside (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1; got {share}")
    mix = mix_of(world)
    return check(
        world._replace(
            user_ids=np.append(world.user_ids, "newcomer"),
            taste=np.vstack([world.taste, mix / mix.sum()]),
            bought=np.vstack([world.bought, np.zeros((1, world.num_items), np.float32)]),
            weight=np.append(world.weight * (1 - share), share),
            gap=np.append(world.gap, np.median(world.gap)),
            price_level=np.append(world.price_level, np.median(world.price_level)),
        )
    )

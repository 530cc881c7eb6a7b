"""A `ShopWorld` from a log: the items bought most, the households that bought them."""

import functools
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import sparse

from companion.data import sources
from companion.data.item_vectors import copurchase_vectors
from companion.data.prepare import purchases
from companion.envs.shop_catalogue import named, topics_of, unit, words_of
from companion.envs.shop_tables import ShopWorld, check, with_newcomers

__all__ = ["ShopWorld", "check", "load_world", "with_newcomers", "world_from_events"]

LEFT_OUT = ("FUEL", "COUPON", "MISCELLANEOUS")  # departments of Complete Journey that are no goods
TRAIN_SHARE = 5 / 6  # of the whole weeks: weeks 1 to 44 of the 53 of Complete Journey
SMOOTHING = 5.0  # purchases that a household's shares are mixed with, at the shop's own shares
SHORTEST = 1 / 24  # days: a gap of nothing is no gap


class _Lines(NamedTuple):
    """The training purchases of the catalogue: household, item, basket and price of each line."""

    user: np.ndarray  # [L]
    item: np.ndarray  # [L]
    basket: np.ndarray  # [L]
    price: np.ndarray  # [L] NaN where unknown


def load_purchases(source: str) -> tuple[pl.DataFrame, pl.DataFrame | None, str]:
    """Cleaned purchases of a source, its items and its name. Arguments as in `load_world`."""
    if source == "auto":
        source = "complete-journey" if sources.is_present("complete-journey") else "sample"
    log = sources.load(source)
    return purchases(log).events, log.items, log.name


@functools.cache
def load_world(source: str = "auto", num_items: int = 500, num_topics: int = 20) -> ShopWorld:
    """The world of a source's training weeks. Its arrays are shared: they cannot be written to.

    Args:
        source: "auto" is Complete Journey where it is installed, else the sample of the project;
            or a name or path that `companion.data.sources.load` takes.
        num_items: I, the items bought most.
        num_topics: C at most.

    Raises:
        ValueError: no such source, or fewer items than asked for were bought.
        companion.data.fetch.DataMissing: the data of the source is not there.
    """
    events, items, name = load_purchases(source)
    world = world_from_events(
        events, items, num_items=num_items, num_topics=num_topics, source=name
    )
    for table in world:
        if isinstance(table, np.ndarray):
            table.flags.writeable = False
    return world


def world_from_events(
    events: pl.DataFrame,
    items: pl.DataFrame | None,
    *,
    num_items: int = 500,
    num_topics: int = 20,
    size: int = 32,
    train_share: float = TRAIN_SHARE,
    source: str = "own log",
) -> ShopWorld:
    """The world of a log's training weeks.

    Args:
        events: purchases in the schema, cleaned, with `session_id`.
        items: a row per item (`item_id` and words), or None: topics are then clusters of `vectors`.
        num_items: I, the items bought most; at least 2.
        num_topics: C at most: the largest categories; small ones are put together by department.
        size: E of the item vectors.
        train_share: of the whole weeks of the log that are used, from the first.
        source: name of the log.

    Raises:
        ValueError: an argument is out of range, or fewer than `num_items` items were bought.
    """
    if num_items < 2 or num_topics < 1 or not 0 < train_share <= 1:
        given = f"{num_items}, {num_topics}, {train_share}"
        raise ValueError(
            "num_items must be 2 or more, num_topics 1 or more and train_share in (0, 1]; "
            f"got {given}"
        )
    train = _goods(_first_weeks(events, train_share), items)
    chosen = _most_bought(train, num_items)
    visits, train = train, train.filter(pl.col("item_id").is_in(chosen.implode()))
    users = train["user_id"].unique().sort()
    lines = _lines(train, users, chosen)
    bought = _table(lines.user, lines.item, (len(users), num_items))
    vectors = copurchase_vectors(_baskets(lines, num_items), size)
    words = words_of(chosen, items)
    topics, topic = topics_of(words, bought.sum(axis=0), num_topics, vectors)
    return check(
        ShopWorld(
            source=source,
            item_ids=chosen.to_numpy().astype(str),
            user_ids=users.to_numpy().astype(str),
            topics=topics,
            topic=topic,
            vectors=unit(vectors, topic),
            bought=bought.astype(np.float32),
            popularity=bought.sum(axis=0) / bought.sum(),
            **named(words, chosen, np.array(topics)[topic]),
            **_households(visits, users, bought, topic),
            **_prices(lines, len(users), topic),
        )
    )


def _first_weeks(events: pl.DataFrame, share: float) -> pl.DataFrame:
    if events.height == 0:
        raise ValueError("the log has no purchases")
    first, last = events["timestamp"].min(), events["timestamp"].max()
    weeks = max(int(((last - first) / timedelta(weeks=1) + 1e-9) // 1) + 1, 1)  # type: ignore[operator]
    end = first + timedelta(weeks=max(int(weeks * share), 1))  # type: ignore[operator]
    text = [pl.col(name).cast(pl.String) for name in ("user_id", "item_id", "session_id")]
    return events.filter(pl.col("timestamp") < end).with_columns(text)


def _goods(train: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    """The lines without petrol, coupons and the like, where the items have departments."""
    if items is None or "department" not in items.columns:
        return train
    no_goods = items.filter(pl.col("department").is_in(LEFT_OUT))["item_id"]
    return train.filter(~pl.col("item_id").is_in(no_goods.implode()))


def _most_bought(train: pl.DataFrame, num_items: int) -> pl.Series:
    counts = train.group_by("item_id").len().sort("len", "item_id", descending=[True, False])
    if counts.height < num_items:
        raise ValueError(f"num_items is {num_items}, but only {counts.height} items were bought")
    return counts["item_id"].head(num_items)


def _lines(train: pl.DataFrame, users: pl.Series, chosen: pl.Series) -> _Lines:
    order = [pl.Series("user_id", users), pl.Series("item_id", chosen)]
    user, item = (
        train[ids.name].replace_strict(ids, np.arange(len(ids)), return_dtype=pl.Int64).to_numpy()
        for ids in order
    )
    basket = train.select("user_id", "session_id").with_columns(
        pl.struct("user_id", "session_id").rank("dense").alias("n") - 1
    )["n"]
    price = train["price"] if "price" in train.columns else pl.Series([None] * train.height)
    return _Lines(user, item, basket.to_numpy(), price.cast(pl.Float64).to_numpy())


def _baskets(lines: _Lines, num_items: int) -> sparse.csr_array:
    """1 where a basket holds an item, [baskets, I]."""
    shape = int(lines.basket.max()) + 1, num_items
    table = sparse.csr_array((np.ones(len(lines.item)), (lines.basket, lines.item)), shape=shape)
    table.data[:] = 1.0  # an item on two lines of a basket is in it once
    return table


def _table(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How often each pair occurs, [rows, columns] float64."""
    flat = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)


def _households(
    visits: pl.DataFrame, users: pl.Series, bought: np.ndarray, topic: np.ndarray
) -> dict[str, Any]:
    """Taste [H, C], share of visits [H] and median days between baskets [H]."""
    counts = np.stack([np.bincount(topic, row, minlength=topic.max() + 1) for row in bought])
    mix = counts.sum(axis=0) / counts.sum()
    taste = (counts + SMOOTHING * mix) / (counts.sum(axis=1, keepdims=True) + SMOOTHING)
    baskets = visits.group_by("user_id", "session_id").agg(pl.col("timestamp").min().alias("at"))
    gap = (pl.col("at").diff() / timedelta(days=1)).median()
    per = baskets.sort("user_id", "at").group_by("user_id").agg(pl.len().alias("n"), gap=gap)
    per = pl.DataFrame({"user_id": users}).join(
        per, on="user_id", how="left", maintain_order="left"
    )
    days = per["gap"].to_numpy().astype(np.float64)
    usual = np.nanmedian(days) if np.isfinite(days).any() else 7.0
    days = np.maximum(np.where(np.isfinite(days), days, usual), SHORTEST)
    return {"taste": taste, "weight": (per["n"] / per["n"].sum()).to_numpy(), "gap": days}


def _prices(lines: _Lines, num_users: int, topic: np.ndarray) -> dict[str, Any]:
    """The median price of each item [I], and how dear each household buys [H].

    The price level is the geometric mean of price paid / median price of the topic, mixed with
    `SMOOTHING` lines at 1. An item without a known price gets its topic's, and 1 where none has.
    """
    table = pl.DataFrame({"item": lines.item, "price": lines.price})
    known = table.filter(pl.col("price") > 0).group_by("item").agg(pl.col("price").median())
    price = np.full(len(topic), np.nan)
    price[known["item"].to_numpy()] = known["price"].to_numpy()
    middle = np.ones(topic.max() + 1)
    for group in range(len(middle)):
        prices = price[(topic == group) & np.isfinite(price)]
        middle[group] = np.median(prices) if len(prices) else 1.0
    price = np.where(np.isfinite(price), price, middle[topic])
    paid = np.where(lines.price > 0, lines.price, price[lines.item])
    ratio = np.log(paid / middle[topic[lines.item]])
    total = np.bincount(lines.user, ratio, minlength=num_users)
    number = np.bincount(lines.user, minlength=num_users)
    return {"price": price, "price_level": np.exp(total / (number + SMOOTHING))}

"""What a log says of its later weeks, to hold a shop against that was made from its first weeks."""

import itertools
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from companion.envs.shop_state import facts
from companion.envs.shop_tables import mix_of
from companion.envs.shop_world import TRAIN_SHARE, ShopWorld, load_purchases, world_from_events
from companion.envs.shopper import ShopperConfig


class Later(NamedTuple):
    """Figures of the weeks after those that a world was made from.

    Lines are those of the world's items and households alone, so that both sides count the same.
    """

    lines: int
    gini: float  # of purchases by item
    known: float  # share of lines whose item the household had bought in the weeks before
    taste: float  # mean over lines of the household's share of the topic / the shop's
    dear: float  # mean over lines of log(price of the item / topic's median / household's level)
    gaps: tuple[float, float, float]  # quartiles of days between baskets that end in these weeks


class Era(NamedTuple):
    """A world, and what came after it."""

    world: ShopWorld
    later: Later


def eras(
    events: pl.DataFrame, items: pl.DataFrame | None, *, source: str, num_items: int = 500
) -> tuple[Era, Era]:
    """The era to fit on and the era to check on.

    With 53 weeks: the first is a world of weeks 1 to 36 with the figures of weeks 37 to 44, all of
    them training weeks; the second is the world of weeks 1 to 44, in which agents act, with the
    figures of weeks 45 to 53.

    Args:
        events: purchases in the schema, cleaned, with `session_id`.
        items: as in `world_from_events`.
        source: name of the log.
        num_items: I.

    Raises:
        ValueError: the log is too short, or as in `world_from_events`.
    """
    week = (pl.col("timestamp") - pl.col("timestamp").min()) / timedelta(weeks=1)
    events = events.with_columns(week.floor().cast(pl.Int64).alias("_week"))
    weeks = int(events["_week"].max()) + 1 if events.height else 0  # type: ignore[arg-type]
    cuts = [int(weeks * TRAIN_SHARE**2), int(weeks * TRAIN_SHARE), weeks]
    if not 0 < cuts[0] < cuts[1] < cuts[2]:
        raise ValueError(f"a log of {weeks} weeks is too short to fit on some and check on others")
    found = []
    for end, last in itertools.pairwise(cuts):
        plain = events.filter(pl.col("_week") < last)
        world = world_from_events(
            plain.filter(pl.col("_week") < end).drop("_week"),
            items,
            num_items=num_items,
            train_share=1.0,
            source=source,
        )
        found.append(Era(world, later_of(plain, world, end)))
    return found[0], found[1]


def load_eras(source: str = "auto", num_items: int = 500) -> tuple[Era, Era]:
    """The eras of a source, as `eras` makes them.

    Args:
        source: as in `load_world`.
        num_items: I.

    Raises:
        ValueError: no such source, or as in `eras`.
        companion.data.fetch.DataMissing: the data of the source is not there.
    """
    events, items, name = load_purchases(source)
    return eras(events, items, source=name, num_items=num_items)


def later_of(events: pl.DataFrame, world: ShopWorld, first: int) -> Later:
    """The figures of the weeks from `first` on.

    Args:
        events: with `_week`, the weeks before included.
        world: of the weeks before.
        first: number of the first later week, from 0.

    Raises:
        ValueError: the world's households buy none of its items in these weeks.
    """
    text = [pl.col(name).cast(pl.String) for name in ("user_id", "item_id", "session_id")]
    events = events.with_columns(text)
    households = pl.DataFrame({"user_id": world.user_ids, "user": np.arange(world.num_users)})
    catalogue = pl.DataFrame({"item_id": world.item_ids, "item": np.arange(world.num_items)})
    mine = events.join(households, on="user_id")
    lines = mine.filter(pl.col("_week") >= first).join(catalogue, on="item_id")
    if lines.height == 0:
        raise ValueError(f"nothing that this world sells was bought from week {first + 1} on")
    user, item = lines["user"].to_numpy(), lines["item"].to_numpy()
    topic, known = world.topic[item], facts(world, ShopperConfig())
    return Later(
        lines=lines.height,
        gini=float(gini(np.bincount(item, minlength=world.num_items))),
        known=float((world.bought[user, item] > 0).mean()),
        taste=float((world.taste[user, topic] / mix_of(world)[topic]).mean()),
        dear=float((known.dear[item] - known.level[user]).mean()),
        gaps=_gaps(mine, first),
    )


def _gaps(mine: pl.DataFrame, first: int) -> tuple[float, float, float]:
    """Quartiles of the days from a basket to the next, where the next is in the later weeks."""
    baskets = mine.group_by("user_id", "session_id").agg(pl.col("timestamp", "_week").min())
    ordered = baskets.sort("user_id", "timestamp")
    gap = (pl.col("timestamp").diff() / timedelta(days=1)).over("user_id").alias("gap")
    days = ordered.with_columns(gap).filter(pl.col("_week") >= first)["gap"].drop_nulls().to_numpy()
    if len(days) == 0:
        return (float("nan"),) * 3
    low, middle, high = np.quantile(days, [0.25, 0.5, 0.75]).tolist()
    return low, middle, high


def gini(counts: np.ndarray) -> np.ndarray:
    """Gini coefficient over the last axis: 0 where all are equal, near 1 where one has all.

    NaN where there is nothing to share.

    Args:
        counts: [..., I], 0 or more.
    """
    ordered, size = np.sort(counts, axis=-1), counts.shape[-1]
    weights = 2 * np.arange(1, size + 1) - size - 1
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (ordered @ weights) / (size * ordered.sum(axis=-1))
    return found

"""A shop's log into the purchases that a recommender learns from, in one call with a receipt."""

import polars as pl

from companion.core.frames import compact
from companion.data import clean, features
from companion.data.schema import Dataset

PREFERRED = ("purchase", "cart", "favorite", "rating", "click", "view")
LEAST = 0.01  # a line of less than a cent, or of nothing, is no sale
MOST = {"complete-journey": {"quantity": 100.0}}  # more units on one line are petrol


def wanted_event(events: pl.DataFrame) -> str:
    """The event to predict: the first of purchase, cart, favorite, rating, click, view there is.

    Raises:
        ValueError: the log has none of them.
    """
    found = set(events["event"].unique().cast(pl.String))
    for kind in PREFERRED:
        if kind in found:
            return kind
    raise ValueError(f"the log has none of {', '.join(PREFERRED)}; it has {', '.join(found)}")


SHOWN = ("timestamp", "event", "item_id", "price", "quantity")
WORDS = ("name", "title", "type", "category")  # the first of these that the items have


def example(log: Dataset, rows: int = 6) -> pl.DataFrame:
    """The first rows of the user with the most events, with the words of the items, for reading."""
    user = log.events["user_id"].value_counts(sort=True)["user_id"][0]
    few = log.events.filter(pl.col("user_id") == user).sort("timestamp", maintain_order=True)
    few = few.head(rows).with_columns(pl.col("timestamp").dt.strftime("%d %b %Y %H:%M"))
    if log.items is not None:
        few = few.join(log.items, on="item_id", how="left", suffix="_of_item")
    words = [name for name in WORDS if name in few.columns][:1]
    shown = [*SHOWN[:3], *words, *SHOWN[3:]]
    return few.select(name for name in shown if name in few.columns)


def _within(column: str, most: float | None) -> clean.CleaningStep:
    return lambda events: clean.reject_outside(events, column, LEAST, most)


def limited(events: pl.DataFrame, name: str) -> list[clean.CleaningStep]:
    """Steps that set aside lines without units or without a price, and what cannot be a basket."""
    most = MOST.get(name, {})
    columns = [column for column in ("quantity", "price") if column in events.columns]
    return [_within(column, most.get(column)) for column in columns]


def purchases(log: Dataset) -> clean.Cleaned:
    """The log's purchases (or the nearest thing to them), sorted, once each, within limits.

    The limits are declared, not learned: price and quantity of at least 0.01 where they are known,
    and for Complete Journey at most 100 units a line, since more are petrol. Rows of other events
    are set aside too. `session_id` is added where the log has none: 30 minutes of silence.

    Args:
        log: from `companion.data.sources.load`.

    Raises:
        ValueError: nothing is left.
    """
    wanted = wanted_event(log.events)
    steps: list[clean.CleaningStep] = [
        lambda e: clean.reject_where(e, pl.col("event") != wanted, f"not a {wanted}"),
        clean.sort_by_time,
        clean.remove_duplicates,
    ]
    steps += limited(log.events, log.name)
    found = clean.clean(compact(log.events), steps)
    if found.events.height == 0:
        raise ValueError(f"{log.name}: no row is left after cleaning; see the steps: {found.steps}")
    if "session_id" in found.events.columns and not found.events["session_id"].has_nulls():
        return found
    return found._replace(events=features.add_sessions(found.events))

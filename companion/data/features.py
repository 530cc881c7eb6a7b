"""Features of sessions, users and items, each as of a moment: nothing later is ever looked at."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from companion.core.frames import pandas_too
from companion.data.order import in_order, in_utc, micros, new_user
from companion.data.schema import EVENTS, SchemaError

SILENCE = 30  # minutes
DAY = 86_400.0  # seconds


@pandas_too
def count_by(events: pl.DataFrame, key: str) -> pl.DataFrame:
    """Rows per value of a column, most frequent first. A missing value is counted as one value.

    Returns:
        `key`, `count`; the counts add up to the number of rows.
    """
    return (
        events.group_by(key, maintain_order=True)
        .len("count")
        .sort("count", descending=True, maintain_order=True)
    )


@pandas_too
def add_sessions(events: pl.DataFrame, minutes: float = SILENCE) -> pl.DataFrame:
    """Adds `session_id`: a new session begins after a silence longer than `minutes`.

    Args:
        events: [N], in any order; they come back in order of user and time, ties in log order.
        minutes: of silence that end a session.

    Returns:
        The events with `session_id` (`user#1`, `user#2`, ...). One that was there is replaced.

    Raises:
        ValueError: minutes is not above 0.
    """
    if not minutes > 0:
        raise ValueError(f"minutes must be above 0; got {minutes}")
    events = in_order(events)
    number = pl.Series(session_numbers(events, minutes)).cast(pl.String)
    session = pl.concat_str(pl.col("user_id"), pl.lit("#"), number)
    return events.with_columns(session.alias("session_id"))


def session_numbers(events: pl.DataFrame, minutes: float = SILENCE) -> np.ndarray:
    """Number of the session within its user, from 1, for events in order. [N]"""
    first = new_user(events)
    time = micros(events)
    begins = first.copy()
    begins[1:] |= np.diff(time) > minutes * 60e6
    total = np.cumsum(begins)  # [N] over all users
    starts = np.flatnonzero(first)
    lengths = np.diff(np.append(starts, len(first)))
    return total - np.repeat(total[starts] - 1, lengths)


@pandas_too
def session_features(events: pl.DataFrame) -> pl.DataFrame:
    """One row per session: `user_id`, `session_id`, `start` (UTC), `seconds`, `events`, `items`,
    one count per kind of event, `converted` (there was a purchase).

    Raises:
        SchemaError: there is no `session_id` (see `add_sessions`).
    """
    if "session_id" not in events.columns:
        raise SchemaError("there is no session_id; call add_sessions first")
    seconds = (pl.col("timestamp").max() - pl.col("timestamp").min()).dt.total_microseconds() / 1e6
    table = events.group_by("user_id", "session_id", maintain_order=True).agg(
        pl.col("timestamp").min().alias("start"),
        seconds.alias("seconds"),
        pl.len().alias("events"),
        pl.col("item_id").drop_nulls().n_unique().alias("items"),
        *_counts(),
    )
    return table.with_columns((pl.col("purchases") > 0).alias("converted"))


PLURAL = {"search": "searches"}


def _counts() -> list[pl.Expr]:
    """One count for every kind of event of the schema, so that the columns never vary."""
    kind = pl.col("event").cast(pl.String)
    return [(kind == event).sum().alias(PLURAL.get(event, f"{event}s")) for event in EVENTS]


def _until(events: pl.DataFrame, at: datetime) -> pl.DataFrame:
    if at.tzinfo is None:
        raise ValueError(
            "the moment needs a time zone, for example datetime(2017, 11, 1, tzinfo=UTC)"
        )
    return in_utc(events).filter(pl.col("timestamp") < at.astimezone(UTC))


def _days(expression: pl.Expr) -> pl.Expr:
    return expression.dt.total_microseconds() / (1e6 * DAY)


@pandas_too
def user_features(events: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """What the log tells of each user before the moment `at`.

    Returns:
        One row per user seen before `at`: `user_id`; `events`, `items` (different ones),
        `active_days`; one count per kind of event; `recency_days` since the last event and
        `tenure_days` since the first; `gap_days`, the mean time between days with events (null
        for one day); `spend` in the shop's currency, if prices are known.

    Raises:
        ValueError: `at` has no time zone.
    """
    past = _until(events, at)
    first, last = pl.col("timestamp").min(), pl.col("timestamp").max()
    date = pl.col("timestamp").dt.date()
    days = date.n_unique()
    span = (date.max() - date.min()).dt.total_days()
    return (
        past.group_by("user_id")
        .agg(
            pl.len().alias("events"),
            pl.col("item_id").drop_nulls().n_unique().alias("items"),
            days.alias("active_days"),
            *_counts(),
            _days(pl.lit(at.astimezone(UTC)) - last).alias("recency_days"),
            _days(pl.lit(at.astimezone(UTC)) - first).alias("tenure_days"),
            pl.when(days > 1).then(span / (days - 1)).alias("gap_days"),
            *_spend(past),
        )
        .sort("user_id")
    )


def _spend(events: pl.DataFrame) -> list[pl.Expr]:
    if "price" not in events.columns:
        return []
    quantity = pl.col("quantity").fill_null(1.0) if "quantity" in events.columns else pl.lit(1.0)
    bought = pl.col("event") == "purchase"
    return [(pl.col("price") * quantity).filter(bought).sum().alias("spend")]


@pandas_too
def item_features(events: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """What the log tells of each item before the moment `at`.

    Returns:
        One row per item seen before `at`: `item_id`, `events`, `users` (different ones), one count
        per kind of event, `recency_days`, `age_days` since its first event, `price_mean` (null
        where no price is known).

    Raises:
        ValueError: `at` has no time zone.
    """
    past = _until(events, at).filter(pl.col("item_id").is_not_null())
    price = [pl.col("price").mean().alias("price_mean")] if "price" in past.columns else []
    return (
        past.group_by("item_id")
        .agg(
            pl.len().alias("events"),
            pl.col("user_id").n_unique().alias("users"),
            *_counts(),
            _days(pl.lit(at.astimezone(UTC)) - pl.col("timestamp").max()).alias("recency_days"),
            _days(pl.lit(at.astimezone(UTC)) - pl.col("timestamp").min()).alias("age_days"),
            *price,
        )
        .sort("item_id")
    )


@pandas_too
def add_local_time(events: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Adds `hour` (0 to 23) and `weekday` (1 is Monday) of the shop's own clock.

    Raises:
        ValueError: the zone is not known.
    """
    try:
        local = events.select(pl.col("timestamp").dt.convert_time_zone(zone)).to_series()
    except pl.exceptions.ComputeError as error:
        raise ValueError(f"time zone {zone!r} is not known") from error
    return events.with_columns(
        local.dt.hour().cast(pl.Int64).alias("hour"),
        local.dt.weekday().cast(pl.Int64).alias("weekday"),
    )

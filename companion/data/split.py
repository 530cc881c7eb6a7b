"""Training, validation and test parts of a log, and what each way of cutting lets through."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from companion.core.frames import pandas_too, to_polars
from companion.core.seeding import generator
from companion.data.order import in_order, in_utc, micros, new_user
from companion.data.schema import SchemaError


class Split(NamedTuple):
    """Three parts of one log; no event is in two of them, none is lost."""

    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame


class Leaks(NamedTuple):
    """What a split lets through.

    Attributes:
        latest_train: time of the last training event.
        earliest_test: time of the first test event.
        future: training events that are later than the first test event.
        cold_users: test users without a training event; `test_users` is their number in all.
        cold_items: test items without a training event; `test_items` is their number in all.
    """

    latest_train: datetime | None
    earliest_test: datetime | None
    future: int
    cold_users: int
    test_users: int
    cold_items: int
    test_items: int

    def __str__(self) -> str:
        order = (
            f"{self.future:,} training events are later than the first test event"
            if self.future
            else "no training event is later than the first test event"
        )
        return (
            f"{order}; {self.cold_users:,} cold users of {self.test_users:,}, "
            f"{self.cold_items:,} cold items of {self.test_items:,}"
        )


@pandas_too
def leaks(train: pl.DataFrame, test: pl.DataFrame) -> Leaks:
    """How far the training part knows the test's future, and who in the test is new."""
    latest, earliest = train["timestamp"].max(), test["timestamp"].min()
    future = 0 if earliest is None else train.filter(pl.col("timestamp") > earliest).height
    users, cold_users = _new(train["user_id"], test["user_id"])
    items, cold_items = _new(train["item_id"], test["item_id"])
    span = (cast("datetime | None", latest), cast("datetime | None", earliest))
    return Leaks(*span, future, cold_users, users, cold_items, items)


def _new(train: pl.Series, test: pl.Series) -> tuple[int, int]:
    """How many different values the test has, and how many of them the training part has not."""
    known = train.drop_nulls().unique().cast(pl.String)
    asked = test.drop_nulls().unique().cast(pl.String)
    return len(asked), int((~asked.is_in(known.implode())).sum())


@pandas_too
def by_time(events: pl.DataFrame, validation_from: datetime, test_from: datetime) -> Split:
    """Cuts at two moments: before, between, after. The only cut that is like tomorrow.

    Raises:
        ValueError: a moment has no time zone, or they are not in order.
    """
    events = _whole(events)
    for moment in (validation_from, test_from):
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone")
    validation_from, test_from = validation_from.astimezone(UTC), test_from.astimezone(UTC)
    if validation_from > test_from:
        raise ValueError(f"validation starts at {validation_from}, after the test at {test_from}")
    time = pl.col("timestamp")
    return Split(
        events.filter(time < validation_from),
        events.filter((time >= validation_from) & (time < test_from)),
        events.filter(time >= test_from),
    )


@pandas_too
def by_share(events: pl.DataFrame, validation: float = 0.1, test: float = 0.1) -> Split:
    """Cuts by time so that about these shares of the events lie in the last two parts.

    Events of one instant stay together.

    Raises:
        ValueError: a share is negative, together they reach 1, or there is no event.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"shares {validation} and {test} must be 0 or more and below 1 together")
    events = _whole(events)
    if events.height == 0:
        raise ValueError("there is no event to split")
    time = micros(events)
    after_all = int(time.max()) + 1
    places = [round(len(time) * (1 - validation - test)), round(len(time) * (1 - test))]
    ranked = np.partition(time, [min(place, len(time) - 1) for place in places])
    cuts = [after_all if place == len(time) else int(ranked[place]) for place in places]
    parts = by_time(
        events, *(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=c) for c in cuts)
    )
    if parts.train.height == 0:
        raise ValueError("no event is left for training: too many share the first instant")
    return parts


def _whole(events: pl.DataFrame) -> pl.DataFrame:
    """The events, if each has a user and a time: a split must not lose the others in silence."""
    for column in ("user_id", "timestamp"):
        if events[column].has_nulls():
            row = int(events[column].is_null().arg_true()[0])
            raise SchemaError(f"row {row} has no {column}; reject such rows first")
    return in_utc(events)


@pandas_too
def by_user(
    events: pl.DataFrame, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> Split:
    """Whole users go to one part. It answers how a model does on users it has never seen.

    Raises:
        ValueError: a share is negative, or together they reach 1.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"shares {validation} and {test} must be 0 or more and below 1 together")
    users = _users(_whole(events))
    order = generator(seed, "split by user").permutation(len(users))
    cuts = np.round(np.array([1 - validation - test, 1 - test]) * len(users)).astype(int)
    return Split(*(_of(events, users.gather(part)) for part in np.split(order, cuts)))


@pandas_too
def leave_last_out(events: pl.DataFrame, last: int = 1) -> Split:
    """Each user's last events are the test, the ones before them the validation.

    Every user is in order, yet other users' futures are in the training part: `leaks` counts
    them. A user with fewer than 2 * last + 1 events is in training alone.

    Raises:
        ValueError: last is below 1.
    """
    if last < 1:
        raise ValueError(f"last must be 1 or more; got {last}")
    events = in_order(_whole(events))
    starts = np.flatnonzero(new_user(events))
    lengths = np.diff(np.append(starts, events.height))
    from_end = np.repeat(starts + lengths, lengths) - np.arange(events.height)  # 1 is the last
    long = np.repeat(lengths, lengths) >= 2 * last + 1
    test, validation = long & (from_end <= last), long & (from_end > last) & (from_end <= 2 * last)
    return Split(
        events.filter(pl.Series(~(test | validation))),
        events.filter(pl.Series(validation)),
        events.filter(pl.Series(test)),
    )


class Fold(NamedTuple):
    """One round of cross-validation."""

    train: pl.DataFrame
    test: pl.DataFrame


def folds_by_user(events: pl.DataFrame, folds: int = 5, seed: int = 0) -> Iterator[Fold]:
    """Cross-validation over users: each user is in the test of exactly one round.

    Raises:
        ValueError: folds is below 2 or above the number of users.
    """
    users = _users(events)
    if not 2 <= folds <= len(users):
        raise ValueError(f"folds must be from 2 to the number of users, {len(users)}; got {folds}")
    order = generator(seed, "folds by user").permutation(len(users))
    for part in np.array_split(order, folds):
        yield _fold(events, users.gather(part))


def _users(events: Any) -> pl.Series:
    """The users of a pandas or Polars log, in order of their ids."""
    return _whole(to_polars(events))["user_id"].cast(pl.String).unique().sort()


def _of(events: pl.DataFrame, users: pl.Series, wanted: bool = True) -> pl.DataFrame:
    inside = pl.col("user_id").cast(pl.String).is_in(users.implode())
    return events.filter(inside if wanted else ~inside)


@pandas_too
def _fold(events: pl.DataFrame, users: pl.Series) -> Fold:
    return Fold(_of(events, users, wanted=False), _of(events, users))


def folds_by_time(events: pl.DataFrame, folds: int = 5) -> Iterator[Fold]:
    """Cross-validation that never looks ahead: round k trains on all before its test.

    The log is cut into folds + 1 stretches with about as many events each; the first is in no
    test.

    Raises:
        ValueError: folds is below 1, or there are too few events.
    """
    if not 1 <= folds < len(events):
        raise ValueError(f"folds must be from 1 to {len(events) - 1}; got {folds}")
    times = _whole(to_polars(events))["timestamp"].sort()
    cuts = [times[round(len(times) * k / (folds + 1))] for k in range(1, folds + 1)]
    if len({times[0], *cuts}) <= folds:
        raise ValueError(f"too many events share an instant for {folds} folds by time")
    for k, start in enumerate(cuts):
        yield _stretch(events, start, cuts[k + 1] if k + 1 < folds else None)


@pandas_too
def _stretch(events: pl.DataFrame, start: datetime, end: datetime | None) -> Fold:
    events = in_utc(events)
    time = pl.col("timestamp")
    inside = time >= start if end is None else (time >= start) & (time < end)
    return Fold(events.filter(time < start), events.filter(inside))

"""Cleaning, one visible step at a time.

A step takes events and gives an `Outcome`: the events that stay, the rows that go with their
line and the reason, and a count of what it did. `clean` runs several and adds them up. Nothing
here learns from the data; what learns is in `companion.data.transformers` and is fitted on the
training part alone.
"""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl

from companion.core.frames import pandas_too
from companion.data.order import is_in_order, micros, new_user, rows, time_order, with_lines
from companion.data.schema import SchemaError, as_json, nothing_rejected


class Step(NamedTuple):
    """What a step did: rows before, rows after, rows in which a value was changed."""

    name: str
    rows_in: int
    rows_out: int
    changed: int
    note: str


class Outcome(NamedTuple):
    """Events that stay [M], rows that go [N - M] as `line`, `reason`, `row`, and the count."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    step: Step


class Cleaned(NamedTuple):
    """What is left after all steps, all that was set aside, and the count of each step."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    steps: tuple[Step, ...]

    def table(self) -> pd.DataFrame:
        """The steps as a table: name, rows before and after, rejected, changed, note."""
        rows = [
            (s.name, s.rows_in, s.rows_out, s.rows_in - s.rows_out, s.changed, s.note)
            for s in self.steps
        ]
        names = ["step", "rows before", "rows after", "rejected", "changed", "note"]
        return pd.DataFrame(rows, columns=names)

    def receipt(self) -> pd.DataFrame:
        """The same table for reading: thousands apart, without the notes."""
        table = self.table().drop(columns="note").set_index("step")
        return table.map("{:,}".format)


CleaningStep = Callable[[pl.DataFrame], Outcome]


@pandas_too
def clean(events: pl.DataFrame, steps: Sequence[CleaningStep]) -> Cleaned:
    """The steps, one after another.

    Args:
        events: [N] in the schema. `line` is added (the row's number) where there is none.
        steps: functions from events to an `Outcome`.

    Raises:
        SchemaError: rows were lost: what stays and what was set aside do not add up.
    """
    before = events.height
    events = with_lines(events)
    rejected, done = [nothing_rejected()], []
    for step in steps:
        outcome = step(events)
        events = outcome.events
        rejected.append(outcome.rejected)
        done.append(outcome.step)
    gone = pl.concat(rejected)
    if events.height + gone.height != before:
        raise SchemaError(f"{before:,} rows came in, {events.height:,} stay, {gone.height:,} went")
    return Cleaned(events, gone, tuple(done))


def outcome(
    name: str, events: pl.DataFrame, keep: pl.Series, reason: str | pl.Expr, note: str = ""
) -> Outcome:
    """An `Outcome` from a mask.

    Args:
        name: of the step, in words.
        events: [N].
        keep: [N] true where the row stays.
        reason: why the others go; a text, or an expression that gives one for each row.
        note: what a reader should know besides.
    """
    stay = events.filter(keep)
    gone = nothing_rejected()
    if stay.height < events.height:
        why = pl.lit(reason) if isinstance(reason, str) else reason
        gone = events.filter(~keep).select(
            pl.col("line").cast(pl.Int64), why.alias("reason"), as_json(events, "line").alias("row")
        )
    return Outcome(stay, gone, Step(name, events.height, stay.height, 0, note))


@pandas_too
def remove_duplicates(events: pl.DataFrame) -> Outcome:
    """Exact copies go, the first stays. A second purchase of the same item is no copy.

    Two rows are copies where every column but `line` is equal, the time to the microsecond.
    """
    events = with_lines(events)
    columns = [name for name in events.columns if name != "line"]
    # Copies share user and time. Whole rows are compared only where those two are met twice,
    # which is a small part of most logs.
    crowded = _crowded(events)
    candidates = events.select(columns).with_row_index("_row").filter(crowded)
    first = candidates.unique(subset=columns, keep="first", maintain_order=True)["_row"]
    keep = ~crowded
    keep[first.to_numpy()] = True
    return outcome(
        "remove exact duplicates", events, pl.Series(keep), "exact copy of an earlier row"
    )


def _crowded(events: pl.DataFrame) -> np.ndarray:
    """True where another row has the same user and time. [N]"""
    if not is_in_order(events):
        return (
            events.select(pl.struct("user_id", "timestamp").is_duplicated())
            .to_series()
            .to_numpy()
            .copy()
        )
    time = micros(events)
    same = np.zeros(events.height + 1, bool)
    same[1:-1] = (np.diff(time) == 0) & ~new_user(events)[1:]
    return same[1:] | same[:-1]


@pandas_too
def reject_missing(events: pl.DataFrame, columns: Sequence[str]) -> Outcome:
    """Rows without a value in one of the columns go.

    Raises:
        SchemaError: a column is not there.
    """
    events = _checked(with_lines(events), columns)
    absent = [
        pl.when(_value(events, c).is_null() | (pl.col(c).cast(pl.String) == "")).then(pl.lit(c))
        for c in columns
    ]
    why = pl.concat_str(absent, separator=", ", ignore_nulls=True)
    keep = events.select(why == "").to_series()
    return outcome(
        f"reject rows without {', '.join(columns)}", events, keep, pl.format("missing: {}", why)
    )


@pandas_too
def reject_outside(
    events: pl.DataFrame, column: str, low: float | None = None, high: float | None = None
) -> Outcome:
    """Rows whose value lies outside limits that are known beforehand go; missing values stay.

    Args:
        events: [N].
        column: of numbers, or of times (then the limits are datetimes).
        low: the least value that stays, or None.
        high: the greatest value that stays, or None.

    Raises:
        SchemaError: the column is not there.
        ValueError: low is above high, or neither is given.
    """
    if low is None and high is None:
        raise ValueError("reject_outside needs low, high or both")
    if low is not None and high is not None and low > high:
        raise ValueError(f"low {low} is above high {high}")
    events = _checked(with_lines(events), [column])
    inside = pl.lit(True)
    if low is not None:
        inside &= _value(events, column) >= limit(low)
    if high is not None:
        inside &= _value(events, column) <= limit(high)
    keep = events.select(inside.fill_null(True)).to_series()
    sides = [f"below {low}"] * (low is not None) + [f"above {high}"] * (high is not None)
    limits = " or ".join(sides)
    why = pl.format(f"{column} {{}} is {limits}", pl.col(column))
    return outcome(f"reject {column} {limits}", events, keep, why)


@pandas_too
def reject_where(events: pl.DataFrame, wrong: pl.Expr, reason: str) -> Outcome:
    """Rows for which a Polars expression is true go, for a reason given in words."""
    events = with_lines(events)
    keep = ~events.select(wrong.fill_null(False)).to_series()
    return outcome(f"reject: {reason}", events, keep, reason)


@pandas_too
def sort_by_time(events: pl.DataFrame) -> Outcome:
    """Users together, each in order of time; within one instant the order of the log stays.

    Breaking ties by item would plant a pattern that a sequence model learns.
    """
    events = with_lines(events)
    if is_in_order(events):
        step = Step("sort by user and time", events.height, events.height, 0, "was in order")
        return Outcome(events, nothing_rejected(), step)
    order = time_order(events)
    moved = int((order != np.arange(len(order))).sum())
    step = Step("sort by user and time", events.height, events.height, moved, "ties in log order")
    return Outcome(rows(events, order), nothing_rejected(), step)


def _value(events: pl.DataFrame, column: str) -> pl.Expr:
    """The column, with what is no number taken for missing."""
    value = pl.col(column)
    return value.fill_nan(None) if events.schema[column].is_float() else value


def limit(value: Any) -> Any:
    """A limit as Polars compares it: a time in UTC, a number as it is."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _checked(events: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    for column in columns:
        if column not in events.columns:
            raise SchemaError(
                f"there is no column {column!r}; there are {', '.join(events.columns)}"
            )
    return events


def write_rejected(rejected: pl.DataFrame | pd.DataFrame, path: str | Path) -> Path:
    """Writes the rows that were set aside as CSV: line, reason, row (JSON).

    The file appears whole or not at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = rejected if isinstance(rejected, pl.DataFrame) else pl.from_pandas(rejected)
    draft = path.with_name(path.name + ".part")
    table.write_csv(draft)
    os.replace(draft, path)
    return path

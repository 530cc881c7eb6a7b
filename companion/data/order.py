"""The order of a log: users together, each in order of time, ties as the log has them."""

import numpy as np
import polars as pl

from companion.core.codes import encode
from companion.data.schema import TIME, SchemaError


def in_utc(events: pl.DataFrame) -> pl.DataFrame:
    """The same events, their times in UTC and microseconds, as the schema has them."""
    found = events.schema.get("timestamp")
    if found == TIME or getattr(found, "time_zone", None) is None:
        return events
    return events.with_columns(pl.col("timestamp").dt.convert_time_zone("UTC").cast(TIME))


def with_lines(events: pl.DataFrame) -> pl.DataFrame:
    """The same events, times in UTC, with `line`, the order of the log: from 1 where it is missing.

    Raises:
        SchemaError: a line is missing or is no whole number.
    """
    events = in_utc(events)
    if "line" not in events.columns:
        return events.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"))
    if not events.schema["line"].is_integer() or events["line"].has_nulls():
        raise SchemaError("the column 'line' must hold a whole number in every row")
    return events.with_columns(pl.col("line").cast(pl.Int64))


def micros(events: pl.DataFrame) -> np.ndarray:
    """The times in microseconds since 1970, whatever the unit of the column. [N] int64

    Raises:
        SchemaError: a time is missing (its line is named), or the times have no zone.
    """
    column = events["timestamp"]
    if getattr(column.dtype, "time_zone", None) is None:
        raise SchemaError(f"column 'timestamp' holds {column.dtype}; times in UTC are needed")
    if column.has_nulls():
        row = int(column.is_null().arg_true()[0])
        place = f"line {events['line'][row]}" if "line" in events.columns else f"row {row}"
        raise SchemaError(f"{place} has no timestamp; reject such rows first")
    return column.dt.convert_time_zone("UTC").cast(TIME).to_physical().to_numpy()


def new_user(events: pl.DataFrame) -> np.ndarray:
    """True where the user is another than in the row before. [N]"""
    user = events["user_id"]
    changed = user.ne_missing(user.shift()).to_numpy().copy()
    changed[:1] = True
    return changed


def is_in_order(events: pl.DataFrame) -> bool:
    """Whether users stand together, each in order of time, ties by line."""
    first = new_user(events)
    time, line = micros(events), events["line"].to_numpy()
    step = np.diff(time)
    right = (step > 0) | ((step == 0) & (np.diff(line) >= 0)) | first[1:]
    if not right.all():
        return False
    heads = events["user_id"].filter(pl.Series(first))
    return int(heads.n_unique()) == len(heads)


def in_order(events: pl.DataFrame) -> pl.DataFrame:
    """The events by user (in order of first appearance), time and line."""
    events = with_lines(events)
    return events if is_in_order(events) else rows(events, time_order(events))


def rows(events: pl.DataFrame, order: np.ndarray) -> pl.DataFrame:
    """The rows in another order."""
    return events.select(pl.all().gather(pl.Series(order)))


def time_order(events: pl.DataFrame) -> np.ndarray:
    """Row numbers that put the events in order. [N]"""
    user = encode(events["user_id"]).codes
    time = micros(events)
    line = events["line"].to_numpy()
    if len(line) and bool((np.diff(line) < 0).any()):
        start = np.argsort(line, kind="stable")
        return start[_order(user[start], time[start])]
    return _order(user, time)


def _order(user: np.ndarray, time: np.ndarray) -> np.ndarray:
    key = packed(user, time)
    return np.lexsort((time, user)) if key is None else stable_argsort(key)


def stable_argsort(key: np.ndarray) -> np.ndarray:
    """Row numbers that sort the key, equals in their order. Polars sorts on all cores. [N]"""
    table = pl.DataFrame({"key": key}).with_row_index("row")
    return table.sort("key", maintain_order=True)["row"].to_numpy()


def packed(high: np.ndarray, low: np.ndarray) -> np.ndarray | None:
    """Two columns of whole numbers as one that sorts like the pair, or None if 63 bits are few.

    One key is sorted several times as fast as two.
    """
    if len(high) == 0:
        return np.zeros(0, np.int64)
    start, high_start = int(low.min()), int(high.min())
    offset = low - start
    step = int(np.gcd.reduce(offset)) or 1  # whole seconds need fewer bits than microseconds
    bits = int(offset.max() // step).bit_length()
    if (int(high.max()) - high_start).bit_length() + bits > 63:
        return None
    return ((high.astype(np.int64) - high_start) << bits) | (offset // step)

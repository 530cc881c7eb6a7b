"""Putting several logs and tables together, each row with what was valid at its time."""

from typing import NamedTuple

import polars as pl

from companion.core.frames import pandas_too
from companion.data import parse
from companion.data.order import with_lines
from companion.data.schema import TIME, SchemaError


class Joined(NamedTuple):
    """The events with the new columns, in their order [N]; how many found a partner; how many not;
    how many had no key at all."""

    events: pl.DataFrame
    matched: int
    unmatched: int
    without_key: int


KEY, FOUND, ROW = "\0key", "\0found", "\0row"  # names that no log has


def _with_key(frame: pl.DataFrame, on: str, what: str) -> pl.DataFrame:
    """The frame with its key as text beside it, so that 101, 101.0 and "101" meet.

    The column itself stays as it is.
    """
    if on not in frame.columns:
        raise SchemaError(f"{what} have no column {on!r}; there are {', '.join(frame.columns)}")
    column = frame[on]
    if not column.dtype.is_float():
        text = column.cast(pl.String)
        return frame.with_columns(text.set(text == "", None).alias(KEY))
    parsed = parse.ids(column)
    lost = parsed.reasons.str.contains("lost digits").fill_null(False)
    if lost.any():
        row = int(lost.arg_true()[0])
        raise SchemaError(f"{what}, row {row}: {parsed.reasons[row]}")
    return frame.with_columns(parsed.values.alias(KEY))


@pandas_too
def join_table(events: pl.DataFrame, table: pl.DataFrame, on: str) -> Joined:
    """Adds the columns of a table that has one row per key. Every event stays, in its order.

    Args:
        events: [N].
        table: one row per value of `on`, such as profiles or a catalogue.
        on: the key, compared as text.

    Raises:
        SchemaError: the key is missing in one of them, or twice in the table (the join would
            multiply events), or a column of the table is there already.
    """
    events, table = _with_key(events, on, "the events"), _with_key(table, on, "the table's rows")
    _refuse_clash(events, table, on, KEY)
    table = table.filter(pl.col(KEY).is_not_null()).drop(on)
    doubled = table.filter(pl.col(KEY).is_duplicated())
    if doubled.height:
        raise SchemaError(f"the table has {on} {doubled[KEY][0]!r} more than once")
    marked = table.with_columns(pl.lit(True).alias(FOUND))
    return _counted(events.join(marked, on=KEY, how="left", maintain_order="left"))


@pandas_too
def join_as_of(events: pl.DataFrame, snapshots: pl.DataFrame, on: str) -> Joined:
    """Adds what was valid at the time of each event: the last snapshot at or before it.

    A later snapshot is never used: a price that was set tomorrow did not cause today's click.

    Args:
        events: [N] with `timestamp`.
        snapshots: `on`, `timestamp` and the columns to add; any number per key.
        on: the key, compared as text.

    Raises:
        SchemaError: as for `join_table`; two snapshots of one key at one time that differ.
    """
    events, snapshots = (
        _with_key(events, on, "the events"),
        _with_key(snapshots, on, "the snapshots"),
    )
    for what, frame in (("events", events), ("snapshots", snapshots)):
        if getattr(frame.schema.get("timestamp"), "time_zone", None) is None:
            raise SchemaError(f"the {what} need a column 'timestamp' of times with a zone")
    _refuse_clash(events, snapshots, on, KEY, "timestamp")
    right = snapshots.filter(pl.col(KEY).is_not_null()).drop(on).unique(maintain_order=True)
    right = right.with_columns(
        pl.col("timestamp").dt.convert_time_zone("UTC").cast(TIME), pl.lit(True).alias(FOUND)
    )
    doubled = right.filter(pl.struct(KEY, "timestamp").is_duplicated())
    if doubled.height:
        raise SchemaError(
            f"{on} {doubled[KEY][0]!r} has two snapshots at {doubled['timestamp'][0]}"
        )
    times = pl.col("timestamp").dt.convert_time_zone("UTC").cast(TIME)
    left = events.with_columns(times).with_row_index(ROW).sort("timestamp", maintain_order=True)
    joined = left.join_asof(
        right.sort("timestamp"), on="timestamp", by=KEY, strategy="backward", check_sortedness=False
    )
    return _counted(joined.sort(ROW).drop(ROW))


def _refuse_clash(events: pl.DataFrame, table: pl.DataFrame, *shared: str) -> None:
    clash = [name for name in table.columns if name in events.columns and name not in shared]
    if clash:
        raise SchemaError(f"both have a column {clash[0]!r}; rename one")


def _counted(joined: pl.DataFrame) -> Joined:
    matched = int(joined[FOUND].sum() or 0)
    keyless = joined[KEY].null_count()
    unmatched = joined.height - matched - keyless
    return Joined(joined.drop(FOUND, KEY), matched, unmatched, keyless)


@pandas_too
def merge_logs(**logs: pl.DataFrame) -> pl.DataFrame:
    """Several logs of one shop (views, searches, orders) as one, in order of time.

    Args:
        logs: name to events in the schema. The name becomes the column `source`, the line in that
            source `source_line`, and `line` counts anew. Columns that a log lacks are empty there.

    Raises:
        SchemaError: no log was given, a log has a column `source` already, or two logs hold one
            column in different types.
    """
    if not logs:
        raise SchemaError("merge_logs needs at least one log")
    filled = {c for log in logs.values() for c in log.columns if log[c].null_count() < log.height}
    named = [_named(name, log, filled) for name, log in logs.items()]
    try:
        both = pl.concat(named, how="diagonal")
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"the logs do not fit together: {error}") from None
    return with_lines(both.sort("timestamp", maintain_order=True))


def _named(name: str, log: pl.DataFrame, filled: set[str]) -> pl.DataFrame:
    """The log with its name; a column that is empty here and filled in another takes its type."""
    for column in ("source", "source_line"):
        if column in log.columns:
            raise SchemaError(f"the log {name!r} has a column {column!r} already; rename it")
    empty = [c for c in log.columns if c in filled and log[c].null_count() == log.height]
    empty += [c for c, dtype in log.schema.items() if dtype == pl.Null and c not in empty]
    empty = [] if log.height == 0 else empty
    log = with_lines(log.drop(empty)).rename({"line": "source_line"})
    return log.with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String), pl.lit(name).alias("source")
    )

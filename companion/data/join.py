"""Putting several logs and tables together, each row with what was valid at its time."""

from typing import NamedTuple

import polars as pl

from companion.core.frames import pandas_too
from companion.data import parse
from companion.data.schema import SchemaError


class Joined(NamedTuple):
    """The events with the new columns, in their order [N]; how many found a partner; how many not;
    how many had no key at all."""

    events: pl.DataFrame
    matched: int
    unmatched: int
    without_key: int


def _keys(frame: pl.DataFrame, on: str, what: str) -> pl.DataFrame:
    """The frame with its key as text, so that 101, 101.0 and "101" meet."""
    if on not in frame.columns:
        raise SchemaError(f"{what} have no column {on!r}; there are {', '.join(frame.columns)}")
    parsed = parse.ids(frame[on])
    lost = parsed.reasons.str.contains("lost digits").fill_null(False)
    if lost.any():
        row = int(lost.arg_true()[0])
        raise SchemaError(f"{what}, row {row}: {parsed.reasons[row]}")
    return frame.with_columns(parsed.values.alias(on))


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
    events, table = _keys(events, on, "the events"), _keys(table, on, "the table's rows")
    _refuse_clash(events, table, on)
    doubled = table.filter(pl.col(on).is_not_null() & pl.col(on).is_duplicated())
    if doubled.height:
        raise SchemaError(f"the table has {on} {doubled[on][0]!r} more than once")
    marked = table.with_columns(pl.lit(True).alias("_found"))
    joined = events.join(marked, on=on, how="left", maintain_order="left")
    return _counted(joined, on)


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
    events, snapshots = _keys(events, on, "the events"), _keys(snapshots, on, "the snapshots")
    _refuse_clash(events, snapshots, on, "timestamp")
    snapshots = snapshots.unique(maintain_order=True).filter(pl.col(on).is_not_null())
    doubled = snapshots.filter(pl.struct(on, "timestamp").is_duplicated())
    if doubled.height:
        raise SchemaError(f"{on} {doubled[on][0]!r} has two snapshots at {doubled['timestamp'][0]}")
    zone = events.schema["timestamp"]
    right = snapshots.with_columns(pl.col("timestamp").cast(zone), pl.lit(True).alias("_found"))
    left = events.with_row_index("_row").sort("timestamp", maintain_order=True)
    joined = left.join_asof(
        right.sort("timestamp"), on="timestamp", by=on, strategy="backward", check_sortedness=False
    )
    return _counted(joined.sort("_row").drop("_row"), on)


def _refuse_clash(events: pl.DataFrame, table: pl.DataFrame, *shared: str) -> None:
    clash = [name for name in table.columns if name in events.columns and name not in shared]
    if clash:
        raise SchemaError(f"both have a column {clash[0]!r}; rename one")


def _counted(joined: pl.DataFrame, on: str) -> Joined:
    matched = int(joined["_found"].sum() or 0)
    keyless = joined[on].null_count()
    return Joined(joined.drop("_found"), matched, joined.height - matched - keyless, keyless)


@pandas_too
def merge_logs(**logs: pl.DataFrame) -> pl.DataFrame:
    """Several logs of one shop (views, searches, orders) as one, in order of time.

    Args:
        logs: name to events in the schema; the name becomes the column `source`. Columns that a
            log lacks are empty there.

    Raises:
        SchemaError: no log was given, or two logs hold one column in different types.
    """
    if not logs:
        raise SchemaError("merge_logs needs at least one log")
    named = [
        log.with_columns(pl.col(pl.Categorical).cast(pl.String), pl.lit(name).alias("source"))
        for name, log in logs.items()
    ]
    try:
        both = pl.concat(named, how="diagonal")
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"the logs do not fit together: {error}") from None
    return both.sort("timestamp", maintain_order=True)

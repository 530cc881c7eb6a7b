"""A table of any columns into the event log of `companion.data.schema`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from companion.core.frames import pandas_too
from companion.data import parse, times
from companion.data.schema import COLUMNS, EVENTS, REQUIRED, SchemaError, as_json, validate

COMMON_NAMES = {
    "view": ("pv", "page_view", "pageview", "detail", "browse"),
    "click": ("clicks",),
    "search": ("searched",),
    "favorite": ("fav", "favourite", "wishlist", "like"),
    "cart": ("carts", "addtocart", "add_to_cart", "basket"),
    "purchase": ("buy", "bought", "order", "orders", "transaction", "sale"),
    "impression": ("impressions", "exposure", "shown"),
    "rating": ("rate", "review"),
}
EVENT_NAMES = {name: event for event, names in COMMON_NAMES.items() for name in (event, *names)}


@dataclass(frozen=True)
class ColumnMapping:
    """Which column is what, and how it is written.

    Attributes:
        columns: schema column to the column of the table; one of the same name needs no entry.
        events: value of the event column to an event of the schema; the common names are known.
        event: the event of every row, for a table without an event column.
        unit: of numeric times: "auto", "s", "ms", "us" or "ns".
        zone: IANA name, for times that carry no offset.
        layout: strptime format of times that are not ISO 8601.
        decimal: the sign before the fraction.
        thousands: the sign between groups of three digits, or None.
        keep: further columns to keep as they are.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)
    event: str | None = None
    unit: str = "auto"
    zone: str = "UTC"
    layout: str | None = None
    decimal: str = "."
    thousands: str | None = None
    keep: tuple[str, ...] = ()


class Ingested(NamedTuple):
    """Events in the schema; the rows that are none, with reasons; what was decided, in words."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    notes: tuple[str, ...]


NUMBERS = ("price", "quantity", "rating", "position", "propensity")


@pandas_too
def to_events(table: pl.DataFrame, mapping: ColumnMapping | None = None) -> Ingested:
    """The rows of a table as events of the schema.

    Every row is either in `events` or in `rejected` with its line and its reasons.

    Args:
        table: any columns; `line` where it is known (see `companion.data.read.read_table`).
        mapping: which column is what; None where the names are the schema's.

    Raises:
        SchemaError: a column that is needed or named is not there, or two are meant by one name.
        companion.data.parse.FormatError: a number column is written in another format.
    """
    mapping = mapping or ColumnMapping()
    if "line" not in table.columns:
        table = table.with_row_index("line", offset=1).with_columns(pl.col("line").cast(pl.Int64))
    sources = _sources(table, mapping)
    parsed = {name: _column(table, name, source, mapping) for name, source in sources.items()}
    if "event" not in sources:
        same = pl.Series("event", [mapping.event]).new_from_index(0, table.height)
        parsed["event"] = parse.Parsed(
            same, pl.Series("reason", [None], pl.String).new_from_index(0, table.height)
        )
    values = pl.DataFrame([column.values.alias(name) for name, column in parsed.items()])
    values = values.with_columns(table["line"], *(table[name] for name in mapping.keep))
    reasons = [column.reasons.alias(name) for name, column in parsed.items()]
    reasons += [values.select(rule).to_series() for rule in _range_rules(values)]
    why = _joined(_forgive_search(values, reasons))
    order = [name for name in COLUMNS if name in values.columns]
    events = values.filter(why.is_null()).select(*order, *mapping.keep)
    return Ingested(validate(events), _rejected(table, why), _notes(table, sources))


def _sources(table: pl.DataFrame, mapping: ColumnMapping) -> dict[str, str]:
    """Schema column to the table's column, checked."""
    unknown = [name for name in mapping.columns if name not in COLUMNS]
    if unknown:
        raise SchemaError(f"{unknown[0]!r} is not a column of the schema: {', '.join(COLUMNS)}")
    for source in [*mapping.columns.values(), *mapping.keep]:
        if source not in table.columns:
            raise SchemaError(
                f"there is no column {source!r}; there are "
                f"{', '.join(c for c in table.columns if c != 'line')}"
            )
    for name in mapping.keep:
        if name in COLUMNS:
            raise SchemaError(f"{name!r} is a column of the schema; it cannot be kept beside it")
    if mapping.event is not None and mapping.event not in EVENTS:
        raise SchemaError(f"{mapping.event!r} is not an event of the schema: {', '.join(EVENTS)}")
    sources = {name: mapping.columns.get(name, name) for name in COLUMNS if name != "line"}
    sources = {name: source for name, source in sources.items() if source in table.columns}
    if mapping.event is not None:
        sources.pop("event", None)
    for name in REQUIRED:
        if name not in sources and not (name == "event" and mapping.event):
            raise SchemaError(
                f"no column is named {name!r}; say which one it is, for example "
                f"{name}={table.columns[0]} (there are "
                f"{', '.join(c for c in table.columns if c != 'line')})"
            )
    return sources


def _column(table: pl.DataFrame, name: str, source: str, mapping: ColumnMapping) -> parse.Parsed:
    column = table[source].alias(name)
    if name in ("user_id", "item_id"):
        return parse.ids(column)
    if name == "timestamp":
        return times.timestamps(column, mapping.unit, mapping.zone, mapping.layout)
    if name == "event":
        return _events(column, mapping)
    if name in NUMBERS:
        try:
            parsed = parse.numbers(column, mapping.decimal, mapping.thousands)
        except parse.FormatError as error:
            raise error.at_line(table["line"]) from None
        return _whole(parsed) if name == "position" else parsed
    return _text(column)


def _text(column: pl.Series) -> parse.Parsed:
    """A session id or a query, which may be missing. A number among them must not lose digits."""
    nothing = pl.Series("reason", [None], pl.String).new_from_index(0, len(column))
    if column.dtype.is_float():
        values, reasons = parse.ids(column)
        return parse.Parsed(values, reasons.set(column.is_null() | column.is_nan(), None))
    text = column.cast(pl.String)
    return parse.Parsed(text.set(text == "", None), nothing)


def _whole(parsed: parse.Parsed) -> parse.Parsed:
    whole = parsed.values.cast(pl.Int64, strict=False)
    broken = (parsed.values != whole.cast(pl.Float64)).fill_null(False)
    broken |= whole.is_null() & parsed.values.is_not_null()
    why = pl.Series(["position is not a whole number"]).new_from_index(0, len(broken))
    return parse.Parsed(whole, why.zip_with(broken, parsed.reasons))


def _events(column: pl.Series, mapping: ColumnMapping) -> parse.Parsed:
    known = {**EVENT_NAMES, **mapping.events}
    wrong = [value for value in known.values() if value not in EVENTS]
    if wrong:
        raise SchemaError(f"{wrong[0]!r} is not an event of the schema: {', '.join(EVENTS)}")
    text = column.cast(pl.String)
    values = text.replace_strict(known, default=None, return_dtype=pl.String)
    lower = text.str.strip_chars().str.to_lowercase()
    values = values.zip_with(
        values.is_not_null(), lower.replace_strict(known, default=None, return_dtype=pl.String)
    )
    table = pl.DataFrame({"text": text, "value": values})
    reasons = table.select(
        pl.when(pl.col("text").is_null() | (pl.col("text") == ""))
        .then(pl.lit("event is missing"))
        .when(pl.col("value").is_null())
        .then(pl.format("event {} is not known", pl.col("text")))
    )
    return parse.Parsed(values, reasons.to_series())


def _range_rules(values: pl.DataFrame) -> list[pl.Expr]:
    """Reasons for values that can be read but cannot be."""
    column = pl.col
    rules = {
        "price": (column("price") < 0, "price is negative (a refund?)"),
        "position": (column("position") < 1, "position is below 1"),
        "propensity": (
            ~((column("propensity") > 0) & (column("propensity") <= 1)),
            "propensity is not a probability in (0, 1]",
        ),
    }
    return [
        pl.when(wrong).then(pl.lit(why)).alias(f"{name} range")
        for name, (wrong, why) in rules.items()
        if name in values.columns
    ]


def _forgive_search(values: pl.DataFrame, reasons: list[pl.Series]) -> list[pl.Series]:
    """A search is of no item."""
    search = (values["event"] == "search").fill_null(False)
    empty = pl.Series([None], dtype=pl.String).new_from_index(0, values.height)
    return [empty.zip_with(search, r).alias(r.name) if r.name == "item_id" else r for r in reasons]


def _joined(reasons: list[pl.Series]) -> pl.Series:
    """One text for each row; null where there is no reason. [N]"""
    table = pl.DataFrame(reasons)
    if all(column.null_count() == len(column) for column in reasons):
        return pl.Series("reason", [None], pl.String).new_from_index(0, table.height)
    text = table.select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True)).to_series()
    return text.set(text == "", None).alias("reason")


def _rejected(table: pl.DataFrame, why: pl.Series) -> pl.DataFrame:
    gone = table.with_columns(why.alias("_reason")).filter(pl.col("_reason").is_not_null())
    return gone.select(
        pl.col("line").cast(pl.Int64),
        pl.col("_reason").alias("reason"),
        as_json(gone, "line", "_reason").alias("row"),
    )


def _notes(table: pl.DataFrame, sources: Mapping[str, str]) -> tuple[str, ...]:
    """What a reader should know of the decisions: units of time that were found."""
    stamps = table[sources["timestamp"]]
    if stamps.dtype != pl.String and not stamps.dtype.is_numeric():
        return ()
    seconds = stamps.cast(pl.Float64, strict=False).drop_nulls().abs()
    names = {"seconds": 1, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
    counts = {
        name: int(seconds.is_between(times.FIRST * by, times.LAST * by).sum())
        for name, by in names.items()
    }
    found = {name: count for name, count in counts.items() if count}
    if len(found) < 2:
        return ()
    listed = ", ".join(f"{count:,} in {name}" for name, count in found.items())
    return (f"timestamp has mixed units: {listed}; each was read in its own",)

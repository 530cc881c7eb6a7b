"""One event log for everything.

| column | type | |
|---|---|---|
| `user_id` | text | to the last digit; never a number |
| `item_id` | text | empty only in a search |
| `event` | text | one of `EVENTS` |
| `timestamp` | time in UTC, microseconds | |
| `price` | float, optional | of one unit, in the shop's currency; 0 or more |
| `quantity` | float, optional | units |
| `rating` | float, optional | of an event `rating` |
| `query` | text, optional | what was searched for |
| `position` | whole number, optional | place in the list that was shown, from 1 |
| `propensity` | float, optional | probability with which the policy showed this item, in (0, 1] |
| `session_id` | text, optional | |
| `line` | whole number, optional | line of the source file, from 1: the order of the log |

Further columns are kept as they are.
"""

from typing import NamedTuple

import polars as pl

from companion.core.frames import pandas_too

EVENTS = (
    "impression",
    "view",
    "click",
    "search",
    "favorite",
    "cart",
    "purchase",
    "rating",
)
TIME = pl.Datetime("us", "UTC")
REQUIRED: dict[str, pl.DataType | type[pl.DataType]] = {
    "user_id": pl.String,
    "item_id": pl.String,
    "event": pl.String,
    "timestamp": TIME,
}
OPTIONAL: dict[str, pl.DataType | type[pl.DataType]] = {
    "price": pl.Float64,
    "quantity": pl.Float64,
    "rating": pl.Float64,
    "query": pl.String,
    "position": pl.Int64,
    "propensity": pl.Float64,
    "session_id": pl.String,
    "line": pl.Int64,
}
COLUMNS = {**REQUIRED, **OPTIONAL}


class SchemaError(ValueError):
    """A table is not an event log; the message names the column or the rows."""


class Dataset(NamedTuple):
    """A public log, or a shop's own, in the schema.

    Attributes:
        name: of the source.
        events: [N rows] in the schema.
        items: a row per item (`item_id` and what the source tells of it), or None.
        users: a row per user (`user_id` and what the source tells of it), or None.
        rejected: the rows that are not in `events`: `line`, `reason`, `row`.
        licence: the terms of the data, in words.
        about: what the data is, in a sentence that may be quoted.
    """

    name: str
    events: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    rejected: pl.DataFrame
    licence: str
    about: str


REJECTED = {"line": pl.Int64, "reason": pl.String, "row": pl.String}


def nothing_rejected() -> pl.DataFrame:
    """An empty table of rejected rows: `line`, `reason`, `row`."""
    return pl.DataFrame(schema=REJECTED)


def as_json(frame: pl.DataFrame, *left_out: str) -> pl.Expr:
    """An expression for the frame: the row as JSON text, without the columns that are named."""
    columns = []
    for name, dtype in frame.schema.items():
        if name in left_out:
            continue
        if dtype == pl.Binary:  # bytes have no place in JSON
            columns.append(pl.col(name).bin.encode("hex"))
        elif _holds_bytes(dtype):
            columns.append(pl.col(name).map_elements(_words, return_dtype=pl.String))
        else:
            columns.append(pl.col(name))
    return pl.struct(columns).struct.json_encode()


def _words(value: object) -> str:
    return str(value.to_list() if isinstance(value, pl.Series) else value)


def _holds_bytes(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _holds_bytes(dtype.inner)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return any(_holds_bytes(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]
    return dtype == pl.Binary or dtype == pl.Object


@pandas_too
def validate(events: pl.DataFrame) -> pl.DataFrame:
    """The same events, if they are an event log.

    Raises:
        SchemaError: a required column is missing, a column has another type than the schema's,
            or rows hold a value that cannot be; the first such row is named by its line.
    """
    for column, dtype in COLUMNS.items():
        if column not in events.columns:
            if column in REQUIRED:
                raise SchemaError(
                    f"the log has no column {column!r}; it has {', '.join(events.columns)}"
                )
            continue
        found = events.schema[column]
        same = found == dtype or (dtype == pl.String and isinstance(found, pl.Categorical))
        if not same and not (column == "timestamp" and _is_utc(found)):
            raise SchemaError(f"column {column!r} holds {found}; the schema says {dtype}")
    for column, wrong, why in _rules(events):
        _refuse(events, column, wrong, why)
    return events


def _is_utc(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_zone == "UTC"


def _rules(events: pl.DataFrame) -> list[tuple[str, pl.Expr, str]]:
    """(column, expression that is true where a row is wrong, what is wrong)."""
    column = pl.col
    rules = [
        ("user_id", column("user_id").is_null() | (column("user_id") == ""), "is missing"),
        ("event", ~column("event").is_in(EVENTS).fill_null(False), "is not an event of the schema"),
        (
            "item_id",
            (column("item_id").is_null() | (column("item_id") == ""))
            & (column("event") != "search"),
            "is missing",
        ),
        ("timestamp", column("timestamp").is_null(), "is missing"),
        ("price", ~column("price").is_finite() | (column("price") < 0), "is not a price"),
        ("quantity", ~column("quantity").is_finite(), "is not a number"),
        ("rating", ~column("rating").is_finite(), "is not a number"),
        ("position", column("position") < 1, "is below 1"),
        (
            "propensity",
            ~((column("propensity") > 0) & (column("propensity") <= 1)),
            "is not a probability in (0, 1]",
        ),
    ]
    return [rule for rule in rules if rule[0] in events.columns]


def _refuse(events: pl.DataFrame, column: str, wrong: pl.Expr, why: str) -> None:
    rows = events.select(wrong.fill_null(False).arg_true()).to_series()
    if len(rows) == 0:
        return
    row = int(rows[0])
    where = f"line {events['line'][row]}" if "line" in events.columns else f"row {row}"
    raise SchemaError(f"{where}: {column} {events[column][row]!r} {why} ({len(rows):,} rows)")

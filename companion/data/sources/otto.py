"""OTTO: clicks, carts and orders of a shop. A session is one visitor in one period.

The sessions run over days: cut them where a visitor was silent. The orders of a basket share one
stamp. There is no text, no price, no category.
"""

from pathlib import Path

import polars as pl

from companion.data.ingest import ColumnMapping
from companion.data.read import ReadError, Table
from companion.data.schema import REJECTED, Dataset
from companion.data.sources.files import events_of, located, table_of

NAME = "otto"
PLACE = "train.jsonl"
LICENCE = "CC BY 4.0"
ABOUT = "OTTO Recommender Systems Dataset: real clicks, carts and orders in the shop otto.de"
FILES = (
    "train.jsonl of 'OTTO Recommender Systems Dataset' (github.com/otto-de/recsys-dataset says "
    "where), unpacked to data/raw/otto"
)
LIST = pl.List(pl.Struct({"aid": pl.String, "ts": pl.String, "type": pl.String}))
TYPES = {"0": "click", "1": "cart", "2": "purchase"}
NAMES = {"user_id": "session", "item_id": "aid", "event": "type", "timestamp": "ts"}


def load(path: str | Path | None = None, max_rows: int | None = None) -> Dataset:
    """The log. `user_id` is the number of the session, which is a visitor in one period.

    `line` is that of the session, so several events share it; they are in the file's order.

    Args:
        path: a JSON-lines file of sessions (times in milliseconds), or a Parquet file of events
            with session, aid, ts (seconds or milliseconds) and type (0, 1, 2); or the folder.
        max_rows: lines to read, which are sessions in JSON-lines; None for all.

    Raises:
        companion.data.fetch.DataMissing: the file is not there.
        companion.data.read.ReadError: it cannot be read, or holds no session.
    """
    file = located(path, NAME, PLACE, FILES)
    table = table_of(file, max_rows)
    missing = {"session", "events"} - set(table.rows.columns)
    if file.suffix != ".parquet":
        if missing:
            raise ReadError(
                f"{file}: a line has no {sorted(missing)[0]!r}; it is not OTTO's format"
            )
        table = _exploded(table)
    rows = events_of(table, ColumnMapping(columns=NAMES, events=TYPES))
    return Dataset(NAME, rows.events, None, None, rows.rejected, LICENCE, ABOUT)


def _exploded(table: Table) -> Table:
    """A row for each event; a session whose events are no list is set aside."""
    events = pl.col("events")
    looks_good = events.str.starts_with("[").fill_null(False)
    good, bad = table.rows.filter(looks_good), table.rows.filter(~looks_good)
    try:
        decoded = good.with_columns(events.str.json_decode(LIST))
    except pl.exceptions.PolarsError:
        readable = pl.Series([_is_list(text) for text in good["events"]], dtype=pl.Boolean)
        bad = pl.concat([bad, good.filter(~readable)]).sort("line")
        decoded = good.filter(readable).with_columns(events.str.json_decode(LIST))
    empty = decoded.filter(events.list.len() == 0).with_columns(events=pl.lit("[]"))
    row = pl.struct("session", pl.col("events").cast(pl.String)).struct.json_encode()
    gone = [
        frame.select("line", reason=pl.lit(why), row=row)
        for frame, why in ((bad, "events is no list of events"), (empty, "session has no event"))
    ]
    rows = decoded.filter(events.list.len() > 0).explode("events").unnest("events")
    rejected = pl.concat([table.rejected, *(g.cast(REJECTED) for g in gone)])  # type: ignore[arg-type]
    return Table(rows, rejected)


def _is_list(text: str) -> bool:
    try:
        pl.Series([text]).str.json_decode(LIST)
    except pl.exceptions.PolarsError:
        return False
    return True

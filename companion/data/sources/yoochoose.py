"""YooChoose (RecSys Challenge 2015): clicks and purchases of sessions.

Known dirt: the clicks of a session are not always in order; purchases of items that were never
clicked; price and quantity are 0 in about half of the purchases, which means unknown. The
category is text of mixed meaning: "0" missing, "S" special offer, 1 to 12 a category, a long
number a brand.
"""

from pathlib import Path

import polars as pl

from companion.data.ingest import ColumnMapping
from companion.data.schema import Dataset
from companion.data.sources.files import Rows, events_of, located, table_of

NAME = "yoochoose"
PLACE = "yoochoose-clicks.dat"
BUYS = "yoochoose-buys.dat"
LICENCE = "CC BY-NC-ND 4.0: non-commercial, no changed copies"
ABOUT = "RecSys Challenge 2015 (YooChoose): real clicks and purchases in a shop, 2014"
FILES = (
    "yoochoose-clicks.dat and yoochoose-buys.dat of the RecSys Challenge 2015, unpacked to "
    "data/raw/yoochoose"
)
CLICK_COLUMNS = ("session_id", "timestamp", "item_id", "category")
BUY_COLUMNS = ("session_id", "timestamp", "item_id", "price", "quantity")


def load(path: str | Path | None = None, max_rows: int | None = None) -> Dataset:
    """The log, clicks before purchases. `user_id` is the session: nobody is known for longer.

    `file` tells "clicks" from "buys", for both count their lines from 1. A price or a quantity of
    0 is null: the shop did not know it.

    Args:
        path: the folder (with the buys where they are there), or one of the two files.
        max_rows: lines to read of each file; None for all.

    Raises:
        companion.data.fetch.DataMissing: neither file is there.
        companion.data.read.ReadError: a file cannot be read.
    """
    place = Path(path) if path is not None else None
    if place is not None and "buys" in place.name and place.is_file():
        files = [place]
    else:
        clicks = located(path, NAME, PLACE, FILES)
        buys = clicks.parent / BUYS
        alone = place is not None and place.is_file()
        files = [clicks] if alone or not buys.is_file() else [clicks, buys]
    parts = [_read(file, max_rows) for file in files]
    events = pl.concat([part.events for part in parts], how="diagonal")
    rejected = pl.concat([part.rejected for part in parts])
    return Dataset(NAME, events, None, None, rejected, LICENCE, ABOUT)


def _read(file: Path, max_rows: int | None) -> Rows:
    bought = "buys" in file.name
    columns = BUY_COLUMNS if bought else CLICK_COLUMNS
    table = table_of(file, max_rows, columns=columns, separator=",")
    mapping = ColumnMapping(
        columns={"user_id": "session_id"},
        event="purchase" if bought else "click",
        keep=() if bought else ("category",),
    )
    rows = events_of(table, mapping)
    events = rows.events.with_columns(file=pl.lit("buys" if bought else "clicks"))
    if bought:
        known = [
            pl.when(pl.col(name) > 0).then(pl.col(name)).alias(name)
            for name in ("price", "quantity")
        ]
        events = events.with_columns(known)
    why = pl.format(f"{file.name}: {{}}", pl.col("reason")).alias("reason")
    return Rows(events, rows.rejected.with_columns(why))

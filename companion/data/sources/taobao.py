"""Taobao UserBehavior: a hundred million views, carts, favourites and purchases of nine days.

The stamps are seconds in UTC; reports by day or hour need the local time, Asia/Shanghai. Known
dirt: stamps outside the days of collection (some of them negative or far in the future), a few
exact duplicates, purchases without an earlier view. There is no price and no text.
"""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from companion.data.ingest import ColumnMapping
from companion.data.schema import REJECTED, Dataset
from companion.data.sources.files import Rows, events_of, located, table_of

NAME = "taobao"
PLACE = "UserBehavior.csv"
LICENCE = "Alibaba Tianchi: non-commercial research"
ABOUT = (
    "User Behavior Data from Taobao: real behaviour of about a million shoppers, "
    "25 November to 3 December 2017"
)
FILES = (
    "UserBehavior.csv of the data set 'User Behavior Data from Taobao for Recommendation' at "
    "tianchi.aliyun.com, unpacked to data/raw/taobao"
)
ZONE = "Asia/Shanghai"
COLUMNS = ("user_id", "item_id", "category_id", "event", "timestamp")
WINDOW = (datetime(2017, 11, 24, 16, tzinfo=UTC), datetime(2017, 12, 3, 16, tzinfo=UTC))
OUTSIDE = "timestamp is outside the days of collection, 25 November to 3 December 2017 in Shanghai"


def load(
    path: str | Path | None = None, max_rows: int | None = None, keep_outside: bool = False
) -> Dataset:
    """The log; `pv` is a view.

    Reading takes about half a kilobyte of memory for each row, so read the whole of it with
    `companion.data.sources.files.in_parts`.

    Args:
        path: UserBehavior.csv or its folder; None for the folder of raw data.
        max_rows: lines to read; None for all.
        keep_outside: whether to keep what is outside the days of collection. A time that cannot
            be (before 1990) is rejected in any case.

    Raises:
        companion.data.fetch.DataMissing: the file is not there.
        companion.data.read.ReadError: it cannot be read.
    """
    file = located(path, NAME, PLACE, FILES)
    table = table_of(file, max_rows, columns=COLUMNS, separator=",")
    rows = events_of(table, ColumnMapping(unit="s", keep=("category_id",)))
    if not keep_outside:
        rows = _inside(rows)
    items = rows.events.select("item_id", "category_id").unique("item_id", keep="first")
    return Dataset(NAME, rows.events, items.sort("item_id"), None, rows.rejected, LICENCE, ABOUT)


def _inside(rows: Rows) -> Rows:
    inside = pl.col("timestamp").is_between(*WINDOW, closed="left")
    gone = rows.events.filter(~inside)
    values = pl.struct("user_id", "item_id", "category_id", "event", "timestamp")
    gone = gone.select("line", reason=pl.lit(OUTSIDE), row=values.struct.json_encode())
    rejected = pl.concat([rows.rejected, gone.cast(REJECTED)])  # type: ignore[arg-type]
    return Rows(rows.events.filter(inside), rejected.sort("line", maintain_order=True))

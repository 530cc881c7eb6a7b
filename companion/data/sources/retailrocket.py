"""RetailRocket: views, carts and purchases of a shop, with properties of items that change.

Known dirt: the rows are not in order of time; about 460 exact duplicates; visitors with thousands
of views (robots); purchases without an earlier view; one event in ten is of an item without
properties; the last day is cut. A property is a weekly snapshot, and some snapshots are later
than the event: join the last one *before* it, or the future leaks.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from companion.data import parse, times
from companion.data.fetch import DataMissing
from companion.data.ingest import ColumnMapping
from companion.data.read import ReadError, Table, read_table
from companion.data.schema import REJECTED, Dataset
from companion.data.sources.files import events_of, located, table_of

NAME = "retailrocket"
PLACE = "events.csv"
LICENCE = "CC BY-NC-SA 4.0: non-commercial"
ABOUT = (
    "Retailrocket recommender system dataset: real behaviour in a shop, 3 May to "
    "18 September 2015, all texts hashed"
)
FILES = (
    "events.csv, item_properties_part1.csv, item_properties_part2.csv and category_tree.csv of "
    "'Retailrocket recommender system dataset' at kaggle.com, unpacked to data/raw/retailrocket"
)
NAMES = {"user_id": "visitorid", "item_id": "itemid"}


def load(path: str | Path | None = None, max_rows: int | None = None) -> Dataset:
    """The log. `transactionid` is kept; `items` is None, for what is known of an item changes.

    Args:
        path: the folder, or events.csv; None for the folder of raw data.
        max_rows: lines of events to read; None for all.

    Raises:
        companion.data.fetch.DataMissing: events.csv is not there.
        companion.data.read.ReadError: it cannot be read.
    """
    file = located(path, NAME, PLACE, FILES)
    table = table_of(file, max_rows, separator=",")
    mapping = ColumnMapping(columns=NAMES, unit="ms", keep=("transactionid",))
    rows = events_of(table, mapping)
    return Dataset(NAME, rows.events, None, None, rows.rejected, LICENCE, ABOUT)


def load_properties(path: str | Path | None = None, names: Sequence[str] | None = None) -> Table:
    """What was known of the items, and from when on, in order of time.

    Args:
        path: the folder; None for the folder of raw data.
        names: of the properties to read, such as "categoryid" and "available"; None for all of
            the 20 million rows.

    Returns:
        `item_id`, `timestamp` (UTC), `property`, `value` (text), `number` (what the shop wrote as
        `n5.000`; null for a text), `line`; and the rows that cannot be read.

    Raises:
        companion.data.fetch.DataMissing: no file of properties is there.
        companion.data.read.ReadError: one cannot be read.
    """
    folder = located(path, NAME, PLACE, FILES).parent
    files = sorted(folder.glob("item_properties*.csv"))
    if not files:
        raise DataMissing(f"{folder} has no item_properties_part1.csv; it is to be had as {FILES}")
    parts = [_properties(file, names) for file in files]
    rows = pl.concat([part.rows for part in parts]).sort("timestamp", maintain_order=True)
    return Table(rows, pl.concat([part.rejected for part in parts]))


def _properties(file: Path, names: Sequence[str] | None) -> Table:
    lazy = pl.scan_csv(file, infer_schema=False, row_index_name="line", row_index_offset=2)
    lazy = lazy.with_columns(pl.col("line").cast(pl.Int64))
    if names is not None:
        lazy = lazy.filter(pl.col("property").is_in(list(names)))
    try:
        table = lazy.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise ReadError(f"{file}: cannot be read ({error})") from None
    item, time = parse.ids(table["itemid"]), times.timestamps(table["timestamp"], "ms")
    number = pl.col("value").str.extract(r"^n(-?\d+(?:\.\d+)?)$").cast(pl.Float64)
    table = table.with_columns(
        item.values.alias("item_id"),
        time.values.alias("timestamp"),
        item.reasons.fill_null(time.reasons).alias("reason"),
        number=number,
        row=pl.struct("timestamp", "itemid", "property", "value").struct.json_encode(),
    )
    bad = table.filter(pl.col("reason").is_not_null()).select(
        "line", pl.format(f"{file.name}: {{}}", pl.col("reason")).alias("reason"), "row"
    )
    columns = ["item_id", "timestamp", "property", "value", "number", "line"]
    rows = table.filter(pl.col("reason").is_null()).select(columns)
    return Table(rows, bad.cast(REJECTED))  # type: ignore[arg-type]


def load_tree(path: str | Path | None = None) -> pl.DataFrame:
    """The categories: `category_id`, `parent_id` (null for a root).

    Raises:
        companion.data.fetch.DataMissing: category_tree.csv is not there.
    """
    folder = located(path, NAME, PLACE, FILES).parent
    if not (folder / "category_tree.csv").is_file():
        raise DataMissing(f"{folder} has no category_tree.csv; it is to be had as {FILES}")
    tree = read_table(folder / "category_tree.csv").rows
    return tree.select(category_id="categoryid", parent_id="parentid")

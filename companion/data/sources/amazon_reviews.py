"""Amazon Reviews 2023: reviews with ratings, and what the shop tells of the products.

Known dirt: a price may be the text "None" or "—"; texts hold HTML entities and tags; a product
has variants, so that `parent_asin` is the key and `asin` is not. The benchmark files keep only the
earliest of a user's reviews of a product.
"""

import html
from pathlib import Path

import polars as pl

from companion.data.ingest import ColumnMapping
from companion.data.parse import MISSING
from companion.data.read import ReadError
from companion.data.schema import REJECTED, Dataset
from companion.data.sources.files import events_of, located, table_of

NAME = "amazon-reviews"
PLACE = "reviews.jsonl"
LICENCE = "McAuley Lab, UC San Diego: none stated; for research"
ABOUT = "Amazon Reviews 2023: real reviews of products, collected by the McAuley Lab"
FILES = (
    "a category of amazon-reviews-2023.github.io: its reviews (JSON-lines or benchmark CSV) as "
    "data/raw/amazon-reviews/reviews.jsonl, its products as meta.jsonl beside them"
)
KEPT = ("asin", "title", "text", "helpful_vote", "verified_purchase", "history")
ITEM_COLUMNS = {
    "parent_asin": "item_id",
    "title": "title",
    "main_category": "main_category",
    "store": "store",
    "categories": "categories",
    "features": "features",
    "description": "description",
    "average_rating": "average_rating",
    "rating_number": "rating_number",
}
TEXTS = ("title", "store", "categories", "features", "description")


def load(
    path: str | Path | None = None, meta: str | Path | None = None, max_rows: int | None = None
) -> Dataset:
    """The reviews, as events `rating` from 1 to 5; the product is the `parent_asin`.

    Args:
        path: JSON-lines of raw reviews, or a benchmark CSV, or the folder of reviews.jsonl.
        meta: JSON-lines of products; None for meta.jsonl beside the reviews, where it is there.
        max_rows: lines of reviews to read; None for all.

    Raises:
        companion.data.fetch.DataMissing: a file is not there.
        companion.data.read.ReadError: a file cannot be read.
    """
    file = located(path, NAME, PLACE, FILES)
    table = table_of(file, max_rows)
    kept = tuple(name for name in KEPT if name in table.rows.columns)
    mapping = ColumnMapping(
        columns={"item_id": "parent_asin"}, event="rating", unit="ms", keep=kept
    )
    rows = events_of(table, mapping)
    events = _plain(rows.events, ("title", "text"))
    beside = file.parent / "meta.jsonl"
    about = located(meta, NAME, "meta.jsonl", FILES) if meta is not None else beside
    items, bad = (None, None) if not about.is_file() else _items(about)
    rejected = rows.rejected if bad is None else pl.concat([rows.rejected, bad])
    return Dataset(NAME, events, items, None, rejected, LICENCE, ABOUT)


def _plain(table: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """HTML entities as the signs that they stand for; tags are left as they are."""
    there = [name for name in names if name in table.columns]
    return table.with_columns(
        pl.col(name).cast(pl.String).map_elements(html.unescape, return_dtype=pl.String)
        for name in there
    )


def _items(file: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Products: one row each, the first of a `parent_asin`; the price as a number and as text."""
    table = table_of(file)
    if "parent_asin" not in table.rows.columns:
        raise ReadError(f"{file}: no line has 'parent_asin'; it is not the file of products")
    there = {old: new for old, new in ITEM_COLUMNS.items() if old in table.rows.columns}
    items = _plain(table.rows.rename({k: v for k, v in there.items() if k != v}), TEXTS)
    named = pl.col("item_id").is_not_null()
    again = pl.col("item_id").is_duplicated() & ~pl.col("item_id").is_first_distinct()
    row = pl.struct(pl.exclude("line")).struct.json_encode()
    bad = [
        items.filter(wrong).select("line", reason=pl.lit(f"{file.name}: {why}"), row=row)
        for wrong, why in ((~named, "parent_asin is missing"), (named & again, "product again"))
    ]
    items = items.filter(named & ~again)
    if "price" in items.columns:
        text = pl.col("price").cast(pl.String).str.strip_chars()
        text = pl.when(~text.str.to_lowercase().is_in(MISSING)).then(text)
        number = (
            text.str.replace(r"^\$", "").str.replace_all(",", "").cast(pl.Float64, strict=False)
        )
        items = items.with_columns(price=number, price_text=text)
    numbers = [n for n in ("average_rating", "rating_number") if n in items.columns]
    items = items.with_columns(pl.col(numbers).cast(pl.Float64, strict=False))
    columns = [*there.values(), *(n for n in ("price", "price_text") if n in items.columns)]
    rejected = pl.concat([table.rejected, *(b.cast(REJECTED) for b in bad)])  # type: ignore[arg-type]
    return items.select(columns), rejected

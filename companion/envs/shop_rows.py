"""Pages that simulated shoppers saw, as rows of the event schema."""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from companion.data.schema import COLUMNS, TIME
from companion.envs.shop_queries import query
from companion.envs.shop_tables import ShopWorld

START = datetime(2024, 1, 1, tzinfo=UTC)
# Seconds after the page is shown; a purchase comes at the end of the visit.
LATER = {"search": -3.0, "impression": 0.0, "click": 4.0, "cart": 9.0, "purchase": 9.0}
ORDER = tuple(LATER)
SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "event": pl.String,
    "second": pl.Float64,
    "price": pl.Float64,
    "quantity": pl.Float64,
    "position": pl.Int64,
    "propensity": pl.Float64,
    "session_id": pl.String,
    "page": pl.Int64,
    "visit": pl.Int64,
}


class Pages(NamedTuple):
    """M pages that were seen."""

    shopper: np.ndarray  # [M] number, from 0
    user: np.ndarray  # [M] household
    visit: np.ndarray  # [M] from 0
    page: np.ndarray  # [M] of the visit, from 0
    search: np.ndarray  # [M] kind that the visit began with a search for, or -1
    second: np.ndarray  # [M] since START
    items: np.ndarray  # [M, K]
    propensity: np.ndarray  # [M, K]
    position: np.ndarray  # [M] of the click, or -1
    cart: np.ndarray  # [M] bool
    purchase: np.ndarray  # [M] bool


def _item_ids(world: ShopWorld) -> np.ndarray:
    """The ids of the items, each beginning with `sim_`. [I]"""
    return np.array([f"sim_{str(one).removeprefix('sim_')}" for one in world.item_ids])


def events_of(pages: Pages, world: ShopWorld, rng: np.random.Generator) -> pl.DataFrame:
    """Rows of the schema in order of time."""
    query_of = _queries(pages, world, rng)
    clicked = np.flatnonzero(pages.position >= 0)
    in_cart, bought = clicked[pages.cart[clicked]], clicked[pages.purchase[clicked]]
    begun = np.flatnonzero((pages.page == 0) & (pages.search >= 0))
    page, place = (table.ravel() for table in np.indices(pages.items.shape))
    parts = [
        _rows("search", pages, begun, None, world),
        _rows("impression", pages, page, place, world),
        *(
            _rows(event, pages, rows, pages.position[rows], world)
            for event, rows in (("click", clicked), ("cart", in_cart), ("purchase", bought))
        ),
    ]
    table = pl.concat(parts).join(query_of, on="session_id", how="left", maintain_order="left")
    asked = pl.col("event").is_in(["search", "impression"])
    last = pl.col("second").max().over("session_id")
    at = pl.when(pl.col("event") == "purchase").then(last + 30.0).otherwise(pl.col("second"))
    rank = pl.col("event").replace_strict(ORDER, range(len(ORDER)), return_dtype=pl.Int8)
    table = table.with_columns(
        pl.when(asked).then(pl.col("query")),
        timestamp=(pl.lit(START).dt.timestamp("us") + (at * 1e6).cast(pl.Int64)).cast(TIME),
    ).sort("timestamp", "user_id", rank, "page", "position", maintain_order=True)
    line = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line")
    order = [name for name in COLUMNS if name in table.columns or name == "line"]
    return table.with_columns(line).select(*order, "page", "visit")


def _rows(
    event: str, pages: Pages, rows: np.ndarray, place: np.ndarray | None, world: ShopWorld
) -> pl.DataFrame:
    """Events of one sort. `rows` are pages [R], `place` [R] the item's place; None without item."""
    count, shown = len(rows), event == "impression"
    item = None if place is None else pages.items[rows, place]
    nothing = [None] * count
    table = {
        "user_id": _users(pages.shopper[rows]),
        "item_id": nothing if item is None else _item_ids(world)[item],
        "event": [event] * count,
        "second": pages.second[rows] + LATER[event],
        "price": nothing if item is None else world.price[item],
        "quantity": [1.0 if event == "purchase" else None] * count,
        "position": place + 1
        if place is not None and event in ("impression", "click")
        else nothing,
        "propensity": pages.propensity[rows, place] if shown and place is not None else nothing,
        "session_id": _sessions(pages, rows),
        "page": pages.page[rows] + 1,
        "visit": pages.visit[rows] + 1,
    }
    return pl.DataFrame(table, schema=SCHEMA)


def _users(shopper: np.ndarray) -> list[str]:
    return [f"sim_u{number + 1:06d}" for number in shopper.tolist()]


def _sessions(pages: Pages, rows: np.ndarray) -> list[str]:
    both = zip(pages.shopper[rows].tolist(), pages.visit[rows].tolist(), strict=True)
    return [f"sim_s{shopper + 1:06d}_{visit + 1:03d}" for shopper, visit in both]


def _queries(pages: Pages, world: ShopWorld, rng: np.random.Generator) -> pl.DataFrame:
    """What was typed in each visit that began with a search: `session_id`, `query`."""
    rows = np.flatnonzero((pages.page == 0) & (pages.search >= 0))
    rows = rows[np.lexsort((pages.visit[rows], pages.shopper[rows]))]
    texts = [query(world.kinds[kind], rng) for kind in pages.search[rows]]
    schema = {"session_id": pl.String, "query": pl.String}
    return pl.DataFrame({"session_id": _sessions(pages, rows), "query": texts}, schema=schema)


def items_of(world: ShopWorld) -> pl.DataFrame:
    """The table of items: `item_id`, `name`, `category`, `type`, `price`."""
    return pl.DataFrame(
        {
            "item_id": _item_ids(world),
            "name": world.names.astype(str),
            "category": np.array(world.topics)[world.topic],
            "type": np.array(world.kinds)[world.kind],
            "price": world.price,
        }
    )


def users_of(pages: Pages, world: ShopWorld) -> pl.DataFrame:
    """The table of shoppers: `user_id` and the `household` of the world that each one is like."""
    shopper, first = np.unique(pages.shopper, return_index=True)
    household = world.user_ids[pages.user[first]].astype(str)
    return pl.DataFrame({"user_id": _users(shopper), "household": household})

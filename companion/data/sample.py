"""A small simulated shopping log, made here from a seed: no shop, no person, no real product.

    python -m companion.data.sample     writes data/sample again

Shoppers come in the rhythm of the week, look for something (a favourite that is due, a taste, or
what goes with the last thing), see a list, click, put into the cart and buy. What is built in:
favourites that are bought again, tastes by category, a skewed popularity, promotions, categories
that go together. Only uniform draws are used, so that a seed gives the same log everywhere.
"""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from companion.core.paths import sample_folder
from companion.core.seeding import generator
from companion.data.sources.sample_shop import (
    WEEKS,
    Array,
    Shop,
    exponential,
    make_shop,
    pick,
    several,
)

SEED, SHOPPERS = 2024, 300
START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
DAYS = (0.8, 0.8, 0.9, 1.0, 1.4, 1.8, 1.1)  # Monday to Sunday
HOURS = {8: 1, 9: 2, 10: 2, 11: 2, 12: 3, 13: 2, 16: 2, 17: 3, 18: 4, 19: 5, 20: 5, 21: 3}
GOES_WITH = 0.25  # chance that the next thing is of the category that goes with the last
COLUMNS = (
    "user_id",
    "item_id",
    "event",
    "timestamp",
    "price",
    "quantity",
    "query",
    "position",
    "session_id",
)
Row = tuple[str, str | None, str, datetime, float | None, int | None, str | None, int | None, str]


class Shopper(NamedTuple):
    """One simulated shopper."""

    name: str
    visits: float  # a week, on average
    tastes: Array  # [C] weights of categories
    thrift: float  # how much a price matters
    favourites: Array  # [F] items
    interval: Array  # [F] days until one is due again


class Sample(NamedTuple):
    """The three tables of the sample."""

    events: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame


def _shopper(number: int, shop: Shop, rng: np.random.Generator) -> Shopper:
    categories = int(shop.category[-1]) + 1
    tastes = exponential(rng, categories) ** 2
    thrift = 0.5 * rng.random()
    weights = shop.pull * tastes[shop.category] * np.exp(-thrift * shop.price)
    favourites = np.array(several(rng, weights, 8 + int(10 * rng.random())))
    interval = 7 * (1 + 3 * rng.random(len(favourites)))
    visits = 0.25 + 0.8 * float(exponential(rng, 1)[0])
    return Shopper(f"sim_u{number:03d}", visits, tastes, thrift, favourites, interval)


class _Visit:
    """Writes the rows of one session and keeps its clock."""

    def __init__(self, shopper: Shopper, shop: Shop, start: datetime):
        day = (start - START).days
        self.shopper, self.shop, self.clock, self.week = shopper, shop, start, day // 7
        self.name = f"{shopper.name.replace('_u', '_s')}_{day:03d}"
        self.rows: list[Row] = []

    def write(self, event: str, item: int | None, **more: int | str | None) -> None:
        identity = price = None
        if item is not None:
            identity, price = f"sim_i{item + 1:03d}", self.price_of(item)
        quantity, query = more.get("quantity"), more.get("query")
        row = (self.shopper.name, identity, event, self.clock, price, quantity, query)
        self.rows.append((*row, more.get("position"), self.name))  # type: ignore[arg-type]

    def price_of(self, item: int) -> float:
        cut = 0.8 if self.shop.promoted[self.week, item] else 1.0
        return round(float(self.shop.price[item]) * cut, 2)

    def wait(self, rng: np.random.Generator, seconds: float) -> None:
        self.clock += timedelta(seconds=1 + int(seconds * 2 * rng.random()))


def _target(
    visit: _Visit, rng: np.random.Generator, last: int | None, bought: dict[int, datetime]
) -> int:
    """The item that a shopper has in mind."""
    shopper, shop = visit.shopper, visit.shop
    if rng.random() < 0.6:
        silent = [
            (visit.clock - bought[i]).days if i in bought else 60.0
            for i in map(int, shopper.favourites)
        ]
        due = 1 - np.exp(-np.array(silent) / shopper.interval)
        rank = 1 / (1 + np.arange(len(due))) ** 0.5
        return int(shopper.favourites[pick(rng, due**3 * rank + 1e-6)])
    tastes = shopper.tastes.copy()
    if last is not None and rng.random() < GOES_WITH:
        tastes = np.eye(len(tastes))[(int(shop.category[last]) + 7) % len(tastes)]
    weights = shop.pull * tastes[shop.category] * np.exp(-shopper.thrift * shop.price)
    return pick(rng, weights * np.where(shop.promoted[visit.week], 2.0, 1.0))


def _look(visit: _Visit, rng: np.random.Generator, target: int, wants: float) -> list[int]:
    """Search or browse, view a list, click; gives what goes into the cart."""
    shop, cart = visit.shop, []
    if rng.random() < 0.35:
        words = [shop.items["category"][target], shop.items["name"][target].split(",")[0].lower()]
        text = (
            words[0]
            if rng.random() < 0.5
            else " ".join(words[1].split()[1 + (rng.random() < 0.7) :])
        )
        visit.write("search", None, query=text)
        visit.wait(rng, 8)
    beside = shop.pull * (shop.category == shop.category[target])
    beside[target] = 0
    shown = several(rng, beside, 1 + int(2.5 * rng.random()))
    shown.insert(int((len(shown) + 1) * rng.random() ** 2), target)
    for position, item in enumerate(shown, 1):
        visit.write("view", item, position=position)
        visit.wait(rng, 4)
    for position, item in enumerate(shown, 1):
        if rng.random() < (0.85 if item == target else 0.12):
            visit.write("click", item, position=position)
            visit.wait(rng, 25)
            if rng.random() < (wants if item == target else 0.3 * wants):
                visit.write("cart", item)
                visit.wait(rng, 6)
                cart.append(item)
    return cart


def _session(visit: _Visit, rng: np.random.Generator, bought: dict[int, datetime]) -> list[Row]:
    serious = rng.random() < 0.6
    needs = 1 + int(exponential(rng, 1)[0] * (3.5 if serious else 1.0))
    cart: list[int] = []
    last = None
    for _ in range(min(needs, 12)):
        last = _target(visit, rng, last, bought)
        if last in cart:
            continue
        cart += _look(visit, rng, last, 0.85 if serious else 0.15)
    if cart and rng.random() < (0.92 if serious else 0.4):
        for item in dict.fromkeys(cart):
            visit.write("purchase", item, quantity=1 + (rng.random() < 0.12))
            bought[item] = visit.clock
    return visit.rows


def _history(shopper: Shopper, shop: Shop, rng: np.random.Generator) -> list[Row]:
    rows: list[Row] = []
    bought: dict[int, datetime] = {}
    hours = np.array(list(HOURS.values()), float)
    for week in range(WEEKS):
        share = np.array(DAYS) / sum(DAYS)
        for day in np.flatnonzero(rng.random(7) < 1 - np.exp(-shopper.visits * share)):
            hour = list(HOURS)[pick(rng, hours)]
            start = START + timedelta(weeks=week, days=int(day), hours=hour)
            start += timedelta(seconds=int(3600 * rng.random()))
            rows += _session(_Visit(shopper, shop, start), rng, bought)
    return rows


def generate(seed: int = SEED) -> Sample:
    """The sample: events in order of time, items, users. The same seed gives the same tables."""
    shop = make_shop(generator(seed, "sample", "shop"))
    rows: list[Row] = []
    users = []
    for number in range(1, SHOPPERS + 1):
        rng = generator(seed, "sample", f"shopper {number}")
        shopper = _shopper(number, shop, rng)
        rows += _history(shopper, shop, rng)
        budget = "low" if shopper.thrift > 0.33 else "middle" if shopper.thrift > 0.17 else "high"
        users.append((shopper.name, budget, 1 + int(4 * rng.random())))
    events = pl.DataFrame(rows, schema=list(COLUMNS), orient="row", infer_schema_length=None)
    people = pl.DataFrame(users, schema=["user_id", "budget", "household_size"], orient="row")
    return Sample(events.sort("timestamp", maintain_order=True), shop.items, people)


def write(folder: Path, seed: int = SEED) -> None:
    """Writes events.csv.gz, items.csv and users.csv; the same seed gives the same files."""
    sample = generate(seed)
    folder.mkdir(parents=True, exist_ok=True)
    text = sample.events.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ")
    (folder / "events.csv.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    sample.items.write_csv(folder / "items.csv")
    sample.users.write_csv(folder / "users.csv")


if __name__ == "__main__":
    write(sample_folder())

"""Ten million events: the package beside the straightforward pandas way, in the same run.

    python benchmarks/preprocess.py [EVENTS]

Both read one Parquet file with text ids and do the same work: remove exact duplicates, sort by
user and time, cut sessions at 30 minutes of silence, split by time at 80 %, fill missing prices
with the item's mean in the training part, and build the last 50 items of each user. The results
must be equal. The time of importing the libraries is left out on both sides.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common import conclude, measure, worker

MODULES = ("pandas", "companion.data.transformers", "companion.data.sequences")
EVENTS, ROUNDS, LENGTH = 10_000_000, 3, 50


def make(path: str, count: int) -> None:
    """A log with skewed items, sessions, 1 % exact copies and 5 % missing prices."""
    import polars as pl

    rng = np.random.default_rng(0)
    users, items = max(count // 50, 10), max(count // 100, 10)
    user = rng.integers(users, size=count)
    item = np.minimum((rng.pareto(1.1, count) * 20).astype(np.int64), items - 1)
    visit = rng.integers(10, size=count)  # about ten visits of five events each
    day = (user * 2_654_435_761 + visit * 40_503_007) % (90 * 86_400)
    start = 1_700_000_000 + day + rng.integers(1_200, size=count)
    price = np.round(1 + (item * 7919 % 997) / 10 + rng.random(count), 2)
    table = pl.DataFrame(
        {
            "user_id": "u" + pl.Series(user).cast(pl.String),
            "item_id": "i" + pl.Series(item).cast(pl.String),
            "event": pl.Series(
                np.array(["view", "cart", "purchase"])[rng.choice(3, count, p=[0.9, 0.07, 0.03])]
            ),
            "timestamp": pl.Series(start * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "price": pl.Series(np.where(rng.random(count) < 0.05, np.nan, price)).fill_nan(None),
        }
    )
    copies = table.sample(count // 100, seed=0)
    pl.concat([table[: count - copies.height], copies]).write_parquet(path)


def pandas_way(path: str) -> dict[str, float]:
    import pandas as pd

    events = pd.read_parquet(path)
    events = events.drop_duplicates()
    events = events.sort_values(["user_id", "timestamp"], kind="stable")
    gap = events.groupby("user_id")["timestamp"].diff() > pd.Timedelta(minutes=30)
    events["session"] = gap.groupby(events["user_id"]).cumsum()
    cut = events["timestamp"].sort_values().iloc[round(len(events) * 0.8)]
    train, test = events[events["timestamp"] < cut], events[events["timestamp"] >= cut]
    means = train.groupby("item_id")["price"].mean()
    filled = train["price"].fillna(train["item_id"].map(means)).fillna(train["price"].mean())
    counts = train["item_id"].value_counts()
    known = pd.Series(np.arange(len(counts)) + 2, index=counts.index)
    last = train.groupby("user_id").tail(LENGTH)
    place = last.groupby("user_id").cumcount()
    row = last.groupby("user_id").ngroup()
    history = np.zeros((row.max() + 1, LENGTH), np.int32)
    history[row, place] = last["item_id"].map(known)
    sessions = int(events.groupby("user_id")["session"].max().add(1).sum())
    return _check(len(events), sessions, len(train), len(test), filled.to_numpy(), history, counts)


def package_way(path: str) -> dict[str, float]:
    from companion.core.frames import compact
    from companion.data import clean, features, sequences, split, transformers
    from companion.data.read import read_table

    events = compact(read_table(path).rows)
    events = clean.sort_by_time(events).events
    events = clean.remove_duplicates(events).events
    sessions = features.add_sessions(events)
    parts = split.by_share(sessions, validation=0.0, test=0.2)
    imputer = transformers.GroupMeanImputer().fit(parts.train.select("item_id", "price"))
    filled = imputer.transform(parts.train.select("item_id", "price"))[:, 0]
    encoder = transformers.IdEncoder().fit(parts.train["item_id"])
    history = sequences.histories(parts.train, encoder, LENGTH)
    counts = parts.train["item_id"].value_counts()["count"].sort(descending=True)
    session = sessions["session_id"]
    number = int((session != session.shift()).sum()) + 1
    return _check(
        events.height, number, parts.train.height, parts.test.height, filled, history.items, counts
    )


def _check(rows, sessions, train, test, prices, history, counts) -> dict[str, float]:
    """What must be equal. Items of equal count may be numbered otherwise: counts are compared."""
    weights = np.concatenate([[0, 0], np.asarray(counts)])
    return {
        "rows": rows,
        "sessions": sessions,
        "train": train,
        "test": test,
        "prices": round(float(np.sum(prices)), 0),
        "length": int((history > 0).sum()),
        "history": int(weights[history].sum()),
    }


def main() -> None:
    variants = {"pandas, straightforward": pandas_way, "companion": package_way}
    if worker(variants, MODULES):
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/events.parquet"
        make(path, count)
        found = measure(__file__, list(variants), path, ROUNDS)
    theirs, ours = found["pandas, straightforward"], found["companion"]
    ratio = theirs["seconds"] / ours["seconds"]
    conclude(
        "preprocess",
        {"events": count, **found, "times as fast": ratio},
        {"3 times as fast as pandas": ratio >= 3, "within 6 GiB": ours["peak_gib"] <= 6},
    )


if __name__ == "__main__":
    main()

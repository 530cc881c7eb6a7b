"""The small simulated log that comes with the project; `companion.data.sample` made it."""

from pathlib import Path

import polars as pl

from companion.core.paths import sample_folder
from companion.data.fetch import DataMissing
from companion.data.ingest import to_events
from companion.data.read import read_table
from companion.data.schema import Dataset

NAME = "sample"
PLACE = "events.csv.gz"
LICENCE = "Apache-2.0, as the project that made it"
ABOUT = "a simulated log, made by this project's own generator: no shop and no person is in it"
FILES = "comes with the project in data/sample"


def load(path: str | Path | None = None) -> Dataset:
    """The sample: searches, views, clicks, carts and purchases of 300 simulated shoppers.

    Args:
        path: the folder; None for the one of the project.

    Raises:
        companion.data.fetch.DataMissing: the folder has not the files.
    """
    folder = Path(path or sample_folder())
    if not (folder / PLACE).is_file():
        raise DataMissing(
            f"{folder} has no {PLACE}; write it with: python -m companion.data.sample"
        )
    table = read_table(folder / PLACE)
    done = to_events(table.rows)
    items = read_table(folder / "items.csv").rows.drop("line").cast({"price": pl.Float64})
    users = read_table(folder / "users.csv").rows.drop("line").cast({"household_size": pl.Int64})
    rejected = pl.concat([table.rejected, done.rejected])
    return Dataset(NAME, done.events, items, users, rejected, LICENCE, ABOUT)

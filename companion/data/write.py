"""Writing a table of events: a whole file or none."""

import os
from pathlib import Path

import polars as pl

ENDINGS = (".parquet", ".csv")


def check_ending(path: Path) -> Path:
    """The path, if its ending says how the file is to be written.

    Raises:
        ValueError: it ends in something other than .parquet or .csv.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path}: the ending must be {' or '.join(ENDINGS)}")
    return path


def write(table: pl.DataFrame, path: Path) -> None:
    """Writes Parquet or CSV, as the ending says; times in UTC, to the microsecond.

    The file is written beside its place and then moved, so that nobody meets half of it.
    """
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".parquet":
            table.write_parquet(passing)
        else:
            table.write_csv(passing, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)

"""A shop's own log: CSV, JSON-lines or Parquet, with a mapping of its columns."""

import codecs
from pathlib import Path
from typing import Any

import polars as pl

from companion.data.ingest import ColumnMapping, Ingested, to_events
from companion.data.read import ReadError, read_table
from companion.data.schema import COLUMNS, TIME, Dataset, SchemaError, nothing_rejected, validate
from companion.data.sources.files import head

LICENCE = "the owner's"
ABOUT = "a log of the reader's own"
FILES = "a file of the reader's own: companion data import"
HEAD = 200  # lines that `check` reads


def load(
    path: str | Path | None = None, mapping: ColumnMapping | None = None, **how: Any
) -> Dataset:
    """A file of events.

    Args:
        path: a file that `companion.data.read.read_table` reads.
        mapping: which column is what; None where the names are the schema's, and then all
            further columns are kept.
        how: the names of columns, the separator and the encoding, as `read_table` takes them.

    Raises:
        ValueError: no path; the file is missing or unreadable, has not the needed columns, or
            writes a number in another way than the one declared.
    """
    if path is None:
        raise ValueError("name the file: a CSV, JSON-lines or Parquet file of events")
    path = Path(path)
    whole = _in_schema(path) if mapping is None and not how else None
    if whole is not None:
        return _dataset(path, whole, nothing_rejected())
    table = read_table(path, **how)
    done = _ingest(path, table.rows, mapping)
    rejected = pl.concat([table.rejected, done.rejected]).sort("line", maintain_order=True)
    return _dataset(path, done.events, rejected)


def _dataset(path: Path, events: pl.DataFrame, rejected: pl.DataFrame) -> Dataset:
    return Dataset(path.name, events, None, None, rejected, LICENCE, ABOUT)


def _in_schema(path: Path) -> pl.DataFrame | None:
    """A Parquet file that is already an event log, in every row; else None."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    try:
        events = validate(pl.read_parquet(path))
    except (SchemaError, pl.exceptions.PolarsError, OSError):
        return None
    return events.cast({"timestamp": TIME})


def _ingest(path: Path, rows: pl.DataFrame, mapping: ColumnMapping | None) -> Ingested:
    further = tuple(name for name in rows.columns if name not in COLUMNS)
    try:
        return to_events(rows, mapping or ColumnMapping(keep=further))
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None


def check(path: str | Path) -> None:
    """Nothing, if the start of the file can be read and is in the schema.

    Raises:
        ValueError: in one sentence, what is wrong; the file is named.
    """
    path = Path(path)
    done = _ingest(path, _head(path), None)
    if done.events.height + done.rejected.height == 0:
        raise ValueError(f"{path}: there is no row in it")
    if done.events.height == 0:
        line, reason, _ = done.rejected.row(0)
        raise ValueError(f"{path}: none of its first rows is an event; line {line}: {reason}")


def _head(path: Path) -> pl.DataFrame:
    """The first rows, by the same reader as the whole file."""
    if path.suffix.lower() == ".parquet":
        return _head_of_parquet(path)
    with path.open("rb") as file:
        wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if wide or path.stat().st_size == 0:
        return read_table(path).rows
    with head(path, HEAD) as short:
        return read_table(short).rows


def _head_of_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, n_rows=HEAD)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ReadError(f"{path}: not a Parquet file ({error})") from None

"""What the loaders share: where a file lies, its first lines, its parts."""

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import polars as pl

from companion.core.paths import raw_folder
from companion.data.fetch import DataMissing
from companion.data.ingest import ColumnMapping, to_events
from companion.data.read import ReadError, Table, read_table
from companion.data.schema import Dataset


class Rows(NamedTuple):
    """Events in the schema and the rows that are none, with `line`, `reason`, `row`."""

    events: pl.DataFrame
    rejected: pl.DataFrame


def located(path: str | Path | None, name: str, file: str, how: str) -> Path:
    """The file of a source: the path itself, or in the folder that it names.

    Args:
        path: a file or a folder; None for the source's own folder in the raw data.
        name: of the source.
        file: name of the file in the folder.
        how: to get it, in words.

    Raises:
        companion.data.fetch.DataMissing: it is not there.
    """
    place = Path(path) if path is not None else raw_folder() / name
    if place.is_dir() or path is None:
        place = place / file
    if not place.is_file():
        raise DataMissing(f"{place} is not there; it is to be had as {how}")
    return place


def _is_json(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson", ".json"))


def _open(path: Path, mode: str) -> IO[bytes]:
    return gzip.open(path, mode) if path.suffix == ".gz" else path.open(mode)  # type: ignore[return-value]


def _copy(source: IO[bytes], out: IO[bytes], count: int, quoted: bool) -> int:
    """Copies lines, and as many more as a quoted value that is still open needs."""
    copied = quotes = 0
    while copied < count or (quoted and quotes % 2):
        line = source.readline()
        if not line:
            break
        out.write(line)
        copied += 1
        quotes += line.count(b'"')
    return copied


@contextmanager
def head(path: Path, count: int) -> Iterator[Path]:
    """A passing copy of the first lines, for a look into a file that is large.

    An error of reading the copy names the file itself.

    Raises:
        companion.data.read.ReadError: the file cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        short = Path(folder) / path.name
        try:
            with _open(path, "rb") as source, _open(short, "wb") as out:
                _copy(source, out, count, quoted=not _is_json(path))
        except (OSError, EOFError, zlib.error) as error:
            raise ReadError(f"{path}: cannot be read ({error})") from None
        try:
            yield short
        except ReadError as error:
            raise ReadError(str(error).replace(str(short), str(path))) from None


def table_of(path: Path, max_rows: int | None = None, **how: Any) -> Table:
    """As `companion.data.read.read_table`, of the first rows alone where `max_rows` is given.

    Raises:
        ValueError: max_rows is below 1.
        companion.data.read.ReadError: the file cannot be read.
    """
    if max_rows is None:
        return read_table(path, **how)
    if max_rows < 1:
        raise ValueError(f"max_rows must be 1 or more; got {max_rows}")
    if path.suffix.lower() == ".parquet":
        table = read_table(path)
        return Table(table.rows.head(max_rows), table.rejected)
    header = how.get("columns") is None and not _is_json(path)
    with head(path, max_rows + header) as short:
        return read_table(short, **how)


def events_of(table: Table, mapping: ColumnMapping) -> Rows:
    """The rows of a table as events; all that are none, from both steps, are in `rejected`."""
    done = to_events(table.rows, mapping)
    rejected = pl.concat([table.rejected, done.rejected]).sort("line", maintain_order=True)
    return Rows(done.events, rejected)


def in_parts(
    load: Callable[..., Dataset], path: str | Path, rows: int = 2_000_000, *, header: bool = False
) -> Iterator[Dataset]:
    """A file too large for the memory, as one dataset after the other.

    Each part can be written as one Parquet file and the whole then be read lazily with
    `polars.scan_parquet`. Line numbers are those of the whole file.

    Args:
        load: of a source with one line for each row, such as `taobao.load`.
        path: the file.
        rows: lines in one part.
        header: whether the first line names the columns.
    """
    path = Path(path)
    with _open(path, "rb") as source, tempfile.TemporaryDirectory() as folder:
        first = source.readline() if header else b""
        short, before = Path(folder) / path.name, 0
        while True:
            with _open(short, "wb") as out:
                out.write(first)
                copied = _copy(source, out, rows, quoted=not _is_json(path))
            if copied == 0:
                return
            part = load(short)
            line = pl.col("line") + before
            yield part._replace(
                events=part.events.with_columns(line), rejected=part.rejected.with_columns(line)
            )
            before += copied

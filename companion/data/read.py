"""Files of rows into tables of text, each row with its line number; what is no row is set aside.

Everything is read as text. A type is a decision, and it is taken in `companion.data.parse` and
`companion.data.times`, where a value that does not fit is named instead of being bent.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from companion.data.delimited import read_delimited
from companion.data.files import ReadError, decoded, opened, whole_lines
from companion.data.schema import REJECTED, nothing_rejected

__all__ = ["ReadError", "Table", "read_table"]
CHUNK = 100_000  # records that are held as Python objects at a time


class Table(NamedTuple):
    """Rows as text with their `line`, and what is no row: `line`, `reason`, `row`."""

    rows: pl.DataFrame
    rejected: pl.DataFrame


def read_table(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    separator: str | None = None,
    encoding: str | None = None,
) -> Table:
    """A CSV, JSON-lines or Parquet file as a table.

    Args:
        path: the ending says the format: .jsonl, .ndjson, .json, .parquet; all else is text with
            a separator (.csv, .tsv, .txt, .dat, .data). Text may be compressed: .gz.
        columns: names, for a text file that has no header.
        separator: one sign between columns; found from the first line when None.
        encoding: of a text file; UTF-8 (or what its byte-order mark says) when None.

    Returns:
        Text columns and `line` (from 1; the header counts). Parquet keeps its own types, and its
        `line` is the number of the row. A file that brings a column `line` keeps it.

    Raises:
        ReadError: the file is missing, empty, in another encoding, or no table.
    """
    path = Path(path)
    if not path.is_file():
        raise ReadError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise ReadError(f"{path}: the file is empty")
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        return Table(_read_parquet(path), nothing_rejected())
    if kind in ("jsonl", "ndjson", "json"):
        return _read_json_lines(path, encoding)
    return Table(*read_delimited(path, columns, separator, encoding))


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ReadError(f"{path}: not a Parquet file ({error})") from None
    return whole_lines(path, rows if "line" in rows.columns else rows.with_row_index("line", 1))


def _read_json_lines(path: Path, encoding: str | None) -> Table:
    records: list[dict[str, object]] = []
    parts: list[pl.DataFrame] = []
    rejected: list[tuple[int, str, str]] = []
    with opened(path, encoding) as lines:
        for number, text in enumerate(decoded(lines, path), 1):
            found = _record(text)
            if isinstance(found, str):
                rejected.append((number, found, text.rstrip("\r\n")))
                continue
            records.append({"line": number, **found})
            if len(records) == CHUNK:
                parts.append(pl.from_dicts(records, infer_schema_length=None))
                records = []
    if records:
        parts.append(pl.from_dicts(records, infer_schema_length=None))
    if not parts:
        raise ReadError(f"{path}: no line of it is a JSON object")
    rows = pl.concat(parts, how="diagonal_relaxed")
    return Table(whole_lines(path, rows), pl.DataFrame(rejected, schema=REJECTED, orient="row"))


def _record(text: str) -> dict[str, str | None] | str:
    """The fields of a JSON object as text, or why the line is none."""
    if not text.strip():
        return "blank line"
    try:
        record = json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg}"
    except RecursionError:
        return "not JSON: nested too deeply"
    if not isinstance(record, dict):
        return "not a JSON object"
    return {name: _as_text(value) for name, value in record.items()}


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)

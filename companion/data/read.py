"""Files of rows into tables of text, each row with its line number; what is no row is set aside.

Everything is read as text. A type is a decision, and it is taken in `companion.data.parse`,
where a value that does not fit is named instead of being bent.
"""

import codecs
import csv
import gzip
import io
import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.csv as pc

from companion.data.schema import REJECTED, nothing_rejected

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SEPARATORS = ",;\t|"
PLACE = "\0line"  # the line of the file, beside a column `line` that the file may bring


class ReadError(ValueError):
    """A file cannot be read as a table; the message names the file, and the line where it can."""


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
        path: the ending says the format: .csv, .tsv, .txt, .dat, .data (also with .gz), .jsonl,
            .ndjson, .json, .parquet.
        columns: names, for a text file that has no header.
        separator: one sign between columns; found from the first line when None.
        encoding: of a text file; UTF-8 (or what its byte-order mark says) when None.

    Returns:
        Text columns and `line` (from 1; the header counts). Parquet keeps its own types, and its
        `line` is the number of the row.

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
        return _read_parquet(path)
    if kind in ("jsonl", "ndjson", "json"):
        return _read_json_lines(path, encoding)
    return _read_delimited(path, columns, separator, encoding)


def _read_parquet(path: Path) -> Table:
    try:
        rows = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ReadError(f"{path}: not a Parquet file ({error})") from None
    if "line" not in rows.columns:
        rows = rows.with_row_index("line", offset=1)
    return Table(_whole_lines(path, rows), nothing_rejected())


def _whole_lines(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `line` as whole numbers: a file may bring the lines of the log it came from."""
    try:
        return rows.with_columns(pl.col("line").cast(pl.Int64))
    except pl.exceptions.PolarsError:
        raise ReadError(f"{path}: the column 'line' is not made of whole numbers") from None


def _read_json_lines(path: Path, encoding: str | None) -> Table:
    records: list[dict[str, object]] = []
    rejected: list[tuple[int, str, str]] = []
    with _opened(path, encoding) as lines:
        for number, text in enumerate(_decoded(lines, path), 1):
            if not text.strip():
                rejected.append((number, "blank line", ""))
                continue
            try:
                record = json.loads(text, parse_int=str, parse_float=str)
            except json.JSONDecodeError as error:
                rejected.append((number, f"not JSON: {error.msg}", text.rstrip("\n")))
                continue
            if not isinstance(record, dict):
                rejected.append((number, "not a JSON object", text.rstrip("\n")))
                continue
            records.append({**{k: _as_text(v) for k, v in record.items()}, "line": number})
    if not records:
        raise ReadError(f"{path}: no line of it is a JSON object")
    rows = pl.from_dicts(records, infer_schema_length=None)
    return Table(rows, pl.DataFrame(rejected, schema=REJECTED, orient="row"))


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _opened(path: Path, encoding: str | None) -> io.TextIOWrapper:
    encoding = encoding or _encoding_of(path)
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ReadError(f"{path}: there is no encoding named {encoding!r}") from None
    return io.TextIOWrapper(_binary(path), encoding=encoding, newline="")


def _decoded(lines: io.TextIOWrapper, path: Path) -> Iterator[str]:
    number = 0
    try:
        for text in lines:
            number += 1
            yield text
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, error.encoding) from None
    except (OSError, EOFError) as error:
        raise ReadError(f"{path}: line {number + 1} cannot be read ({error})") from None


def _wrong_encoding(path: Path, encoding: str) -> ReadError:
    """Names the first line that cannot be decoded."""
    hint = f"is not {encoding}; name the encoding of the file, such as latin-1"
    with _binary(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return ReadError(f"{path}: line {number} (byte 0x{line[error.start]:02X}) {hint}")
    return ReadError(f"{path}: {hint}")


def _binary(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _encoding_of(path: Path) -> str:
    with _binary(path) as file:
        try:
            start = file.read(4)
        except (OSError, EOFError) as error:
            raise ReadError(f"{path}: cannot be read ({error})") from None
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), "utf-8")


def _read_delimited(
    path: Path, columns: Sequence[str] | None, separator: str | None, encoding: str | None
) -> Table:
    encoding = encoding or _encoding_of(path)
    with _opened(path, encoding) as lines:
        first = next(_decoded(lines, path))
    separator = separator or _separator_of(first)
    names = list(columns or next(csv.reader([first], delimiter=separator)))
    _refuse_names(path, names)
    quotes = _refuse_open_quote(path)
    bad: list[tuple[int, str, str]] = []

    def set_aside(row: pc.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields where there are {row.expected_columns}"
        bad.append((row.number, reason, row.text))
        return "skip"

    table = _parse_csv(path, names, columns is None, separator, encoding, quotes, set_aside)
    rows = pl.DataFrame(pl.from_arrow(table))
    return _numbered(path, rows, bad, header=columns is None, encoding=encoding if quotes else None)


def _separator_of(line: str) -> str:
    counts = {sign: line.count(sign) for sign in SEPARATORS}
    best = max(counts, key=lambda sign: counts[sign])
    return best if counts[best] else ","


def _refuse_names(path: Path, names: list[str]) -> None:
    if not all(name.strip() for name in names):
        raise ReadError(f"{path}: line 1 has a column without a name")
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise ReadError(f"{path}: line 1 names the column {doubled[0]!r} twice")


def _refuse_open_quote(path: Path) -> bool:
    """Whether the file has quotes; an odd number of them would swallow all rows after the last."""
    if path.suffix == ".gz":
        return True
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        if memory.find(b'"') < 0:
            return False
        count, odd = 0, 0
        for number, line in enumerate(iter(memory.readline, b""), 1):
            quotes = line.count(b'"')
            odd = number if quotes % 2 and not count % 2 else odd
            count += quotes
    if count % 2:
        raise ReadError(f"{path}: line {odd}: a quote is opened and never closed")
    return True


def _parse_csv(
    path: Path,
    names: list[str],
    header: bool,
    separator: str,
    encoding: str,
    quotes: bool,
    set_aside: object,
) -> pa.Table:
    plain = "utf8" if encoding.lower().replace("_", "-") in ("utf-8", "utf-8-sig") else encoding
    reading = pc.ReadOptions(
        use_threads=False,
        encoding=plain,
        column_names=names,
        skip_rows=int(header),
        block_size=1 << 24,
    )
    parsing = pc.ParseOptions(
        delimiter=separator,
        newlines_in_values=quotes,
        quote_char='"' if quotes else False,
        ignore_empty_lines=False,
        invalid_row_handler=set_aside,
    )
    converting = pc.ConvertOptions(
        column_types={name: pa.large_string() for name in names},
        strings_can_be_null=True,
        null_values=[""],
        quoted_strings_can_be_null=True,
    )
    try:
        return pc.read_csv(path, reading, parsing, converting)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise _wrong_encoding(path, encoding) from None
        raise ReadError(f"{path}: not a table ({error})") from None
    except (OSError, LookupError) as error:
        raise ReadError(f"{path}: cannot be read ({error})") from None


def _numbered(
    path: Path,
    rows: pl.DataFrame,
    bad: list[tuple[int, str, str]],
    *,
    header: bool,
    encoding: str | None,
) -> Table:
    """Adds `line`; blank lines are left out, and counted among the rejected."""
    bad_numbers = [number for number, _, _ in bad]
    total = rows.height + len(bad)
    records = pl.int_range(1 + header, total + 1 + header, eager=True, dtype=pl.Int64)
    records = records.filter(~records.is_in(bad_numbers)) if bad else records
    rows = rows.with_columns(records.alias(PLACE))
    rejected = pl.DataFrame(bad, schema=REJECTED, orient="row")
    if encoding:  # there are quotes, and a quoted value may hold line breaks
        numbered = _physical_lines(path, encoding, total + header)
        rows, rejected = (_replaced(frame, numbered) for frame in (rows, rejected))
    blank = pl.all_horizontal(pl.exclude(PLACE).is_null())
    empty = rows.filter(blank)
    if empty.height:
        gone = empty.select(
            pl.col(PLACE).alias("line"), reason=pl.lit("blank line"), row=pl.lit("")
        )
        rejected = pl.concat([rejected, gone]).sort("line")
        rows = rows.filter(~blank)
    if "line" in rows.columns:
        return Table(_whole_lines(path, rows.drop(PLACE)), rejected)
    return Table(rows.rename({PLACE: "line"}), rejected)


def _physical_lines(path: Path, encoding: str, records: int) -> pl.DataFrame | None:
    """The line on which each record starts, or None where records and lines are the same."""
    starts, line, inside = [], 0, False
    with _opened(path, encoding) as lines:
        for text in _decoded(lines, path):
            line += 1
            if not inside:
                starts.append(line)
            inside ^= text.count('"') % 2 == 1
    if len(starts) == line or len(starts) != records:
        return None
    return pl.DataFrame({"record": range(1, records + 1), "at": starts})


def _replaced(frame: pl.DataFrame, numbered: pl.DataFrame | None) -> pl.DataFrame:
    if numbered is None:
        return frame
    name = PLACE if PLACE in frame.columns else "line"
    joined = frame.join(
        numbered, left_on=name, right_on="record", how="left", maintain_order="left"
    )
    return joined.with_columns(pl.col("at").alias(name)).select(frame.columns)

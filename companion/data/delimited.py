"""Text with a separator, read by pyarrow as text alone, with the line of every row.

Quotes are checked beforehand. A quote that is opened and not rightly closed would take the lines
after it into one value, and no reader would say a word.
"""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.csv as pc

from companion.data.files import (
    ReadError,
    binary,
    decoded,
    encoding_of,
    is_compressed,
    opened,
    whole_lines,
    wrong_encoding,
)
from companion.data.schema import REJECTED

SEPARATORS = ",;\t|"
PLACE = "\0line"  # the line of the file, beside a column `line` that the file may bring
csv.field_size_limit(2**31 - 1)


class Layout(NamedTuple):
    """How a file is written: `skip` lines lie before the first row."""

    names: list[str]
    skip: int
    separator: str
    encoding: str
    quotes: bool


def read_delimited(
    path: Path, columns: Sequence[str] | None, separator: str | None, encoding: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows with `line`, and what is no row: `line`, `reason`, `row`.

    Args:
        path: of the file.
        columns: names, for a file without a header.
        separator: one sign, or None to find it.
        encoding: or None for what the byte-order mark says, else UTF-8.

    Raises:
        ReadError: the file is in another encoding, its quotes do not close, or it is no table.
    """
    layout = _layout(path, columns, separator, encoding)
    starts = _record_starts(path, layout) if layout.quotes else None
    bad: list[tuple[int, str, str]] = []

    def set_aside(row: pc.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields where there are {row.expected_columns}"
        bad.append((row.number, reason, row.text))
        return "skip"

    rows = _parsed(path, layout, set_aside)
    records = pl.int_range(1, rows.height + len(bad) + 1, eager=True, dtype=pl.Int64) + layout.skip
    rejected = pl.DataFrame(bad, schema=REJECTED, orient="row")
    rows = rows.with_columns(
        records.filter(~records.is_in(rejected["line"].implode())).alias(PLACE)
    )
    if starts is not None and len(starts) == len(records):
        rows = _at_lines(rows, PLACE, layout.skip, starts)
        rejected = _at_lines(rejected, "line", layout.skip, starts)
    return _without_blank(path, rows, rejected)


def _layout(
    path: Path, columns: Sequence[str] | None, separator: str | None, encoding: str | None
) -> Layout:
    encoding = encoding or encoding_of(path)
    with opened(path, encoding) as lines:
        found = ((n, line) for n, line in enumerate(decoded(lines, path), 1) if line.strip())
        skip, first = next(found, (0, ""))
    if not skip:
        raise ReadError(f"{path}: every line is blank")
    separator = _separator_of(first) if separator is None else separator
    if len(separator) != 1 or separator in '"\r\n':
        raise ReadError(f"{path}: the separator must be one sign; got {separator!r}")
    names = list(columns or next(csv.reader([first], delimiter=separator)))
    if not all(name.strip() for name in names):
        raise ReadError(f"{path}: line {skip} has a column without a name")
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise ReadError(f"{path}: line {skip} names the column {doubled[0]!r} twice")
    skip -= int(columns is not None)
    return Layout(names, skip, separator, encoding, _has_quotes(path))


def _separator_of(line: str) -> str:
    """The sign that stands most often outside quotes; a comma where none does."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=bare.count)


def _has_quotes(path: Path) -> bool:
    with binary(path) as file:
        try:
            return any(b'"' in block for block in iter(lambda: file.read(1 << 20), b""))
        except (OSError, EOFError) as error:
            raise ReadError(f"{path}: cannot be read ({error})") from None


def _record_starts(path: Path, layout: Layout) -> list[int]:
    """The line on which each record after the skipped lines starts; quotes are checked on the way.

    Raises:
        ReadError: a quote is opened and not rightly closed; its line is named.
    """
    starts: list[int] = []
    with opened(path, layout.encoding) as lines:
        text = decoded(lines, path)
        for _ in range(layout.skip):
            next(text)
        reader = csv.reader(text, delimiter=layout.separator, strict=True)
        start = layout.skip + 1
        try:
            for _ in reader:
                starts.append(start)
                start = layout.skip + reader.line_num + 1
        except csv.Error:
            raise ReadError(f"{path}: line {start}: a quote is opened and not closed") from None
    return starts


def _parsed(path: Path, layout: Layout, set_aside: Callable[[pc.InvalidRow], str]) -> pl.DataFrame:
    plain = layout.encoding.lower().replace("_", "-") in ("utf-8", "utf-8-sig", "utf8")
    reading = pc.ReadOptions(
        use_threads=False,
        encoding="utf8" if plain else layout.encoding,
        column_names=layout.names,
        skip_rows=layout.skip,
        block_size=1 << 24,
    )
    parsing = pc.ParseOptions(
        delimiter=layout.separator,
        newlines_in_values=layout.quotes,
        quote_char='"' if layout.quotes else False,
        ignore_empty_lines=False,
        invalid_row_handler=set_aside,
    )
    converting = pc.ConvertOptions(
        column_types={name: pa.large_string() for name in layout.names},
        strings_can_be_null=True,
        null_values=[""],
    )
    try:
        with pa.input_stream(path, compression="gzip" if is_compressed(path) else None) as file:
            return pl.DataFrame(pl.from_arrow(pc.read_csv(file, reading, parsing, converting)))
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise wrong_encoding(path, layout.encoding) from None
        if "Could not skip" in str(error) or "Empty CSV" in str(error):  # a header and no more
            return pl.DataFrame(schema=dict.fromkeys(layout.names, pl.String))
        raise ReadError(f"{path}: not a table ({error})") from None
    except (OSError, LookupError, UnicodeError) as error:
        raise ReadError(f"{path}: cannot be read ({error})") from None


def _at_lines(frame: pl.DataFrame, name: str, skip: int, starts: list[int]) -> pl.DataFrame:
    """Record numbers replaced by the lines on which the records start."""
    at = pl.Series(starts, dtype=pl.Int64).gather(frame[name] - skip - 1)
    return frame.with_columns(at.alias(name))


def _without_blank(
    path: Path, rows: pl.DataFrame, rejected: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Blank lines go to the rejected; the place becomes `line`, unless the file brings its own."""
    blank = pl.all_horizontal(pl.exclude(PLACE).is_null())
    empty = rows.filter(blank)
    if empty.height:
        gone = empty.select(
            pl.col(PLACE).alias("line"), reason=pl.lit("blank line"), row=pl.lit("")
        )
        rejected = pl.concat([rejected, gone]).sort("line")
        rows = rows.filter(~blank)
    if "line" in rows.columns:
        return whole_lines(path, rows.drop(PLACE)), rejected
    return rows.rename({PLACE: "line"}), rejected

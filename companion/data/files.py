"""Opening text files: compression, encodings, and errors that name the file and the line."""

import codecs
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import polars as pl

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class ReadError(ValueError):
    """A file cannot be read as a table; the message names the file, and the line where it can."""


def is_compressed(path: Path) -> bool:
    """Whether the name says gzip."""
    return path.suffix.lower() == ".gz"


def binary(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked."""
    return cast(IO[bytes], gzip.open(path, "rb") if is_compressed(path) else path.open("rb"))


def encoding_of(path: Path) -> str:
    """What the byte-order mark says, else UTF-8.

    Raises:
        ReadError: the file cannot be unpacked.
    """
    with binary(path) as file:
        try:
            start = file.read(4)
        except (OSError, EOFError) as error:
            raise ReadError(f"{path}: cannot be read ({error})") from None
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), "utf-8")


def opened(path: Path, encoding: str | None) -> io.TextIOWrapper:
    """The file as text, line ends as they are.

    Raises:
        ReadError: there is no such encoding.
    """
    encoding = encoding or encoding_of(path)
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ReadError(f"{path}: there is no encoding named {encoding!r}") from None
    return io.TextIOWrapper(binary(path), encoding=encoding, newline="")


def decoded(lines: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """The lines, with an error that names the first that cannot be read.

    Raises:
        ReadError: a line is in another encoding, or the file is cut off.
    """
    number = 0
    try:
        for text in lines:
            number += 1
            yield text
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, error.encoding) from None
    except (OSError, EOFError) as error:
        raise ReadError(f"{path}: line {number + 1} cannot be read ({error})") from None


def wrong_encoding(path: Path, encoding: str) -> ReadError:
    """An error that names the first line that cannot be decoded."""
    hint = f"is not {encoding}; name the encoding of the file, such as latin-1"
    with binary(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return ReadError(f"{path}: line {number} (byte 0x{line[error.start]:02X}) {hint}")
    return ReadError(f"{path}: {hint}")


def whole_lines(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `line` as whole numbers: a file may bring the lines of the log it came from.

    Raises:
        ReadError: the column holds something else.
    """
    try:
        return rows.with_columns(pl.col("line").cast(pl.Int64))
    except pl.exceptions.PolarsError:
        raise ReadError(f"{path}: the column 'line' is not made of whole numbers") from None

"""From text to ids and numbers, with a reason for each value that cannot be read.

Every function takes a column and gives two of the same length: the values, and the reasons
(null where the value is good). Nothing is guessed in silence and nothing is lost.
"""

import re
from typing import NamedTuple

import polars as pl

MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "—")
EXACT = {64: 2**53, 32: 2**24}  # below it a float of so many bits holds every whole number


class Parsed(NamedTuple):
    """Values, and why a value is null: both [N]."""

    values: pl.Series
    reasons: pl.Series


class FormatError(ValueError):
    """The whole column is written in another format than the one declared."""

    def __init__(self, row: int, what: str, place: str = "row"):
        super().__init__(f"{place} {row}: {what}")
        self.row, self.what = row, what

    def at_line(self, lines: pl.Series) -> "FormatError":
        """The same error, naming the line of the file instead of the row of the column."""
        return FormatError(int(lines[self.row - 1]), self.what, "line")


def parsed(name: str, values: pl.Series, reasons: pl.Series) -> Parsed:
    """The pair, named."""
    return Parsed(values.alias(name), reasons.cast(pl.String).alias("reason"))


def ids(column: pl.Series) -> Parsed:
    """Ids as text, to the last digit and with every leading zero.

    A whole number becomes its digits. A float is taken only where no digit can have been lost
    (a missing value elsewhere in the column makes pandas read whole numbers as floats).
    """
    name = column.name
    if column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if column.dtype.is_float():
        whole = (column == column.floor()) & (
            column.abs() < EXACT[32 if column.dtype == pl.Float32 else 64]
        )
        text = column.cast(pl.Int64, strict=False).cast(pl.String)
        table = pl.DataFrame({"x": column, "whole": whole, "text": text})
        absent = pl.col("x").is_null() | pl.col("x").is_nan()
        return _select(
            table,
            name,
            absent,
            pl.col("whole"),
            f"{name} was read as a number and has lost digits: read it as text",
        )
    text = column.cast(pl.String)
    table = pl.DataFrame({"text": text})
    absent = pl.col("text").is_null() | (pl.col("text").str.strip_chars() == "")
    good = ~pl.col("text").str.contains(r"^\d[.,]\d+[eE]\+\d+$")
    return _select(
        table,
        name,
        absent,
        good,
        f"{name} is in scientific notation: a spreadsheet has cut its digits",
    )


def _select(table: pl.DataFrame, name: str, absent: pl.Expr, good: pl.Expr, why: str) -> Parsed:
    out = table.select(
        values=pl.when(~absent & good).then(pl.col("text")),
        reasons=pl.when(absent).then(pl.lit(f"{name} is missing")).when(~good).then(pl.lit(why)),
    )
    return parsed(name, out["values"], out["reasons"])


def numbers(column: pl.Series, decimal: str = ".", thousands: str | None = None) -> Parsed:
    """Numbers from text. A missing value is null and has no reason.

    Args:
        column: [N] text or numbers.
        decimal: the sign before the fraction.
        thousands: the sign between groups of three digits, or None.

    Raises:
        FormatError: a value is made of digits and signs but not in the declared format, so the
            declaration must be wrong for the whole column; the first such row is named.
    """
    name = column.name
    _check_signs(decimal, thousands)
    if column.dtype.is_numeric():
        values = column.cast(pl.Float64)
        finite = values.is_finite() | values.is_nan() | values.is_null()
        reasons = pl.select(pl.when(~finite).then(pl.lit(f"{name} is not finite"))).to_series()
        return parsed(name, values.fill_nan(None), reasons)
    text = column.cast(pl.String).str.strip_chars()
    point, apart = re.escape(decimal), re.escape(thousands or "")
    group = rf"[0-9]{{1,3}}(?:{apart}[0-9]{{3}})+|" if thousands else ""
    pattern = rf"^[+-]?(?:{group}[0-9]+)?(?:{point}[0-9]*)?(?:[eE][+-]?[0-9]+)?$"
    plain = text.str.replace_all(thousands, "", literal=True) if thousands else text
    plain = plain.str.replace(decimal, ".", literal=True) if decimal != "." else plain
    table = pl.DataFrame({"text": text, "plain": plain}).select(
        "text",
        absent=pl.col("text").is_null() | pl.col("text").str.to_lowercase().is_in(MISSING),
        good=pl.col("text").str.contains(pattern) & pl.col("text").str.contains("[0-9]"),
        number=pl.col("plain").cast(pl.Float64, strict=False),
        formatted=pl.col("text").str.contains(r"^[+-]?[0-9.,' ]*[0-9][0-9.,' ]*$"),
    )
    other = table.select((~pl.col("absent") & ~pl.col("good") & pl.col("formatted")).arg_true())
    if other.height:
        row = int(other.item(0, 0))
        raise FormatError(
            row + 1,
            f"{name} {text[row]!r} is not a number with decimal {decimal!r} and "
            f"thousands {thousands!r}; declare the signs that the file uses",
        )
    good = (pl.col("good") & pl.col("number").is_finite()).fill_null(False)
    out = table.select(
        values=pl.when(~pl.col("absent") & good).then(pl.col("number")),
        reasons=pl.when(~pl.col("absent") & ~good).then(pl.lit(f"{name} is not a number")),
    )
    return parsed(name, out["values"], out["reasons"])


def _check_signs(decimal: str, thousands: str | None) -> None:
    for sign in (decimal, *([thousands] if thousands is not None else [])):
        if len(sign) != 1 or sign.isalnum() or sign in "+-":
            raise ValueError(f"the signs in numbers must be one sign each; got {sign!r}")
    if decimal == thousands:
        raise ValueError(f"{decimal!r} cannot stand both before the fraction and between thousands")

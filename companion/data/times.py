"""From text or numbers to instants in UTC, with a reason for each value that cannot be read."""

import polars as pl

from companion.data.parse import Parsed, parsed
from companion.data.schema import TIME

FIRST, LAST = 631_152_000, 4_102_444_800  # seconds: the years 1990 to 2099


UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds in one


ISO = (
    r"^\s*(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?))?"
    r"\s*(?P<zone>Z|UTC|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?\s*$"
)


def timestamps(
    column: pl.Series, unit: str = "auto", zone: str = "UTC", layout: str | None = None
) -> Parsed:
    """Instants in UTC, microseconds.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970. With `unit="auto"`
    each value tells its own unit: the years 1990 to 2099 do not overlap between units. Text is
    ISO 8601; a time without an offset is local time of `zone`.

    Args:
        column: [N] numbers, text, or times.
        unit: "auto", "s", "ms", "us" or "ns".
        zone: IANA name, for times that carry no offset.
        layout: strptime format of text that is not ISO 8601.

    Raises:
        ValueError: the unit is none of these, or the zone is not known.
    """
    if unit not in ("auto", "ns", *UNITS):
        raise ValueError(f"unit must be auto, s, ms, us or ns; got {unit!r}")
    if isinstance(column.dtype, pl.Datetime):
        return _from_times(column, zone)
    if column.dtype == pl.Date:
        return _from_times(column.cast(pl.Datetime("us")), zone)
    if column.dtype.is_numeric() and layout is None:
        return _from_numbers(column, unit)
    text = column.cast(pl.String)
    numeric = text.str.contains(r"^\s*-?\d+(?:\.\d+)?\s*$").fill_null(False)
    if layout is None and numeric.all():
        return _from_digits(text, unit)
    written = _from_layout(text, layout, zone) if layout else _from_iso(text, zone)
    if layout is not None or not numeric.any():
        return written
    counted = _from_digits(text, unit)
    return parsed(
        column.name,
        counted.values.zip_with(numeric, written.values),
        counted.reasons.zip_with(numeric, written.reasons),
    )


def _from_digits(text: pl.Series, unit: str) -> Parsed:
    trimmed = text.str.strip_chars()
    whole = trimmed.cast(pl.Int64, strict=False)
    counted = _from_numbers(whole, unit)
    other = whole.is_null()
    if not other.any():
        return counted
    broken = _from_numbers(trimmed.cast(pl.Float64, strict=False), unit)
    return parsed(
        text.name,
        broken.values.zip_with(other, counted.values),
        broken.reasons.zip_with(other, counted.reasons),
    )


def _from_numbers(column: pl.Series, unit: str) -> Parsed:
    """Numbers since 1970, each in its own unit or all in the one declared."""
    name, x = column.name, pl.col("x")
    if column.dtype.is_integer():
        column = column.cast(pl.Int64)
        scaled = {"s": x * 1_000_000, "ms": x * 1_000, "us": x, "ns": x // 1_000}
    else:
        column = column.cast(pl.Float64).fill_nan(None)
        scaled = {key: (x * by).round() for key, by in UNITS.items()} | {"ns": (x / 1e3).round()}
    seconds = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
    micros = pl.lit(None)
    for key in seconds if unit == "auto" else [unit]:
        inside = (x >= FIRST * seconds[key]) & (x < LAST * seconds[key])
        micros = pl.when(inside).then(scaled[key].cast(pl.Int64)).otherwise(micros)
    out = pl.DataFrame({"x": column}).with_columns(values=micros)
    why = f"{name} is outside the years 1990 to 2099"
    reasons = (
        pl.when(x.is_null())
        .then(pl.lit(f"{name} is missing"))
        .when(pl.col("values").is_null())
        .then(pl.lit(why if unit == "auto" else f"{why} when read in {unit}"))
    )
    out = out.with_columns(reasons=reasons)
    return parsed(name, out["values"].cast(pl.Int64).cast(TIME), out["reasons"])


def _from_iso(text: pl.Series, zone: str) -> Parsed:
    parts = text.str.extract_groups(ISO).struct.unnest()
    clock = parts["time"].fill_null("00:00:00").str.replace(",", ".", literal=True)
    clock = clock.str.replace(r"^(\d{2}:\d{2})$", "${1}:00")
    naive = (parts["date"] + " " + clock).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False)
    offset = parts["zone"].str.replace(":", "", literal=True)
    sign = pl.when(pl.col("offset").str.starts_with("-")).then(-1).otherwise(1)
    minutes = (
        pl.when(pl.col("offset").is_in(["Z", "UTC"]))
        .then(0)
        .otherwise(
            sign
            * (
                pl.col("offset").str.slice(1, 2).cast(pl.Int64, strict=False) * 60
                + pl.col("offset").str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
            )
        )
    )
    table = pl.DataFrame({"naive": naive.cast(pl.Datetime("us")), "offset": offset})
    table = table.with_columns(minutes=minutes)
    fixed = (pl.col("naive") - pl.duration(minutes=pl.col("minutes"))).dt.replace_time_zone("UTC")
    fixed_values = table.select(fixed).to_series()
    local = _from_times(table["naive"].alias(text.name), zone)
    has_offset = offset.is_not_null()
    values = fixed_values.zip_with(has_offset, local.values)
    return _within(text, values, local.reasons, has_offset)


def _from_layout(text: pl.Series, layout: str, zone: str) -> Parsed:
    times = text.str.strip_chars().str.to_datetime(layout, strict=False, time_unit="us")
    local = _from_times(times.alias(text.name), zone)
    return _within(
        text, local.values, local.reasons, pl.Series([False]).new_from_index(0, len(text))
    )


def _from_times(column: pl.Series, zone: str) -> Parsed:
    name, times = (
        column.name,
        column.cast(pl.Datetime("us", getattr(column.dtype, "time_zone", None))),
    )
    missing = pl.when(pl.col("t").is_null()).then(pl.lit(f"{name} is missing"))
    if getattr(column.dtype, "time_zone", None):
        values = times.dt.convert_time_zone("UTC")
        return _in_years(name, values, pl.DataFrame({"t": values}).select(missing).to_series())
    try:
        values = times.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    except pl.exceptions.ComputeError as error:
        raise ValueError(f"time zone {zone!r} is not known") from error
    values = values.dt.convert_time_zone("UTC")
    why = f"{name} is a local time that {zone} had twice or never (clock change)"
    changed = missing.when(pl.col("v").is_null()).then(pl.lit(why))
    table = pl.DataFrame({"t": times, "v": values})
    return _in_years(name, values, table.select(changed).to_series())


def _in_years(name: str, values: pl.Series, reasons: pl.Series) -> Parsed:
    """Times outside the years 1990 to 2099 become null, with that reason."""
    table = pl.DataFrame({"v": values, "r": reasons.cast(pl.String)})
    outside = (~pl.col("v").dt.year().is_between(1990, 2099)).fill_null(False)
    out = table.select(
        v=pl.when(~outside).then(pl.col("v")),
        r=pl.when(outside)
        .then(pl.lit(f"{name} is outside the years 1990 to 2099"))
        .otherwise(pl.col("r")),
    )
    return parsed(name, out["v"], out["r"])


def _within(text: pl.Series, values: pl.Series, reasons: pl.Series, offset: pl.Series) -> Parsed:
    """Adds the reasons that only the text can tell, and the window of years."""
    name = text.name
    table = pl.DataFrame({"text": text, "v": values, "r": reasons, "offset": offset})
    year = pl.col("v").dt.year()
    out = table.select(
        values=pl.when(year.is_between(1990, 2099)).then(pl.col("v")),
        reasons=pl.when(pl.col("text").is_null() | (pl.col("text").str.strip_chars() == ""))
        .then(pl.lit(f"{name} is missing"))
        .when(pl.col("v").is_not_null() & ~year.is_between(1990, 2099))
        .then(pl.lit(f"{name} is outside the years 1990 to 2099"))
        .when(pl.col("v").is_null() & pl.col("r").str.contains("clock|years").fill_null(False))
        .then(pl.col("r"))
        .when(pl.col("v").is_null())
        .then(pl.lit(f"{name} cannot be read as a time")),
    )
    return parsed(name, out["values"], out["reasons"])

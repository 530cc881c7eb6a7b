from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.data import parse, times


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    "given_id", ["007", "0007", "9007199254740993", "12345678901234567890123", "Ä-1", " 7 ", "NA"]
)
def test_an_id_stays_as_it_is(given_id):
    values, reasons = parse.ids(pl.Series("user_id", [given_id, "x"]))
    assert values[0] == given_id
    assert reasons.null_count() == 2


def test_missing_ids_are_named():
    values, reasons = parse.ids(pl.Series("user_id", ["a", "", None, "  "]))
    assert values.to_list() == ["a", None, None, None]
    assert reasons.to_list() == [None] + ["user_id is missing"] * 3


def test_whole_floats_become_ids_again_and_longer_ones_are_refused():
    values, reasons = parse.ids(pl.Series("u", [101.0, None, float("nan"), 2.0**53, 1.5]))
    assert values.to_list() == ["101", None, None, None, None]
    assert "lost digits" in reasons[3]
    assert "lost digits" in reasons[4]
    assert reasons[1] == reasons[2] == "u is missing"


def test_an_id_that_a_spreadsheet_cut_is_refused():
    values, reasons = parse.ids(pl.Series("u", ["1.23457E+18", "1,23E+5", "E+1"]))
    assert values.to_list() == [None, None, "E+1"]
    assert "spreadsheet" in reasons[0]


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_any_whole_number_keeps_its_digits(number):
    assert parse.ids(pl.Series("u", [number], dtype=pl.Int64)).values[0] == str(number)


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("as_text", [True, False])
def test_each_number_tells_its_own_unit(scale, as_text):
    column = pl.Series("t", [1_700_000_000 * scale, 1_700_000_060 * 1_000])
    column = column.cast(pl.String) if as_text else column
    values, reasons = times.timestamps(column)
    assert values.to_list() == [at(2023, 11, 14, 22, 13, 20), at(2023, 11, 14, 22, 14, 20)]
    assert reasons.null_count() == 2


def test_a_declared_unit_is_kept_to():
    values, reasons = times.timestamps(pl.Series("t", ["1700000000", "1700000000000"]), unit="s")
    assert values[0] == at(2023, 11, 14, 22, 13, 20)
    assert values[1] is None
    assert "when read in s" in reasons[1]


@pytest.mark.parametrize("number", [0, -5, 5, 10**11, 10**18 * 9])
def test_no_time_outside_the_window_gets_through(number):
    values, reasons = times.timestamps(pl.Series("t", [number]))
    assert values[0] is None
    assert "1990 to 2099" in reasons[0]


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2099, 12, 31)))
def test_an_iso_time_in_utc_comes_back(moment):
    values, _ = times.timestamps(pl.Series("t", [moment.isoformat() + "Z"]))
    assert values[0] == moment.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-05T01:30:00-04:00", at(2023, 11, 5, 5, 30)),
        ("2023-11-05T01:30:00-0500", at(2023, 11, 5, 6, 30)),
        ("2023-11-05 01:30:00.250 +00:30", at(2023, 11, 5, 1, 0, 0, 250_000)),
        ("2023-11-05 01:30", at(2023, 11, 5, 1, 30)),
        ("2023-11-05", at(2023, 11, 5)),
        ("2014-04-07T10:51:09.277Z", at(2014, 4, 7, 10, 51, 9, 277_000)),
    ],
)
def test_ways_to_write_a_time(text, expected):
    assert times.timestamps(pl.Series("t", [text])).values[0] == expected


def test_mixed_text_and_numbers_and_offsets():
    values, reasons = times.timestamps(pl.Series("t", ["1700000000", "2023-11-14", "soon", None]))
    assert values.to_list() == [at(2023, 11, 14, 22, 13, 20), at(2023, 11, 14), None, None]
    assert reasons.to_list() == [None, None, "t cannot be read as a time", "t is missing"]


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("2023-11-05 01:30", "America/New_York"),
        ("2023-03-12 02:30", "America/New_York"),
        ("2023-10-29 02:30", "Europe/Berlin"),
    ],
)
def test_a_local_time_that_was_twice_or_never_is_set_aside(text, zone):
    values, reasons = times.timestamps(pl.Series("t", [text, "2023-06-01 12:00"]), zone=zone)
    assert values[0] is None
    assert "clock change" in reasons[0]
    assert values[1] is not None


def test_local_time_is_taken_to_utc():
    values, _ = times.timestamps(pl.Series("t", ["2017-11-25 08:00"]), zone="Asia/Shanghai")
    assert values[0] == at(2017, 11, 25, 0)


def test_a_layout_and_its_failures():
    column = pl.Series("t", ["11/1/2000", "2/31/2001"])
    values, reasons = times.timestamps(column, layout="%m/%d/%Y")
    assert values.to_list() == [at(2000, 11, 1), None]
    assert reasons[1] == "t cannot be read as a time"


@pytest.mark.parametrize(("argument", "value"), [("unit", "min"), ("zone", "Mars/Base")])
def test_unknown_units_and_zones_are_errors(argument, value):
    with pytest.raises(ValueError, match=value):
        times.timestamps(pl.Series("t", ["2023-11-05 01:30"]), **{argument: value})


@pytest.mark.parametrize(
    ("texts", "signs", "expected"),
    [
        (["1.234,56", "12,50", "999"], {"decimal": ",", "thousands": "."}, [1234.56, 12.5, 999.0]),
        (["1,234.56", "12.50", "-3"], {"thousands": ","}, [1234.56, 12.5, -3.0]),
        (["1 234,5", "7"], {"decimal": ",", "thousands": " "}, [1234.5, 7.0]),
        (["1'000", "2"], {"thousands": "'"}, [1000.0, 2.0]),
        (["1e3", "+.5", "5."], {}, [1000.0, 0.5, 5.0]),
        (["", "None", "—", "n/a", "NaN"], {}, [None] * 5),
    ],
)
def test_numbers_in_their_format(texts, signs, expected):
    values, reasons = parse.numbers(pl.Series("price", texts), **signs)
    assert values.to_list() == expected
    assert reasons.null_count() == len(texts)


@pytest.mark.parametrize(
    ("texts", "signs", "row"),
    [
        (["12,50", "1.234,56"], {"decimal": ","}, "1.234,56"),
        (["1.5", "12,50"], {}, "12,50"),
        (["1.5", "1,234.5"], {}, "1,234.5"),
        (["1.5", "12,34.5"], {"thousands": ","}, "12,34.5"),
    ],
)
def test_a_number_in_another_format_stops_and_names_its_row(texts, signs, row):
    with pytest.raises(parse.FormatError, match=f"row 2: price '{row}'".replace(".", r"\.")):
        parse.numbers(pl.Series("price", texts), **signs)


def test_what_is_no_number_gets_a_reason():
    values, reasons = parse.numbers(pl.Series("price", ["3", "about 5", "€4"]))
    assert values.to_list() == [3.0, None, None]
    assert reasons.to_list() == [None, "price is not a number", "price is not a number"]


def test_infinite_numbers_get_a_reason():
    _, reasons = parse.numbers(pl.Series("price", [1.0, float("inf"), float("nan")]))
    assert reasons.to_list() == [None, "price is not finite", None]


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (2.0**53, pl.Float64),
        (-(2.0**53), pl.Float64),
        (-(2.0**60), pl.Float64),
        (2.0**24, pl.Float32),
        (-(2.0**24), pl.Float32),
        (123_456_789.0, pl.Float32),
        (0.5, pl.Float32),
        (float("inf"), pl.Float64),
        (float("-inf"), pl.Float32),
    ],
)
def test_a_float_that_may_have_lost_digits_is_no_id(number, dtype):
    values, reasons = parse.ids(pl.Series("u", [1.0, number], dtype=dtype))
    assert values.to_list() == ["1", None]
    assert "lost digits" in reasons[1]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("largest", "dtype"), [(2**24 - 1, pl.Float32), (2**53 - 1, pl.Float64)])
def test_the_largest_float_that_is_exact_is_an_id(largest, dtype, sign):
    values, _ = parse.ids(pl.Series("u", [float(sign * largest)], dtype=dtype))
    assert values.to_list() == [str(sign * largest)]


def test_a_decimal_that_is_whole_becomes_its_digits():
    column = pl.Series("u", ["101", "7", None, "1.5"]).cast(pl.Decimal(20, 2))
    values, reasons = parse.ids(column)
    assert values.to_list() == ["101", "7", None, None]
    assert reasons[2] == "u is missing"
    assert reasons[3] is not None


@pytest.mark.parametrize("text", ["1e999", "-1e999", "٣", "١٢٫٥", "1٣", "１２", "inf", "-Infinity"])
def test_what_is_no_finite_number_in_plain_digits_gets_a_reason(text):
    values, reasons = parse.numbers(pl.Series("price", ["3", text]))
    assert values.to_list() == [3.0, None]
    assert reasons.to_list() == [None, "price is not a number"]


OUTSIDE = [datetime(1989, 12, 31, 23, 59, 59), datetime(2100, 1, 1), datetime(1970, 1, 1)]
INSIDE = [datetime(1990, 1, 1), datetime(2099, 12, 31, 23, 59, 59)]
KINDS = {
    "naive": lambda times: pl.Series("t", times, dtype=pl.Datetime("us")),
    "ms": lambda times: pl.Series("t", times, dtype=pl.Datetime("ms")),
    "UTC": lambda times: pl.Series("t", times, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
    "date": lambda times: pl.Series("t", times, dtype=pl.Datetime("us")).cast(pl.Date),
    "ISO": lambda times: pl.Series("t", [time.isoformat() for time in times]),
    "ISO with zone": lambda times: pl.Series("t", [f"{time.isoformat()}Z" for time in times]),
    "ISO date": lambda times: pl.Series("t", [str(time.date()) for time in times]),
    "seconds": lambda times: pl.Series(
        "t", [int(t.replace(tzinfo=UTC).timestamp()) for t in times]
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_years_are_1990_to_2099_however_the_time_is_written(kind):
    values, reasons = times.timestamps(KINDS[kind](OUTSIDE + INSIDE))
    assert values.is_null().to_list() == [True] * 3 + [False] * 2
    assert reasons.to_list() == ["t is outside the years 1990 to 2099"] * 3 + [None] * 2


def test_a_layout_keeps_to_the_years_too():
    column = pl.Series("t", ["31.12.1989", "01.01.1990", "31.12.2099", "01.01.2100"])
    values, reasons = times.timestamps(column, layout="%d.%m.%Y")
    assert values.to_list() == [None, at(1990, 1, 1), at(2099, 12, 31), None]
    assert reasons[0] == reasons[3] == "t is outside the years 1990 to 2099"


@pytest.mark.parametrize(
    ("offset", "minutes"),
    [
        ("+00", 0),
        ("-00", 0),
        ("+05", 300),
        ("+05:30", 330),
        ("+0530", 330),
        ("-03:30", -210),
        ("+14:00", 840),
    ],
)
def test_offsets_in_all_their_forms(offset, minutes):
    values, reasons = times.timestamps(pl.Series("t", [f"2024-01-02 12:00:00{offset}"]))
    assert reasons[0] is None
    assert values[0] == at(2024, 1, 2, 12) - timedelta(minutes=minutes)


@pytest.mark.parametrize("offset", ["+99:99", "+15:00", "+05:60", "+5", "-24:00"])
def test_offsets_that_no_place_has_are_refused(offset):
    values, reasons = times.timestamps(pl.Series("t", [f"2024-01-02 12:00:00{offset}"]))
    assert values[0] is None
    assert reasons[0] == "t cannot be read as a time"


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Int32, pl.String])
def test_a_layout_counts_for_whole_numbers_too(dtype):
    column = pl.Series("t", [20240101, 20241332, 20231231]).cast(dtype)
    values, reasons = times.timestamps(column, layout="%Y%m%d")
    assert values.to_list() == [at(2024, 1, 1), None, at(2023, 12, 31)]
    assert reasons.to_list() == [None, "t cannot be read as a time", None]


@pytest.mark.parametrize("bad", ["1.5", "soon", "", None, "99999999999999999999"])
def test_one_bad_value_does_not_round_the_others(bad):
    stamp = 1_700_000_000_123_456_789
    values, reasons = times.timestamps(pl.Series("t", [str(stamp), bad, str(stamp + 1_000)]))
    assert values.to_list() == [
        at(2023, 11, 14, 22, 13, 20, 123_456),
        None,
        at(2023, 11, 14, 22, 13, 20, 123_457),
    ]
    assert reasons.is_null().to_list() == [True, False, True]
